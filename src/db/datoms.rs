//! Datoms in index order, as users know it: attributes by their keyword or, with `:attribute-refs?`, by their entity, not
//! by their number.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::{Db, EntityRef};
use crate::datom::{AttrId, Cut, Datom, EntityId, Key, Order, Row, Value};
use crate::edn::{Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Chunk, Cursor, Direction};
use crate::schema::{Attribute, Schema, SchemaFlexibility, ValueType, coerce};

/// Leading components of datoms, in terms of users. Those that stand first in an order may be given without the ones
/// after them, not the other way round.
///
/// ```
/// use treering::{Components, EntityId, edn::Keyword};
/// let names = Components::default().a(Keyword::new("person/name"));
/// let one = Components::default().e(EntityId(7)).a(Keyword::new("person/name"));
/// # let _ = (names, one);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Components {
    /// The entity: an id, an ident or a lookup ref.
    pub e: Option<EntityRef>,
    /// The attribute: an ident or the entity that defines it.
    pub a: Option<EntityRef>,
    /// The value. For a ref attribute an id, as a long too; an ident; or a lookup ref as a tuple.
    pub v: Option<Value>,
    /// The transaction.
    pub tx: Option<EntityId>,
}

impl Components {
    /// With this entity.
    #[must_use]
    pub fn e(self, e: impl Into<EntityRef>) -> Components {
        Components { e: Some(e.into()), ..self }
    }

    /// With this attribute.
    #[must_use]
    pub fn a(self, a: impl Into<EntityRef>) -> Components {
        Components { a: Some(a.into()), ..self }
    }

    /// With this value.
    #[must_use]
    pub fn v(self, v: impl Into<Value>) -> Components {
        Components { v: Some(v.into()), ..self }
    }

    /// With this transaction.
    #[must_use]
    pub fn tx(self, tx: EntityId) -> Components {
        Components { tx: Some(tx), ..self }
    }

    /// Reads components in the sequence of an order: `[:person/name "Ann"]` for AVET. Nil stands for one that is not
    /// given.
    ///
    /// # Errors
    /// `Argument`, code `:datoms/components` and those of [`EntityRef::from_form`].
    pub fn from_forms(order: Order, forms: &[Form]) -> Result<Components> {
        let mut components = Components::default();
        let mut places = order.components().iter().filter(|c| **c != crate::datom::Component::Until);
        for form in forms {
            let Some(place) = places.next() else {
                return Err(wrong(format!("an order has four components, got {}", forms.len())));
            };
            if form.is_nil() {
                continue;
            }
            match (place, &form.kind) {
                (crate::datom::Component::E, _) => components.e = Some(EntityRef::from_form(form)?),
                (crate::datom::Component::A, FormKind::Keyword(a)) => components.a = Some(EntityRef::Ident(*a)),
                (crate::datom::Component::A, FormKind::Str(a)) => {
                    components.a = Some(EntityRef::Ident(Keyword::new(a)));
                }
                (crate::datom::Component::A, FormKind::Int(a)) if *a > 0 => {
                    components.a = Some(EntityRef::Id(EntityId(*a as u64)));
                }
                (crate::datom::Component::Tx, FormKind::Int(tx)) if *tx >= 0 => {
                    components.tx = Some(EntityId(*tx as u64));
                }
                (crate::datom::Component::V, _) => {
                    let value = Value::from_form(form);
                    components.v = Some(value.ok_or_else(|| wrong(format!("a value was wanted, got {form}")))?);
                }
                (crate::datom::Component::A, _) => return Err(wrong(format!("an attribute was wanted, got {form}"))),
                _ => return Err(wrong(format!("a transaction id was wanted, got {form}"))),
            }
        }
        Ok(components)
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Argument, "datoms/components", message)
}

/// What components mean in one database.
struct Resolved {
    key: Key,
    /// The place of the attribute of the key.
    place: Option<Place>,
}

/// Where an attribute stands among others: by its entity where users see that, then by name.
type Place = (u64, Keyword);

fn place(schema: &Schema, attribute: &Attribute) -> Place {
    (if schema.has_attribute_refs() { attribute.entity } else { 0 }, attribute.ident)
}

impl Db {
    /// The datoms that begin with `components` in the order EAVT, AEVT or AVET.
    ///
    /// # Errors
    /// `Argument`: `:datoms/components` for a component without the ones before it, `:attribute/unknown`,
    /// `:attribute/not-indexed` for AVET of an attribute that is not there, and those of [`Db::entid`]. Every item can be
    /// an error of reading the store.
    ///
    /// ```
    /// # fn show(db: &treering::Db) -> treering::Result<()> {
    /// use treering::{Components, Order, edn::Keyword};
    /// for datom in db.datoms(Order::Aevt, &Components::default().a(Keyword::new("db/ident")))? {
    ///     println!("{:?}", datom?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn datoms(&self, order: Order, components: &Components) -> Result<Datoms> {
        let Some(resolved) = self.resolve(order, components)? else { return Ok(Datoms::none(self)) };
        let Resolved { key, place } = resolved;
        Ok(match (order, place) {
            (Order::Eavt, None) => Datoms::by_entity(self, Direction::Forward, key.e, key.e, None),
            (_, None) => Datoms::by_attribute(self, order, Direction::Forward, None, None),
            (_, Some(_)) => {
                let run = Run { order, from: Cut::before(key.clone()), to: Cut::after(key) };
                Datoms::new(self, Direction::Forward, Plan::Runs([run].into()))
            }
        })
    }

    /// The datoms from `components` on, to the end of the index.
    ///
    /// # Errors
    /// As [`Db::datoms`].
    pub fn seek_datoms(&self, order: Order, components: &Components) -> Result<Datoms> {
        self.seek(order, components, Direction::Forward)
    }

    /// The datoms from `components` back to the start of the index: those that begin with them first, in descending
    /// order.
    ///
    /// # Errors
    /// As [`Db::datoms`].
    pub fn rseek_datoms(&self, order: Order, components: &Components) -> Result<Datoms> {
        self.seek(order, components, Direction::Reverse)
    }

    fn seek(&self, order: Order, components: &Components, direction: Direction) -> Result<Datoms> {
        let Some(resolved) = self.resolve(order, components)? else { return Ok(Datoms::none(self)) };
        let Resolved { key, place } = resolved;
        if order != Order::Eavt {
            return Ok(Datoms::by_attribute(self, order, direction, place, Some(key)));
        }
        let (from, to) = match direction {
            Direction::Forward => (key.e, None),
            Direction::Reverse => (None, key.e),
        };
        let start = place.map(|place| (place, key));
        Ok(Datoms::by_entity(self, direction, from, to, start))
    }

    /// The datoms of an attribute whose values lie between `start` and `end`, both inclusive, by value.
    ///
    /// # Errors
    /// `Argument`: `:attribute/unknown`, `:attribute/not-indexed`.
    pub fn index_range(
        &self,
        attribute: impl Into<EntityRef>,
        start: Option<Value>,
        end: Option<Value>,
    ) -> Result<Datoms> {
        let known = self.attribute_of(&attribute.into())?;
        indexed(known)?;
        let key = |v: Option<Value>| -> Result<Key> {
            let v = v.map(|v| self.coerce(known, v)).transpose()?;
            Ok(Key { a: Some(known.id), v, ..Key::default() })
        };
        let run = Run { order: Order::Avet, from: Cut::before(key(start)?), to: Cut::after(key(end)?) };
        Ok(Datoms::new(self, Direction::Forward, Plan::Runs([run].into())))
    }

    /// `None` where no datom can match: an entity or value that is named and does not exist.
    fn resolve(&self, order: Order, components: &Components) -> Result<Option<Resolved>> {
        let Components { e, a, v, tx } = components;
        if order.is_history() {
            return Err(wrong("datoms are read in the orders EAVT, AEVT and AVET".to_owned()));
        }
        let mut missing = None;
        for component in order.components() {
            let (name, given) = match component {
                crate::datom::Component::E => ("e", e.is_some()),
                crate::datom::Component::A => ("a", a.is_some()),
                crate::datom::Component::V => ("v", v.is_some()),
                crate::datom::Component::Tx => ("tx", tx.is_some()),
                crate::datom::Component::Until => continue,
            };
            match missing {
                Some(missing) if given => {
                    let message =
                        format!("{order:?} reads {missing} before {name}: {name} was given without {missing}");
                    return Err(wrong(message));
                }
                None if !given => missing = Some(name),
                _ => {}
            }
        }
        let e = match e {
            None => None,
            Some(e) => match self.entid(e)? {
                Some(e) => Some(e.0),
                None => return Ok(None),
            },
        };
        let mut key = Key { e, tx: tx.map(|tx| tx.0), ..Key::default() };
        let Some(named) = a else { return Ok(Some(Resolved { key, place: None })) };
        let attribute = match self.attribute_of(named) {
            Ok(attribute) => attribute,
            Err(_) if self.schema().flexibility() == SchemaFlexibility::Read => return Ok(None),
            Err(error) => return Err(error),
        };
        if order == Order::Avet {
            indexed(attribute)?;
        }
        key.a = Some(attribute.id);
        if let Some(v) = v {
            key.v = Some(self.coerce(attribute, v.clone())?);
        }
        Ok(Some(Resolved { key, place: Some(place(self.schema(), attribute)) }))
    }

    /// A value as the attribute stores it; one of a wrong kind stays as it is, for it has a place in the order too.
    fn coerce(&self, attribute: &Attribute, value: Value) -> Result<Value> {
        match (attribute.value_type, &value) {
            (Some(ValueType::Ref), Value::Long(_) | Value::Keyword(_) | Value::Tuple(_)) => {
                let entity = match &value {
                    Value::Long(n) if *n >= 0 => EntityRef::Id(EntityId(*n as u64)),
                    Value::Keyword(ident) => EntityRef::Ident(*ident),
                    Value::Tuple(parts) => match parts.as_ref() {
                        [Value::Keyword(a), v] => EntityRef::Lookup(*a, v.clone()),
                        _ => return Ok(value),
                    },
                    _ => return Ok(value),
                };
                Ok(Value::Ref(self.entid_strict(&entity)?))
            }
            (Some(value_type), _) => Ok(coerce(value_type, value).unwrap_or_else(|value| value)),
            (None, _) => Ok(value),
        }
    }
}

fn indexed(attribute: &Attribute) -> Result<()> {
    if attribute.in_avet() {
        return Ok(());
    }
    let message = format!(
        "AVET holds indexed, unique and ref attributes; {} is none of them: set :db/index, or read AEVT",
        attribute.ident
    );
    Err(Error::new(ErrorKind::Argument, "attribute/not-indexed", message))
}

/// Datoms, read as they are asked for.
pub struct Datoms {
    db: Db,
    direction: Direction,
    plan: Plan,
    cursor: Option<Box<dyn Cursor>>,
    chunk: Option<Chunk>,
    /// The rest of one entity.
    group: VecDeque<Row>,
    /// The first row after the group.
    pending: Option<Row>,
    /// After an error nothing more comes.
    failed: bool,
}

enum Plan {
    /// Ranges, one after the other.
    Runs(VecDeque<Run>),
    /// EAVT, entity by entity, the attributes of each by keyword.
    Entities {
        range: Option<Box<(Option<Cut>, Option<Cut>)>>,
        /// The entity that is not given whole, and where it begins.
        start: Option<Box<(Place, Key)>>,
    },
}

struct Run {
    order: Order,
    from: Cut,
    to: Cut,
}

impl Datoms {
    fn new(db: &Db, direction: Direction, plan: Plan) -> Datoms {
        let (cursor, chunk, group, pending, failed) = (None, None, VecDeque::new(), None, false);
        Datoms { db: db.clone(), direction, plan, cursor, chunk, group, pending, failed }
    }

    fn none(db: &Db) -> Datoms {
        Datoms::new(db, Direction::Forward, Plan::Runs(VecDeque::new()))
    }

    /// Attribute by attribute; from `start` on, and of that one only what `key` lets through.
    fn by_attribute(db: &Db, order: Order, direction: Direction, start: Option<Place>, key: Option<Key>) -> Datoms {
        let mut attributes = db.schema().attributes();
        attributes.retain(|a| order != Order::Avet || a.in_avet());
        attributes.sort_by_key(|a| place(db.schema(), a));
        let mut runs = VecDeque::new();
        for attribute in attributes {
            let whole = Key { a: Some(attribute.id), ..Key::default() };
            let mut run = Run { order, from: Cut::before(whole.clone()), to: Cut::after(whole) };
            let place = place(db.schema(), attribute);
            let begins = start == Some(place);
            let place = start.map_or(Ordering::Equal, |start| place.cmp(&start));
            match direction {
                Direction::Forward => {
                    if begins && let Some(key) = &key {
                        run.from = Cut::before(key.clone());
                    }
                    if place != Ordering::Less {
                        runs.push_back(run);
                    }
                }
                Direction::Reverse => {
                    if begins && let Some(key) = &key {
                        run.to = Cut::after(key.clone());
                    }
                    if place != Ordering::Greater {
                        runs.push_front(run);
                    }
                }
            }
        }
        Datoms::new(db, direction, Plan::Runs(runs))
    }

    fn by_entity(
        db: &Db,
        direction: Direction,
        from: Option<u64>,
        to: Option<u64>,
        start: Option<(Place, Key)>,
    ) -> Datoms {
        let key = |e| Key { e: Some(e), ..Key::default() };
        let range = Some(Box::new((from.map(|e| Cut::before(key(e))), to.map(|e| Cut::after(key(e))))));
        Datoms::new(db, direction, Plan::Entities { range, start: start.map(Box::new) })
    }

    fn step(&mut self) -> Result<Option<Row>> {
        if matches!(self.plan, Plan::Entities { .. }) {
            return self.step_entities();
        }
        loop {
            if let Some(row) = self.row()? {
                return Ok(Some(row));
            }
            let Plan::Runs(runs) = &mut self.plan else { return Ok(None) };
            let Some(run) = runs.pop_front() else { return Ok(None) };
            self.cursor = Some(self.db.cursor(run.order, Some(&run.from), Some(&run.to), self.direction)?);
        }
    }

    fn step_entities(&mut self) -> Result<Option<Row>> {
        if let Plan::Entities { range, .. } = &mut self.plan
            && let Some(range) = range.take()
        {
            let (from, to) = *range;
            self.cursor = Some(self.db.cursor(Order::Eavt, from.as_ref(), to.as_ref(), self.direction)?);
            self.pending = self.row()?;
        }
        while self.group.is_empty() {
            let Some(first) = self.pending.take() else { return Ok(None) };
            self.read_group(first)?;
        }
        Ok(self.group.pop_front())
    }

    /// Reads the rows of one entity and sorts them by the places of their attributes.
    fn read_group(&mut self, first: Row) -> Result<()> {
        let e = first.e;
        let mut rows = vec![first];
        loop {
            self.pending = self.row()?;
            match self.pending.take_if(|row| row.e == e) {
                Some(row) => rows.push(row),
                None => break,
            }
        }
        let schema = self.db.schema();
        let place_of = |a: AttrId| schema.get(a).map(|attribute| place(schema, attribute));
        let in_direction = |order: Ordering| match self.direction {
            Direction::Forward => order,
            Direction::Reverse => order.reverse(),
        };
        if !rows.is_sorted_by(|x, y| x.a == y.a || in_direction(place_of(x.a).cmp(&place_of(y.a))).is_le()) {
            rows.sort_by(|x, y| in_direction(place_of(x.a).cmp(&place_of(y.a))));
        }
        if let Plan::Entities { start, .. } = &mut self.plan
            && let Some(start) = start.take_if(|start| start.1.e == Some(e))
        {
            let (attribute, key) = *start;
            rows.retain(|row| in_direction(compare_to(place_of(row.a), row, attribute, &key)).is_ge());
        }
        self.group = rows.into();
        Ok(())
    }

    /// The next row of the cursor.
    fn row(&mut self) -> Result<Option<Row>> {
        if self.chunk.as_ref().is_none_or(Chunk::is_empty) {
            self.chunk = match &mut self.cursor {
                Some(cursor) => cursor.next()?,
                None => None,
            };
        }
        let Some(chunk) = &mut self.chunk else {
            self.cursor = None;
            return Ok(None);
        };
        let i = match self.direction {
            Direction::Forward => {
                chunk.start += 1;
                chunk.start - 1
            }
            Direction::Reverse => {
                chunk.end -= 1;
                chunk.end
            }
        };
        Ok(Some(chunk.columns.row(i)))
    }
}

/// Where a row of one entity lies before, among or after the rows that begin with a key.
fn compare_to(place: Option<Place>, row: &Row, attribute: Place, key: &Key) -> Ordering {
    let by_place = place.cmp(&Some(attribute));
    let by_value = || key.v.as_ref().map_or(Ordering::Equal, |v| row.v.cmp(v));
    let by_tx = || key.tx.map_or(Ordering::Equal, |tx| row.tx.cmp(&tx));
    by_place.then_with(by_value).then_with(by_tx)
}

impl Iterator for Datoms {
    type Item = Result<Datom>;

    fn next(&mut self) -> Option<Result<Datom>> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.map(|row| row.map(|row| Db::datom(&row))).transpose()
    }
}

impl std::fmt::Debug for Datoms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datoms").field("db", &self.db).field("direction", &self.direction).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::{Components, Datoms};
    use crate::datom::{Datom, EntityId, Order, TX0, Value};
    use crate::db::Db;
    use crate::db::testing::{Saying, db_of};
    use crate::edn::{Keyword, read};
    use crate::error::Result;

    /// Numbers of attributes run against their names.
    const SCHEMA: [&str; 5] =
        ["z/name string identity", "b/tag long many index", "a/age long", "a/b ref", "n double index"];

    fn db() -> Db {
        db_of(
            &SCHEMA,
            &[
                &[
                    (1, "z/name", "Ann".into(), true),
                    (1, "b/tag", Value::Long(2), true),
                    (1, "b/tag", Value::Long(1), true),
                    (1, "a/age", Value::Long(30), true),
                    (2, "z/name", "Bob".into(), true),
                    (2, "a/b", Value::Ref(EntityId(1)), true),
                    (2, "n", Value::Double(1.0), true),
                ],
                &[(1, "a/age", Value::Long(31), true)],
            ],
        )
    }

    fn shown(db: &Db, datoms: Result<Datoms>) -> Vec<String> {
        let user = |d: &Datom| d.e.0 < TX0;
        let text = |d: Datom| format!("{} {} {:?}", d.e, db.ident(d.a).unwrap().as_str(), d.v);
        datoms.unwrap().map(Result::unwrap).filter(user).map(text).collect()
    }

    fn at(order: Order, text: &str) -> Components {
        Components::from_forms(order, read(text).unwrap().items().unwrap()).unwrap()
    }

    const EAVT: [&str; 7] =
        ["1 a/age 31", "1 b/tag 1", "1 b/tag 2", "1 z/name \"Ann\"", "2 n 1.0", "2 a/b #1", "2 z/name \"Bob\""];

    #[test]
    fn prefixes_give_slices_in_the_order_of_names() {
        let db = db();
        let datoms = |order, text| shown(&db, db.datoms(order, &at(order, text)));
        assert_eq!(datoms(Order::Eavt, "[]"), EAVT);
        assert_eq!(datoms(Order::Eavt, "[1]"), EAVT[..4]);
        assert_eq!(datoms(Order::Eavt, "[[:z/name \"Ann\"] :b/tag]"), EAVT[1..3]);
        assert_eq!(datoms(Order::Eavt, "[1 :b/tag 2]"), EAVT[2..3]);
        assert_eq!(datoms(Order::Eavt, "[1 nil nil]"), EAVT[..4]);
        assert_eq!(datoms(Order::Eavt, "[[:z/name \"Zoe\"]]"), [""; 0]);
        assert_eq!(datoms(Order::Eavt, "[1 :a/age 31 536870914]"), EAVT[..1]);
        assert_eq!(datoms(Order::Eavt, "[1 :a/age 31 536870913]"), [""; 0]);
        let by_attribute =
            ["2 n 1.0", "1 a/age 31", "2 a/b #1", "1 b/tag 1", "1 b/tag 2", "1 z/name \"Ann\"", "2 z/name \"Bob\""];
        assert_eq!(datoms(Order::Aevt, "[]"), by_attribute);
        assert_eq!(datoms(Order::Aevt, "[:z/name 2]"), by_attribute[6..]);
        assert_eq!(datoms(Order::Avet, "[:b/tag]"), by_attribute[3..5]);
        assert_eq!(datoms(Order::Avet, "[:a/b 1]"), by_attribute[2..3]);
        assert_eq!(datoms(Order::Avet, "[:a/b [:z/name \"Ann\"]]"), by_attribute[2..3]);
        assert_eq!(datoms(Order::Avet, "[:n 1]"), by_attribute[..1]);
        let mut indexed = by_attribute.to_vec();
        indexed.remove(1);
        assert_eq!(datoms(Order::Avet, "[]"), indexed);
    }

    #[test]
    fn views_give_their_own_datoms() {
        let db = db();
        let past = db.as_of(EntityId(TX0 + 1)).unwrap();
        assert_eq!(shown(&past, past.datoms(Order::Eavt, &at(Order::Eavt, "[1]")))[0], "1 a/age 30");
        let history = db.history().unwrap();
        let ages: Vec<(Value, bool)> = history
            .datoms(Order::Eavt, &at(Order::Eavt, "[1 :a/age]"))
            .unwrap()
            .map(|d| d.map(|d| (d.v, d.added)).unwrap())
            .collect();
        assert_eq!(ages, [(Value::Long(30), true), (Value::Long(30), false), (Value::Long(31), true)]);
    }

    #[test]
    fn seeking_goes_to_the_end_and_back_to_the_start() {
        let db = db();
        let seek = |order, text| shown(&db, db.seek_datoms(order, &at(order, text)));
        let rseek = |order, text| shown(&db, db.rseek_datoms(order, &at(order, text)));
        assert_eq!(seek(Order::Eavt, "[1 :b/tag 2]"), EAVT[2..]);
        assert_eq!(seek(Order::Eavt, "[2]"), EAVT[4..]);
        assert_eq!(seek(Order::Aevt, "[:b/tag]")[0], "1 b/tag 1");
        assert_eq!(seek(Order::Avet, "[:b/tag 2]"), ["1 b/tag 2", "1 z/name \"Ann\"", "2 z/name \"Bob\""]);
        let mut back = EAVT[..3].to_vec();
        back.reverse();
        assert_eq!(rseek(Order::Eavt, "[1 :b/tag]"), back);
        assert_eq!(rseek(Order::Avet, "[:b/tag 1]"), ["1 b/tag 1", "2 a/b #1", "2 n 1.0"]);
        let all: Vec<&str> = EAVT.iter().rev().copied().collect();
        assert_eq!(rseek(Order::Eavt, "[]"), all);
    }

    #[test]
    fn ranges_include_both_ends() {
        let db = db();
        let tag = Keyword::new("b/tag");
        let range = |from: Option<i64>, to: Option<i64>| {
            shown(&db, db.index_range(tag, from.map(Value::Long), to.map(Value::Long)))
        };
        assert_eq!(range(Some(1), Some(2)), ["1 b/tag 1", "1 b/tag 2"]);
        assert_eq!(range(Some(2), None), ["1 b/tag 2"]);
        assert_eq!(range(None, Some(1)), ["1 b/tag 1"]);
        assert_eq!(range(Some(2), Some(1)), [""; 0]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let db = db();
        let code = |order, text: &str| db.datoms(order, &at(order, text)).unwrap_err().code();
        assert_eq!(code(Order::Avet, "[:a/age]"), "attribute/not-indexed");
        assert_eq!(code(Order::Eavt, "[nil :a/age]"), "datoms/components");
        assert_eq!(code(Order::Eavt, "[1 :a/agee]"), "attribute/unknown");
        assert_eq!(code(Order::HistoryEavt, "[]"), "datoms/components");
        let bad =
            |text: &str| Components::from_forms(Order::Eavt, read(text).unwrap().items().unwrap()).unwrap_err().code();
        assert_eq!(bad("[1 2.5]"), "datoms/components");
        assert_eq!(bad("[1 :a 1 1 1]"), "datoms/components");
        assert_eq!(bad("[1.5]"), "entity-id/syntax");
        assert_eq!(db.index_range(Keyword::new("a/age"), None, None).unwrap_err().code(), "attribute/not-indexed");
    }

    proptest! {
        #[test]
        fn both_directions_meet(
            facts in prop::collection::vec((1_u64..6, 0_usize..2, 0_i64..6), 0..40),
            e in 1_u64..6, a in 0_usize..2, v in 0_i64..6,
        ) {
            let names = ["b/tag", "a/age"];
            let mut sayings: Vec<Saying<'_>> = Vec::new();
            for (e, a, v) in &facts {
                let saying = (*e, names[*a], Value::Long(*v), true);
                let taken = |s: &Saying<'_>| s.0 == *e && s.1 == names[*a] && (*a == 1 || s.2 == saying.2);
                if !sayings.iter().any(taken) {
                    sayings.push(saying);
                }
            }
            let db = db_of(&SCHEMA, &[&sayings]);
            let all: Vec<Datom> = db.datoms(Order::Eavt, &Components::default()).unwrap().map(Result::unwrap).collect();
            let key = |d: &Datom| (d.e, db.ident(d.a), d.v.clone());
            assert!(all.is_sorted_by_key(key));
            let at = Components::default().e(EntityId(e)).a(Keyword::new(names[a])).v(Value::Long(v));
            let here = (EntityId(e), Some(Keyword::new(names[a])), Value::Long(v));
            let ahead: Vec<Datom> = db.seek_datoms(Order::Eavt, &at).unwrap().map(Result::unwrap).collect();
            let mut back: Vec<Datom> = db.rseek_datoms(Order::Eavt, &at).unwrap().map(Result::unwrap).collect();
            back.reverse();
            assert_eq!(ahead, all.iter().filter(|d| key(d) >= here).cloned().collect::<Vec<_>>());
            assert_eq!(back, all.iter().filter(|d| key(d) <= here).cloned().collect::<Vec<_>>());
        }
    }
}
