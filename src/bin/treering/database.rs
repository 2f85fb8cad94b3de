//! The database that a command line names.

use std::path::{Path, PathBuf};

use treering::edn::{Form, FormKind, inst, read};
use treering::{Config, Connection, Db, EntityId, TX0, connect, create_database, database_exists};

use crate::failure::{Failure, Outcome};

/// How a command names its database.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// Read the config of the database from a file, EDN or JSON; there is no DATABASE then
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Work on this branch
    #[arg(long, value_name = "NAME", global = true)]
    pub branch: Option<String>,
}

impl Target {
    /// The config, and the words that are left when the database is taken from them. `what` names the words that the
    /// command wants, `count` says how many there may be.
    pub fn split(&self, words: &[String], what: &[&str], count: usize) -> Outcome<(Config, Vec<String>)> {
        let (config, rest) = match (&self.config, words) {
            (Some(path), rest) => (Config::from_file(path)?, rest),
            (None, [database, rest @ ..]) => (named(database)?, rest),
            (None, []) => {
                let message = "no database: give the path of one, :memory, or --config FILE";
                return Err(Failure::Usage(message.to_owned()));
            }
        };
        if let Some(extra) = rest.get(count) {
            let wanted = if what.is_empty() { "nothing more".to_owned() } else { what.join(" ") };
            return Err(Failure::Usage(format!("after the database, {wanted} was wanted, got {extra:?} too many")));
        }
        if rest.len() < what.len() {
            let missing = what.get(rest.len()).copied().unwrap_or_default();
            let (database, _) = words.split_first().map_or(("", &[][..]), |(d, r)| (d.as_str(), r));
            let hint = if rest.is_empty() && database.starts_with(['[', '{', '(']) {
                " (the database comes first)"
            } else {
                ""
            };
            return Err(Failure::Usage(format!("{missing} is missing{hint}")));
        }
        let config = config.or_env()?;
        let config = match &self.branch {
            Some(branch) => config.branch(branch.strip_prefix(':').unwrap_or(branch)),
            None => config,
        };
        Ok((config, rest.to_vec()))
    }
}

/// The config of a database that is named by one word.
pub fn named(word: &str) -> Outcome<Config> {
    match word {
        ":memory" | ":mem" | ":memory:" => Ok(Config::memory("treering")),
        "" => Err(Failure::Usage("the path of the database is empty".into())),
        path if path.starts_with('{') => Ok(Config::from_edn(path)?),
        path => Ok(Config::file(path)),
    }
}

/// Whether the database lives in this process alone, so that it begins with it.
pub fn is_memory(config: &Config) -> bool {
    config.store_config().backend().as_str() == "memory"
}

/// Creates what lives in memory: nobody else could have.
fn begin(config: &Config) -> Outcome {
    if is_memory(config) && !database_exists(config)? {
        create_database(config)?;
    }
    Ok(())
}

/// Connects without becoming the writer.
pub fn open_reader(config: &Config) -> Outcome<Connection> {
    begin(config)?;
    let config = if is_memory(config) { config.clone() } else { config.clone().read_only(true) };
    connect(&config).map_err(|error| missing(&config, error))
}

/// Connects as the writer.
pub fn open_writer(config: &Config) -> Outcome<Connection> {
    begin(config)?;
    connect(config).map_err(|error| missing(config, error))
}

/// Says what to do where there is no database.
fn missing(config: &Config, error: treering::Error) -> Failure {
    let code = error.code();
    if !matches!(code, "db-does-not-exist" | "store/missing") {
        return error.into();
    }
    let name = config.store_config().path().unwrap_or_else(|| PathBuf::from("it"));
    let branch = config.branch_name();
    let made = match branch.as_str() {
        "db" => format!("create it with: treering create-database {}", shell_word(&name)),
        other => format!("make it with: treering branch {} {}", shell_word(&name), shell_word(Path::new(other))),
    };
    Failure::Io(format!("{}; {made}\n(:{code})", error.message()))
}

fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.contains([' ', '\'', '"', '$', '&']) { format!("{text:?}") } else { text.into_owned() }
}

/// A view in time.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct View {
    /// See the database as it was: a transaction id or number, a date, or an instant
    #[arg(long, value_name = "T")]
    pub as_of: Option<String>,
    /// See only what was said after: a transaction id or number, a date, or an instant
    #[arg(long, value_name = "T")]
    pub since: Option<String>,
    /// See every assertion and retraction
    #[arg(long)]
    pub history: bool,
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Transaction(EntityId),
    Instant(i64),
}

impl Moment {
    /// Reads a transaction's id, its number (1 is the first), or a date as `2026-01-31` or `#inst "…"`.
    pub fn parse(text: &str) -> Outcome<Moment> {
        let text = text.trim();
        if let Ok(number) = text.parse::<u64>() {
            let id = if number < TX0 { TX0.saturating_add(number) } else { number };
            return Ok(Moment::Transaction(EntityId(id)));
        }
        if let Ok(Form { kind: FormKind::Inst(instant), .. }) = read(text) {
            return Ok(Moment::Instant(instant));
        }
        inst::parse(text.trim_matches('"')).map(Moment::Instant).ok_or_else(|| {
            let wanted = "a transaction id or number, or a date as 2026-01-31 or 2026-01-31T12:00:00Z";
            Failure::Usage(format!("a point in time is {wanted}; got {text:?}"))
        })
    }

    fn as_of(self, db: &Db) -> treering::Result<Db> {
        match self {
            Moment::Transaction(t) => db.as_of(t),
            Moment::Instant(instant) => db.as_of_instant(instant),
        }
    }

    fn since(self, db: &Db) -> treering::Result<Db> {
        match self {
            Moment::Transaction(t) => db.since(t),
            Moment::Instant(instant) => db.since_instant(instant),
        }
    }
}

impl View {
    /// The database through the view.
    pub fn of(&self, db: &Db) -> Outcome<Db> {
        let mut db = db.clone();
        if let Some(text) = &self.as_of {
            db = Moment::parse(text)?.as_of(&db)?;
        }
        if let Some(text) = &self.since {
            db = Moment::parse(text)?.since(&db)?;
        }
        if self.history {
            db = db.history()?;
        }
        Ok(db)
    }

    /// Whether it is the database itself.
    pub fn is_plain(&self) -> bool {
        self.as_of.is_none() && self.since.is_none() && !self.history
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(Moment::parse("3").unwrap(), Moment::Transaction(EntityId(TX0 + 3)));
        assert_eq!(Moment::parse("536870915").unwrap(), Moment::Transaction(EntityId(536_870_915)));
        assert_eq!(Moment::parse("1970-01-02").unwrap(), Moment::Instant(86_400_000));
        assert_eq!(Moment::parse("#inst \"1970-01-02\"").unwrap(), Moment::Instant(86_400_000));
        assert_eq!(Moment::parse("yesterday").unwrap_err().code(), 2);
    }

    #[test]
    fn words_of_the_command_line() {
        let none = Target { config: None, branch: None };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (config, rest) = none.split(&words(&["x.tr", "[:find]"]), &["a query"], 1).unwrap();
        assert_eq!((config, rest), (Config::file("x.tr"), words(&["[:find]"])));
        let told = |list: &[&str]| match none.split(&words(list), &["a query"], 1) {
            Err(failure @ Failure::Usage(_)) => failure.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(told(&[]).starts_with("no database"));
        assert_eq!(told(&["x.tr"]), "a query is missing");
        assert_eq!(told(&["[:find ?e]"]), "a query is missing (the database comes first)");
        assert!(told(&["x", "y", "z"]).contains("\"z\" too many"));
    }
}
