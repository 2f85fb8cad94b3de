//! What every kind of index must do, against a `BTreeSet`.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{MemoryNodes, RandomRows, SplitMix};
use crate::datom::{AttrId, Columns, Cut, Key, OPEN, Order, Row, Side, TX0, Value};
use crate::edn::{Form, FormKind};
use crate::error::Result;
use crate::index::{Cursor, Direction, Edit, Edits, Index, IndexKind, NodeSink, NodeSource, Visibility};

/// A row that sorts as the index sorts it.
#[derive(Debug, Clone)]
struct Sorted(Order, Row);

impl PartialEq for Sorted {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Sorted {}

impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.compare(&self.1, &other.1)
    }
}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

type Model = BTreeSet<Sorted>;

/// Runs the suite over `kind`: edits, cursors both ways, seeks, ranks, flushes, lazy reopening, walks and bulk builds,
/// in all six orders over values of all kinds. A kind that answers `index/not-durable` to a flush is spared the stored
/// part.
///
/// The seed is fixed, or that in the environment variable `TREERING_SEED`.
///
/// # Panics
/// When the kind breaks a rule; the message names the seed, the order and the rule.
pub fn conformance(kind: Arc<dyn IndexKind>) {
    conformance_with(kind, &FormKind::Nil.into());
}

/// [`conformance`] of indexes made with `settings`: those that lead to small nodes make deep trees of few rows.
///
/// # Panics
/// As [`conformance`] does.
pub fn conformance_with(kind: Arc<dyn IndexKind>, settings: &Form) {
    let seed = std::env::var("TREERING_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for order in Order::ALL {
        for (entities, mixed) in [(400, false), (60, true)] {
            let random = SplitMix(seed ^ (order as u64) << 8 ^ u64::from(mixed) << 16);
            let name = format!("{} {order:?}, mixed {mixed}, TREERING_SEED={seed}", kind.keyword());
            let rows = RandomRows { random, order, entities, mixed };
            let settings = settings.clone();
            let mut suite = Suite { kind: Arc::clone(&kind), settings, order, rows, name };
            suite.edits_and_reads();
            let durable = suite.stored();
            suite.built(durable);
            suite.renews(durable);
        }
    }
}

struct Suite {
    kind: Arc<dyn IndexKind>,
    settings: Form,
    order: Order,
    rows: RandomRows,
    name: String,
}

impl Suite {
    fn ok<T>(&self, what: &str, result: Result<T>) -> T {
        result.unwrap_or_else(|e| panic!("{}: {what}: {e:?}", self.name))
    }

    fn empty(&self, nodes: Arc<dyn NodeSource>) -> Arc<dyn Index> {
        self.ok("empty", self.kind.empty(self.order, &self.settings, nodes))
    }

    /// An effective batch: `inserts` tries to insert, `removes` tries to remove; the model is changed along.
    fn batch(&mut self, model: &mut Model, inserts: usize, removes: usize) -> Edits {
        let mut edits = Vec::new();
        let mut touched = Model::new();
        for _ in 0..inserts {
            let row = Sorted(self.order, self.rows.row());
            if !model.contains(&row) && touched.insert(row.clone()) {
                edits.push((row.1, Edit::Insert));
            }
        }
        // Runs of neighbours, so that whole nodes go.
        let mut left = removes;
        while left > 0 && !model.is_empty() {
            let from = Sorted(self.order, self.rows.row());
            let n = (1 + self.rows.random.below(left as u64) as usize).min(left);
            for row in model.range(from..).take(n) {
                if touched.insert(row.clone()) {
                    edits.push((row.1.clone(), Edit::Remove));
                }
            }
            left -= n;
        }
        for (row, edit) in &edits {
            let row = Sorted(self.order, row.clone());
            match edit {
                Edit::Insert => model.insert(row),
                Edit::Remove => model.remove(&row),
            };
        }
        Edits::sorted(self.order, edits)
    }

    fn edits_and_reads(&mut self) {
        let mut index = self.empty(Arc::new(MemoryNodes::new()));
        let mut model = Model::new();
        self.compare(&*index, &model);
        let steps: [(usize, usize); 14] = [
            (1, 0),
            (3, 1),
            (600, 0),
            (1, 1),
            (0, 40),
            (4000, 10),
            (30, 30),
            (1, 0),
            (0, 1),
            (100, 3000),
            (2000, 2000),
            (7, 2500),
            (0, 2000),
            (50, 5),
        ];
        for (inserts, removes) in steps {
            let edits = self.batch(&mut model, inserts, removes);
            let before = Arc::clone(&index);
            let (rows_before, len_before) = (self.all(&*before, Direction::Forward), before.len());
            index = self.ok("apply", index.apply(&edits));
            self.compare(&*index, &model);
            let same = self.all(&*before, Direction::Forward) == rows_before && before.len() == len_before;
            assert!(same, "{}: apply changed the index it was called on", self.name);
        }
        // Down to nothing and up again.
        let rest = model.iter().map(|row| (row.1.clone(), Edit::Remove)).collect();
        index = self.ok("remove all", index.apply(&Edits::sorted(self.order, rest)));
        model.clear();
        self.compare(&*index, &model);
        let edits = self.batch(&mut model, 500, 0);
        index = self.ok("apply to an emptied index", index.apply(&edits));
        self.compare(&*index, &model);
        // Single edits, as small transactions make them.
        for i in 0..300 {
            let edits = self.batch(&mut model, 1 + i % 3, i % 2);
            index = self.ok("apply", index.apply(&edits));
        }
        self.compare(&*index, &model);
    }

    fn all(&self, index: &dyn Index, direction: Direction) -> Vec<Row> {
        let mut cursor = self.ok("cursor", index.cursor(None, None, direction));
        self.drain(&mut *cursor, direction)
    }

    fn drain(&self, cursor: &mut dyn Cursor, direction: Direction) -> Vec<Row> {
        let mut rows = Vec::new();
        while let Some(chunk) = self.ok("next", cursor.next()) {
            assert!(!chunk.is_empty(), "{}: an empty chunk", self.name);
            let places: Vec<usize> = match direction {
                Direction::Forward => chunk.rows().collect(),
                Direction::Reverse => chunk.rows().rev().collect(),
            };
            rows.extend(places.into_iter().map(|i| chunk.columns.row(i)));
        }
        assert!(self.ok("next after the end", cursor.next()).is_none(), "{}: rows after the end", self.name);
        rows
    }

    fn random_cut(&mut self, model: &Model) -> Cut {
        let mut key = Key::of(&self.rows.row());
        if self.rows.random.below(2) == 0 && !model.is_empty() {
            // Near a row that is there.
            let from = Sorted(self.order, self.rows.row());
            if let Some(row) = model.range(from..).next() {
                key = Key::of(&row.1);
            }
        }
        let keep = self.rows.random.below(6) as usize;
        for component in self.order.components().iter().skip(keep) {
            use crate::datom::Component::{A, E, Tx, Until, V};
            match component {
                E => key.e = None,
                A => key.a = None,
                V => key.v = None,
                Tx => key.tx = None,
                Until => key.until = None,
            }
        }
        Cut { key, side: if self.rows.random.below(2) == 0 { Side::Before } else { Side::After } }
    }

    fn compare(&mut self, index: &dyn Index, model: &Model) {
        self.ok("check", index.check());
        assert_eq!(index.order(), self.order, "{}: order", self.name);
        assert_eq!(index.len(), model.len() as u64, "{}: len", self.name);
        assert_eq!(index.is_empty(), model.is_empty(), "{}: is_empty", self.name);
        let rows: Vec<Row> = model.iter().map(|row| row.1.clone()).collect();
        assert!(self.all(index, Direction::Forward) == rows, "{}: rows forward", self.name);
        let mut reversed = self.all(index, Direction::Reverse);
        reversed.reverse();
        assert!(reversed == rows, "{}: rows in reverse", self.name);
        for _ in 0..10 {
            self.compare_range(index, model, &rows);
        }
    }

    fn compare_range(&mut self, index: &dyn Index, model: &Model, rows: &[Row]) {
        let cut = |suite: &mut Self| (suite.rows.random.below(6) > 0).then(|| suite.random_cut(model));
        let (from, to) = (cut(self), cut(self));
        let place = |cut: &Cut| rows.partition_point(|row| is_before(row, cut, self.order));
        let start = from.as_ref().map_or(0, place);
        let end = to.as_ref().map_or(rows.len(), place).max(start);
        let name = format!("{}: {from:?} to {to:?}", self.name);
        if let Some(cut) = &from {
            assert_eq!(self.ok("rank", index.rank(cut)), start as u64, "{name}: rank");
        }
        let counted = self.ok("count", index.count(from.as_ref(), to.as_ref()));
        assert_eq!(counted, (end - start) as u64, "{name}: count");
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut wanted = rows[start..end].to_vec();
            if direction == Direction::Reverse {
                wanted.reverse();
            }
            let mut cursor = self.ok("cursor", index.cursor(from.as_ref(), to.as_ref(), direction));
            assert!(self.drain(&mut *cursor, direction) == wanted, "{name}: {direction:?}");
            self.compare_seeks(index, (from.as_ref(), to.as_ref()), direction, model, &wanted);
            self.compare_within(index, (from.as_ref(), to.as_ref()), direction, &wanted);
        }
    }

    /// Reads with seeks in between: each chunk goes on where the rows passed and the cut allow.
    fn compare_seeks(
        &mut self,
        index: &dyn Index,
        (from, to): (Option<&Cut>, Option<&Cut>),
        direction: Direction,
        model: &Model,
        wanted: &[Row],
    ) {
        let mut cursor = self.ok("cursor", index.cursor(from, to, direction));
        let mut passed = 0;
        for _ in 0..6 {
            for _ in 0..self.rows.random.below(3) {
                let cut = self.random_cut(model);
                self.ok("seek", cursor.seek(&cut));
                let skipped = |row: &&Row| match direction {
                    Direction::Forward => is_before(row, &cut, self.order),
                    Direction::Reverse => !is_before(row, &cut, self.order),
                };
                passed = passed.max(wanted.iter().take_while(skipped).count());
            }
            let Some(chunk) = self.ok("next", cursor.next()) else {
                assert_eq!(passed, wanted.len(), "{}: a cursor ended before the end after a seek", self.name);
                return;
            };
            let mut rows: Vec<Row> = chunk.rows().map(|i| chunk.columns.row(i)).collect();
            if direction == Direction::Reverse {
                rows.reverse();
            }
            let expected = wanted.get(passed..(passed + rows.len()).min(wanted.len())).unwrap_or(&[]);
            assert!(rows == expected, "{}: {direction:?}: rows after a seek", self.name);
            passed += rows.len();
        }
    }

    /// A cursor with a hint gives every row that the view shows, in order, and no row twice.
    fn compare_within(
        &mut self,
        index: &dyn Index,
        (from, to): (Option<&Cut>, Option<&Cut>),
        direction: Direction,
        wanted: &[Row],
    ) {
        let mut transaction = |most: u64| crate::datom::TX0 + self.rows.random.below(most);
        let (low, high) = (transaction(30), transaction(45));
        let visibility = Visibility { low, high, events: self.rows.random.below(2) == 0 };
        let mut cursor = self.ok("cursor_within", index.cursor_within(from, to, direction, visibility));
        let shown = |rows: &[Row]| -> Vec<Row> {
            rows.iter().filter(|row| visibility.shows(row.tx, row.until)).cloned().collect()
        };
        let got = self.drain(&mut *cursor, direction);
        assert!(shown(&got) == shown(wanted), "{}: rows within {visibility:?}", self.name);
    }

    /// Answers whether the kind can be stored.
    fn stored(&mut self) -> bool {
        let nodes = MemoryNodes::new();
        let source: Arc<dyn NodeSource> = Arc::new(nodes.clone());
        let settings = self.settings.clone();
        let mut index = self.empty(Arc::clone(&source));
        let mut model = Model::new();
        for (inserts, removes) in [(0, 0), (2000, 0), (40, 10), (1, 0), (500, 1500), (1000, 0)] {
            let edits = self.batch(&mut model, inserts, removes);
            index = self.ok("apply", index.apply(&edits));
            let mut sink = nodes.clone();
            let (flushed, root) = match index.flush(&mut sink) {
                Err(e) if e.code() == "index/not-durable" => return false,
                result => self.ok("flush", result),
            };
            assert_eq!(flushed.novelty(), 0, "{}: novelty after a flush", self.name);
            self.compare(&*flushed, &model);
            // A second flush has nothing to write.
            let stored = nodes.len();
            let (_, root_again) = self.ok("flush", flushed.flush(&mut sink));
            assert_eq!((nodes.len(), &root_again), (stored, &root), "{}: a flush of clean nodes", self.name);
            // What is read back is the same, may be edited, and knows its nodes.
            let opened = self.ok("open", self.kind.open(self.order, &root, &settings, Arc::clone(&source)));
            self.compare(&*opened, &model);
            self.compare_walk(&*opened, &nodes);
            index = opened;
        }
        self.few_nodes_for_few_rows(&index, &nodes, &mut model);
        self.survives_damage(&index, &nodes);
        true
    }

    fn compare_walk(&self, index: &dyn Index, nodes: &MemoryNodes) {
        let known: HashSet<_> = nodes.addresses().into_iter().collect();
        let mut seen = HashSet::new();
        let walked = index.walk(&mut |address| {
            assert!(known.contains(&address), "{}: walk names {address:?}, which was never stored", self.name);
            assert!(seen.insert(address), "{}: walk names {address:?} twice", self.name);
            Ok(true)
        });
        self.ok("walk", walked);
        // The nodes that were walked are all that reading needs.
        let spare = MemoryNodes::new();
        for address in &seen {
            spare.damage(*address, &nodes.bytes(*address).unwrap_or_default());
        }
        let (_, root) = self.ok("flush", index.flush(&mut nodes.clone()));
        let alone = self.kind.open(self.order, &root, &self.settings, Arc::new(spare));
        let alone = self.ok("open", alone);
        assert!(
            self.all(&*alone, Direction::Forward) == self.all(index, Direction::Forward),
            "{}: rows from the nodes of a walk",
            self.name
        );
        // Who answers false is not asked about what lies below.
        let mut first_level = 0;
        let walked = index.walk(&mut |_| {
            first_level += 1;
            Ok(false)
        });
        self.ok("walk", walked);
        assert!(first_level <= seen.len(), "{}: walk went on below a node that was to be passed over", self.name);
    }

    /// Opening reads little, and one edit leads to few new nodes.
    fn few_nodes_for_few_rows(&mut self, index: &Arc<dyn Index>, nodes: &MemoryNodes, model: &mut Model) {
        let stored = nodes.len();
        let edits = self.batch(model, 1, 0);
        let edited = self.ok("apply", index.apply(&edits));
        let mut sink = nodes.clone();
        self.ok("flush", edited.flush(&mut sink));
        assert!(nodes.len() - stored <= 16, "{}: {} nodes for one edit", self.name, nodes.len() - stored);
    }

    /// Damaged bytes are errors, not panics.
    fn survives_damage(&mut self, index: &Arc<dyn Index>, nodes: &MemoryNodes) {
        let (_, root) = self.ok("flush", index.flush(&mut nodes.clone()));
        let settings = self.settings.clone();
        for length in (0..root.len()).step_by(1 + root.len() / 40) {
            let source: Arc<dyn NodeSource> = Arc::new(MemoryNodes::new());
            // Cut short, a root is refused now or when its nodes are looked for.
            if let Ok(index) = self.kind.open(self.order, &root[..length], &settings, source) {
                let read = index.cursor(None, None, Direction::Forward).and_then(|mut cursor| cursor.next());
                assert!(index.is_empty() || read.is_err(), "{}: a root cut short was read", self.name);
            }
        }
        let addresses = nodes.addresses();
        for _ in 0..addresses.len().min(12) {
            let address = addresses[self.rows.random.below(addresses.len() as u64) as usize];
            let Some(bytes) = nodes.bytes(address) else { continue };
            let mut damaged = bytes.to_vec();
            let at = self.rows.random.below(damaged.len() as u64) as usize;
            damaged[at] ^= 1 << self.rows.random.below(8);
            nodes.damage(address, &damaged);
            // Either the decoder sees it, or rows are other rows; whatever is read, nothing panics.
            if let Ok(index) = self.kind.open(self.order, &root, &settings, Arc::new(nodes.clone())) {
                let _ = index.check();
            }
            nodes.damage(address, &bytes);
        }
    }

    /// Rows that were removed and forgotten stand in no node, and what is detached is stored anew.
    fn renews(&mut self, durable: bool) {
        let nodes = MemoryNodes::new();
        let until = if self.order.is_history() { TX0 + 2 } else { OPEN };
        let row =
            |i: u64, v: u64| Row { e: 1 + i / 3, a: AttrId(7), v: format!("{v:016x}").into(), tx: TX0 + 1, until };
        let rows: Vec<Row> = (0..900).map(|i| row(i, self.rows.random.next_u64())).collect();
        let all = rows.iter().map(|row| (row.clone(), Edit::Insert)).collect();
        let mut index = self.empty(Arc::new(nodes.clone()));
        index = self.ok("apply", index.apply(&Edits::sorted(self.order, all)));
        if durable {
            index = self.ok("flush", index.flush(&mut nodes.clone())).0;
        }
        let old: HashSet<_> = nodes.addresses().into_iter().collect();
        let (gone, stay): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.e % 5 < 2);
        let removals = gone.iter().map(|row| (row.clone(), Edit::Remove)).collect();
        let removed = self.ok("apply", index.apply(&Edits::sorted(self.order, removals)));
        let range = |row: &Row| (Cut::before(Key::of(row)), Cut::after(Key::of(row)));
        let ranges: Vec<_> = gone.iter().map(range).collect();
        let forgotten = self.ok("forget", removed.forget(&ranges));
        let model: Model = stay.into_iter().map(|row| Sorted(self.order, row)).collect();
        self.compare(&*forgotten, &model);
        let detached = self.ok("detach", forgotten.detach(&|address| old.contains(&address)));
        self.compare(&*detached, &model);
        if !durable {
            return;
        }
        let (flushed, root) = self.ok("flush", detached.flush(&mut nodes.clone()));
        self.compare(&*flushed, &model);
        let mut stored = vec![root];
        let walked = flushed.walk(&mut |address| {
            assert!(!old.contains(&address), "{}: {address:?} was detached", self.name);
            stored.push(nodes.bytes(address).unwrap_or_default().to_vec());
            Ok(true)
        });
        self.ok("walk", walked);
        for row in &gone {
            let Value::Str(text) = &row.v else { continue };
            let stands = |bytes: &Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!stored.iter().any(stands), "{}: {text} is not forgotten", self.name);
        }
    }

    fn built(&mut self, durable: bool) {
        let settings = self.settings.clone();
        for size in [0, 1, 100, 3000] {
            let mut model = Model::new();
            self.batch(&mut model, size, 0);
            let rows: Vec<Row> = model.iter().map(|row| row.1.clone()).collect();
            let mut pieces = rows.chunks(700).map(|piece| {
                let mut columns = Columns::default();
                piece.iter().for_each(|row| columns.push_row(row));
                Ok(columns)
            });
            let nodes = MemoryNodes::new();
            let source: Arc<dyn NodeSource> = Arc::new(nodes.clone());
            let mut sink = nodes.clone();
            let with_sink: Option<&mut dyn NodeSink> = if durable && size % 2 == 0 { Some(&mut sink) } else { None };
            let built = self.kind.build(self.order, &settings, source, &mut pieces, with_sink);
            let built = self.ok("build", built);
            self.compare(&*built, &model);
            let edits = self.batch(&mut model, 200, 100);
            let edited = self.ok("apply to a built index", built.apply(&edits));
            self.compare(&*edited, &model);
        }
    }
}

/// Whether `row` lies before `cut`.
fn is_before(row: &Row, cut: &Cut, order: Order) -> bool {
    use crate::datom::Component::{A, E, Tx, Until, V};
    for component in order.components() {
        let by_component = match component {
            E => cut.key.e.map(|x| row.e.cmp(&x)),
            A => cut.key.a.map(|x| row.a.cmp(&x)),
            V => cut.key.v.as_ref().map(|x| row.v.cmp(x)),
            Tx => cut.key.tx.map(|x| row.tx.cmp(&x)),
            Until => cut.key.until.map(|x| row.until.cmp(&x)),
        };
        match by_component {
            None => break,
            Some(Ordering::Equal) => {}
            Some(different) => return different == Ordering::Less,
        }
    }
    cut.side == Side::After
}
