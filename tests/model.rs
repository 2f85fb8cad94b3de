//! Whole databases against a list of events: chance sequences of transactions, flushes and reopens, after which every
//! order, every point in time and the log say what the list says.
//!
//! `MODEL_SEED=<n> MODEL_RUNS=1` runs the sequence of one seed again.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::{Chance, env_number};
use treering::edn::Keyword;
use treering::index::Direction;
use treering::{
    AttrId, Config, Connection, Cut, Db, EntityId, ErrorKind, Key, Order, Registry, Side, TX0, Value, connect_in,
    create_database_in,
};

const SCHEMA: &str = "[
  {:db/ident :one :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :other :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :many :db/valueType :db.type/long :db/cardinality :db.cardinality/many :db/index true}
  {:db/ident :id :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :part :db/valueType :db.type/ref :db/cardinality :db.cardinality/many :db/isComponent true}
  {:db/ident :note :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/noHistory true}
  {:db/ident :pair :db/valueType :db.type/tuple :db/tupleAttrs [:one :other] :db/cardinality :db.cardinality/one}]";

const NAMES: [&str; 8] = ["one", "other", "many", "id", "friend", "part", "note", "pair"];
const ONE: usize = 0;
const OTHER: usize = 1;
const MANY: usize = 2;
const ID: usize = 3;
const FRIEND: usize = 4;
const PART: usize = 5;
const NOTE: usize = 6;
const PAIR: usize = 7;
const ENTITIES: u64 = 4;
const FIRST: u64 = 100;
/// Stands for the entity of a tempid in a transaction that fails.
const NOBODY: u64 = 9999;

type State = BTreeMap<(u64, usize), BTreeSet<Value>>;
/// Entity, attribute, value, transaction (counted from 1), assertion.
type Event = (u64, usize, Value, u64, bool);

#[derive(Debug, Clone)]
enum Op {
    Add(u64, usize, Value),
    Retract(u64, usize, Value),
    RetractAll(u64, usize),
    RetractAttribute(u64, usize),
    RetractEntity(u64),
    Cas(u64, usize, Option<Value>, Value),
    /// The entity with that `:id`, or a new one, gets the value for `:one`.
    Upsert(String, i64),
}

fn is_many(a: usize) -> bool {
    matches!(a, MANY | FRIEND | PART)
}

fn value(chance: &mut Chance, a: usize) -> Value {
    match a {
        ID => Value::from(["x", "y", "z"][chance.below(3)]),
        FRIEND | PART => Value::Ref(EntityId(FIRST + chance.next() % ENTITIES)),
        _ => Value::Long(chance.below(4) as i64),
    }
}

fn op(chance: &mut Chance, state: &State) -> Op {
    let e = FIRST + chance.next() % ENTITIES;
    let a = chance.below(PAIR);
    match chance.below(14) {
        0 => Op::RetractAll(e, a),
        1 => Op::RetractAttribute(e, a),
        2 => Op::RetractEntity(e),
        3 => {
            let a = [ONE, OTHER, NOTE][chance.below(3)];
            let held = state.get(&(e, a)).and_then(|values| values.first().cloned());
            // Mostly what is there, so that it goes through.
            let old = if chance.below(8) == 0 { Some(value(chance, a)) } else { held };
            Op::Cas(e, a, old, value(chance, a))
        }
        4 => Op::Upsert(["x", "y", "z", "w"][chance.below(4)].to_owned(), chance.below(4) as i64),
        5..8 => Op::Retract(e, a, value(chance, a)),
        _ => Op::Add(e, a, value(chance, a)),
    }
}

fn text(v: &Value) -> String {
    match v {
        Value::Long(n) => n.to_string(),
        Value::Str(s) => format!("{s:?}"),
        Value::Ref(id) => id.0.to_string(),
        other => unreachable!("{other:?} is not written"),
    }
}

fn write(op: &Op) -> String {
    match op {
        Op::Add(e, a, v) => format!("[:db/add {e} :{} {}]", NAMES[*a], text(v)),
        Op::Retract(e, a, v) => format!("[:db/retract {e} :{} {}]", NAMES[*a], text(v)),
        Op::RetractAll(e, a) => format!("[:db/retract {e} :{}]", NAMES[*a]),
        Op::RetractAttribute(e, a) => format!("[:db.fn/retractAttribute {e} :{}]", NAMES[*a]),
        Op::RetractEntity(e) => format!("[:db/retractEntity {e}]"),
        Op::Cas(e, a, old, new) => {
            let old = old.as_ref().map_or("nil".to_owned(), text);
            format!("[:db/cas {e} :{} {old} {}]", NAMES[*a], text(new))
        }
        Op::Upsert(id, n) => format!("{{:db/id \"u\" :id {id:?} :one {n}}}"),
    }
}

fn retract_entities(state: &mut State, first: Vec<u64>) {
    let (mut seen, mut pending) = (BTreeSet::new(), first);
    while let Some(e) = pending.pop() {
        if seen.insert(e) {
            let parts = state.get(&(e, PART)).into_iter().flatten();
            pending.extend(parts.filter_map(|v| if let Value::Ref(id) = v { Some(id.0) } else { None }));
            state.retain(|(of, _), _| *of != e);
            for values in state.values_mut() {
                values.remove(&Value::Ref(EntityId(e)));
            }
        }
    }
}

/// The state after the operations; `None` where they must fail. `new` is the entity of the tempid.
fn apply(before: &State, ops: &[Op], new: u64) -> Option<State> {
    let mut state = before.clone();
    for op in ops {
        let add = |state: &mut State, e: u64, a: usize, v: &Value| {
            let values = state.entry((e, a)).or_default();
            if !is_many(a) {
                values.clear();
            }
            values.insert(v.clone());
        };
        match op {
            Op::Add(e, a, v) => add(&mut state, *e, *a, v),
            Op::Retract(e, a, v) => drop(state.entry((*e, *a)).or_default().remove(v)),
            Op::RetractAll(e, a) => drop(state.remove(&(*e, *a))),
            Op::RetractAttribute(e, a) => {
                let gone = state.remove(&(*e, *a)).unwrap_or_default();
                let parts = gone.iter().filter_map(|v| if let Value::Ref(id) = v { Some(id.0) } else { None });
                if *a == PART {
                    retract_entities(&mut state, parts.collect());
                }
            }
            Op::RetractEntity(e) => retract_entities(&mut state, vec![*e]),
            Op::Cas(e, a, old, v) => {
                if state.get(&(*e, *a)).and_then(|values| values.first()) != old.as_ref() {
                    return None;
                }
                add(&mut state, *e, *a, v);
            }
            Op::Upsert(id, n) => {
                add(&mut state, new, ID, &Value::from(id.as_str()));
                add(&mut state, new, ONE, &Value::Long(*n));
            }
        }
    }
    let entities: BTreeSet<u64> = state.keys().chain(before.keys()).map(|(e, _)| *e).collect();
    for e in entities {
        let member = |a| state.get(&(e, a)).and_then(|values| values.first().cloned()).unwrap_or(Value::Nil);
        let members = [member(ONE), member(OTHER)];
        state.remove(&(e, PAIR));
        if members != [Value::Nil, Value::Nil] {
            state.insert((e, PAIR), [Value::Tuple(members.to_vec().into())].into());
        }
    }
    state.retain(|_, values| !values.is_empty());
    let mut ids = BTreeSet::new();
    let are_unique = state.iter().filter(|((_, a), _)| *a == ID).flat_map(|(_, values)| values).all(|v| ids.insert(v));
    are_unique.then_some(state)
}

/// Who has the `:id` before the transaction or, else, is given it by the transaction.
fn named(before: &State, ops: &[Op], id: &str) -> Option<u64> {
    let id = Value::from(id);
    let held = before.iter().find(|((_, a), values)| *a == ID && values.contains(&id)).map(|((e, _), _)| *e);
    let said = ops.iter().filter_map(|op| match op {
        Op::Add(e, ID, v) if *v == id => Some(*e),
        _ => None,
    });
    held.or(said.min())
}

fn difference(before: &State, after: &State, t: u64) -> Vec<Event> {
    let flat = |state: &State| -> BTreeSet<(u64, usize, Value)> {
        state.iter().flat_map(|((e, a), values)| values.iter().map(|v| (*e, *a, v.clone()))).collect()
    };
    let (before, after) = (flat(before), flat(after));
    let gone = before.difference(&after).map(|(e, a, v)| (*e, *a, v.clone(), t, false));
    gone.chain(after.difference(&before).map(|(e, a, v)| (*e, *a, v.clone(), t, true))).collect()
}

/// After every transaction, before what never ends.
const NOW: u64 = u64::MAX - 1;

#[derive(Debug, Clone, Copy)]
struct View {
    lo: u64,
    hi: u64,
    history: bool,
}

/// What a view of the first transactions shows: the definition is the list of events, cut and replayed.
fn shown(events: &[Event], keep_history: bool, view: View) -> Vec<Event> {
    let mut open: BTreeMap<(u64, usize, Value), u64> = BTreeMap::new();
    let mut rows: Vec<((u64, usize, Value), u64, u64)> = Vec::new();
    for (e, a, v, t, added) in events {
        let fact = (*e, *a, v.clone());
        if *added {
            open.insert(fact, *t);
        } else {
            let began = open.remove(&fact).expect("what ends has begun");
            if keep_history && *a != NOTE {
                rows.push((fact, began, *t));
            }
        }
    }
    rows.extend(open.into_iter().map(|(fact, began)| (fact, began, u64::MAX)));
    let View { lo, hi, history } = view;
    let mut out = Vec::new();
    for ((e, a, v), tx, until) in rows {
        let begins = lo < tx && tx <= hi;
        if begins && (history || until > hi) {
            out.push((e, a, v.clone(), tx, true));
        }
        if history && until != u64::MAX && lo < until && until <= hi {
            out.push((e, a, v, until, false));
        }
    }
    out
}

/// A component of a datom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Value(Value),
}

/// A datom as it is sorted: the first three components of the order, then transaction and assertion.
type Sorted = ([Part; 3], u64, bool);

fn parts(order: Order, e: u64, a: AttrId, v: Value) -> [Part; 3] {
    let (e, a, v) = (Part::Number(e), Part::Number(u64::from(a.0)), Part::Value(v));
    match order {
        Order::Eavt => [e, a, v],
        Order::Aevt => [a, e, v],
        _ => [a, v, e],
    }
}

/// The attributes of the model that a database has.
struct Attributes([AttrId; 8]);

impl Attributes {
    fn of(db: &Db) -> Attributes {
        Attributes(NAMES.map(|name| db.attribute(Keyword::new(name)).unwrap().id))
    }

    fn sorted(&self, db: &Db, order: Order, events: &[Event]) -> Vec<Sorted> {
        let in_order = |a: &AttrId| order != Order::Avet || db.schema().get(*a).unwrap().in_avet();
        let all = events.iter().map(|(e, a, v, t, added)| (*e, self.0[*a], v.clone(), *t, *added));
        let mut sorted: Vec<Sorted> =
            all.filter(|(_, a, ..)| in_order(a)).map(|(e, a, v, t, added)| (parts(order, e, a, v), t, added)).collect();
        sorted.sort();
        sorted
    }
}

/// A place in an order: a prefix of the components, before or after what begins with it.
#[derive(Debug, Clone)]
struct Place {
    prefix: Vec<Part>,
    side: Side,
}

impl Place {
    /// Near a row, so that many rows lie on either side.
    fn near(chance: &mut Chance, rows: &[Sorted]) -> Option<Place> {
        let row = rows.get(chance.below(rows.len().max(1)))?;
        let prefix = row.0[..1 + chance.below(3)].to_vec();
        Some(Place { prefix, side: if chance.below(2) == 0 { Side::Before } else { Side::After } })
    }

    fn is_before(&self, row: &Sorted) -> bool {
        let row = &row.0[..self.prefix.len()];
        row > &self.prefix[..] || (row == &self.prefix[..] && self.side == Side::Before)
    }

    fn cut(&self, order: Order) -> Cut {
        let mut key = Key::default();
        let number = |part: &Part| if let Part::Number(n) = part { *n } else { unreachable!("a number") };
        for (i, part) in self.prefix.iter().enumerate() {
            match (order, i) {
                (Order::Eavt, 0) | (Order::Aevt, 1) | (Order::Avet, 2) => key.e = Some(number(part)),
                (Order::Eavt, 1) | (Order::Aevt | Order::Avet, 0) => key.a = Some(AttrId(number(part) as u32)),
                _ => key.v = if let Part::Value(v) = part { Some(v.clone()) } else { unreachable!("a value") },
            }
        }
        Cut { key, side: self.side }
    }
}

struct Reading<'a> {
    from: Option<&'a Place>,
    to: Option<&'a Place>,
    seek: Option<&'a Place>,
}

const WHOLE: Reading<'static> = Reading { from: None, to: None, seek: None };

/// What a cursor gives of the model's attributes, ascending, and how many rows it gives in all.
fn read(db: &Db, of: &Attributes, order: Order, reading: &Reading<'_>, direction: Direction) -> (Vec<Sorted>, u64) {
    let cut = |place: Option<&Place>| place.map(|place| place.cut(order));
    let (from, to) = (cut(reading.from), cut(reading.to));
    let mut cursor = db.cursor(order, from.as_ref(), to.as_ref(), direction).unwrap();
    if let Some(place) = reading.seek {
        cursor.seek(&place.cut(order)).unwrap();
    }
    let (mut rows, mut all) = (Vec::new(), 0);
    while let Some(chunk) = cursor.next().unwrap() {
        all += chunk.rows().len() as u64;
        let one = |i: usize| {
            let row = chunk.columns.row(i);
            let datom = Db::datom(&row);
            of.0.contains(&row.a).then(|| (parts(order, row.e, row.a, row.v), row.tx - TX0, datom.added))
        };
        match direction {
            Direction::Forward => rows.extend(chunk.rows().filter_map(one)),
            Direction::Reverse => rows.extend(chunk.rows().rev().filter_map(one)),
        }
    }
    if direction == Direction::Reverse {
        rows.reverse();
    }
    (rows, all)
}

/// A view put together in some order.
fn seen(db: &Db, chance: &mut Chance, view: View) -> Db {
    let mut steps: Vec<usize> = Vec::new();
    if view.lo > 0 || (view.hi < NOW && chance.below(4) == 0) {
        steps.push(0);
    }
    if view.hi < NOW {
        steps.push(1);
    }
    if view.history {
        steps.push(2);
    }
    if chance.below(3) == 0 {
        steps.reverse();
    }
    let t = |n: u64| EntityId(TX0 + n);
    steps.into_iter().fold(db.clone(), |db, step| match step {
        0 => db.since(t(view.lo)).unwrap(),
        1 => db.as_of(t(view.hi)).unwrap(),
        _ => db.history().unwrap(),
    })
}

struct Run {
    chance: Chance,
    keep_history: bool,
    stored: bool,
    state: State,
    events: Vec<Event>,
    /// Databases that were the current one, and how many transactions and events they have.
    held: Vec<(Db, u64, usize)>,
}

impl Run {
    fn transact(&mut self, conn: &Connection) {
        let before = conn.db();
        let t = before.basis_t().0 - TX0 + 1;
        if self.chance.below(12) == 0 {
            conn.transact("[{:db/ident :one :db/index true}]").unwrap();
            return;
        }
        let mut ops: Vec<Op> = Vec::new();
        for _ in 0..=self.chance.below(5) {
            let op = op(&mut self.chance, &self.state);
            // One tempid is enough.
            if !matches!(op, Op::Upsert(..)) || !ops.iter().any(|op| matches!(op, Op::Upsert(..))) {
                ops.push(op);
            }
        }
        if self.chance.below(3) == 0 {
            // An entity that goes and comes back as it was.
            let e = FIRST + self.chance.next() % ENTITIES;
            let held = self.state.range((e, 0)..(e, PAIR)).flat_map(|((e, a), vs)| vs.iter().map(|v| (*e, *a, v)));
            let again: Vec<Op> = held.map(|(e, a, v)| Op::Add(e, a, v.clone())).collect();
            let kept = self.chance.below(again.len() + 1);
            ops.push(Op::RetractEntity(e));
            ops.extend(again.into_iter().skip(kept));
        }
        let written: Vec<String> = ops.iter().map(write).collect();
        let written = format!("[{}]", written.join(" "));
        let made = conn.transact(written.as_str());
        let upserted = ops.iter().find_map(|op| if let Op::Upsert(id, _) = op { Some(id.as_str()) } else { None });
        let meant = upserted.and_then(|id| named(&self.state, &ops, id));
        let new = match (&made, meant) {
            (_, Some(e)) => e,
            (Ok(report), None) => report.resolve("u").map_or(NOBODY, |e| e.0),
            (Err(_), None) => NOBODY,
        };
        match (made, apply(&self.state, &ops, new)) {
            (Ok(report), Some(after)) => {
                assert_eq!(report.db_after.basis_t(), EntityId(TX0 + t));
                if upserted.is_some() {
                    assert_eq!(report.resolve("u"), Some(EntityId(new)), "{written}");
                }
                let events = difference(&self.state, &after, t);
                let of = Attributes::of(&report.db_after);
                let mut said: Vec<_> = report.tx_data.iter().filter(|d| of.0.contains(&d.a)).collect();
                said.sort_by_key(|d| (d.added, d.e, d.a, d.v.clone()));
                let mut wanted: Vec<_> = events.iter().map(|(e, a, v, _, added)| (*added, *e, of.0[*a], v)).collect();
                wanted.sort();
                let said: Vec<_> = said.iter().map(|d| (d.added, d.e.0, d.a, &d.v)).collect();
                assert_eq!(said, wanted, "{written}");
                self.events.extend(events);
                self.state = after;
            }
            (Err(error), None) => {
                assert_eq!(error.kind(), ErrorKind::Transact, "{written}: {error:?}");
                assert_eq!(conn.db().basis_t(), before.basis_t(), "{written}");
            }
            (made, after) => panic!("{written}: made {made:?}, but {after:?} was wanted after {:?}", self.state),
        }
    }

    fn check_db(&mut self, db: &Db, last: u64, events: usize) {
        let of = Attributes::of(db);
        let whole = View { lo: 0, hi: NOW, history: false };
        let mut views = vec![whole];
        if self.keep_history {
            for t in 0..=last {
                views.extend([View { hi: t, ..whole }, View { lo: t, ..whole }]);
            }
            views.push(View { history: true, ..whole });
            for _ in 0..4 {
                let lo = self.chance.next() % (last + 1);
                let hi = self.chance.next() % (last + 1);
                let history = self.chance.below(2) == 0;
                views.push(View { lo, hi, history });
            }
        } else {
            assert_eq!(db.as_of(EntityId(TX0)).unwrap_err().code(), "db/no-history");
            assert_eq!(db.history().unwrap_err().code(), "db/no-history");
        }
        for view in views {
            let wanted = shown(&self.events[..events], self.keep_history, view);
            let seen = seen(db, &mut self.chance, view);
            for order in [Order::Eavt, Order::Aevt, Order::Avet] {
                let wanted = of.sorted(db, order, &wanted);
                self.check_order(&seen, &of, order, &wanted, view);
            }
        }
    }

    fn check_order(&mut self, seen: &Db, of: &Attributes, order: Order, wanted: &[Sorted], view: View) {
        for direction in [Direction::Forward, Direction::Reverse] {
            let (got, all) = read(seen, of, order, &WHOLE, direction);
            assert_eq!(got, wanted, "{order:?} {direction:?} of {view:?}");
            let count = seen.count(order, None, None).unwrap();
            assert!(
                count.rows >= all && (!count.exact || count.rows == all),
                "{count:?} for {all}: {order:?} {view:?}"
            );
            let [from, to, seek] = [(); 3].map(|()| Place::near(&mut self.chance, wanted));
            let reading = Reading { from: from.as_ref(), to: to.as_ref(), seek: seek.as_ref() };
            let passes = |row: &&Sorted| {
                let after = |place: &Option<Place>| place.as_ref().is_none_or(|place| place.is_before(row));
                let sought = seek.is_none() || after(&seek) == (direction == Direction::Forward);
                after(&from) && (to.is_none() || !after(&to)) && sought
            };
            let wanted: Vec<Sorted> = wanted.iter().filter(passes).cloned().collect();
            let (got, _) = read(seen, of, order, &reading, direction);
            assert_eq!(got, wanted, "{order:?} {direction:?} of {view:?} from {from:?} to {to:?}, seek {seek:?}");
            let ranged = Reading { seek: None, ..reading };
            let (_, all) = read(seen, of, order, &ranged, direction);
            let cut = |place: &Option<Place>| place.as_ref().map(|place| place.cut(order));
            let count = seen.count(order, cut(&from).as_ref(), cut(&to).as_ref()).unwrap();
            assert!(
                count.rows >= all && (!count.exact || count.rows == all),
                "{count:?} for {all}: {order:?} {view:?}"
            );
        }
        let odd = seen.filter(|_, datom| datom.e.0 % 2 == 1);
        let wanted: Vec<Sorted> = wanted.iter().filter(|row| entity(order, row) % 2 == 1).cloned().collect();
        assert_eq!(read(&odd, of, order, &WHOLE, Direction::Forward).0, wanted, "{order:?} of {view:?}, filtered");
    }

    fn check_log(&mut self, conn: &Connection, last: u64) {
        let (after, to) = (self.chance.next() % (last + 1), self.chance.next() % (last + 1));
        let made = conn.tx_range(EntityId(TX0 + after), Some(EntityId(TX0 + to)));
        if !self.stored && !self.keep_history {
            assert_eq!(made.map(drop).unwrap_err().code(), "db/no-history");
            return;
        }
        let of = Attributes::of(&conn.db());
        let mut transactions = Vec::new();
        let mut got = Vec::new();
        for made in made.unwrap() {
            let made = made.unwrap();
            transactions.push(made.t.0 - TX0);
            for datom in made.datoms {
                assert_eq!(datom.tx, made.t);
                if let Some(a) = of.0.iter().position(|a| *a == datom.a) {
                    got.push((datom.e.0, a, datom.v, made.t.0 - TX0, datom.added));
                }
            }
        }
        assert_eq!(transactions, (after + 1..=to).collect::<Vec<_>>());
        // Without a log, what keeps no history is forgotten.
        let kept = |event: &&Event| after < event.3 && event.3 <= to;
        let mut wanted: Vec<Event> = self.events.iter().filter(kept).cloned().collect();
        for events in [&mut got, &mut wanted] {
            events.retain(|event| self.stored || event.1 != NOTE);
            events.sort();
        }
        assert_eq!(got, wanted, "the log from {after} to {to}");
    }

    fn check(&mut self, conn: &Connection) {
        let db = conn.db();
        let last = db.basis_t().0 - TX0;
        self.check_db(&db, last, self.events.len());
        self.check_log(conn, last);
    }
}

fn entity(order: Order, row: &Sorted) -> u64 {
    let place = match order {
        Order::Eavt => 0,
        Order::Aevt => 1,
        _ => 2,
    };
    if let Part::Number(e) = row.0[place] { e } else { unreachable!("an entity") }
}

fn run(seed: u64, stored: bool, keep_history: bool) {
    println!("seed {seed}, stored {stored}, keep history {keep_history}");
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::with_builtins();
    let config = if stored { Config::file(dir.path().join("model.tr")) } else { Config::memory("model") };
    let config = support::of_wanted_kind(config.keep_history(keep_history));
    create_database_in(&registry, &config).unwrap();
    let mut conn = connect_in(&registry, &config).unwrap();
    conn.transact(SCHEMA).unwrap();
    let (state, events, held) = (State::new(), Vec::new(), Vec::new());
    let mut run = Run { chance: Chance(seed), keep_history, stored, state, events, held };
    for _ in 0..12 {
        match run.chance.below(12) {
            0 => conn.flush().unwrap(),
            1 => {
                drop(conn);
                conn = connect_in(&registry, &config).unwrap();
                run.check(&conn);
            }
            2 => {
                conn.release().unwrap();
                conn = connect_in(&registry, &config).unwrap();
                run.check(&conn);
            }
            _ => run.transact(&conn),
        }
        if run.chance.below(6) == 0 {
            let db = conn.db();
            run.held.push((db.clone(), db.basis_t().0 - TX0, run.events.len()));
        }
    }
    run.check(&conn);
    conn.release().unwrap();
    // A database is a value: nothing that came later changes it.
    for (db, last, events) in std::mem::take(&mut run.held) {
        run.check_db(&db, last, events);
    }
}

#[test]
fn databases_say_what_a_list_of_events_says() {
    let first = env_number("MODEL_SEED", 0);
    for seed in first..first + env_number("MODEL_RUNS", 100) {
        for stored in [false, true] {
            for keep_history in [true, false] {
                run(seed, stored, keep_history);
            }
        }
    }
}
