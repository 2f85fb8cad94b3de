//! What is this kind's own: settings, buffers on their way through flushes and damage, what flushes and reads cost.

use std::sync::Arc;

use super::HitchhikerTree;
use crate::datom::{AttrId, Columns, Cut, Key, OPEN, Order, Row, TX0, Value};
use crate::edn::{self, Form, FormKind};
use crate::error::{ErrorKind, Result};
use crate::index::testing::{MemoryNodes, RandomRows, SortedRows, SplitMix};
use crate::index::{
    Address, Direction, Edit, Edits, Index, IndexKind, NoNodes, NodeSink, NodeSource, PersistentSet, Visibility,
};

fn settings(branch: usize, leaf: usize, buffer: usize) -> Form {
    let text = format!("{{:index-b-factor {branch} :index-data-node-size {leaf} :index-log-size {buffer}}}");
    edn::read(&text).expect("a map")
}

fn row(e: u64) -> Row {
    Row { e, a: AttrId(1), v: Value::Long(e as i64), tx: TX0 + 1, until: OPEN }
}

fn inserts(rows: impl IntoIterator<Item = Row>) -> Edits {
    Edits::sorted(Order::Eavt, rows.into_iter().map(|row| (row, Edit::Insert)).collect())
}

/// Rows 2, 4, … 2 `n` in a tree without edits in its buffers.
fn built(kind: &dyn IndexKind, settings: &Form, n: u64, nodes: &MemoryNodes) -> Arc<dyn Index> {
    let mut columns = Columns::default();
    (1..=n).for_each(|e| columns.push_row(&row(2 * e)));
    let mut sink = nodes.clone();
    let source = Arc::new(nodes.clone());
    let built = kind.build(Order::Eavt, settings, source, &mut std::iter::once(Ok(columns)), Some(&mut sink));
    built.expect("builds")
}

fn rows(index: &dyn Index, direction: Direction) -> Result<Vec<Row>> {
    let mut cursor = index.cursor(None, None, direction)?;
    let mut rows = Vec::new();
    while let Some(chunk) = cursor.next()? {
        let places = chunk.rows().map(|i| chunk.columns.row(i));
        match direction {
            Direction::Forward => rows.extend(places),
            Direction::Reverse => rows.extend(places.rev()),
        }
    }
    Ok(rows)
}

#[test]
fn settings_are_checked() {
    let check = |text: &str| HitchhikerTree.check_settings(&edn::read(text).expect("edn"));
    assert!(HitchhikerTree.check_settings(&FormKind::Nil.into()).is_ok());
    // Datahike's own.
    assert!(check("{:index-b-factor 17 :index-data-node-size 300 :index-log-size 283}").is_ok());
    assert!(check("{:index-log-size 1}").is_ok());
    for (text, wanted) in [
        ("{:index-b-factor 3}", ":index-b-factor must lie in 4 .. 1024, got 3"),
        ("{:index-data-node-size 65537}", ":index-data-node-size must lie in 4 .. 65536, got 65537"),
        ("{:index-log-size 0}", ":index-log-size must lie in 1 .. 65536, got 0"),
        ("{:index-log-size \"1\"}", ":index-log-size must be an integer, got \"1\""),
        ("{:branching-factor 64}", "the hitchhiker tree knows :index-b-factor, :index-data-node-size, :index-log-size"),
        ("[17 300 283]", ":index-config must be a map, got [17 300 283]"),
    ] {
        let error = check(text).expect_err(text);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Config, "config/index-config"), "{text}");
        assert!(error.message().starts_with(wanted), "{error}");
    }
}

#[test]
fn trees_of_all_sizes_hold_what_sorted_rows_hold() {
    let seed = std::env::var("TREERING_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    for case in 0..60 {
        let mut random = SplitMix(seed + case);
        let order = Order::ALL[case as usize % 6];
        let mut size = |least: u64, below: u64| (least + random.below(below)) as usize;
        let settings = settings(size(4, 6), size(4, 20), size(1, 60));
        let name = format!("TREERING_SEED={seed}, case {case}, {order:?}, {settings}");
        let nodes = MemoryNodes::new();
        let source: Arc<dyn NodeSource> = Arc::new(nodes.clone());
        let mut tree = HitchhikerTree.empty(order, &settings, Arc::clone(&source)).expect("an empty tree");
        let mut model = SortedRows.empty(order, &settings, Arc::new(NoNodes)).expect("an empty model");
        let mut made = RandomRows { random: random.clone(), order, entities: 60, mixed: case % 4 == 0 };
        for step in 0..25 {
            let edits = random_edits(&mut random, &mut made, &*model, order);
            tree = tree.apply(&edits).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            model = model.apply(&edits).expect("sorted rows apply");
            if step % 3 == 0 {
                let (_, root) = tree.flush(&mut nodes.clone()).expect("flushes");
                tree = HitchhikerTree.open(order, &root, &settings, Arc::clone(&source)).expect("opens");
            }
            compare(&name, &*tree, &*model, &mut made);
        }
    }
}

/// Inserts of rows that are absent, and removals of some that are there; now and then of nearly all.
fn random_edits(random: &mut SplitMix, made: &mut RandomRows, model: &dyn Index, order: Order) -> Edits {
    let present = rows(model, Direction::Forward).expect("sorted rows are read");
    let is_present = |row: &Row| present.binary_search_by(|x| order.compare(x, row)).is_ok();
    let most = [1, 3, 30, 300][random.below(4) as usize];
    let mut new: Vec<Row> = (0..random.below(most)).map(|_| made.row()).filter(|row| !is_present(row)).collect();
    new.sort_by(|x, y| order.compare(x, y));
    new.dedup_by(|x, y| order.compare(x, y).is_eq());
    let share = [0, 1, 5, 95][random.below(4) as usize];
    let old: Vec<Row> = present.iter().filter(|_| random.below(100) < share).cloned().collect();
    let new = new.into_iter().map(|row| (row, Edit::Insert));
    Edits::sorted(order, new.chain(old.into_iter().map(|row| (row, Edit::Remove))).collect())
}

fn compare(name: &str, tree: &dyn Index, model: &dyn Index, made: &mut RandomRows) {
    tree.check().unwrap_or_else(|e| panic!("{name}: {e:?}"));
    assert_eq!(tree.len(), model.len(), "{name}");
    for direction in [Direction::Forward, Direction::Reverse] {
        let read = |index: &dyn Index| rows(index, direction).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert!(read(tree) == read(model), "{name}: {direction:?}");
    }
    for _ in 0..5 {
        let cut = Cut::before(Key::of(&made.row()));
        assert_eq!(tree.rank(&cut).expect("ranks"), model.rank(&cut).expect("ranks"), "{name}: {cut:?}");
    }
}

#[test]
fn edits_undo_each_other_in_a_buffer_and_those_without_effect_are_refused() {
    let nodes = MemoryNodes::new();
    let index = built(&HitchhikerTree, &settings(8, 16, 50), 1000, &nodes);
    let one = |e: u64, edit: Edit| Edits::sorted(Order::Eavt, vec![(row(e), edit)]);
    let more = index.apply(&one(7, Edit::Insert)).expect("applies");
    let fewer = more.apply(&one(8, Edit::Remove)).expect("applies");
    assert_eq!((index.len(), more.len(), fewer.len()), (1000, 1001, 1000));
    let same =
        fewer.apply(&one(7, Edit::Remove)).and_then(|index| index.apply(&one(8, Edit::Insert))).expect("applies");
    let root = |index: &dyn Index| index.flush(&mut nodes.clone()).expect("flushes").1;
    assert_eq!(root(&*same), root(&*index));
    // In the buffer it is seen at once, below it by whoever comes there.
    for (index, e, edit) in [(&more, 7, Edit::Insert), (&fewer, 8, Edit::Remove)] {
        let error = index.apply(&one(e, edit)).expect_err("refused");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, "index/ineffective-edit"));
    }
    let wrong = index.apply(&one(8, Edit::Insert)).expect("is not looked for yet");
    let error = rows(&*wrong, Direction::Forward).expect_err("is seen by a reader");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "index/broken"));
    assert_eq!(wrong.check().expect_err("is seen by the check").code(), "index/broken");
}

/// Nodes and bytes of nodes and roots that so many flushes write, with so many new rows anywhere before each.
fn written(kind: &dyn IndexKind, flushes: usize, batch: usize) -> (usize, usize) {
    let nodes = MemoryNodes::new();
    let mut index = built(kind, &FormKind::Nil.into(), 200_000, &nodes);
    let before = (nodes.len(), nodes.total_bytes());
    let mut random = SplitMix(5);
    let mut new: Vec<u64> = (0..200_000).map(|e| 2 * e + 1).collect();
    let mut roots = 0;
    for _ in 0..flushes {
        let batch: Vec<Row> =
            (0..batch).map(|_| row(new.swap_remove(random.below(new.len() as u64) as usize))).collect();
        index = index.apply(&inserts(batch)).expect("applies");
        let (flushed, root) = index.flush(&mut nodes.clone()).expect("flushes");
        index = flushed;
        roots += root.len();
    }
    (nodes.len() - before.0, nodes.total_bytes() - before.1 + roots)
}

#[test]
fn scattered_edits_rewrite_fewer_nodes_than_without_buffers() {
    for (flushes, batch) in [(600, 1), (100, 10), (20, 100)] {
        let (plain, buffered) = (written(&PersistentSet, flushes, batch), written(&HitchhikerTree, flushes, batch));
        assert!(buffered.0 * 2 < plain.0, "{flushes} × {batch}: {buffered:?} nodes and bytes, without {plain:?}");
        // The buffer of the root is written with every flush: for a single edit that may be as much.
        assert!(
            batch == 1 || buffered.1 < plain.1,
            "{flushes} × {batch}: {buffered:?} nodes and bytes, without {plain:?}"
        );
    }
}

#[test]
fn one_edit_writes_no_node_and_a_count_reads_one_path() {
    let nodes = MemoryNodes::new();
    let index = built(&HitchhikerTree, &settings(8, 16, 50), 20_000, &nodes);
    let stored = nodes.len();
    let edited = index.apply(&inserts([row(20_001)])).expect("applies");
    let (_, root) = edited.flush(&mut nodes.clone()).expect("flushes");
    assert_eq!(nodes.len(), stored);
    let source = Arc::new(nodes.clone());
    let opened = HitchhikerTree.open(Order::Eavt, &root, &settings(8, 16, 50), source).expect("opens");
    assert_eq!((opened.len(), nodes.loads()), (20_001, 0));
    let cut = Cut::after(Key::of(&row(20_001)));
    assert_eq!(opened.rank(&cut).expect("ranks"), 10_001);
    assert!(nodes.loads() <= 5, "{} loads", nodes.loads());
}

#[test]
fn views_of_the_past_pass_over_nodes_but_not_over_buffered_rows() {
    let nodes = MemoryNodes::new();
    let index = built(&HitchhikerTree, &settings(8, 16, 50), 5000, &nodes);
    let late = Row { tx: TX0 + 9, ..row(4001) };
    let gone = Edits::sorted(Order::Eavt, vec![(late.clone(), Edit::Insert), (row(4002), Edit::Remove)]);
    let edited = index.apply(&gone).expect("applies");
    let since = Visibility { low: TX0 + 5, high: OPEN, events: false };
    for direction in [Direction::Forward, Direction::Reverse] {
        let before = nodes.loads();
        let mut cursor = edited.cursor_within(None, None, direction, since).expect("opens");
        let mut shown = Vec::new();
        while let Some(chunk) = cursor.next().expect("reads") {
            let rows = chunk.rows().map(|i| chunk.columns.row(i));
            shown.extend(rows.filter(|row| since.shows(row.tx, row.until)));
        }
        assert_eq!(shown, std::slice::from_ref(&late));
        assert!(nodes.loads() - before <= 5, "{} loads", nodes.loads() - before);
    }
}

#[test]
fn novelty_is_the_weight_of_the_nodes() {
    let mut index = HitchhikerTree.empty(Order::Eavt, &settings(4, 16, 8), Arc::new(NoNodes)).expect("an empty tree");
    for e in 1..2000 {
        index = index.apply(&inserts([row(e * 7 % 2003)])).expect("applies");
    }
    assert!(index.novelty() > 1999 * 16, "{}", index.novelty());
    let (_, flushed) = (index.check().expect("is right"), index.flush(&mut MemoryNodes::new()).expect("flushes").0);
    assert_eq!(flushed.novelty(), 0);
    for e in 1..2000 {
        let edits = Edits::sorted(Order::Eavt, vec![(row(e * 7 % 2003), Edit::Remove)]);
        index = index.apply(&edits).expect("applies");
    }
    assert_eq!((index.novelty(), index.len()), (0, 0));
}

#[test]
fn heavy_values_do_not_wait_in_buffers() {
    let heavy = |e: u64| Row { v: Value::Str(format!("{e}").repeat(40_000).into()), ..row(e) };
    let mut index = HitchhikerTree.empty(Order::Eavt, &settings(8, 64, 64), Arc::new(NoNodes)).expect("an empty tree");
    for batch in 0..4 {
        index = index.apply(&inserts((0..50).map(|i| heavy(100 + i * 4 + batch)))).expect("applies");
        index.check().expect("is right");
    }
    let (_, root) = index.flush(&mut MemoryNodes::new()).expect("flushes");
    // What a root repeats of its children are separators, which are short.
    assert!(root.len() < 100_000, "{} bytes", root.len());
    assert_eq!(rows(&*index, Direction::Reverse).expect("reads").len(), 200);
}

/// Bytes that are wrong, under whatever checksum: any answer, errors of the right kind, no panic.
#[test]
fn damaged_nodes_are_refused_or_read_but_never_panic() {
    let seed = std::env::var("TREERING_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(3);
    println!("TREERING_SEED={seed}");
    let nodes = MemoryNodes::new();
    let settings = settings(4, 8, 12);
    let mut random = SplitMix(seed);
    let mut made = RandomRows { random: random.clone(), order: Order::Aevt, entities: 50, mixed: true };
    let mut index = HitchhikerTree.empty(Order::Aevt, &settings, Arc::new(nodes.clone())).expect("an empty tree");
    for _ in 0..20 {
        let edits = random_edits(&mut random, &mut made, &*index, Order::Aevt);
        index = index.apply(&edits).expect("applies");
    }
    let (flushed, root) = index.flush(&mut nodes.clone()).expect("flushes");
    let mut addresses: Vec<Address> = Vec::new();
    let visited = flushed.walk(&mut |address| {
        addresses.push(address);
        Ok(true)
    });
    visited.expect("walks");
    assert!(addresses.len() > 20, "{}", addresses.len());
    let mut refused = 0;
    for _ in 0..4000 {
        let place = random.below(addresses.len() as u64 + 4) as usize;
        let (mut root, address) = (root.clone(), addresses.get(place).copied());
        let original = address.and_then(|address| nodes.bytes(address)).unwrap_or_default();
        let mut damaged = if address.is_some() { original.to_vec() } else { root.clone() };
        for _ in 0..=random.below(3) {
            let at = random.below(damaged.len() as u64) as usize;
            damaged[at] =
                if random.below(2) == 0 { damaged[at] ^ 1 << random.below(8) } else { random.below(256) as u8 };
        }
        match address {
            Some(address) => nodes.damage(address, &damaged),
            None => root = damaged,
        }
        if let Err(error) = use_all(&root, &settings, &nodes, &mut made) {
            let expected = error.kind() == ErrorKind::Corrupt || error.code() == "index/ineffective-edit";
            assert!(expected, "{error:?}");
            refused += 1;
        }
        if let Some(address) = address {
            nodes.damage(address, &original);
        }
    }
    assert!(refused > 1000, "{refused}");
}

fn use_all(root: &[u8], settings: &Form, nodes: &MemoryNodes, made: &mut RandomRows) -> Result<()> {
    let index = HitchhikerTree.open(Order::Aevt, root, settings, Arc::new(nodes.clone()))?;
    let checked = index.check();
    let edits = (0..30).map(|_| (made.row(), Edit::Insert));
    let mut edits: Vec<(Row, Edit)> = edits.collect();
    edits.sort_by(|(x, _), (y, _)| Order::Aevt.compare(x, y));
    edits.dedup_by(|(x, _), (y, _)| Order::Aevt.compare(x, y).is_eq());
    let edited = index.apply(&Edits::sorted(Order::Aevt, edits));
    let flushed = edited.and_then(|index| index.flush(&mut Nowhere));
    rows(&*index, Direction::Forward)?;
    rows(&*index, Direction::Reverse)?;
    index.rank(&Cut::after(Key::of(&made.row())))?;
    flushed?;
    checked
}

/// Forgets what it is given.
struct Nowhere;

impl NodeSink for Nowhere {
    fn put(&mut self, bytes: &[u8]) -> Result<Address> {
        Ok(Address { pack: 9, offset: 0, len: bytes.len() as u32 })
    }
}
