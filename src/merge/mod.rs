//! Three-way merges: what one branch has changed since two parted, as tx-data for the other.
//!
//! Nothing is written here. [`diff`] tells what holds in one database and not in another; [`merge`] turns what theirs says
//! more or less than the base into operations for ours, and lists what the two have changed differently. The rules are told in
//! `docs/branches.md`.

mod diff;
mod entities;
mod facts;
mod three_way;

pub use diff::diff;

use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::Result;
use crate::transact::{IntoTxData, Op, TxData};

/// Where a merge starts from: what was there before ours and theirs went their own ways.
/// [`Connection::merge_base`](crate::Connection::merge_base) finds it.
#[derive(Debug, Clone)]
pub struct MergeBase {
    /// What was merged of theirs before: the commit where the two parted, or the last commit of theirs that is in ours.
    pub db: Db,
    /// The largest id that means the same entity in ours and theirs: the largest when the two parted.
    pub shared: EntityId,
    /// The last transaction that both have.
    pub shared_t: EntityId,
    /// Whether ours was merged into theirs since: entities of theirs may then be copies of ours, which only an identity
    /// tells.
    pub mutual: bool,
}

/// A database from which both come.
impl From<&Db> for MergeBase {
    fn from(db: &Db) -> Self {
        MergeBase { db: db.clone(), shared: db.max_eid(), shared_t: db.basis_t(), mutual: false }
    }
}

/// What a merge comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Merge {
    /// What theirs has changed and ours has not, for ours.
    pub ops: Vec<Op>,
    /// What the two have changed differently; ours stays as it is there.
    pub conflicts: Vec<Conflict>,
}

/// What two branches have changed differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// Why it is one.
    pub kind: ConflictKind,
    /// The entity in ours, if it has one.
    pub ours: Option<EntityId>,
    /// The entity in theirs.
    pub theirs: EntityId,
    /// The attribute, where it is about one, and its value in the base, in ours and in theirs.
    pub attribute: Option<Keyword>,
    /// That in the base, in ours and in theirs, entities by their ids there.
    pub values: [Option<Value>; 3],
    /// What makes it as theirs has it. Empty where that cannot be said.
    pub take_theirs: Vec<Op>,
}

/// Why two changes do not go together.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictKind {
    /// Both gave an attribute of cardinality one another value.
    Value,
    /// Ours has changed an entity of which theirs has retracted all.
    RetractedByTheirs,
    /// Theirs has changed an entity of which ours has retracted all.
    RetractedByOurs,
    /// Another entity of ours has the value of a unique attribute.
    Unique,
    /// The identities of an entity of theirs belong to several entities of ours.
    Ambiguous,
    /// An entity of theirs that was merged before, or may be ours, has no identity by which it can be found in ours.
    Unidentified,
}

impl ConflictKind {
    /// The kind as a keyword without its colon, such as `retracted-by-ours`.
    pub fn as_str(self) -> &'static str {
        match self {
            ConflictKind::Value => "value",
            ConflictKind::RetractedByTheirs => "retracted-by-theirs",
            ConflictKind::RetractedByOurs => "retracted-by-ours",
            ConflictKind::Unique => "unique",
            ConflictKind::Ambiguous => "ambiguous",
            ConflictKind::Unidentified => "unidentified",
        }
    }
}

impl Merge {
    /// Whether there is nothing to do and nothing to decide.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.conflicts.is_empty()
    }

    /// The operations, and what takes theirs in every conflict that can be settled so; the others are left.
    #[must_use]
    pub fn take_theirs(self) -> Merge {
        let (settled, conflicts): (Vec<_>, Vec<_>) =
            self.conflicts.into_iter().partition(|conflict| !conflict.take_theirs.is_empty());
        let mut ops = self.ops;
        ops.extend(settled.into_iter().flat_map(|conflict| conflict.take_theirs));
        Merge { ops, conflicts }
    }

    /// The operations alone: ours stays wherever there is a conflict.
    #[must_use]
    pub fn keep_ours(self) -> Merge {
        Merge { conflicts: Vec::new(), ..self }
    }
}

/// The operations. Conflicts are left as ours has them.
impl IntoTxData for Merge {
    fn into_tx_data(self) -> Result<TxData> {
        Ok(TxData::new(self.ops))
    }
}

/// What theirs has changed since the base, as tx-data for ours, and what ours has changed differently.
///
/// An entity of the base keeps its id. One that is newer in theirs is the entity of ours that has its identity
/// (`:db.unique/identity`), and a new one where there is none. What was said of transactions stays behind.
///
/// ```
/// use treering::{Config, ConflictKind, connect, create_database, merge, q, with};
/// let config = Config::memory("merge-example");
/// create_database(&config)?;
/// let conn = connect(&config)?;
/// conn.transact("[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one
///                  :db/unique :db.unique/identity}
///                 {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]")?;
/// let base = conn.transact(r#"[{:name "Ann" :age 30} {:name "Bob" :age 40}]"#)?.db_after.clone();
///
/// let theirs = with(&base, r#"[{:name "Ann" :age 31} {:name "Bob" :age 41} {:name "Eve" :age 50}]"#)?.db_after;
/// let ours = conn.transact(r#"[{:name "Bob" :age 42}]"#)?.db_after.clone();
/// let merged = merge(&base, &ours, &theirs)?;
/// assert_eq!(merged.conflicts.len(), 1);
/// assert_eq!(merged.conflicts[0].kind, ConflictKind::Value);
///
/// conn.transact(merged)?;
/// let people: Vec<(String, i64)> =
///     q("[:find ?n ?a :where [?p :name ?n] [?p :age ?a] :order-by [?n]]", &conn.db())?.rows_as()?;
/// assert_eq!(people, [("Ann".into(), 31), ("Bob".into(), 42), ("Eve".into(), 50)]);
/// # conn.release()?;
/// # treering::delete_database(&config)?;
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// Those of reading the databases.
pub fn merge(base: impl Into<MergeBase>, ours: &Db, theirs: &Db) -> Result<Merge> {
    three_way::merge(&base.into(), ours, theirs)
}
