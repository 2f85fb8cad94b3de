//! A sorted batch of edits, applied from the root down: each node on the way is rewritten once.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::leaf_builder::{LeafBuilder, Plan};
use super::node::{Branch, Context, LEAF_BYTES, Link, Node, Run, least_separator, push_separator};
use crate::datom::Columns;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{self, Edit, Edits};

/// The new root, and how the bytes of nodes without an address changed.
pub(super) fn apply(context: &Context, root: &Arc<Branch>, edits: &Edits) -> Result<(Arc<Branch>, isize)> {
    if edits.is_empty() {
        return Ok((Arc::clone(root), 0));
    }
    let mut applying = Applying { context, edits, novelty: 0 };
    let mut top = Fresh::default();
    let least = least_separator();
    applying.edit_branch(root, 0..edits.len(), (&least, 0), true, &mut top)?;
    let mut level = root.level();
    while top.run.len() > 1 {
        let mut above = Fresh::default();
        applying.branches(level, top.run, (&least, 0), true, &mut above);
        (top, level) = (above, level + 1);
    }
    let root = match top.run.links.pop() {
        Some(Link::Novel(Node::Branch(root))) => applying.shrink(root)?,
        _ => return Ok((Arc::default(), applying.novelty)),
    };
    // The root is no node of the store, so it does not count.
    Ok((Arc::clone(&root), applying.novelty - root.weight() as isize))
}

/// The first place of `range` for which `goes_before` is false, where it is true up to some place and false from there.
pub(super) fn partition(range: Range<usize>, goes_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if goes_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// [`partition`] for a place that is likely near the start: doubling steps first.
fn gallop(range: Range<usize>, goes_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut step) = (range.start, 1);
    while low + step <= range.end && goes_before(low + step - 1) {
        low += step;
        step *= 2;
    }
    partition(low..range.end.min(low + step), goes_before)
}

/// Children that take the place of one child, with the places of those that are new and so may be too small.
#[derive(Default)]
struct Fresh {
    run: Run,
    new: Vec<usize>,
}

impl Fresh {
    fn push(&mut self, separators: &Columns, i: usize, node: Node) {
        self.new.push(self.run.len());
        let summary = node.summary();
        self.run.push(separators, i, Link::Novel(node), summary);
    }
}

/// A row of some columns that is not above the first row of a child: its separator. That of a first child is the one
/// of its parent, since nothing else keeps rows from coming in below those it has.
type Separator<'a> = (&'a Columns, usize);

struct Applying<'a> {
    context: &'a Context,
    edits: &'a Edits,
    novelty: isize,
}

impl Applying<'_> {
    /// Makes the edits `range` under `branch` and appends what becomes of it to `out`. `last`: no rows of the tree lie
    /// behind those of the branch.
    fn edit_branch(
        &mut self,
        branch: &Branch,
        range: Range<usize>,
        separator: Separator<'_>,
        last: bool,
        out: &mut Fresh,
    ) -> Result<()> {
        let order = self.context.order;
        let mut fresh = Fresh::default();
        if branch.is_empty() {
            self.edit_leaf(&Columns::default(), range, separator, last, &mut fresh)?;
        } else {
            let (old, rows) = (branch.run(), self.edits.rows());
            fresh.run = Run::with_room_like(old);
            let (mut copied, mut edit) = (0, range.start);
            while edit < range.end {
                let child = branch.child_of(order, rows, edit);
                let is_last = child + 1 == branch.len();
                let before_next = |j: usize| rows.compare(j, &old.separators, child + 1, order) == Ordering::Less;
                let end = if is_last { range.end } else { gallop(edit + 1..range.end, before_next) };
                fresh.run.extend(old, copied..child);
                let separator = if child == 0 { separator } else { (&old.separators, child) };
                let node = branch.child(child, self.context.nodes.as_ref())?;
                match &node {
                    Node::Leaf(columns) => {
                        self.edit_leaf(columns, edit..end, separator, last && is_last, &mut fresh)?
                    }
                    Node::Branch(b) => self.edit_branch(b, edit..end, separator, last && is_last, &mut fresh)?,
                }
                self.retire(&old.links[child]);
                (copied, edit) = (child + 1, end);
            }
            fresh.run.extend(old, copied..branch.len());
        }
        self.mend(branch.child_level(), &mut fresh, last)?;
        self.branches(branch.child_level(), fresh.run, separator, last, out);
        Ok(())
    }

    /// Makes the edits `range` in a leaf and appends the leaves that it becomes to `out`.
    fn edit_leaf(
        &mut self,
        leaf: &Columns,
        range: Range<usize>,
        separator: Separator<'_>,
        last: bool,
        out: &mut Fresh,
    ) -> Result<()> {
        let (order, rows) = (self.context.order, self.edits.rows());
        let inserts = range.clone().filter(|j| self.edits.edit(*j) == Edit::Insert).count();
        let total =
            (leaf.len() + inserts).checked_sub(range.len() - inserts).ok_or_else(|| ineffective(Edit::Remove))?;
        let at_end = leaf.is_empty() || leaf.compare(leaf.len() - 1, rows, range.start, order) == Ordering::Less;
        let mut builder = LeafBuilder::new(Plan::for_edit(self.context.shape, total, at_end, last));
        let (mut place, mut edit) = (0, range.start);
        while edit < range.end {
            let is_before = |i: usize| leaf.compare(i, rows, edit, order) == Ordering::Less;
            let start = place;
            // The first edit of a leaf can be anywhere, the next ones are likely near.
            let whole = start..leaf.len();
            place = if start == 0 { partition(whole, is_before) } else { gallop(whole, is_before) };
            builder.extend(leaf, start..place);
            let present = place < leaf.len() && leaf.compare(place, rows, edit, order) == Ordering::Equal;
            match (self.edits.edit(edit), present) {
                (Edit::Insert, false) => {
                    let end = self.insert_run(leaf, place, edit, range.end);
                    builder.extend(rows, edit..end);
                    edit = end;
                }
                (Edit::Remove, true) => {
                    place += 1;
                    edit += 1;
                }
                (what, _) => return Err(ineffective(what)),
            }
        }
        builder.extend(leaf, place..leaf.len());
        self.leaves(builder.finish(), separator, out);
        Ok(())
    }

    /// The end of the inserts from `edit` on that all go before row `place` of the leaf.
    fn insert_run(&self, leaf: &Columns, place: usize, edit: usize, end: usize) -> usize {
        let (order, rows) = (self.context.order, self.edits.rows());
        let goes_here = |j: usize| {
            self.edits.edit(j) == Edit::Insert
                && (place == leaf.len() || rows.compare(j, leaf, place, order) == Ordering::Less)
        };
        if place == leaf.len() && self.edits.only_inserts() {
            return end;
        }
        (edit + 1..end).find(|j| !goes_here(*j)).unwrap_or(end)
    }

    /// Appends leaves that take the place of one whose separator was `separator`.
    fn leaves(&mut self, leaves: Vec<Columns>, separator: Separator<'_>, out: &mut Fresh) {
        let mut separators = Columns::default();
        separators.extend(separator.0, separator.1..separator.1 + 1);
        for pair in leaves.windows(2) {
            push_separator(&mut separators, self.context.order, (&pair[0], pair[0].len() - 1), (&pair[1], 0));
        }
        for (i, columns) in leaves.into_iter().enumerate() {
            let node = Node::Leaf(Arc::new(columns));
            self.novelty += weight(&node);
            out.push(&separators, i, node);
        }
    }

    /// Makes branches over `run`, whose nodes are of `child_level`, and appends them to `out`.
    fn branches(&mut self, child_level: u8, run: Run, separator: Separator<'_>, last: bool, out: &mut Fresh) {
        let (total, most) = (run.len(), self.context.shape.branch);
        if total == 0 {
            return;
        }
        let n = total.div_ceil(most);
        if n == 1 {
            self.branch(child_level, run, separator, out);
            return;
        }
        let start_of = |i: usize| if last { (i * most).min(total) } else { total * i / n };
        for i in 0..n {
            let (start, end) = (start_of(i), start_of(i + 1));
            let separator = if i == 0 { separator } else { (&run.separators, start) };
            self.branch(child_level, run.slice(start..end), separator, out);
        }
    }

    fn branch(&mut self, child_level: u8, run: Run, (separators, at): Separator<'_>, out: &mut Fresh) {
        let node = Node::Branch(Arc::new(Branch::new(child_level, run)));
        self.novelty += weight(&node);
        out.push(separators, at, node);
    }

    /// Joins new children that are too small with a neighbour.
    fn mend(&mut self, level: u8, fresh: &mut Fresh, last: bool) -> Result<()> {
        while let Some(i) = fresh.new.pop() {
            let is_small = fresh.run.links.get(i).is_some_and(|link| self.is_small(link));
            let is_last = last && i + 1 == fresh.run.len();
            if !is_small || is_last || fresh.run.len() < 2 {
                continue;
            }
            let left = if i + 1 < fresh.run.len() { i } else { i - 1 };
            let before = fresh.run.len();
            self.join(level, fresh, left, last && left + 2 == fresh.run.len())?;
            if fresh.run.len() < before {
                fresh.new.push(left);
            }
        }
        Ok(())
    }

    fn is_small(&self, link: &Link) -> bool {
        match link {
            Link::Novel(Node::Leaf(leaf)) => {
                leaf.len() < self.context.shape.min_leaf() && leaf.v.heap_len() < LEAF_BYTES / 4
            }
            Link::Novel(Node::Branch(branch)) => branch.len() < self.context.shape.min_branch(),
            Link::Stored(_) => false,
        }
    }

    /// Makes one or two children of the children `left` and `left + 1`.
    fn join(&mut self, level: u8, fresh: &mut Fresh, left: usize, last: bool) -> Result<()> {
        let pair = Branch::new(level, fresh.run.slice(left..left + 2));
        let nodes = self.context.nodes.as_ref();
        let separators = &pair.run().separators;
        let mut joined = Fresh::default();
        match (pair.child(0, nodes)?, pair.child(1, nodes)?) {
            (Node::Leaf(x), Node::Leaf(y)) => {
                if x.v.heap_len() + y.v.heap_len() > LEAF_BYTES {
                    return Ok(());
                }
                let total = x.len() + y.len();
                let mut builder = LeafBuilder::new(Plan::for_edit(self.context.shape, total, false, false));
                builder.extend(&x, 0..x.len());
                builder.extend(&y, 0..y.len());
                self.leaves(builder.finish(), (separators, 0), &mut joined);
            }
            (Node::Branch(x), Node::Branch(y)) => {
                // The parent knows where the right one begins; its own first separator may be too high by now.
                let mut below = Fresh { run: x.run().slice(0..x.len()), new: Vec::new() };
                if !y.is_empty() {
                    let first = y.run();
                    below.run.push(separators, 1, first.links[0].clone(), first.summaries[0]);
                    below.run.extend(y.run(), 1..y.len());
                }
                // An only child could not be mended before it had neighbours.
                below.new = [0, x.len()].into_iter().filter(|i| *i < below.run.len()).collect();
                self.mend(level - 1, &mut below, last)?;
                self.branches(level - 1, below.run, (separators, 0), false, &mut joined);
            }
            _ => return Err(Error::new(ErrorKind::Internal, "index/levels", "siblings of different levels")),
        }
        pair.run().links.iter().for_each(|link| self.retire(link));
        replace(&mut fresh.run, left, joined.run);
        Ok(())
    }

    /// The root without levels of one branch only.
    fn shrink(&mut self, mut root: Arc<Branch>) -> Result<Arc<Branch>> {
        while root.len() == 1 && root.level() > 1 {
            let Node::Branch(child) = root.child(0, self.context.nodes.as_ref())? else { break };
            self.novelty -= root.weight() as isize;
            // The root has no address of its own.
            if matches!(root.run().links[0], Link::Stored(_)) {
                self.novelty += child.weight() as isize;
            }
            root = child;
        }
        Ok(root)
    }

    /// Takes the weight of a node that is no longer part of the tree off the novelty.
    fn retire(&mut self, link: &Link) {
        if let Link::Novel(node) = link {
            self.novelty -= weight(node);
        }
    }
}

/// Puts `joined` into the place of the children `left` and `left + 1`.
fn replace(run: &mut Run, left: usize, joined: Run) {
    let mut separators = Columns::default();
    separators.extend(&run.separators, 0..left);
    separators.extend(&joined.separators, 0..joined.len());
    separators.extend(&run.separators, left + 2..run.len());
    run.separators = separators;
    run.links.splice(left..left + 2, joined.links);
    run.summaries.splice(left..left + 2, joined.summaries);
}

fn weight(node: &Node) -> isize {
    index::Node::weight(node) as isize
}

fn ineffective(edit: Edit) -> Error {
    let what = match edit {
        Edit::Insert => "an edit inserts a row that is present",
        Edit::Remove => "an edit removes a row that is absent",
    };
    Error::new(ErrorKind::Internal, "index/ineffective-edit", what)
}
