//! Sorted input straight into full nodes: one open node for each level.

use std::cmp::Ordering;
use std::sync::Arc;

use super::flush;
use super::leaf_builder::{LeafBuilder, Plan};
use super::node::{Branch, Context, Link, Node, Run, Summary, least_separator, push_separator};
use crate::datom::Columns;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{self, Edits, NodeSink};

/// The root over `rows`, and the bytes of nodes that have no address.
pub(super) fn build(
    context: &Context,
    rows: &mut dyn Iterator<Item = Result<Columns>>,
    sink: Option<&mut dyn NodeSink>,
) -> Result<(Branch, usize)> {
    let size = context.shape.bulk_leaf;
    let mut building = Building { context, sink, levels: Vec::new(), before: None, novelty: 0 };
    let mut leaves = LeafBuilder::new(Plan::Sizes(size, size));
    let mut last: Option<Columns> = None;
    for columns in rows {
        let columns = columns?;
        if columns.is_empty() {
            continue;
        }
        let follows = |last: &Columns| last.compare(0, &columns, 0, context.order) == Ordering::Less;
        if !columns.ascends(context.order) || !last.as_ref().is_none_or(follows) {
            return Err(Error::new(ErrorKind::Argument, "index/unsorted", "rows to build an index from must ascend"));
        }
        let mut end = Columns::default();
        end.extend(&columns, columns.len() - 1..columns.len());
        last = Some(end);
        let n = columns.len();
        leaves.extend(Arc::new(columns), 0..n);
        for leaf in leaves.take_done() {
            building.leaf(leaf)?;
        }
    }
    for leaf in leaves.finish() {
        building.leaf(leaf)?;
    }
    building.finish()
}

struct Building<'a, 's> {
    context: &'a Context,
    sink: Option<&'a mut (dyn NodeSink + 's)>,
    /// The open branch of each level; the children of the first are leaves.
    levels: Vec<Run>,
    /// The last row so far.
    before: Option<Columns>,
    novelty: usize,
}

impl Building<'_, '_> {
    fn leaf(&mut self, leaf: Columns) -> Result<()> {
        let mut separator = Columns::default();
        match &self.before {
            Some(before) => push_separator(&mut separator, self.context.order, (before, 0), (&leaf, 0)),
            None => separator = least_separator(),
        }
        let mut before = Columns::default();
        before.extend(&leaf, leaf.len() - 1..leaf.len());
        self.before = Some(before);
        self.place(0, &separator, Node::Leaf(Arc::new(leaf)))
    }

    /// Puts a complete node under the open branch of the level above it.
    fn place(&mut self, level: usize, separator: &Columns, node: Node) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(Run::default());
        }
        if self.levels[level].len() == self.context.shape.branch {
            self.close(level)?;
        }
        let summary: Summary = node.summary();
        let link = match &mut self.sink {
            Some(sink) => Link::Stored(flush::store(&node, *sink)?),
            None => {
                self.novelty += index::Node::weight(&node);
                Link::novel(node)
            }
        };
        self.levels[level].push(separator, 0, link, summary);
        Ok(())
    }

    /// Makes a node of the open branch over the nodes of `level`.
    fn close(&mut self, level: usize) -> Result<()> {
        let run = std::mem::take(&mut self.levels[level]);
        let mut separator = Columns::default();
        separator.extend(&run.separators, 0..1);
        self.place(level + 1, &separator, Node::Branch(Arc::new(Branch::new(level as u8, run, Edits::default()))))
    }

    fn finish(mut self) -> Result<(Branch, usize)> {
        let mut level = 0;
        while level + 1 < self.levels.len() {
            self.close(level)?;
            level += 1;
        }
        let root = self.levels.pop().unwrap_or_default();
        Ok((Branch::new(level as u8, root, Edits::default()), self.novelty))
    }
}
