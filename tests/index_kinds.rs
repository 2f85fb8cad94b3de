//! Every built-in kind of index, and the yardstick itself, under the conformance suite.

use std::sync::Arc;

use treering::edn;
use treering::index::testing::{SortedRows, conformance, conformance_with};
use treering::index::{HitchhikerTree, PersistentSet};

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
fn hitchhiker_tree_conforms() {
    conformance(Arc::new(HitchhikerTree));
}

/// The least sizes of all, and buffers that hold more than the leaves below them.
#[test]
fn deep_hitchhiker_trees_conform() -> treering::Result<()> {
    for settings in [
        "{:index-b-factor 4 :index-data-node-size 4 :index-log-size 1}",
        "{:index-b-factor 4 :index-data-node-size 8 :index-log-size 200}",
    ] {
        conformance_with(Arc::new(HitchhikerTree), &edn::read(settings)?);
    }
    Ok(())
}

#[test]
fn sorted_rows_conform() {
    conformance(Arc::new(SortedRows));
}
