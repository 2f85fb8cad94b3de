//! Databases made by hand, for tests of what reads them.

use std::sync::Arc;

use super::{Changes, Db, Settings, Snapshot};
use crate::config::Config;
use crate::datom::{AttrId, EntityId, Key, OPEN, Order, Row, TX0, Value};
use crate::edn::{Form, FormKind, Keyword};
use crate::index::testing::SortedRows;
use crate::index::{IndexKind, NoNodes, NodeSource, PersistentSet};
use crate::registry::Registry;
use crate::schema::{Attribute, Cardinality, Schema, SchemaFlexibility, Unique, ValueCaps, ValueType, builtin};

/// What one hand-made transaction says: entity, attribute, value, and whether it is asserted.
pub type Saying<'a> = (u64, &'a str, Value, bool);

/// An attribute for [`db_of`], written `name type flags…`: `":friend ref many"`, `"name string identity index"`. Flags
/// are `many`, `identity`, `unique`, `index`, `component`, `nohistory`.
///
/// # Panics
/// On a type or flag that is none.
pub fn attribute(id: u32, text: &str) -> Attribute {
    let mut words = text.split_whitespace();
    let ident = Keyword::new(words.next().expect("an attribute has a name").trim_start_matches(':'));
    let value_type = words.next().map(|word| {
        ValueType::from_keyword(Keyword::new(&format!("db.type/{word}"))).unwrap_or_else(|| panic!("no type {word}"))
    });
    let mut attribute = Attribute { value_type, ..Attribute::undeclared(AttrId(id), ident) };
    for word in words {
        match word {
            "many" => attribute.cardinality = Cardinality::Many,
            "identity" => attribute.unique = Some(Unique::Identity),
            "unique" => attribute.unique = Some(Unique::Value),
            "index" => attribute.indexed = true,
            "component" => attribute.component = true,
            "nohistory" => attribute.no_history = true,
            other => panic!("no flag {other}"),
        }
    }
    attribute
}

/// A database with these attributes (see [`attribute`]) after these transactions, numbered from `TX0 + 1`. Replaces
/// values of cardinality-one attributes; checks nothing. Each transaction gets a `:db/txInstant` of its number in ms.
/// The indexes are [`SortedRows`], or of the kind that the environment names.
///
/// # Panics
/// On an attribute that is not declared, and as [`empty_db`].
pub fn db_of(attributes: &[&str], transactions: &[&[Saying<'_>]]) -> Db {
    let mut schema = Schema::new(SchemaFlexibility::Write);
    attributes.iter().for_each(|text| schema.put(attribute(schema.next_id().0, text)));
    let settings = Settings {
        keep_history: true,
        flexibility: SchemaFlexibility::Write,
        attribute_refs: false,
        caps: ValueCaps::default(),
    };
    let nodes: Arc<dyn NodeSource> = Arc::new(NoNodes);
    let (kind, index_settings) = wanted_kind(Arc::new(SortedRows));
    let snapshot = Snapshot::empty(settings, kind.as_ref(), &index_settings, &nodes);
    let mut snapshot = snapshot.expect("an empty index is made");
    snapshot.schema = Arc::new(schema);
    snapshot.promises = Arc::default();
    for (n, sayings) in transactions.iter().enumerate() {
        let t = TX0 + 1 + n as u64;
        snapshot = snapshot.apply(&changes(&snapshot, t, sayings)).expect("indexes in memory do not fail");
    }
    Db::new(Arc::new(snapshot))
}

/// Checks the structure of all six indexes.
///
/// # Errors
/// `Corrupt`, naming the rule that is broken; those of reading the store.
pub fn check_indexes(db: &Db) -> crate::error::Result<()> {
    db.snapshot().indexes.iter().try_for_each(|index| index.check())
}

/// The kind of index that the environment names, as a config would take it, or else `default`; with its settings.
fn wanted_kind(default: Arc<dyn IndexKind>) -> (Arc<dyn IndexKind>, Form) {
    let config = Config::from_env().expect("the environment is right");
    match config.index_kind() {
        Some(keyword) => {
            let kind = Registry::with_builtins().index(keyword).expect("the environment names a kind of index");
            (kind, config.index_settings())
        }
        None => (default, FormKind::Nil.into()),
    }
}

/// A database without facts, in memory, over the kind of index that the environment names, or the default kind.
///
/// # Panics
/// When the environment names a kind or settings that are none.
pub fn empty_db(keep_history: bool, flexibility: SchemaFlexibility) -> Db {
    let (kind, index_settings) = wanted_kind(Arc::new(PersistentSet));
    empty(kind.as_ref(), &index_settings, keep_history, flexibility)
}

/// A database without facts of users, in memory, in which users see attributes as entities or not.
///
/// # Panics
/// Never: an empty index in memory is always made.
pub fn empty_db_with_refs(keep_history: bool, attribute_refs: bool) -> Db {
    let (flexibility, caps) = (SchemaFlexibility::Write, ValueCaps::default());
    let nodes: Arc<dyn NodeSource> = Arc::new(NoNodes);
    let settings = Settings { keep_history, flexibility, attribute_refs, caps };
    let snapshot = Snapshot::empty(settings, &PersistentSet, &FormKind::Nil.into(), &nodes);
    Db::new(Arc::new(snapshot.expect("an empty index is made")))
}

/// A database without facts, in memory, over some kind of index.
///
/// # Panics
/// When the kind refuses to make an empty index.
pub fn empty_db_over(kind: &dyn IndexKind, keep_history: bool, flexibility: SchemaFlexibility) -> Db {
    empty(kind, &FormKind::Nil.into(), keep_history, flexibility)
}

fn empty(kind: &dyn IndexKind, index_settings: &Form, keep_history: bool, flexibility: SchemaFlexibility) -> Db {
    let settings = Settings { keep_history, flexibility, attribute_refs: false, caps: ValueCaps::default() };
    let nodes: Arc<dyn NodeSource> = Arc::new(NoNodes);
    let snapshot = Snapshot::empty(settings, kind, index_settings, &nodes);
    Db::new(Arc::new(snapshot.expect("an empty index is made")))
}

/// The database with these attributes besides its own, which no datoms define.
pub fn with_attributes(db: &Db, attributes: Vec<Attribute>) -> Db {
    let mut schema = Schema::clone(db.schema());
    attributes.into_iter().for_each(|attribute| schema.put(attribute));
    let schema = Arc::new(schema);
    Db::new(Arc::new(Snapshot { schema, promises: Arc::default(), ..Snapshot::clone(db.snapshot()) }))
}

fn changes(snapshot: &Snapshot, t: u64, sayings: &[Saying<'_>]) -> Changes {
    let db = Db::new(Arc::new(snapshot.clone()));
    let instant = (t - TX0) as i64;
    let mut opened = vec![Row { e: t, a: builtin::TX_INSTANT, v: Value::Instant(instant), tx: t, until: OPEN }];
    let mut closed = Vec::new();
    let mut max_eid = snapshot.max_eid;
    for (e, ident, v, added) in sayings {
        let attribute = db.attribute(Keyword::new(ident)).expect("attributes are declared");
        let value = if attribute.is_many() || !added { Some(v.clone()) } else { None };
        let key = Key { e: Some(*e), a: Some(attribute.id), v: value, ..Key::default() };
        let old = db.first(Order::Eavt, key).expect("indexes in memory do not fail");
        if *added && old.as_ref().is_some_and(|row| row.v == *v) {
            continue;
        }
        closed.extend(old);
        if *added {
            opened.push(Row { e: *e, a: attribute.id, v: v.clone(), tx: t, until: OPEN });
        }
        max_eid = max_eid.max(EntityId(*e));
    }
    let (opened, closed) = (opened.iter().collect(), closed.iter().collect());
    Changes { t: EntityId(t), instant, opened, closed, schema: Arc::clone(&snapshot.schema), max_eid }
}

#[cfg(test)]
mod tests {
    use super::{Value, db_of};
    use crate::datom::{EntityId, Order, TX0};
    use crate::db::{Db, Mode};
    use crate::index::Direction;

    fn read(db: &Db, order: Order, direction: Direction) -> Vec<(u64, String, u64, bool)> {
        let mut cursor = db.cursor(order, None, None, direction).unwrap();
        let mut out = Vec::new();
        while let Some(chunk) = cursor.next().unwrap() {
            let rows: Vec<usize> = match direction {
                Direction::Forward => chunk.rows().collect(),
                Direction::Reverse => chunk.rows().rev().collect(),
            };
            for i in rows {
                let row = chunk.columns.row(i);
                if row.e < TX0 {
                    out.push((row.e, format!("{:?}", row.v), row.tx - TX0, chunk.columns.added(i)));
                }
            }
        }
        out
    }

    #[test]
    fn views_show_states_and_events() {
        let v = |n: i64| Value::Long(n);
        let db = db_of(
            &["age long index", "tag long many index"],
            &[
                &[(1, "age", v(10), true), (1, "tag", v(1), true)],
                &[(1, "age", v(11), true), (2, "age", v(5), true)],
                &[(1, "age", v(10), true), (1, "tag", v(1), false)],
            ],
        );
        let s = |e, v: &str, t, added| (e, v.to_owned(), t, added);
        let t = |n| EntityId(TX0 + n);
        assert_eq!(read(&db, Order::Eavt, Direction::Forward), [s(1, "10", 3, true), s(2, "5", 2, true)]);
        let before = db.as_of(t(1)).unwrap();
        assert_eq!(read(&before, Order::Aevt, Direction::Forward), [s(1, "10", 1, true), s(1, "1", 1, true)]);
        let middle = db.as_of(t(2)).unwrap();
        let expected = [s(2, "5", 2, true), s(1, "11", 2, true), s(1, "1", 1, true)];
        assert_eq!(read(&middle, Order::Avet, Direction::Forward), expected);
        let backwards: Vec<_> = expected.iter().rev().cloned().collect();
        assert_eq!(read(&middle, Order::Avet, Direction::Reverse), backwards);
        let history = db.history().unwrap();
        assert_eq!(history.mode(), Mode::Events);
        assert_eq!(
            read(&history, Order::Eavt, Direction::Forward),
            [
                s(1, "10", 1, true),
                s(1, "10", 2, false),
                s(1, "10", 3, true),
                s(1, "11", 2, true),
                s(1, "11", 3, false),
                s(1, "1", 1, true),
                s(1, "1", 3, false),
                s(2, "5", 2, true),
            ]
        );
        let since = db.history().unwrap().since(t(2)).unwrap();
        assert_eq!(
            read(&since, Order::Eavt, Direction::Forward),
            [s(1, "10", 3, true), s(1, "11", 3, false), s(1, "1", 3, false)]
        );
        assert!(read(&db.filter(|_, d| d.e.0 == 2), Order::Eavt, Direction::Forward).len() == 1);
        assert_eq!(db.as_of_instant(2).unwrap().as_of_t(), Some(t(2)));
    }
}
