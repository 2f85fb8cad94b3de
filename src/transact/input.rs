//! Tx-data as Rust values: what a transaction is asked to do.

use std::fmt;
use std::sync::Arc;

use crate::datom::{Datom, EntityId, Value};
use crate::db::{Db, EntityRef};
use crate::edn::{Form, Keyword};
use crate::error::{Error, ErrorKind, Result};

use super::function::Callee;
use super::place::Source;
use super::read;
use super::record::Merge;

/// A name that stands for an entity inside one transaction.
///
/// All uses of one tempid in a transaction mean one entity: an existing one where an identity attribute tells which,
/// else a new one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TempId {
    /// The entity of the transaction itself, `:db/current-tx`.
    CurrentTx,
    /// An integer that is not positive.
    Int(i64),
    /// A string.
    Str(Arc<str>),
}

impl TempId {
    /// The tempid that a string is: one of the transaction's names, or a name of the user's.
    pub(super) fn named(text: Arc<str>) -> TempId {
        match &*text {
            ":db/current-tx" | "datomic.tx" | "datahike.tx" | "datascript.tx" => TempId::CurrentTx,
            _ => TempId::Str(text),
        }
    }
}

impl From<&str> for TempId {
    fn from(text: &str) -> Self {
        TempId::named(text.into())
    }
}

impl fmt::Debug for TempId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TempId::CurrentTx => f.write_str(":db/current-tx"),
            TempId::Int(n) => write!(f, "{n}"),
            TempId::Str(text) => write!(f, "{text:?}"),
        }
    }
}

impl fmt::Display for TempId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The entity that an operation is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// An entity by its id, its ident, or a lookup ref.
    Entity(EntityRef),
    /// A tempid.
    Temp(TempId),
}

impl From<EntityRef> for Subject {
    fn from(entity: EntityRef) -> Self {
        Subject::Entity(entity)
    }
}

impl From<EntityId> for Subject {
    fn from(id: EntityId) -> Self {
        Subject::Entity(EntityRef::Id(id))
    }
}

impl From<Keyword> for Subject {
    fn from(ident: Keyword) -> Self {
        Subject::Entity(EntityRef::Ident(ident))
    }
}

impl<V: Into<Value>> From<(Keyword, V)> for Subject {
    fn from(lookup: (Keyword, V)) -> Self {
        Subject::Entity(lookup.into())
    }
}

impl From<TempId> for Subject {
    fn from(tempid: TempId) -> Self {
        Subject::Temp(tempid)
    }
}

/// A string is a tempid.
impl From<&str> for Subject {
    fn from(text: &str) -> Self {
        Subject::Temp(text.into())
    }
}

/// A positive integer is an id, another a tempid.
impl From<i64> for Subject {
    fn from(n: i64) -> Self {
        match u64::try_from(n) {
            Ok(id @ 1..) => EntityId(id).into(),
            _ => Subject::Temp(TempId::Int(n)),
        }
    }
}

/// What is given as the value of an attribute. Its meaning depends on the attribute: a string is a tempid where a ref
/// is wanted, and a vector is several values of an attribute that takes many.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// A value.
    Value(Value),
    /// An entity, for a ref attribute.
    Entity(Subject),
    /// An entity with attributes of its own, for a ref attribute.
    Nested(EntityMap),
    /// Several values.
    Many(Vec<Given>),
}

impl<V: Into<Value>> From<V> for Given {
    fn from(value: V) -> Self {
        Given::Value(value.into())
    }
}

impl From<EntityMap> for Given {
    fn from(entity: EntityMap) -> Self {
        Given::Nested(entity)
    }
}

impl From<Subject> for Given {
    fn from(subject: Subject) -> Self {
        Given::Entity(subject)
    }
}

impl From<TempId> for Given {
    fn from(tempid: TempId) -> Self {
        Given::Entity(tempid.into())
    }
}

/// An entity with values for some of its attributes: the map form of tx-data.
///
/// ```
/// use treering::edn::Keyword;
/// use treering::EntityMap;
/// let alice = EntityMap::new().tempid("alice").set(Keyword::new("name"), "Alice").set(Keyword::new("age"), 30);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EntityMap {
    pub(super) id: Option<Subject>,
    pub(super) attributes: Vec<(Keyword, Given)>,
}

impl EntityMap {
    /// An entity of which nothing is known: a new one, unless an identity attribute tells otherwise.
    pub fn new() -> EntityMap {
        EntityMap::default()
    }

    /// Says which entity it is.
    #[must_use]
    pub fn id(mut self, id: impl Into<Subject>) -> EntityMap {
        self.id = Some(id.into());
        self
    }

    /// Gives it a name inside the transaction.
    #[must_use]
    pub fn tempid(self, tempid: impl Into<TempId>) -> EntityMap {
        self.id(Subject::Temp(tempid.into()))
    }

    /// Gives an attribute a value. A reverse attribute (`:ns/_attr`) makes the value refer to the entity.
    #[must_use]
    pub fn set(mut self, attribute: Keyword, value: impl Into<Given>) -> EntityMap {
        self.attributes.push((attribute, value.into()));
        self
    }

    /// Gives an attribute several values.
    #[must_use]
    pub fn add_many<V: Into<Given>>(mut self, attribute: Keyword, values: impl IntoIterator<Item = V>) -> EntityMap {
        let values = values.into_iter().map(Into::into).collect();
        self.attributes.push((attribute, Given::Many(values)));
        self
    }
}

/// One operation of a transaction.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// The map form: asserts all values of the entity.
    Entity(EntityMap),
    /// `[:db/add e a v]`
    Add {
        /// The entity.
        e: Subject,
        /// The attribute.
        a: Keyword,
        /// The value.
        v: Given,
    },
    /// `[:db/retract e a v]`, or `[:db/retract e a]` for all values.
    Retract {
        /// The entity.
        e: Subject,
        /// The attribute.
        a: Keyword,
        /// The value; all of them when there is none.
        v: Option<Given>,
    },
    /// `[:db.fn/retractAttribute e a]`: all values, and the components they are.
    RetractAttribute {
        /// The entity.
        e: Subject,
        /// The attribute.
        a: Keyword,
    },
    /// `[:db/retractEntity e]`: all that is said of the entity, all refs to it, and its components.
    RetractEntity {
        /// The entity.
        e: Subject,
    },
    /// `[:db/cas e a old new]`: asserts `new` where the value is `old`, and fails otherwise.
    Cas {
        /// The entity.
        e: Subject,
        /// The attribute.
        a: Keyword,
        /// The value that is expected; none when there is none.
        old: Option<Given>,
        /// The value to assert.
        new: Given,
    },
    /// `[:db.fn/call f & args]`, `[f & args]`: what the function makes of the database before the transaction.
    Call {
        /// The function.
        function: Callee,
        /// What it is called with.
        args: Vec<Value>,
    },
    /// `[:db/purge e a v]`: the fact vanishes from the database, its history and its log.
    Purge {
        /// The entity, which may be one of the past.
        e: Subject,
        /// The attribute.
        a: Keyword,
        /// The value.
        v: Given,
    },
    /// `[:db.purge/attribute e a]`: all values, those of the past and the components they are included.
    PurgeAttribute {
        /// The entity.
        e: Subject,
        /// The attribute.
        a: Keyword,
    },
    /// `[:db.purge/entity e]`: all that is and was said of the entity, all refs to it, and its components.
    PurgeEntity {
        /// The entity.
        e: Subject,
    },
    /// `[:db.history.purge/before date]`: all facts that had ended before the date.
    PurgeHistoryBefore {
        /// The date, in milliseconds since 1970-01-01T00:00Z.
        instant: i64,
    },
}

impl Op {
    /// What a datom of `db` says: that its fact is asserted, or retracted. It gets the transaction that is made;
    /// [`Connection::load`](crate::Connection::load) keeps transactions.
    ///
    /// # Errors
    /// `Argument`, code `:attribute/unknown`, for the number of an attribute that `db` has not.
    pub fn datom(db: &Db, datom: &Datom) -> Result<Op> {
        let a = db.ident(datom.a).ok_or_else(|| {
            let message = format!("the database has no attribute with the number {:?}", datom.a);
            Error::new(ErrorKind::Argument, "attribute/unknown", message)
        })?;
        let (e, v) = (datom.e.into(), Given::Value(datom.v.clone()));
        Ok(if datom.added { Op::Add { e, a, v } } else { Op::Retract { e, a, v: Some(v) } })
    }

    /// The call of a function: a name is one of the registry, a keyword the ident of an installed function.
    pub fn call<V: Into<Value>>(function: impl Into<Callee>, args: impl IntoIterator<Item = V>) -> Op {
        Op::Call { function: function.into(), args: args.into_iter().map(Into::into).collect() }
    }
}

impl From<EntityMap> for Op {
    fn from(entity: EntityMap) -> Self {
        Op::Entity(entity)
    }
}

/// What a transaction is asked to do: its operations, and what to say of the transaction itself.
#[derive(Debug, Clone, Default)]
pub struct TxData {
    pub(super) ops: Vec<Op>,
    /// Values of the transaction's own entity.
    pub(super) meta: EntityMap,
    pub(super) source: Source,
    /// The commits that it merges.
    pub(super) merges: Vec<Merge>,
}

impl TxData {
    /// The same as a merge of commits.
    pub(crate) fn merging(self, merges: Vec<Merge>) -> TxData {
        TxData { merges, ..self }
    }

    /// The commits that it merges.
    pub(crate) fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// The operations `ops`.
    pub fn new(ops: Vec<Op>) -> TxData {
        TxData { ops, ..TxData::default() }
    }

    /// A struct of serde, or a vector of them, as entity maps: fields are attributes by their serde names, those that are
    /// `None` are left out, see [`typed`](crate::typed). [`pull_as`](crate::pull_as) is the way back.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use treering::edn::Keyword;
    /// use treering::{Config, TxData, connect, create_database, pull_as};
    ///
    /// #[derive(Serialize, Deserialize, PartialEq, Debug)]
    /// struct Person {
    ///     #[serde(rename = "person/name")]
    ///     name: String,
    ///     #[serde(rename = "person/age")]
    ///     age: Option<u8>,
    /// }
    /// let config = Config::memory("structs-example");
    /// create_database(&config)?;
    /// let conn = connect(&config)?;
    /// conn.transact("[{:db/ident :person/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one
    ///                  :db/unique :db.unique/identity}
    ///                 {:db/ident :person/age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]")?;
    /// let ann = Person { name: "Ann".into(), age: Some(30) };
    /// conn.transact(TxData::of(&ann)?)?;
    /// let found: Person = pull_as(&conn.db(), "[:person/name :person/age]", (Keyword::new("person/name"), "Ann"))?;
    /// assert_eq!(found, ann);
    /// # conn.release()?;
    /// # treering::delete_database(&config)?;
    /// # Ok::<(), treering::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Argument`, code `:typed/mismatch`, for what has no value; `Transact`, code `:transact/syntax`, for what is neither a
    /// struct nor a collection of them.
    pub fn of<T: serde::Serialize + ?Sized>(entities: &T) -> Result<TxData> {
        match crate::typed::to_value(entities)? {
            map @ Value::Map(_) => read::form(&Value::from(vec![map]).to_form()),
            many => read::form(&many.to_form()),
        }
    }

    /// Adds what is said of the transaction itself, the `:tx-meta`.
    #[must_use]
    pub fn with_meta(mut self, meta: EntityMap) -> TxData {
        self.meta.attributes.extend(meta.attributes);
        self
    }
}

/// What can be transacted: EDN text, a form, operations, entities.
pub trait IntoTxData {
    /// The tx-data.
    ///
    /// # Errors
    /// `Syntax` for text that is not EDN, `Transact` with code `:transact/syntax` for a form that is not tx-data.
    fn into_tx_data(self) -> Result<TxData>;
}

impl IntoTxData for TxData {
    fn into_tx_data(self) -> Result<TxData> {
        Ok(self)
    }
}

impl IntoTxData for &str {
    fn into_tx_data(self) -> Result<TxData> {
        read::text(self)
    }
}

impl IntoTxData for &String {
    fn into_tx_data(self) -> Result<TxData> {
        read::text(self)
    }
}

impl IntoTxData for String {
    fn into_tx_data(self) -> Result<TxData> {
        read::text(&self)
    }
}

impl IntoTxData for &Form {
    fn into_tx_data(self) -> Result<TxData> {
        read::form(self)
    }
}

impl IntoTxData for Form {
    fn into_tx_data(self) -> Result<TxData> {
        read::form(&self)
    }
}

/// A vector or map that holds what a form would.
impl IntoTxData for Value {
    fn into_tx_data(self) -> Result<TxData> {
        read::form(&self.to_form())
    }
}

impl<O: Into<Op>> IntoTxData for Vec<O> {
    fn into_tx_data(self) -> Result<TxData> {
        Ok(TxData::new(self.into_iter().map(Into::into).collect()))
    }
}

impl<O: Into<Op>, const N: usize> IntoTxData for [O; N] {
    fn into_tx_data(self) -> Result<TxData> {
        Ok(TxData::new(self.into_iter().map(Into::into).collect()))
    }
}

impl IntoTxData for Op {
    fn into_tx_data(self) -> Result<TxData> {
        Ok(TxData::new(vec![self]))
    }
}

impl IntoTxData for EntityMap {
    fn into_tx_data(self) -> Result<TxData> {
        Ok(TxData::new(vec![self.into()]))
    }
}
