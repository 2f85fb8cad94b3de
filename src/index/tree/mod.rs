//! The B+tree that the built-in kinds of index are: copy-on-write, with columns for leaves and, where the kind wants
//! them, buffers of edits in its branches.
//!
//! A tree is a root [`Branch`](node::Branch), held by the index value, and nodes under it. A link to a node holds the
//! node itself while it is new, and an address once it is stored; stored leaves and the branches right above them are
//! reached through the node source and its cache, so that memory stays bounded, while the few branches further up stay
//! resident after their first use and cost no look-up.
//!
//! Links come with the number of rows under them and the span of transactions of those rows, so ranks are exact and
//! a reader of the past can pass over what it would not see. Edits in buffers are effective, so each of them counts for
//! one row more or less.

mod apply;
mod bulk;
mod check;
mod cursor;
mod flush;
mod leaf_builder;
mod node;
mod pending;
mod renew;
mod warm;

use std::sync::Arc;

pub(super) use self::node::{Context, Shape};

use self::node::{Branch, Node};
use super::{Address, Cursor, Direction, Edits, Index, Lost, NodeSink, Visibility};
use crate::datom::{Columns, Cut, Order};
use crate::error::Result;

/// One index.
#[derive(Debug)]
pub(super) struct Tree {
    context: Context,
    root: Arc<Branch>,
    /// Bytes of the nodes without an address.
    novelty: usize,
}

impl Tree {
    /// A tree without rows.
    pub fn empty(context: Context) -> Tree {
        Tree { context, root: Arc::default(), novelty: 0 }
    }

    /// The tree whose flush returned the bytes `root`.
    pub fn open(context: Context, root: &[u8]) -> Result<Tree> {
        let root = flush::decode_root(root, context.order)?;
        Ok(Tree { context, root: Arc::new(root), novelty: 0 })
    }

    /// A tree of rows that come sorted, with nothing in its buffers.
    pub fn build(
        context: Context,
        rows: &mut dyn Iterator<Item = Result<Columns>>,
        sink: Option<&mut dyn NodeSink>,
    ) -> Result<Tree> {
        let (root, novelty) = bulk::build(&context, rows, sink)?;
        Ok(Tree { context, root: Arc::new(root), novelty })
    }

    /// This tree with another root over the same rows.
    fn renewed(&self, root: Arc<Branch>) -> Arc<dyn Index> {
        let novelty = if Arc::ptr_eq(&root, &self.root) { self.novelty } else { renew::novelty(&root) };
        Arc::new(Tree { context: self.context.clone(), root, novelty })
    }

    /// The same rows in a new tree. Buffers hold the removals of rows, too, and those of a range lie on all levels.
    fn without_buffers(&self) -> Result<Arc<dyn Index>> {
        let mut cursor = self.cursor(None, None, Direction::Forward)?;
        let mut rows = std::iter::from_fn(|| cursor.next().transpose()).map(|chunk| {
            let chunk = chunk?;
            let mut columns = Columns::default();
            columns.extend(&chunk.columns, chunk.rows());
            Ok(columns)
        });
        Ok(Arc::new(Tree::build(self.context.clone(), &mut rows, None)?))
    }
}

impl Index for Tree {
    fn order(&self) -> Order {
        self.context.order
    }

    fn len(&self) -> u64 {
        self.root.rows()
    }

    fn apply(&self, edits: &Edits) -> Result<Arc<dyn Index>> {
        let (root, novelty) = apply::apply(&self.context, &self.root, edits, self.novelty)?;
        Ok(Arc::new(Tree { context: self.context.clone(), root, novelty }))
    }

    fn cursor(&self, from: Option<&Cut>, to: Option<&Cut>, direction: Direction) -> Result<Box<dyn Cursor>> {
        Ok(Box::new(cursor::TreeCursor::new(&self.context, &self.root, from, to, direction, None)?))
    }

    fn cursor_within(
        &self,
        from: Option<&Cut>,
        to: Option<&Cut>,
        direction: Direction,
        visibility: Visibility,
    ) -> Result<Box<dyn Cursor>> {
        Ok(Box::new(cursor::TreeCursor::new(&self.context, &self.root, from, to, direction, Some(visibility))?))
    }

    fn rank(&self, cut: &Cut) -> Result<u64> {
        let order = self.context.order;
        let mut rank: u64 = 0;
        // The edits in the buffers, which may remove more rows than were counted so far.
        let mut gain: i64 = 0;
        let mut branch = Arc::clone(&self.root);
        while !branch.is_empty() {
            if let Some(buffer) = branch.buffer() {
                gain += buffer.gain(0..buffer.rows().position(order, cut));
            }
            let i = branch.child_at(order, cut);
            rank = rank.saturating_add(branch.rows_before(i));
            match branch.child(i, &self.context)? {
                Node::Leaf(columns) => {
                    rank = rank.saturating_add(columns.position(order, cut) as u64);
                    break;
                }
                Node::Branch(child) => branch = child,
            }
        }
        Ok(rank.saturating_add_signed(gain))
    }

    fn flush(&self, sink: &mut dyn NodeSink) -> Result<(Arc<dyn Index>, Vec<u8>)> {
        let (root, bytes) = flush::flush(&self.context, &self.root, sink)?;
        Ok((Arc::new(Tree { context: self.context.clone(), root, novelty: 0 }), bytes))
    }

    fn settled(&self) -> Result<Arc<dyn Index>> {
        Ok(self.renewed(renew::settle(&self.root)))
    }

    fn novelty(&self) -> usize {
        self.novelty
    }

    fn walk(&self, visit: &mut dyn FnMut(Address) -> Result<bool>) -> Result<()> {
        flush::walk(&self.context, &self.root, visit)
    }

    fn forget(&self, ranges: &[(Cut, Cut)]) -> Result<Arc<dyn Index>> {
        if self.context.shape.buffer > 0 {
            return self.without_buffers();
        }
        Ok(self.renewed(renew::forget(&self.context, &self.root, ranges)?))
    }

    fn detach(&self, moved: &dyn Fn(Address) -> bool) -> Result<Arc<dyn Index>> {
        Ok(self.renewed(renew::detach(&self.context, &self.root, moved)?))
    }

    fn warm(&self, budget: usize) -> Result<usize> {
        warm::warm(&self.context, &self.root, budget)
    }

    fn salvage(&self, lost: Lost) -> Result<Box<dyn Cursor>> {
        let cursor = cursor::TreeCursor::new(&self.context, &self.root, None, None, Direction::Forward, None)?;
        Ok(Box::new(cursor.salvaging(lost)))
    }

    fn check(&self) -> Result<()> {
        check::check(&self.context, &self.root)
    }
}
