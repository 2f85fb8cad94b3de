//! Every built-in kind of index, and the yardstick itself, under the conformance suite.

use std::sync::Arc;

use treering::edn;
use treering::index::PersistentSet;
use treering::index::testing::{SortedRows, conformance, conformance_with};

#[test]
fn persistent_set_conforms() {
    conformance(Arc::new(PersistentSet));
}

#[test]
fn deep_persistent_sets_conform() -> treering::Result<()> {
    conformance_with(Arc::new(PersistentSet), &edn::read("{:branching-factor 16}")?);
    Ok(())
}

#[test]
fn sorted_rows_conform() {
    conformance(Arc::new(SortedRows));
}
