//! Any bytes: decoding a node or a root never panics, and what decodes can be read, written and read again.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use treering::Order;
use treering::edn::FormKind;
use treering::index::testing::{MemoryNodes, decode_columns, encode_columns};
use treering::index::{Direction, IndexKind, PersistentSet};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(columns) = decode_columns(bytes) {
        (0..columns.len()).for_each(|i| drop(columns.row(i)));
        let again = decode_columns(&encode_columns(&columns)).expect("what was written is read");
        assert!(again == columns, "written and read, the columns are others");
    }
    for order in Order::ALL {
        let nodes = Arc::new(MemoryNodes::new());
        if let Ok(index) = PersistentSet.open(order, bytes, &FormKind::Nil.into(), nodes) {
            let _ = index.check();
            let _ = index.cursor(None, None, Direction::Forward).and_then(|mut cursor| cursor.next());
        }
    }
});
