//! Views in time against a list of rows: chance ranges, directions and leaps, each view read again and again while
//! transactions go on and databases part; and how many rows of the indexes they read.
//!
//! `VIEWS_SEED=<n> VIEWS_RUNS=1` runs one seed again.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use support::{Chance, env_number};
use treering::db_testing::empty_db_over;
use treering::edn::{self, Form, Keyword};
use treering::index::{
    Chunk, Cursor, Direction, Edits, HitchhikerTree, Index, IndexKind, NodeSink, NodeSource, PersistentSet, Visibility,
};
use treering::{
    Cut, Db, EntityId, EntityMap, Key, Mode, OPEN, Order, Result, Row, SchemaFlexibility, Side, Value, prepare, q, with,
};

/// A kind of index that counts the rows that its cursors give.
#[derive(Debug, Clone)]
struct Counting {
    kind: Arc<dyn IndexKind>,
    settings: Form,
    current: Arc<AtomicU64>,
    closed: Arc<AtomicU64>,
}

impl Counting {
    fn new(kind: impl IndexKind + 'static, settings: &str) -> Counting {
        let settings = edn::read(settings).unwrap();
        Counting { kind: Arc::new(kind), settings, current: Arc::default(), closed: Arc::default() }
    }

    /// The current and the closed rows that were read since the last call.
    fn read(&self) -> (u64, u64) {
        (self.current.swap(0, Relaxed), self.closed.swap(0, Relaxed))
    }

    fn index(&self, inner: Arc<dyn Index>) -> Arc<dyn Index> {
        let rows = if inner.order().is_history() { &self.closed } else { &self.current };
        Arc::new(Counted { inner, rows: Arc::clone(rows) })
    }
}

impl IndexKind for Counting {
    fn keyword(&self) -> Keyword {
        Keyword::new("test.index/counting")
    }

    fn check_settings(&self, _: &Form) -> Result<()> {
        Ok(())
    }

    fn empty(&self, order: Order, _: &Form, nodes: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        Ok(self.index(self.kind.empty(order, &self.settings, nodes)?))
    }

    fn open(&self, order: Order, root: &[u8], _: &Form, nodes: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        Ok(self.index(self.kind.open(order, root, &self.settings, nodes)?))
    }
}

#[derive(Debug)]
struct Counted {
    inner: Arc<dyn Index>,
    rows: Arc<AtomicU64>,
}

impl Counted {
    fn cursor(&self, inner: Box<dyn Cursor>) -> Box<dyn Cursor> {
        Box::new(CountedCursor { inner, rows: Arc::clone(&self.rows) })
    }
}

impl Index for Counted {
    fn order(&self) -> Order {
        self.inner.order()
    }

    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn apply(&self, edits: &Edits) -> Result<Arc<dyn Index>> {
        Ok(Arc::new(Counted { inner: self.inner.apply(edits)?, rows: Arc::clone(&self.rows) }))
    }

    fn cursor(&self, from: Option<&Cut>, to: Option<&Cut>, direction: Direction) -> Result<Box<dyn Cursor>> {
        Ok(self.cursor(self.inner.cursor(from, to, direction)?))
    }

    fn cursor_within(
        &self,
        from: Option<&Cut>,
        to: Option<&Cut>,
        direction: Direction,
        visibility: Visibility,
    ) -> Result<Box<dyn Cursor>> {
        Ok(self.cursor(self.inner.cursor_within(from, to, direction, visibility)?))
    }

    fn rank(&self, cut: &Cut) -> Result<u64> {
        self.inner.rank(cut)
    }

    fn flush(&self, sink: &mut dyn NodeSink) -> Result<(Arc<dyn Index>, Vec<u8>)> {
        self.inner.flush(sink)
    }

    fn novelty(&self) -> usize {
        self.inner.novelty()
    }

    fn walk(&self, visit: &mut dyn FnMut(treering::index::Address) -> Result<bool>) -> Result<()> {
        self.inner.walk(visit)
    }

    fn check(&self) -> Result<()> {
        self.inner.check()
    }
}

struct CountedCursor {
    inner: Box<dyn Cursor>,
    rows: Arc<AtomicU64>,
}

impl Cursor for CountedCursor {
    fn next(&mut self) -> Result<Option<Chunk>> {
        let chunk = self.inner.next()?;
        self.rows.fetch_add(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64), Relaxed);
        Ok(chunk)
    }

    fn seek(&mut self, cut: &Cut) -> Result<()> {
        self.inner.seek(cut)
    }
}

const SCHEMA: &str = "[
  {:db/ident :one :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :few :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :many :db/valueType :db.type/long :db/cardinality :db.cardinality/many :db/index true}
  {:db/ident :text :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :quiet :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/noHistory true}]";

/// A database, and every row that it ever had but those that leave no trace.
#[derive(Clone)]
struct World {
    db: Db,
    rows: Vec<Row>,
}

impl World {
    /// Makes a transaction, unless it contradicts itself.
    fn transact(&mut self, data: &str) {
        let Ok(report) = with(&self.db, data) else { return };
        let t = report.db_after.basis_t().0;
        for datom in &report.tx_data {
            if datom.added {
                let row = Row { e: datom.e.0, a: datom.a, v: datom.v.clone(), tx: datom.tx.0, until: OPEN };
                self.rows.push(row);
                continue;
            }
            let is_it = |row: &Row| (row.e, row.a, &row.v, row.until) == (datom.e.0, datom.a, &datom.v, OPEN);
            let at = self.rows.iter().position(is_it).unwrap();
            self.rows[at].until = t;
            if report.db_after.ident(datom.a) == Some(Keyword::new("quiet")) {
                self.rows.swap_remove(at);
            }
        }
        self.db = report.db_after;
    }

    fn change(&mut self, chance: &mut Chance, entities: usize) {
        let mut data = String::from("[");
        for _ in 0..1 + chance.below(25) {
            let (e, few, v) = (1000 + chance.below(entities), chance.below(3), chance.below(50));
            let held: Vec<&Row> = self.rows.iter().filter(|row| row.e == e as u64 && row.until == OPEN).collect();
            data += &match chance.below(8) {
                0 | 1 => format!("[:db/add {e} :one {v}]"),
                2 => format!("[:db/add {e} :few {few}]"),
                3 => format!("[:db/add {e} :many {v}]"),
                4 => format!("[:db/add {e} :text \"text {}\"]", v % 20),
                5 => format!("[:db/add {e} :quiet {v}]"),
                _ if held.is_empty() => continue,
                _ => {
                    let row = held[chance.below(held.len())];
                    let ident = self.db.ident(row.a).unwrap();
                    format!("[:db/retract {e} {ident} {}]", row.v.to_form())
                }
            };
        }
        self.transact(&(data + "]"));
    }

    /// What a view shows in an order.
    fn shown(&self, (lo, hi, mode): (u64, u64, Mode), order: Order) -> Vec<Row> {
        let schema = self.db.schema();
        let stands = |row: &&Row| order != Order::Avet || schema.get(row.a).unwrap().in_avet();
        let mut shown = Vec::new();
        for row in self.rows.iter().filter(stands) {
            let asserted = lo < row.tx && row.tx <= hi;
            let ended = lo < row.until && row.until <= hi && row.until != OPEN;
            if asserted && (mode == Mode::Events || row.until > hi) {
                shown.push(Row { until: OPEN, ..row.clone() });
            }
            if mode == Mode::Events && ended {
                shown.push(Row { tx: row.until, ..row.clone() });
            }
        }
        shown.sort_by(|x, y| order.compare(x, y).then_with(|| (x.until == OPEN).cmp(&(y.until == OPEN))));
        shown
    }

    fn view(&self, (lo, hi, mode): (u64, u64, Mode)) -> Db {
        let db = self.db.as_of(EntityId(hi)).unwrap();
        let db = if lo > 0 { db.since(EntityId(lo)).unwrap() } else { db };
        if mode == Mode::Events { db.history().unwrap() } else { db }
    }

    /// A place somewhere in an order.
    fn cut(&self, chance: &mut Chance, order: Order) -> Cut {
        let of = Key::of(&self.rows[chance.below(self.rows.len())]);
        let mut key = Key::default();
        for component in order.components().iter().take(1 + chance.below(4)) {
            match component {
                treering::Component::E => key.e = of.e,
                treering::Component::A => key.a = of.a,
                treering::Component::V => key.v = of.v.clone(),
                treering::Component::Tx => key.tx = of.tx,
                treering::Component::Until => {}
            }
        }
        Cut { key, side: if chance.below(2) == 0 { Side::Before } else { Side::After } }
    }

    /// Reads a view in a range, with leaps, and compares it.
    fn check(&self, chance: &mut Chance, view: (u64, u64, Mode)) {
        let order = [Order::Eavt, Order::Aevt, Order::Avet][chance.below(3)];
        let forward = chance.below(3) > 0;
        let bound = |chance: &mut Chance| (chance.below(3) > 0).then(|| self.cut(chance, order));
        let (from, to) = (bound(chance), bound(chance));
        let is_before =
            |row: &Row, cut: &Cut| Cut::before(Key { until: None, ..Key::of(row) }).compare(cut, order).is_lt();
        let mut expected = self.shown(view, order);
        expected.retain(|row| from.as_ref().is_none_or(|cut| !is_before(row, cut)));
        expected.retain(|row| to.as_ref().is_none_or(|cut| is_before(row, cut)));
        let direction = if forward { Direction::Forward } else { Direction::Reverse };
        if !forward {
            expected.reverse();
        }
        let what = format!("{view:?} {order:?} {direction:?} {from:?} {to:?}");
        let db = self.view(view);
        let mut cursor = db.cursor(order, from.as_ref(), to.as_ref(), direction).unwrap();
        let mut next = 0;
        loop {
            if chance.below(4) == 0 {
                let cut = self.cut(chance, order);
                cursor.seek(&cut).unwrap();
                let passed = |row: &Row| if forward { is_before(row, &cut) } else { !is_before(row, &cut) };
                next += expected[next..].iter().take_while(|row| passed(row)).count();
            }
            let Some(chunk) = cursor.next().unwrap() else { break };
            assert!(!chunk.is_empty());
            let mut rows: Vec<Row> = chunk.rows().map(|i| chunk.columns.row(i)).collect();
            if !forward {
                rows.reverse();
            }
            let end = (next + rows.len()).min(expected.len());
            assert_eq!(rows, expected[next..end], "{what}");
            next = end;
        }
        assert_eq!(next, expected.len(), "{what}");
    }

    fn some_view(&self, chance: &mut Chance, first: u64) -> (u64, u64, Mode) {
        let span = (self.db.basis_t().0 - first) as usize;
        // Few different ones, so that the same is read again.
        let t = |chance: &mut Chance| first + (chance.below(4) * span / 4) as u64 / 5 * 5;
        let hi = if chance.below(4) == 0 { self.db.basis_t().0 } else { t(chance) };
        let lo = if chance.below(4) == 0 { t(chance) } else { 0 };
        (lo, hi, if chance.below(4) == 0 { Mode::Events } else { Mode::State })
    }
}

fn run(kind: &Counting, seed: u64) {
    let mut chance = Chance(seed);
    let mut world = World { db: empty_db_over(kind, true, SchemaFlexibility::Write), rows: Vec::new() };
    world.transact(SCHEMA);
    assert!(world.db.attribute(Keyword::new("quiet")).is_ok());
    let first = world.db.basis_t().0;
    let entities = 2 + chance.below(80);
    let mut others: Vec<World> = Vec::new();
    for round in 0..60 {
        world.change(&mut chance, entities);
        if round % 10 == 5 {
            // Databases of the same transactions that say something else.
            let mut other = world.clone();
            (0..3).for_each(|_| other.change(&mut chance, entities));
            others.push(other);
        }
        for _ in 0..6 {
            let view = world.some_view(&mut chance, first);
            (0..3).for_each(|_| world.check(&mut chance, view));
        }
        if let Some(other) = others.last() {
            let view = other.some_view(&mut chance, first);
            (0..3).for_each(|_| other.check(&mut chance, view));
        }
    }
}

#[test]
fn views_show_what_a_list_of_rows_says() {
    let first = env_number("VIEWS_SEED", 1);
    for seed in first..first + env_number("VIEWS_RUNS", 12) {
        println!("VIEWS_SEED={seed} VIEWS_RUNS=1");
        run(&Counting::new(PersistentSet, "{:branching-factor 16}"), seed);
        run(&Counting::new(PersistentSet, "nil"), seed);
        let small = "{:index-b-factor 4 :index-data-node-size 16 :index-log-size 8}";
        run(&Counting::new(HitchhikerTree, small), seed);
    }
}

/// 4,000 people whose age was replaced in so many rounds; and the transactions after which a round was made.
fn aged(kind: &Counting, rounds: i64) -> (Db, Vec<EntityId>) {
    let schema = "[{:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}]";
    let mut db = with(&empty_db_over(kind, true, SchemaFlexibility::Write), schema).unwrap().db_after;
    let mut times = Vec::new();
    for round in 0..=rounds {
        let age = |id: u64| EntityMap::new().id(EntityId(id)).set(Keyword::new("age"), round + (id % 7) as i64);
        db = with(&db, (1..=4000).map(age).collect::<Vec<_>>()).unwrap().db_after;
        times.push(db.basis_t());
    }
    (db, times)
}

#[test]
fn a_state_of_the_past_reads_closed_rows_once_and_then_no_more() {
    let kind = Counting::new(PersistentSet, "nil");
    let (db, times) = aged(&kind, 10);
    let ages = prepare("[:find ?e ?a :where [?e :age ?a]]").unwrap();
    ages.run(&db).unwrap();
    kind.read();
    assert_eq!(ages.run(&db).unwrap().len(), 4000);
    let (now, _) = kind.read();
    for t in [times[0], times[5], times[9]] {
        let then = db.as_of(t).unwrap();
        assert_eq!(ages.run(&then).unwrap().len(), 4000);
        let (_, closed) = kind.read();
        // The sample that the plan is made with, and each closed row once.
        assert!(closed <= 40_000 + 4 * 4096, "{closed} closed rows");
        (0..2).for_each(|_| assert_eq!(ages.run(&then).unwrap().len(), 4000));
        kind.read();
        assert_eq!(ages.run(&then).unwrap().len(), 4000);
        let (current, closed) = kind.read();
        assert!(current <= now && closed == 0, "{current} current rows, {closed} closed ones; now {now}");
    }
}

#[test]
fn a_value_among_many_versions_is_one_seek() {
    let kind = Counting::new(PersistentSet, "nil");
    let schema = "[{:db/ident :n :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]";
    let mut db = with(&empty_db_over(&kind, true, SchemaFlexibility::Write), schema).unwrap().db_after;
    let mut times = Vec::new();
    for n in 0..5000_i64 {
        db = with(&db, vec![EntityMap::new().id(EntityId(7)).set(Keyword::new("n"), n)]).unwrap().db_after;
        times.push(db.basis_t());
    }
    let value = prepare("[:find ?n . :where [7 :n ?n]]").unwrap();
    for n in [0, 1, 1234, 2500, 4998] {
        let then = db.as_of(times[n]).unwrap();
        kind.read();
        assert_eq!(value.run(&then).unwrap().to_value(), Value::Long(n as i64));
        let (current, closed) = kind.read();
        assert!(current <= 1024 && closed <= 1024, "{current} current rows, {closed} closed ones");
    }
}

#[test]
fn closed_rows_of_one_value_are_read_once_for_all_leaves_that_it_fills() {
    let kind = Counting::new(PersistentSet, "{:branching-factor 16}");
    let schema = "[{:db/ident :few :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}]";
    let mut db = with(&empty_db_over(&kind, true, SchemaFlexibility::Write), schema).unwrap().db_after;
    let few = |id: u64, v: i64| EntityMap::new().id(EntityId(id)).set(Keyword::new("few"), v);
    db = with(&db, (1..=2000).map(|id| few(id, 1)).collect::<Vec<_>>()).unwrap().db_after;
    let then = db.basis_t();
    db = with(&db, (1..=2000).step_by(2).map(|id| few(id, 2)).collect::<Vec<_>>()).unwrap().db_after;
    let then = db.as_of(then).unwrap();
    let a = db.attribute(Keyword::new("few")).unwrap().id;
    let key = Key { a: Some(a), ..Key::default() };
    for direction in [Direction::Forward, Direction::Reverse] {
        for pass in 0..3 {
            kind.read();
            let (from, to) = (Cut::before(key.clone()), Cut::after(key.clone()));
            let mut cursor = then.cursor(Order::Avet, Some(&from), Some(&to), direction).unwrap();
            let mut rows = 0;
            while let Some(chunk) = cursor.next().unwrap() {
                rows += chunk.len();
            }
            let (_, closed) = kind.read();
            assert_eq!(rows, 2000);
            assert!(closed <= if pass == 2 { 64 } else { 1100 }, "{direction:?}: {closed} closed rows");
        }
    }
    assert_eq!(q("[:find (count ?e) . :where [?e :few 1]]", &then).unwrap().to_value(), Value::Long(2000));
}
