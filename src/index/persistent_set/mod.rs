//! The persistent sorted set: a copy-on-write B+tree whose leaves are columns.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::tree::{Context, Shape, Tree};
use super::{Index, IndexKind, NodeSink, NodeSource, settings};
use crate::datom::{Columns, Order};
use crate::edn::{Form, Keyword};
use crate::error::Result;

/// The kind `:datahike.index/persistent-set`: a copy-on-write B+tree with columnar leaves.
///
/// Settings: `{:branching-factor n}` with n in 16 .. 65536, the most rows of a leaf that was edited and the measure of
/// all other sizes.
///
/// ```
/// use std::sync::Arc;
/// use treering::index::{Edit, Edits, IndexKind, NoNodes, PersistentSet};
/// use treering::{AttrId, Order, Row, TX0, Value, OPEN};
///
/// let settings = treering::edn::FormKind::Nil.into();
/// let empty = PersistentSet.empty(Order::Eavt, &settings, Arc::new(NoNodes))?;
/// let row = Row { e: 1, a: AttrId(7), v: Value::Long(42), tx: TX0 + 1, until: OPEN };
/// let one = empty.apply(&Edits::sorted(Order::Eavt, vec![(row, Edit::Insert)]))?;
/// assert_eq!((empty.len(), one.len()), (0, 1));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct PersistentSet;

impl PersistentSet {
    fn context(order: Order, settings: &Form, nodes: Arc<dyn NodeSource>) -> Result<Context> {
        Ok(Context { order, shape: Self::shape(settings)?, nodes })
    }

    fn shape(settings: &Form) -> Result<Shape> {
        let known = [("branching-factor", 16..=1 << 16, 256)];
        let [leaf] = settings::numbers("the persistent set", known, settings)?;
        Ok(Shape { leaf, bulk_leaf: leaf * 4, branch: (leaf / 4).clamp(16, 256), buffer: 0 })
    }
}

impl IndexKind for PersistentSet {
    fn keyword(&self) -> Keyword {
        Keyword::new("datahike.index/persistent-set")
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

/// An index of rows that come sorted, with sizes of one's own choice: what measurements of sizes are made with.
///
/// # Errors
/// As [`IndexKind::build`].
#[cfg(any(test, feature = "testing"))]
pub fn build_with_sizes(
    order: Order,
    (leaf, bulk_leaf, branch): (usize, usize, usize),
    rows: &mut dyn Iterator<Item = Result<Columns>>,
) -> Result<Arc<dyn Index>> {
    let shape = Shape { leaf, bulk_leaf, branch, buffer: 0 };
    Ok(Arc::new(Tree::build(Context { order, shape, nodes: Arc::new(super::NoNodes) }, rows, None)?))
}
