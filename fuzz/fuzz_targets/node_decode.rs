//! Any bytes: decoding a node or a root never panics, and what decodes can be read, edited, written and read again.

#![no_main]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libfuzzer_sys::fuzz_target;
use treering::edn::FormKind;
use treering::index::testing::{MemoryNodes, decode_columns, encode_columns};
use treering::index::{
    Address, Decode, Direction, Edit, Edits, HitchhikerTree, IndexKind, Node, NodeSource, PersistentSet,
};
use treering::{AttrId, Cut, Error, ErrorKind, Key, OPEN, Order, Result, Row, TX0, Value};

/// A store that has the same bytes everywhere, for so many loads.
#[derive(Debug)]
struct Everywhere {
    bytes: Vec<u8>,
    left: AtomicUsize,
}

impl NodeSource for Everywhere {
    fn load(&self, address: Address, decode: Decode<'_>) -> Result<Arc<dyn Node>> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_err() {
            return Err(Error::new(ErrorKind::Corrupt, "index/node-not-found", format!("no node at {address:?}")));
        }
        decode(&self.bytes)
    }
}

/// Opens the index that `root` says, with `node` in every place, and does with it what can be done.
fn use_all(kind: &dyn IndexKind, order: Order, root: &[u8], node: &[u8]) -> Result<()> {
    let nodes = Arc::new(Everywhere { bytes: node.to_vec(), left: AtomicUsize::new(200) });
    let index = kind.open(order, root, &FormKind::Nil.into(), nodes)?;
    let _ = index.check();
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut cursor = index.cursor(None, None, direction)?;
        while cursor.next().is_ok_and(|chunk| chunk.is_some()) {}
    }
    let row = Row { e: 7, a: AttrId(3), v: Value::Long(1), tx: TX0 + 1, until: OPEN };
    let _ = index.rank(&Cut::before(Key::of(&row)));
    let edits = Edits::sorted(order, vec![(row, Edit::Insert)]);
    let (flushed, _) = index.apply(&edits)?.flush(&mut MemoryNodes::new())?;
    let _ = flushed.check();
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(columns) = decode_columns(bytes) {
        (0..columns.len()).for_each(|i| drop(columns.row(i)));
        let again = decode_columns(&encode_columns(&columns)).expect("what was written is read");
        assert!(again == columns, "written and read, the columns are others");
    }
    // The first byte parts the others into a root and a node.
    let Some((part, rest)) = bytes.split_first() else { return };
    let (root, node) = rest.split_at(rest.len() * usize::from(*part) / 255);
    for order in Order::ALL {
        for kind in [&PersistentSet as &dyn IndexKind, &HitchhikerTree] {
            let _ = use_all(kind, order, root, node);
        }
    }
});
