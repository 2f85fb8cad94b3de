//! What is this kind's own: settings, refusals, sizes.

use std::sync::Arc;

use super::PersistentSet;
use crate::datom::{AttrId, Columns, OPEN, Order, Row, TX0, Value};
use crate::edn::{Form, FormKind, Keyword};
use crate::error::ErrorKind;
use crate::index::testing::MemoryNodes;
use crate::index::{Edit, Edits, Index, IndexKind, NoNodes};

fn factor(n: FormKind) -> Form {
    FormKind::Map(vec![(FormKind::Keyword(Keyword::new("branching-factor")).into(), n.into())]).into()
}

fn empty(n: i64) -> Arc<dyn Index> {
    PersistentSet.empty(Order::Eavt, &factor(FormKind::Int(n)), Arc::new(NoNodes)).expect("settings are right")
}

fn row(e: u64) -> Row {
    Row { e, a: AttrId(1), v: Value::Long(e as i64), tx: TX0 + 1, until: OPEN }
}

#[test]
fn settings_are_checked() {
    let refused = |form: Form| PersistentSet.check_settings(&form).expect_err("refused").kind();
    assert!(PersistentSet.check_settings(&FormKind::Nil.into()).is_ok());
    assert!(PersistentSet.check_settings(&factor(FormKind::Int(512))).is_ok());
    assert_eq!(refused(factor(FormKind::Int(15))), ErrorKind::Config);
    assert_eq!(refused(factor(FormKind::Int(-1))), ErrorKind::Config);
    assert_eq!(refused(factor(FormKind::Int(1 << 17))), ErrorKind::Config);
    assert_eq!(refused(factor(FormKind::Bool(true))), ErrorKind::Config);
    assert_eq!(refused(FormKind::Int(512).into()), ErrorKind::Config);
    let unknown = FormKind::Map(vec![(FormKind::Keyword(Keyword::new("fan")).into(), FormKind::Int(1).into())]);
    assert_eq!(refused(unknown.into()), ErrorKind::Config);
}

#[test]
fn edits_without_effect_are_refused() {
    let some: Vec<_> = (1..100).map(|e| (row(e * 2), Edit::Insert)).collect();
    let index = empty(16).apply(&Edits::sorted(Order::Eavt, some)).expect("applies");
    for (e, edit) in [(20, Edit::Insert), (21, Edit::Remove), (1, Edit::Remove), (500, Edit::Remove)] {
        let error = index.apply(&Edits::sorted(Order::Eavt, vec![(row(e), edit)])).expect_err("refused");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, "index/ineffective-edit"));
    }
    let none = empty(16).apply(&Edits::sorted(Order::Eavt, vec![(row(1), Edit::Remove)]));
    assert_eq!(none.expect_err("refused").code(), "index/ineffective-edit");
}

#[test]
fn rows_to_build_from_must_ascend() {
    let piece = |es: [u64; 2]| {
        let mut columns = Columns::default();
        es.iter().for_each(|e| columns.push_row(&row(*e)));
        Ok(columns)
    };
    for pieces in [[[1, 2], [2, 3]], [[1, 1], [2, 3]], [[5, 6], [2, 3]]] {
        let mut rows = pieces.into_iter().map(piece);
        let built = PersistentSet.build(Order::Eavt, &FormKind::Nil.into(), Arc::new(NoNodes), &mut rows, None);
        assert_eq!(built.expect_err("refused").code(), "index/unsorted");
    }
}

#[test]
fn heavy_values_make_small_leaves() {
    let heavy = |e: u64| Row { v: Value::Str(format!("{e}").repeat(40_000).into()), ..row(e) };
    let mut index = empty(256);
    for batch in 0..4 {
        let edits = (0..50).map(|i| (heavy(100 + i * 4 + batch), Edit::Insert)).collect();
        index = index.apply(&Edits::sorted(Order::Eavt, edits)).expect("applies");
        index.check().expect("is right");
    }
    let mut cursor = index.cursor(None, None, crate::index::Direction::Forward).expect("opens");
    let mut rows = 0;
    while let Some(chunk) = cursor.next().expect("reads") {
        assert!(chunk.columns.v.heap_len() <= 2 << 20, "{} bytes", chunk.columns.v.heap_len());
        rows += chunk.len();
    }
    assert_eq!(rows, 200);
    let edits = (0..190).map(|i| (heavy(100 + i), Edit::Remove)).collect();
    index = index.apply(&Edits::sorted(Order::Eavt, edits)).expect("applies");
    index.check().expect("is right");
    assert_eq!(index.len(), 10);
}

#[test]
fn what_a_flush_stores_is_not_stored_again_by_younger_values() {
    let nodes = MemoryNodes::new();
    let settings = factor(FormKind::Int(16));
    let mut index = PersistentSet.empty(Order::Eavt, &settings, Arc::new(nodes.clone())).expect("settings are right");
    for e in 1..2000 {
        index = index.apply(&Edits::sorted(Order::Eavt, vec![(row(e * 7 % 2003), Edit::Insert)])).expect("applies");
    }
    let edit = |e| Edits::sorted(Order::Eavt, vec![(row(e), Edit::Insert)]);
    let younger = index.apply(&edit(5000)).expect("applies");
    let novelty = younger.novelty();
    index.flush(&mut nodes.clone()).expect("flushes");
    let stored = nodes.len();
    // Also those that are made of one that has not let go of the nodes.
    let youngest = younger.apply(&edit(5001)).expect("applies");
    for index in [younger, youngest] {
        let settled = index.settled().expect("settles");
        assert!(settled.novelty() < novelty / 20, "{} of {novelty}", settled.novelty());
        settled.check().expect("is right");
        let before = nodes.len();
        let (flushed, _) = settled.flush(&mut nodes.clone()).expect("flushes");
        // A path from the root, and what a split adds to it.
        assert!(nodes.len() - before <= 6, "{} nodes after {stored}", nodes.len() - before);
        assert_eq!((flushed.novelty(), flushed.len()), (0, index.len()));
        flushed.check().expect("is right");
    }
}

#[test]
fn novelty_is_the_weight_of_the_nodes() {
    let mut index = empty(16);
    for e in 1..2000 {
        index = index.apply(&Edits::sorted(Order::Eavt, vec![(row(e * 7 % 2003), Edit::Insert)])).expect("applies");
    }
    assert!(index.novelty() > 1999 * 16, "{}", index.novelty());
    for e in 1..2000 {
        index = index.apply(&Edits::sorted(Order::Eavt, vec![(row(e * 7 % 2003), Edit::Remove)])).expect("applies");
    }
    assert_eq!(index.novelty(), 0);
}

/// Text rows in AVET, as many batches scatter them over all leaves.
fn scattered(n: u64, tx: u64) -> Vec<(Row, Edit)> {
    let text = |e: u64| format!("{}@example.org", e.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24);
    let row = |e: u64| Row { e, a: AttrId(1), v: Value::Str(text(e).into()), tx: TX0 + tx, until: OPEN };
    (tx * n..(tx + 1) * n).map(|e| (row(e), Edit::Insert)).collect()
}

fn rows_of(index: &dyn Index) -> Vec<Row> {
    let mut cursor = index.cursor(None, None, crate::index::Direction::Forward).expect("opens");
    let mut rows = Vec::new();
    while let Some(chunk) = cursor.next().expect("reads") {
        rows.extend(chunk.rows().map(|i| chunk.columns.row(i)));
    }
    rows
}

#[test]
fn leaves_take_the_room_that_their_rows_need() {
    let mut index = PersistentSet.empty(Order::Avet, &FormKind::Nil.into(), Arc::new(NoNodes)).expect("is made");
    for tx in 0..60 {
        index = index.apply(&Edits::sorted(Order::Avet, scattered(200, tx))).expect("applies");
    }
    index.check().expect("is right");
    // An entity, a transaction, a cell and the text itself.
    let text = |row: &Row| if let Value::Str(text) = &row.v { text.len() } else { 0 };
    let needed: usize = rows_of(&*index).iter().map(|row| 24 + text(row)).sum();
    assert!(index.novelty() < needed + needed / 8, "{} bytes for {needed}", index.novelty());
}

#[test]
fn two_threads_make_what_one_does() {
    for (size, kind) in [(16, "small"), (256, "usual")] {
        let none =
            || PersistentSet.empty(Order::Avet, &factor(FormKind::Int(size)), Arc::new(NoNodes)).expect("is made");
        let (mut together, mut apart) = (none(), none());
        for tx in 0..6 {
            let mut edits = scattered(4000, tx);
            if tx > 0 {
                // Every third row of the batch before goes.
                let before = scattered(4000, tx - 1).into_iter().step_by(3);
                edits.extend(before.map(|(row, _)| (row, Edit::Remove)));
            }
            together = together.apply(&Edits::sorted(Order::Avet, edits.clone())).expect("applies");
            edits.sort_by(|(x, _), (y, _)| Order::Avet.compare(x, y));
            for some in edits.chunks(100) {
                apart = apart.apply(&Edits::sorted(Order::Avet, some.to_vec())).expect("applies");
            }
            together.check().unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(rows_of(&*together), rows_of(&*apart), "{kind}");
        }
        let all: Vec<_> = rows_of(&*together).into_iter().map(|row| (row, Edit::Remove)).collect();
        together = together.apply(&Edits::sorted(Order::Avet, all)).expect("applies");
        assert_eq!((together.len(), together.novelty()), (0, 0));
    }
}
