//! Migrations: tx-data in files, each transacted once, in the order of their names.
//!
//! ```
//! use treering::{Config, Migrations, connect, create_database};
//!
//! let config = Config::memory("migrate-example");
//! create_database(&config)?;
//! let conn = connect(&config)?;
//! // Of a folder: Migrations::read("migrations")?
//! let migrations = Migrations::new([
//!     ("001-people", "[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]"),
//!     ("002-ann", "{:tx-data [{:name \"Ann\"}]}"),
//! ])?;
//! assert_eq!(migrations.apply(&conn)?.len(), 2);
//! assert!(migrations.apply(&conn)?.is_empty());
//! # conn.release()?;
//! # treering::delete_database(&config)?;
//! # Ok::<(), treering::Error>(())
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::conn::Connection;
use crate::datom::{Order, Value};
use crate::db::{Attr, Components, Db};
use crate::edn::{self, Form, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::transact::{TxReport, with};

/// The file of checksums in a folder of migrations.
const CHECKSUMS: &str = "checksums.edn";
/// The attributes by which the database knows what was applied.
const NAME: &str = "tx/norm";
const CHECKSUM: &str = "tx/norm-checksum";
const ATTRIBUTES: &str = "[{:db/ident :tx/norm :db/valueType :db.type/keyword :db/cardinality :db.cardinality/one
    :db/unique :db.unique/value :db/doc \"The name of a migration that was applied\"}
   {:db/ident :tx/norm-checksum :db/valueType :db.type/string :db/cardinality :db.cardinality/one
    :db/doc \"The checksum of a migration that was applied\"}]";

/// Migrations, in the order of their names. `docs/migrations.md` says how their files look.
#[derive(Debug, Clone)]
pub struct Migrations {
    all: Vec<Migration>,
}

/// One of [`Migrations`].
#[derive(Debug, Clone)]
pub struct Migration {
    name: Keyword,
    operations: Vec<Form>,
    checksum: String,
}

impl Migration {
    /// The name that the database keeps: that of the file without `.edn`.
    pub fn name(&self) -> Keyword {
        self.name
    }

    /// 32 hexadecimal digits that tell its content from any other. Comments and white space do not count.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    fn read(name: &str, text: &str) -> Result<Migration> {
        let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(valid) {
            let message = format!("a migration's name is made of letters, digits, - _ and .; got {name:?}");
            return Err(Error::new(ErrorKind::Argument, "migrate/name", message));
        }
        let form = edn::read(text)?;
        let operations = operations(&form).map_err(|error| error.at(form.span, text))?;
        let checksum = format!("{:032x}", xxh3_128(form.to_string().as_bytes()));
        Ok(Migration { name: Keyword::new(name), operations, checksum })
    }

    /// Its operations, and beside them the note that it was applied.
    fn tx_data(&self, db: &Db) -> Result<Form> {
        let mut forms = Vec::new();
        if db.schema().attribute(Keyword::new(NAME)).is_none() {
            forms.extend(edn::read(ATTRIBUTES)?.items().unwrap_or_default().iter().cloned());
        }
        forms.push(Form::map(vec![
            (Keyword::new(NAME).into(), self.name.into()),
            (Keyword::new(CHECKSUM).into(), self.checksum.as_str().into()),
        ]));
        forms.extend(self.operations.iter().cloned());
        Ok(Form::from(forms))
    }
}

/// The operations of a file: a vector of them, or `{:tx-data […] :tx-fn name}`.
fn operations(form: &Form) -> Result<Vec<Form>> {
    let wanted = |got: String| {
        let message = format!("a migration is a vector of tx-data or {{:tx-data […] :tx-fn name}}, got {got}");
        Error::new(ErrorKind::Syntax, "migrate/syntax", message)
    };
    let Some(pairs) = form.pairs() else {
        return Ok(form.items().ok_or_else(|| wanted(form.kind_name().to_owned()))?.to_vec());
    };
    let (mut operations, mut function) = (Vec::new(), None);
    for (key, value) in pairs {
        match key.as_keyword().map(Keyword::as_str) {
            Some("tx-data") => {
                operations = value.items().ok_or_else(|| wanted(format!(":tx-data {}", value.kind_name())))?.to_vec();
            }
            Some("tx-fn") if value.as_symbol().is_some() || value.as_keyword().is_some() => {
                function = Some(Form::from(vec![Keyword::new("db.fn/call").into(), value.clone()]));
            }
            _ => return Err(wanted(format!("{key} {value}"))),
        }
    }
    operations.extend(function);
    Ok(operations)
}

impl Migrations {
    /// Migrations of names and texts, as `include_str!` gives them.
    ///
    /// # Errors
    /// `Syntax` for what is no EDN or no tx-data; `Argument`, code `:migrate/name`, for a name that is none or stands twice.
    pub fn new<N: AsRef<str>, T: AsRef<str>>(texts: impl IntoIterator<Item = (N, T)>) -> Result<Migrations> {
        let mut all = BTreeMap::new();
        for (name, text) in texts {
            let name = name.as_ref();
            let migration = Migration::read(name, text.as_ref()).map_err(|error| error.context(name))?;
            if all.insert(name.to_owned(), migration).is_some() {
                let message = format!("there are two migrations of the name {name}");
                return Err(Error::new(ErrorKind::Argument, "migrate/name", message));
            }
        }
        Ok(Migrations { all: all.into_values().collect() })
    }

    /// The migrations of a folder: its files `*.edn`. If there is a `checksums.edn`, it must agree with them.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); `Storage` for files that cannot be read; `Argument`, code `:migrate/checksum`, for
    /// files that differ from `checksums.edn`.
    pub fn read(folder: impl AsRef<Path>) -> Result<Migrations> {
        let (migrations, checksums) = read(folder.as_ref())?;
        if let Some(text) = checksums {
            migrations.agree_with(&text)?;
        }
        Ok(migrations)
    }

    /// Writes `checksums.edn` into a folder, for what its files are now.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); `Storage` for files that cannot be read or written.
    pub fn write_checksums(folder: impl AsRef<Path>) -> Result<Migrations> {
        let (migrations, _) = read(folder.as_ref())?;
        let path = folder.as_ref().join(CHECKSUMS);
        std::fs::write(&path, migrations.checksums()).map_err(|cause| failed(&path, "written", cause))?;
        Ok(migrations)
    }

    /// Names and checksums.
    fn checksums(&self) -> String {
        let lines = self.all.iter().map(|one| format!("{} {:?}", one.name, one.checksum));
        format!("{{{}}}\n", lines.collect::<Vec<_>>().join("\n "))
    }

    fn agree_with(&self, checksums: &str) -> Result<()> {
        let form = edn::read(checksums).map_err(|error| error.context(CHECKSUMS))?;
        let listed = |name: Keyword| form.get(name).and_then(Form::as_str);
        let differs = |name: Keyword, what: String| {
            let message = format!("{name}: {what}; if that is meant, write {CHECKSUMS} again");
            Err(Error::new(ErrorKind::Argument, "migrate/checksum", message))
        };
        for one in &self.all {
            match listed(one.name) {
                Some(checksum) if checksum == one.checksum => {}
                Some(checksum) => {
                    return differs(one.name, format!("{CHECKSUMS} has {checksum}, the file {}", one.checksum));
                }
                None => return differs(one.name, format!("{CHECKSUMS} does not have it")),
            }
        }
        let names = form.pairs().unwrap_or_default().iter().filter_map(|(name, _)| name.as_keyword());
        match names.into_iter().find(|name| self.all.iter().all(|one| one.name != *name)) {
            Some(name) => differs(name, format!("{CHECKSUMS} has it, and there is no file")),
            None => Ok(()),
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Migration] {
        &self.all
    }

    /// Those that `db` has not had.
    ///
    /// # Errors
    /// `Argument`: code `:migrate/checksum` if one that it had is another now, `:migrate/missing` if one that it had is not
    /// among these, `:migrate/order` if one that it had not comes before one that it had. Those of reading the database.
    pub fn pending(&self, db: &Db) -> Result<Vec<&Migration>> {
        let refused = |code, message: String| Err(Error::new(ErrorKind::Argument, code, message));
        let mut applied = applied(db)?;
        let mut pending: Vec<&Migration> = Vec::new();
        for one in &self.all {
            match (applied.remove(one.name.as_str()), pending.last()) {
                (None, _) => pending.push(one),
                (Some(checksum), _) if checksum.as_ref().is_some_and(|checksum| *checksum != one.checksum) => {
                    let message = format!("{} was changed after it had been applied; write a further one", one.name);
                    return refused("migrate/checksum", message);
                }
                (Some(_), Some(earlier)) => {
                    let message = format!("{} comes before {}, which was applied already", earlier.name, one.name);
                    return refused("migrate/order", message);
                }
                (Some(_), None) => {}
            }
        }
        match applied.into_keys().next() {
            Some(name) => refused("migrate/missing", format!(":{name} was applied and is not among the migrations")),
            None => Ok(pending),
        }
    }

    /// Transacts those that are pending, each in a transaction of its own together with the note that it was applied. If one
    /// is refused, those before it stay.
    ///
    /// # Errors
    /// Those of [`pending`](Self::pending) and of [`Connection::transact`], naming the migration.
    pub fn apply(&self, conn: &Connection) -> Result<Vec<Arc<TxReport>>> {
        let pending = self.pending(&conn.db())?;
        let transact = |one: &&Migration| conn.transact(one.tx_data(&conn.db())?).map_err(|e| e.context(one.name));
        pending.iter().map(transact).collect()
    }

    /// What [`apply`](Self::apply) would do. Nothing is written.
    ///
    /// # Errors
    /// As `apply`.
    pub fn dry_run(&self, db: &Db) -> Result<Vec<TxReport>> {
        let mut db = db.clone();
        let mut reports = Vec::new();
        for one in self.pending(&db)? {
            let report = with(&db, one.tx_data(&db)?).map_err(|error| error.context(one.name))?;
            db = report.db_after.clone();
            reports.push(report);
        }
        Ok(reports)
    }
}

/// The names that the database keeps, and their checksums. Other tools' migrations may have none.
fn applied(db: &Db) -> Result<BTreeMap<&'static str, Option<String>>> {
    let mut applied = BTreeMap::new();
    if db.schema().attribute(Keyword::new(NAME)).is_none() {
        return Ok(applied);
    }
    for datom in db.datoms(Order::Aevt, &Components::default().a(Keyword::new(NAME)))? {
        let datom = datom?;
        let Value::Keyword(name) = datom.v else { continue };
        let checksum = match db.entity(datom.e)? {
            Some(entity) => entity.get(Keyword::new(CHECKSUM))?,
            None => None,
        };
        let checksum = match checksum.as_ref().and_then(Attr::as_value) {
            Some(Value::Str(text)) => Some(text.to_string()),
            _ => None,
        };
        applied.insert(name.as_str(), checksum);
    }
    Ok(applied)
}

/// The migrations of a folder, and the text of its `checksums.edn`.
fn read(folder: &Path) -> Result<(Migrations, Option<String>)> {
    let mut checksums = None;
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|cause| failed(folder, "read", cause))? {
        let path = entry.map_err(|cause| failed(folder, "read", cause))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(".edn").filter(|_| !name.starts_with('.')) else { continue };
        let text = std::fs::read_to_string(&path).map_err(|cause| failed(&path, "read", cause))?;
        if name == CHECKSUMS { checksums = Some(text) } else { texts.push((stem.to_owned(), text)) }
    }
    Ok((Migrations::new(texts)?, checksums))
}

fn failed(path: &Path, done: &str, cause: std::io::Error) -> Error {
    let message = format!("{} cannot be {done}: {cause}", path.display());
    Error::new(ErrorKind::Storage, "migrate/file", message).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::conn::{connect_in, create_database_in};
    use crate::registry::Registry;

    const PEOPLE: (&str, &str) =
        ("001-people", "[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]");
    const ANN: (&str, &str) = ("002-ann", "{:tx-data [{:name \"Ann\"}]}");

    fn connection() -> Connection {
        let (registry, config) = (Registry::with_builtins(), Config::memory("migrate"));
        create_database_in(&registry, &config).unwrap();
        connect_in(&registry, &config).unwrap()
    }

    fn code(migrations: &Migrations, conn: &Connection) -> &'static str {
        let before = conn.db();
        let error = migrations.dry_run(&before).unwrap_err();
        assert_eq!(migrations.apply(conn).unwrap_err().code(), error.code());
        error.code()
    }

    #[test]
    fn each_is_applied_once_and_in_order() {
        let conn = connection();
        let first = Migrations::new([PEOPLE]).unwrap();
        let both = Migrations::new([ANN, PEOPLE]).unwrap();
        assert_eq!(both.dry_run(&conn.db()).unwrap().len(), 2);
        assert_eq!(both.pending(&conn.db()).unwrap().len(), 2);
        assert_eq!(first.apply(&conn).unwrap().len(), 1);
        assert_eq!(both.apply(&conn).unwrap().len(), 1);
        assert_eq!(both.apply(&conn).unwrap().len(), 0);
        assert_eq!(conn.db().datoms(Order::Aevt, &Components::default().a(Keyword::new("name"))).unwrap().count(), 1);
    }

    #[test]
    fn what_was_applied_is_held_to() {
        let conn = connection();
        Migrations::new([PEOPLE, ANN]).unwrap().apply(&conn).unwrap();
        let changed = Migrations::new([PEOPLE, (ANN.0, "[{:name \"Bob\"}]")]).unwrap();
        assert_eq!(code(&changed, &conn), "migrate/checksum");
        let spaced = Migrations::new([PEOPLE, (ANN.0, "; a comment\r\n{:tx-data  [{:name \"Ann\"}] }")]).unwrap();
        assert!(spaced.pending(&conn.db()).unwrap().is_empty());
        assert_eq!(code(&Migrations::new([PEOPLE]).unwrap(), &conn), "migrate/missing");
        let between = Migrations::new([PEOPLE, ("001-x", "[]"), ANN]).unwrap();
        assert_eq!(code(&between, &conn), "migrate/order");
    }

    #[test]
    fn a_refused_one_leaves_those_before_it() {
        let conn = connection();
        let bad = Migrations::new([PEOPLE, ("002-bad", "[{:nme \"Ann\"}]"), ("003-c", "[{:name \"C\"}]")]).unwrap();
        let error = bad.apply(&conn).unwrap_err();
        assert!(error.message().starts_with(":002-bad: "), "{error}");
        assert_eq!(bad.pending(&conn.db()).unwrap().len(), 2);
        let mended = Migrations::new([PEOPLE, ANN]).unwrap();
        assert_eq!(mended.apply(&conn).unwrap().len(), 1);
    }

    #[test]
    fn files_that_are_none_are_refused() {
        let code = |name: &str, text: &str| Migrations::new([(name, text)]).unwrap_err().code();
        assert_eq!(code("a b", "[]"), "migrate/name");
        assert_eq!(code("a", "12"), "migrate/syntax");
        assert_eq!(code("a", "{:tx-data {}}"), "migrate/syntax");
        assert_eq!(code("a", "{:data []}"), "migrate/syntax");
        assert_eq!(Migrations::new([PEOPLE, PEOPLE]).unwrap_err().code(), "migrate/name");
        assert_eq!(Migrations::read("no/such/folder").unwrap_err().code(), "migrate/file");
    }

    #[test]
    fn a_folder_and_its_checksums() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("001-people.edn", PEOPLE.1);
        write("002-ann.edn", ANN.1);
        write("README.md", "no migration");
        assert_eq!(Migrations::read(folder.path()).unwrap().all().len(), 2);
        Migrations::write_checksums(folder.path()).unwrap();
        assert_eq!(Migrations::read(folder.path()).unwrap().all().len(), 2);
        let refused = || Migrations::read(folder.path()).unwrap_err();
        write("002-ann.edn", "[{:name \"Bob\"}]");
        assert_eq!(refused().code(), "migrate/checksum");
        write("002-ann.edn", ANN.1);
        write("003-new.edn", "[]");
        assert!(refused().message().contains("does not have it"));
        std::fs::remove_file(folder.path().join("003-new.edn")).unwrap();
        std::fs::remove_file(folder.path().join("002-ann.edn")).unwrap();
        assert!(refused().message().contains("there is no file"));
    }
}
