//! The kinds of index beside each other: what a flush writes after so many scattered changes, and what reads cost.
//! `cargo bench --bench index --features testing -- kinds [people]`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use treering::edn;
use treering::index::testing::SplitMix;
use treering::index::{
    Address, Decode, Edit, Edits, HitchhikerTree, Index, IndexKind, Node, NodeSink, NodeSource, PersistentSet,
};
use treering::{Columns, Cut, Error, ErrorKind, Key, OPEN, Order, Result, Row, TX0, Value};

use super::{ORDERS, Person, SALARY, average, entity, time};

/// A store that keeps every node decoded, as a cache that is large enough would.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<Option<KeptNode>>>>);

struct KeptNode(Arc<dyn Node>);

impl std::fmt::Debug for KeptNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptNode")
    }
}

impl NodeSource for Kept {
    fn load(&self, address: Address, _: Decode<'_>) -> Result<Arc<dyn Node>> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match nodes.get(address.offset as usize) {
            Some(Some(KeptNode(node))) => Ok(Arc::clone(node)),
            _ => Err(Error::new(ErrorKind::Corrupt, "index/node-not-found", format!("no node at {address:?}"))),
        }
    }
}

impl Kept {
    /// Forgets the nodes that none of the indexes needs.
    fn retain(&self, indexes: &[Arc<dyn Index>]) -> Result<()> {
        let mut needed = HashSet::new();
        for index in indexes {
            index.walk(&mut |address| Ok(needed.insert(address.offset as usize)))?;
        }
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.iter_mut().enumerate().filter(|(i, _)| !needed.contains(i)).for_each(|(_, node)| *node = None);
        Ok(())
    }

    fn keep(&self, node: Option<Arc<dyn Node>>, len: usize) -> Address {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.push(node.map(KeptNode));
        Address { pack: 7, offset: nodes.len() as u32 - 1, len: len as u32 }
    }
}

/// Counts what is written.
struct Writing {
    kept: Kept,
    nodes: usize,
    bytes: usize,
}

impl NodeSink for Writing {
    fn put(&mut self, bytes: &[u8]) -> Result<Address> {
        self.nodes += 1;
        self.bytes += bytes.len();
        Ok(self.kept.keep(None, bytes.len()))
    }

    fn put_node(&mut self, bytes: &[u8], node: Arc<dyn Node>) -> Result<Address> {
        self.nodes += 1;
        self.bytes += bytes.len();
        Ok(self.kept.keep(Some(node), bytes.len()))
    }
}

/// The salaries as they stand, with the transactions that said so.
struct Salaries {
    random: SplitMix,
    now: HashMap<usize, (i64, u64)>,
    tx: u64,
}

impl Salaries {
    /// New salaries of so many people, anyone of them: a row less and a row more for each, in each order.
    fn change(&mut self, people: &[Person], n: usize) -> Vec<Edits> {
        self.tx += 1;
        let mut rows: HashMap<usize, [Row; 2]> = HashMap::new();
        for _ in 0..n {
            let i = self.random.below(people.len() as u64) as usize;
            if rows.contains_key(&i) {
                continue;
            }
            let (old, since) = self.now.get(&i).copied().unwrap_or((people[i].salary, TX0 + 1));
            let new = self.random.below(100_000) as i64;
            self.now.insert(i, (new, self.tx));
            let row = |v: i64, tx: u64| Row { e: i as u64 + 1, a: SALARY, v: Value::Long(v), tx, until: OPEN };
            rows.insert(i, [row(old, since), row(new, self.tx)]);
        }
        let edits = |order: &Order| {
            let both = rows.values().flat_map(|[old, new]| [(old.clone(), Edit::Remove), (new.clone(), Edit::Insert)]);
            Edits::sorted(*order, both.collect())
        };
        ORDERS.iter().map(edits).collect()
    }
}

fn measure(
    name: &str,
    kind: &dyn IndexKind,
    settings: &str,
    people: &[Person],
    pieces: &[Vec<Columns>; 3],
) -> Result<()> {
    let settings = if settings.is_empty() { edn::FormKind::Nil.into() } else { edn::read(settings)? };
    let kept = Kept::default();
    let mut sink = Writing { kept: kept.clone(), nodes: 0, bytes: 0 };
    let mut indexes: Vec<Arc<dyn Index>> = Vec::new();
    for (order, pieces) in ORDERS.into_iter().zip(pieces) {
        let source: Arc<dyn NodeSource> = Arc::new(kept.clone());
        let mut rows = pieces.iter().cloned().map(Ok);
        indexes.push(kind.build(order, &settings, source, &mut rows, Some(&mut sink))?);
    }
    let mut salaries = Salaries { random: SplitMix(11), now: HashMap::new(), tx: TX0 + 1 };
    let mut cells = Vec::new();
    for (batch, flushes) in [(1, 2000), (10, 500), (100, 200), (1000, 50), (10_000, 5)] {
        // Half of the flushes bring the tree into the state that such batches lead to.
        let (mut roots, mut applied, mut retained) = (0, Duration::ZERO, sink.nodes);
        for flush in 0..2 * flushes {
            if flush == flushes {
                (sink.nodes, sink.bytes, roots, applied) = (0, 0, 0, Duration::ZERO);
                retained = 0;
            }
            for (index, edits) in indexes.iter_mut().zip(salaries.change(people, batch)) {
                let start = Instant::now();
                *index = index.apply(&edits)?;
                applied += start.elapsed();
                let (flushed, root) = index.flush(&mut sink)?;
                *index = flushed;
                roots += root.len();
            }
            if sink.nodes > retained + 20_000 {
                kept.retain(&indexes)?;
                retained = sink.nodes;
            }
        }
        let changes = (batch * flushes) as f64;
        cells.push(format!(
            "{:.2} / {:.0} + {:.0} / {:.1}",
            sink.nodes as f64 / changes,
            sink.bytes as f64 / changes,
            roots as f64 / changes,
            applied.as_secs_f64() * 1e6 / changes,
        ));
    }
    let (eavt, aevt, avet) = (&*indexes[0], &*indexes[1], &*indexes[2]);
    let (scan, averaged) = time(9, || average(aevt));
    let mut random = SplitMix(3);
    let (points, found) = time(3, || {
        (0..20_000).map(|_| entity(eavt, 1 + random.below(people.len() as u64)).unwrap_or(0)).sum::<usize>()
    });
    let (ranks, ranked) = time(3, || {
        let salary = |n: u64| Key { a: Some(SALARY), v: Some(Value::Long(n as i64)), ..Key::default() };
        (0..20_000).filter(|_| avet.rank(&Cut::before(salary(random.below(100_000)))).is_ok()).count()
    });
    // All that reading everything needs in memory.
    let mut resident = 0;
    for index in &indexes {
        index.walk(&mut |address| {
            resident += kept.load(address, &|_| unreachable!("all nodes are kept"))?.weight();
            Ok(true)
        })?;
    }
    println!(
        "| {name} | {} | {:.2} ({}) | {:.0} ({found}) | {:.0} ({ranked}) | {:.1} |",
        cells.join(" | "),
        scan.as_secs_f64() * 1e3,
        averaged?.1,
        points.as_secs_f64() * 1e9 / 20_000.0,
        ranks.as_secs_f64() * 1e9 / 20_000.0,
        resident as f64 / eavt.len() as f64,
    );
    Ok(())
}

/// Measures the kinds, and sizes of buffers.
pub fn compare(people: &[Person], pieces: &[Vec<Columns>; 3]) -> Result<()> {
    println!(
        "| kind | 1 | 10 | 100 | 1,000 | 10,000 | scan ms | entity ns | rank ns | bytes per row in memory |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    measure("persistent set", &PersistentSet, "", people, pieces)?;
    for (branch, buffer) in
        [(16, 64), (16, 128), (16, 256), (32, 64), (32, 128), (32, 256), (32, 512), (64, 128), (64, 256), (32, 4096)]
    {
        let settings = format!("{{:index-b-factor {branch} :index-log-size {buffer}}}");
        measure(&format!("hitchhiker tree, {branch} / {buffer}"), &HitchhikerTree, &settings, people, pieces)?;
    }
    Ok(())
}
