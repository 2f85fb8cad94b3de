//! The hitchhiker tree: a copy-on-write B+tree whose branches carry buffers, so that edits ride down to the leaves
//! together.
//!
//! The idea is that of buffered search trees: G. S. Brodal and R. Fagerberg, Lower bounds for external memory
//! dictionaries, SODA 2003.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::tree::{Context, Shape, Tree};
use super::{Index, IndexKind, NodeSink, NodeSource, settings};
use crate::datom::{Columns, Order};
use crate::edn::{Form, Keyword};
use crate::error::Result;

/// The kind `:datahike.index/hitchhiker-tree`: a copy-on-write B+tree with columnar leaves, and a buffer of edits in
/// each branch. A flush writes fewer nodes than that of a [`PersistentSet`](super::PersistentSet) where edits are
/// scattered; reads look into the buffers on their way.
///
/// Settings, each of which may be left out:
///
/// - `:index-b-factor`, from 4 to 1024: the most children of a branch;
/// - `:index-data-node-size`, from 4 to 65536: the most rows of a leaf that was edited;
/// - `:index-log-size`, from 1 to 65536: the most edits in a buffer.
///
/// ```
/// use std::sync::Arc;
/// use treering::index::{Edit, Edits, HitchhikerTree, IndexKind, NoNodes};
/// use treering::{AttrId, Order, Row, TX0, Value, OPEN};
///
/// let settings = treering::edn::read("{:index-log-size 100}")?;
/// let empty = HitchhikerTree.empty(Order::Eavt, &settings, Arc::new(NoNodes))?;
/// let row = Row { e: 1, a: AttrId(7), v: Value::Long(42), tx: TX0 + 1, until: OPEN };
/// let one = empty.apply(&Edits::sorted(Order::Eavt, vec![(row, Edit::Insert)]))?;
/// assert_eq!((empty.len(), one.len()), (0, 1));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct HitchhikerTree;

impl HitchhikerTree {
    fn context(order: Order, settings: &Form, nodes: Arc<dyn NodeSource>) -> Result<Context> {
        Ok(Context { order, shape: Self::shape(settings)?, nodes })
    }

    fn shape(settings: &Form) -> Result<Shape> {
        let known = [
            ("index-b-factor", 4..=1024, 32),
            ("index-data-node-size", 4..=1 << 16, 256),
            ("index-log-size", 1..=1 << 16, 128),
        ];
        let [branch, leaf, buffer] = settings::numbers("the hitchhiker tree", known, settings)?;
        Ok(Shape { leaf, bulk_leaf: leaf * 4, branch, buffer })
    }
}

impl IndexKind for HitchhikerTree {
    fn keyword(&self) -> Keyword {
        Keyword::new("datahike.index/hitchhiker-tree")
    }

    fn flushes_aside(&self) -> bool {
        true
    }

    fn check_settings(&self, settings: &Form) -> Result<()> {
        Self::shape(settings).map(|_| ())
    }

    fn empty(&self, order: Order, settings: &Form, nodes: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        Ok(Arc::new(Tree::empty(Self::context(order, settings, nodes)?)))
    }

    fn open(&self, order: Order, root: &[u8], settings: &Form, nodes: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        Ok(Arc::new(Tree::open(Self::context(order, settings, nodes)?, root)?))
    }

    fn build(
        &self,
        order: Order,
        settings: &Form,
        nodes: Arc<dyn NodeSource>,
        rows: &mut dyn Iterator<Item = Result<Columns>>,
        sink: Option<&mut dyn NodeSink>,
    ) -> Result<Arc<dyn Index>> {
        Ok(Arc::new(Tree::build(Self::context(order, settings, nodes)?, rows, sink)?))
    }
}
