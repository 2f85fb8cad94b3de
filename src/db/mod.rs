//! Databases as values: what was known at a moment, and what is seen of it.

mod datoms;
mod edits;
mod entity;
mod filter;
mod lookup;
mod metrics;
mod origin;
mod promises;
mod purge;
mod snapshot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod view;

pub use datoms::{Components, Datoms};
pub use entity::{Attr, Entity};
pub use filter::DatomFilter;
pub use lookup::EntityRef;
pub use metrics::Metrics;
pub(crate) use origin::Origin;
pub(crate) use promises::{Promise, Promises};
pub(crate) use purge::Purged;
pub(crate) use snapshot::{Changes, Settings, Snapshot};
pub use view::Mode;

use std::fmt;
use std::sync::Arc;

use crate::datom::{AttrId, Component, Cut, Datom, EntityId, Key, OPEN, Order, Row, TX0, Value};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Cursor, Direction};
use crate::schema::{Attribute, Schema};
use crate::store::CacheStats;
use filter::{FilterCursor, Filters};
pub(crate) use view::{KeptPieces, View};

/// An immutable database: the facts up to a transaction, seen whole or through a view.
///
/// A `Db` is a value. It can be kept, cloned and sent to other threads at the price of a few reference counts, and it
/// never changes; later transactions make other values.
#[derive(Clone)]
pub struct Db {
    snapshot: Arc<Snapshot>,
    view: View,
    filters: Filters,
}

impl Db {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Db {
        Db { snapshot, view: View::ALL, filters: Filters::default() }
    }

    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The attributes of the database. A view sees the current schema, whatever its time.
    pub fn schema(&self) -> &Schema {
        &self.snapshot.schema
    }

    /// The last transaction that the database contains, or [`TX0`] when there is none. Views do not change it.
    pub fn basis_t(&self) -> EntityId {
        self.snapshot.basis_t
    }

    /// The largest id of an entity that was ever allocated, transactions left out; 0 for none.
    pub fn max_eid(&self) -> EntityId {
        self.snapshot.max_eid
    }

    /// The name of an attribute.
    pub fn ident(&self, a: AttrId) -> Option<Keyword> {
        self.snapshot.schema.get(a).map(|attribute| attribute.ident)
    }

    /// What users see as an attribute, in datoms and in the variables of queries: its name or, with `:attribute-refs?
    /// true`, its entity.
    pub fn shown_attribute(&self, a: AttrId) -> Value {
        self.snapshot.schema.shown(a).unwrap_or(Value::Nil)
    }

    /// The attribute that an ident, an entity or a lookup ref names.
    ///
    /// # Errors
    /// `Argument`, code `:attribute/unknown`, and those of [`entid`](Self::entid).
    pub fn attribute_of(&self, attribute: &EntityRef) -> Result<&Arc<Attribute>> {
        if let EntityRef::Ident(ident) = attribute {
            return self.attribute(*ident);
        }
        let entity = self.entid(attribute)?;
        entity.and_then(|id| self.schema().of_entity(id.0)).ok_or_else(|| {
            let message = format!("no attribute is defined by the entity {attribute:?}");
            Error::new(ErrorKind::Argument, "attribute/unknown", message)
        })
    }

    /// The attribute of that name, or an error that suggests the nearest known one.
    ///
    /// # Errors
    /// `Argument`, code `:attribute/unknown`.
    pub fn attribute(&self, ident: Keyword) -> Result<&Arc<Attribute>> {
        let schema = self.schema();
        schema.attribute(ident).ok_or_else(|| {
            let hint = schema.nearest(ident).map(|k| format!("; did you mean {k}?")).unwrap_or_default();
            let message = format!("the attribute {ident} is not in the schema of the database{hint}");
            Error::new(ErrorKind::Argument, "attribute/unknown", message)
        })
    }

    /// The database as it was when transaction `t` had been made.
    ///
    /// # Errors
    /// `Argument` when `t` is no transaction's id, or when the database keeps no history.
    pub fn as_of(&self, t: EntityId) -> Result<Db> {
        let t = self.transaction(t)?;
        let hi = self.view.hi.min(t);
        Ok(Db { view: View { hi, ..self.view }, ..self.clone() })
    }

    /// Only what transactions after `t` said.
    ///
    /// # Errors
    /// As [`as_of`](Self::as_of).
    pub fn since(&self, t: EntityId) -> Result<Db> {
        let t = self.transaction(t)?;
        let lo = self.view.lo.max(t);
        Ok(Db { view: View { lo, ..self.view }, ..self.clone() })
    }

    /// The database as it was at an instant (milliseconds since 1970-01-01T00:00Z): after the last transaction whose
    /// `:db/txInstant` is not later.
    ///
    /// # Errors
    /// As [`as_of`](Self::as_of).
    pub fn as_of_instant(&self, instant: i64) -> Result<Db> {
        self.as_of(self.snapshot.transaction_at(instant)?)
    }

    /// Only what was said after an instant (milliseconds since 1970-01-01T00:00Z).
    ///
    /// # Errors
    /// As [`as_of`](Self::as_of).
    pub fn since_instant(&self, instant: i64) -> Result<Db> {
        self.since(self.snapshot.transaction_at(instant)?)
    }

    /// All assertions and retractions instead of the state they led to; the fifth part of a datom tells which.
    ///
    /// # Errors
    /// `Argument` when the database keeps no history.
    pub fn history(&self) -> Result<Db> {
        self.require_history()?;
        Ok(Db { view: View { mode: Mode::Events, ..self.view }, ..self.clone() })
    }

    /// Only the datoms that `filter` lets through; several filters must all agree. Filters see the datoms of the view,
    /// whichever was put on first.
    #[must_use]
    pub fn filter(&self, filter: impl Fn(&Db, &Datom) -> bool + Send + Sync + 'static) -> Db {
        Db { filters: self.filters.with(Arc::new(filter)), ..self.clone() }
    }

    /// Whether a filter is on.
    pub fn is_filtered(&self) -> bool {
        !self.filters.is_empty()
    }

    /// What the answers that are kept of queries did and hold, those of all databases that come of one another together;
    /// `None` where none are kept (`:query-cache-bytes`).
    pub fn query_cache_stats(&self) -> Option<CacheStats> {
        Some(self.snapshot.answers.as_ref()?.stats())
    }

    /// The same database for who asks neither when nor whether a fact was asserted: of the events of a fact one is left.
    /// `None` for a database of states, and where a filter looks at every event.
    pub(crate) fn facts(&self) -> Option<Db> {
        let wanted = self.view.mode == Mode::Events && !self.is_filtered();
        wanted.then(|| Db { view: View { once: true, ..self.view }, ..self.clone() })
    }

    /// The view that the database is seen through.
    pub(crate) fn view(&self) -> View {
        self.view
    }

    /// Whether this is the database itself, without view or filter.
    pub fn is_current(&self) -> bool {
        self.view.sees_all(self.basis_t()) && !self.is_filtered()
    }

    /// Whether the database shows states or events.
    pub fn mode(&self) -> Mode {
        self.view.mode
    }

    /// The transaction that the view ends at: what [`as_of`](Self::as_of) was given, if it was.
    pub fn as_of_t(&self) -> Option<EntityId> {
        (self.view.hi < self.basis_t().0).then_some(EntityId(self.view.hi))
    }

    /// The transaction that the view begins after: what [`since`](Self::since) was given, if it was.
    pub fn since_t(&self) -> Option<EntityId> {
        (self.view.lo > 0).then_some(EntityId(self.view.lo))
    }

    fn transaction(&self, t: EntityId) -> Result<u64> {
        if !t.is_transaction() {
            let message = format!("a transaction id ({TX0} or more) was wanted as a point in time, got {t}");
            return Err(Error::new(ErrorKind::Argument, "db/not-a-transaction", message));
        }
        self.require_history()?;
        Ok(t.0)
    }

    fn require_history(&self) -> Result<()> {
        if self.snapshot.settings.keep_history {
            return Ok(());
        }
        let message = "the database keeps no history (:keep-history? false), so it has no past states";
        Err(Error::new(ErrorKind::Argument, "db/no-history", message))
    }

    /// The datoms between two cuts of a current order (EAVT, AEVT or AVET), in chunks. What the columns' `until` means
    /// here: [`Columns::added`](crate::Columns::added).
    ///
    /// # Errors
    /// Those of reading the store; `Internal` for a history order.
    pub fn cursor(
        &self,
        order: Order,
        from: Option<&Cut>,
        to: Option<&Cut>,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>> {
        if order.is_history() {
            let message = "datoms are read in the orders EAVT, AEVT and AVET";
            return Err(Error::new(ErrorKind::Internal, "db/order", message));
        }
        let cursor = if self.view.sees_all(self.basis_t()) {
            self.snapshot.index(order).cursor(from, to, direction)?
        } else {
            self.view.cursor(&self.snapshot, order, from, to, direction)?
        };
        if self.filters.is_empty() {
            return Ok(cursor);
        }
        let unfiltered = Db { filters: Filters::default(), ..self.clone() };
        Ok(Box::new(FilterCursor::new(cursor, unfiltered, self.filters.clone())))
    }

    /// How many datoms lie between two cuts. Exact where nothing but the current index is read, else a bound from above.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn count(&self, order: Order, from: Option<&Cut>, to: Option<&Cut>) -> Result<Count> {
        let current = self.snapshot.index(order).count(from, to)?;
        if self.view.sees_all(self.basis_t()) {
            return Ok(Count { rows: current, exact: self.filters.is_empty() });
        }
        let closed = self.view.bound_closed(&self.snapshot, order, from, to)?;
        let events = if self.view.mode == Mode::Events { 2 } else { 1 };
        Ok(Count { rows: current + closed * events, exact: false })
    }

    /// How many datoms are to be expected between two cuts, of which [`count`](Self::count) gives no more than so many. Of a
    /// state of the past the first rows are a sample.
    pub(crate) fn expected(&self, order: Order, from: Option<&Cut>, to: Option<&Cut>, most: u64) -> Result<f64> {
        let is_past = self.view.mode == Mode::State && !self.view.sees_all(self.basis_t());
        if is_past && most > FEW { self.view.expected(&self.snapshot, order, from, to) } else { Ok(most as f64) }
    }

    /// Brings index nodes from the store into the cache, many with one request: at most `budget` nodes, shared evenly by the
    /// indexes, in each those near the root first, and no more than four fifths of the cache hold. Answers how many nodes are
    /// at hand. A database in memory needs none.
    ///
    /// ```
    /// use treering::{Config, connect, create_database, delete_database};
    /// let config = Config::memory("warm-example");
    /// create_database(&config)?;
    /// let conn = connect(&config)?;
    /// let nodes = conn.db().warm(2_000)?;
    /// # assert_eq!(nodes, 0);
    /// # conn.release()?;
    /// # delete_database(&config)?;
    /// # Ok::<(), treering::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn warm(&self, budget: usize) -> Result<usize> {
        let (mut done, indexes) = (0, &self.snapshot.indexes);
        for (i, index) in indexes.iter().enumerate() {
            done += index.warm((budget - done) / (indexes.len() - i))?;
        }
        Ok(done)
    }

    /// The first datom that begins with `key` in a current order.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn first(&self, order: Order, key: Key) -> Result<Option<Row>> {
        let (from, to) = (Cut::before(key.clone()), Cut::after(key));
        let mut cursor = self.cursor(order, Some(&from), Some(&to), Direction::Forward)?;
        Ok(cursor.next()?.map(|chunk| chunk.columns.row(chunk.start)))
    }

    /// The datom that row `i` of columns from [`cursor`](Self::cursor) is.
    pub fn datom(row: &Row) -> Datom {
        Datom { e: EntityId(row.e), a: row.a, v: row.v.clone(), tx: EntityId(row.tx), added: row.until == OPEN }
    }
}

/// Datoms up to which a count is taken for what is to be expected.
const FEW: u64 = 256;

/// A number of datoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub rows: u64,
    /// Whether there are exactly so many, or at most so many.
    pub exact: bool,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("basis_t", &self.basis_t())
            .field("max_eid", &self.max_eid())
            .field("view", &self.view)
            .field("filters", &self.filters.len())
            .finish()
    }
}

/// The components of `order` that come before anything but entity, attribute and value differ: the prefix that a
/// current order shares with its history order.
fn shared_prefix(order: Order) -> &'static [Component] {
    match order {
        Order::Avet | Order::HistoryAvet => &[Component::A, Component::V],
        Order::Aevt | Order::HistoryAevt => &[Component::A, Component::E],
        Order::Eavt | Order::HistoryEavt => &[Component::E, Component::A],
    }
}
