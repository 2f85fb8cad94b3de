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
use crate::db::{Components, Db};
use crate::edn::{self, Form, Keyword, Symbol};
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
        let mut checksums = None;
        let mut texts = Vec::new();
        for (name, text) in files(folder.as_ref())? {
            match name.strip_suffix(".edn") {
                Some(_) if name == CHECKSUMS => checksums = Some(text),
                Some(stem) => texts.push((stem.to_owned(), text)),
                None => {}
            }
        }
        let migrations = Migrations::new(texts)?;
        match checksums {
            Some(text) => migrations.agree_with(&text).map(|()| migrations),
            None => Ok(migrations),
        }
    }

    /// The text of `checksums.edn`: names and checksums.
    pub fn checksums(&self) -> String {
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
        let checksum = db.entity(datom.e)?.get(Keyword::new(CHECKSUM))?;
        applied.insert(name.as_str(), checksum.and_then(|value| value.as_str().map(str::to_owned)));
    }
    Ok(applied)
}

/// The files of a folder, by name, those that begin with a dot left out.
fn files(folder: &Path) -> Result<Vec<(String, String)>> {
    let failed = |path: &Path, cause: std::io::Error| {
        let message = format!("{} cannot be read: {cause}", path.display());
        Error::new(ErrorKind::Storage, "migrate/file", message).caused_by(cause)
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|cause| failed(folder, cause))? {
        let path = entry.map_err(|cause| failed(folder, cause))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.ends_with(".edn") && !name.starts_with('.') {
            files.push((name, std::fs::read_to_string(&path).map_err(|cause| failed(&path, cause))?));
        }
    }
    Ok(files)
}
