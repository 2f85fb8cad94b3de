//! The persistent sorted set: a copy-on-write B+tree whose leaves are columns.
//!
//! A tree is a root [`Branch`](node::Branch), held by the index value, and nodes under it. A link to a node holds the
//! node itself while it is new, and an address once it is stored; stored leaves and the branches right above them are
//! reached through the node source and its cache, so that memory stays bounded, while the few branches further up stay
//! resident after their first use and cost no look-up.
//!
//! Links come with the number of rows under them and the span of transactions of those rows, so ranks are exact and
//! a reader of the past can pass over what it would not see.

mod apply;
mod bulk;
mod check;
mod cursor;
mod flush;
mod leaf_builder;
mod node;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::node::{Branch, Context, Shape};
use super::{Address, Cursor, Direction, Edits, Index, IndexKind, NodeSink, NodeSource, Visibility};
use crate::datom::{Columns, Cut, Order};
use crate::edn::{Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};

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

/// One index of the kind.
#[derive(Debug)]
struct Tree {
    context: Context,
    root: Arc<Branch>,
    /// Bytes of the nodes without an address.
    novelty: usize,
}

impl PersistentSet {
    fn shape(settings: &Form) -> Result<Shape> {
        let refused = |what: String| Err(Error::new(ErrorKind::Config, "config/index-config", what));
        let entries = match &settings.kind {
            FormKind::Nil => return Ok(Shape::default()),
            FormKind::Map(entries) => entries,
            _ => return refused(format!(":index-config must be a map, got {settings}")),
        };
        let mut shape = Shape::default();
        for (key, value) in entries {
            match (&key.kind, &value.kind) {
                (FormKind::Keyword(k), FormKind::Int(n)) if k.as_str() == "branching-factor" => {
                    shape = usize::try_from(*n).ok().and_then(Shape::with_factor).ok_or_else(|| {
                        let what = format!(":branching-factor must lie in 16 .. 65536, got {n}");
                        Error::new(ErrorKind::Config, "config/index-config", what)
                    })?;
                }
                (FormKind::Keyword(k), _) if k.as_str() == "branching-factor" => {
                    return refused(format!(":branching-factor must be an integer, got {value}"));
                }
                _ => {
                    return refused(format!("the persistent set knows :branching-factor in :index-config, got {key}"));
                }
            }
        }
        Ok(shape)
    }
}

impl IndexKind for PersistentSet {
    fn keyword(&self) -> Keyword {
        Keyword::new("datahike.index/persistent-set")
    }

    fn check_settings(&self, settings: &Form) -> Result<()> {
        Self::shape(settings).map(|_| ())
    }

    fn empty(&self, order: Order, settings: &Form, nodes: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        let context = Context { order, shape: Self::shape(settings)?, nodes };
        Ok(Arc::new(Tree { context, root: Arc::default(), novelty: 0 }))
    }

    fn open(&self, order: Order, root: &[u8], settings: &Form, nodes: Arc<dyn NodeSource>) -> Result<Arc<dyn Index>> {
        let context = Context { order, shape: Self::shape(settings)?, nodes };
        let root = flush::decode_root(root, order)?;
        Ok(Arc::new(Tree { context, root: Arc::new(root), novelty: 0 }))
    }

    fn build(
        &self,
        order: Order,
        settings: &Form,
        nodes: Arc<dyn NodeSource>,
        rows: &mut dyn Iterator<Item = Result<Columns>>,
        sink: Option<&mut dyn NodeSink>,
    ) -> Result<Arc<dyn Index>> {
        let context = Context { order, shape: Self::shape(settings)?, nodes };
        let (root, novelty) = bulk::build(&context, rows, sink)?;
        Ok(Arc::new(Tree { context, root: Arc::new(root), novelty }))
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
    let context = Context { order, shape: Shape { leaf, bulk_leaf, branch }, nodes: Arc::new(super::NoNodes) };
    let (root, novelty) = bulk::build(&context, rows, None)?;
    Ok(Arc::new(Tree { context, root: Arc::new(root), novelty }))
}

impl Index for Tree {
    fn order(&self) -> Order {
        self.context.order
    }

    fn len(&self) -> u64 {
        self.root.rows()
    }

    fn apply(&self, edits: &Edits) -> Result<Arc<dyn Index>> {
        let (root, change) = apply::apply(&self.context, &self.root, edits)?;
        let novelty = self.novelty.saturating_add_signed(change);
        Ok(Arc::new(Tree { context: self.context.clone(), root, novelty }))
    }

    fn cursor(&self, from: Option<&Cut>, to: Option<&Cut>, direction: Direction) -> Result<Box<dyn Cursor>> {
        Ok(Box::new(cursor::TreeCursor::new(&self.context, &self.root, from, to, direction, None)))
    }

    fn cursor_within(
        &self,
        from: Option<&Cut>,
        to: Option<&Cut>,
        direction: Direction,
        visibility: Visibility,
    ) -> Result<Box<dyn Cursor>> {
        Ok(Box::new(cursor::TreeCursor::new(&self.context, &self.root, from, to, direction, Some(visibility))))
    }

    fn rank(&self, cut: &Cut) -> Result<u64> {
        let Context { order, nodes, .. } = &self.context;
        let mut rank = 0;
        let mut branch = Arc::clone(&self.root);
        while !branch.is_empty() {
            let i = branch.child_at(*order, cut);
            rank += branch.rows_before(i);
            match branch.child(i, nodes.as_ref())? {
                node::Node::Leaf(columns) => return Ok(rank + columns.position(*order, cut) as u64),
                node::Node::Branch(child) => branch = child,
            }
        }
        Ok(rank)
    }

    fn flush(&self, sink: &mut dyn NodeSink) -> Result<(Arc<dyn Index>, Vec<u8>)> {
        let (root, bytes) = flush::flush(&self.context, &self.root, sink)?;
        Ok((Arc::new(Tree { context: self.context.clone(), root, novelty: 0 }), bytes))
    }

    fn novelty(&self) -> usize {
        self.novelty
    }

    fn walk(&self, visit: &mut dyn FnMut(Address) -> Result<bool>) -> Result<()> {
        flush::walk(&self.context, &self.root, visit)
    }

    fn check(&self) -> Result<()> {
        check::check(&self.context, &self.root)
    }
}
