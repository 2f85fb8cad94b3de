//! A sorted batch of edits, applied from the root down: each node on the way is rewritten once.
//!
//! At a branch the edits join those in its buffer. As many as fit stay there, and of the others each child gets all
//! that are its own: the children with most go first, so that many edits share the rewriting of a node. Without buffers
//! all edits go down to the leaves.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::leaf_builder::{LeafBuilder, Plan};
use super::node::{Branch, Context, LEAF_BYTES, Link, Node, Run, Summary, least_separator, push_separator};
use super::pending::{Part, compose, ineffective, merge};
use crate::datom::{Columns, gallop, partition};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{self, Edit, Edits};

/// The new root, and the bytes of nodes without an address under it, of which there were `novelty` under the old one.
pub(super) fn apply(
    context: &Context,
    root: &Arc<Branch>,
    edits: &Edits,
    novelty: usize,
) -> Result<(Arc<Branch>, usize)> {
    if edits.is_empty() {
        return Ok((Arc::clone(root), novelty));
    }
    let mut applying = Applying { context, novelty: novelty as isize, alone: false };
    let mut top = Fresh::default();
    let least = least_separator();
    applying.edit_branch(root, &Part::whole(edits), (&least, 0), true, &mut top)?;
    let mut level = root.level();
    while top.run.len() > 1 {
        let mut above = Fresh::default();
        applying.branches(level, top.run, Edits::default(), (&least, 0), true, &mut above);
        (top, level) = (above, level + 1);
    }
    let root = match top.run.links.pop().as_ref().and_then(Link::as_novel) {
        Some(Node::Branch(root)) => applying.shrink(Arc::clone(root))?,
        _ => Arc::default(),
    };
    if root.rows() == 0 {
        // There may be nodes still, and edits that will remove all their rows.
        return Ok((Arc::default(), 0));
    }
    // The root is no node of the store, so it does not count.
    let novelty = applying.novelty - root.weight() as isize;
    Ok((root, novelty.max(0) as usize))
}

/// Children that take the place of one child, with the places of those that are new and so may be too small.
#[derive(Default)]
struct Fresh {
    run: Run,
    new: Vec<usize>,
}

impl Fresh {
    /// No children, and room for a few more than the `n` of `model`.
    fn with_room_like(model: &Run, n: usize) -> Fresh {
        Fresh { run: Run::with_room_like(model, n + 4), new: Vec::with_capacity(n + 4) }
    }

    /// Appends the children of `other`.
    fn append(&mut self, mut other: Fresh) {
        let before = self.run.len();
        self.new.extend(other.new.iter().map(|i| before + i));
        self.run.separators.extend(&other.run.separators, 0..other.run.len());
        self.run.links.append(&mut other.run.links);
        self.run.summaries.append(&mut other.run.summaries);
    }

    fn push(&mut self, (separators, i): Separator<'_>, node: Node, summary: Summary) {
        self.new.push(self.run.len());
        self.run.push(separators, i, Link::novel(node), summary);
    }
}

/// A row of some columns that is not above the first row of a child: its separator. That of a first child is the one
/// of its parent, since nothing else keeps rows from coming in below those it has.
type Separator<'a> = (&'a Columns, usize);

struct Applying<'a> {
    context: &'a Context,
    novelty: isize,
    /// Whether the thread is to take no other to help.
    alone: bool,
}

/// Edits of a branch from which on two threads share its children: the work of some milliseconds.
const SHARED_FROM: usize = 2000;

/// A branch that edits are made under.
#[derive(Clone, Copy)]
struct Editing<'a> {
    branch: &'a Branch,
    part: &'a Part<'a>,
    separator: Separator<'a>,
    last: bool,
}

/// The children of a branch after edits, and the edits that stay in its buffer.
#[derive(Default)]
struct Edited {
    fresh: Fresh,
    buffer: Edits,
}

/// The edits that belong to one child.
struct Share {
    child: usize,
    range: Range<usize>,
    /// Whether they stay in the buffer.
    stays: bool,
}

impl Applying<'_> {
    /// Makes the `incoming` edits under `branch` and appends what becomes of it to `out`. `last`: no rows of the tree lie
    /// behind those of the branch.
    fn edit_branch(
        &mut self,
        branch: &Branch,
        incoming: &Part<'_>,
        separator: Separator<'_>,
        last: bool,
        out: &mut Fresh,
    ) -> Result<()> {
        let (level, old) = (branch.child_level(), branch.run());
        let all = match branch.buffer() {
            None => None,
            Some(buffer) => Some(compose(self.context.order, &Part::whole(buffer), incoming)?),
        };
        let part = &all.as_ref().map_or(incoming.clone(), Part::whole);
        if !branch.is_empty() && self.fits(part) {
            let buffer = all.unwrap_or_else(|| incoming.to_edits());
            self.branch(level, old.clone(), buffer, separator, out);
            return Ok(());
        }
        let mut edited = Edited::default();
        if branch.is_empty() {
            self.edit_leaf((&Columns::default(), Summary::NONE), part, separator, last, &mut edited.fresh)?;
        } else {
            let shares = self.shares(branch, part);
            let editing = Editing { branch, part, separator, last };
            edited = if self.alone || part.len() < SHARED_FROM || shares.len() < 8 {
                self.edit_children(editing, &shares, 0..branch.len())?
            } else {
                self.edit_halves(editing, &shares)?
            };
        }
        let Edited { mut fresh, buffer } = edited;
        self.mend(level, &mut fresh, last)?;
        self.branches(level, fresh.run, buffer, separator, last, out);
        Ok(())
    }

    /// Makes the edits `shares` in the children `children` of a branch.
    fn edit_children(&mut self, editing: Editing<'_>, shares: &[Share], children: Range<usize>) -> Result<Edited> {
        let Editing { branch, part, separator, last } = editing;
        let old = branch.run();
        let mut edited = Edited { fresh: Fresh::with_room_like(old, children.len()), buffer: Edits::default() };
        let fresh = &mut edited.fresh;
        let mut copied = children.start;
        for Share { child, range, stays } in shares {
            let (child, range) = (*child, range.clone());
            if *stays {
                edited.buffer.extend(part.edits, range);
                continue;
            }
            fresh.run.extend(old, copied..child);
            let separator = if child == 0 { separator } else { (&old.separators, child) };
            let last = last && child + 1 == branch.len();
            match &branch.child(child, self.context)? {
                Node::Leaf(leaf) => {
                    self.edit_leaf((leaf, old.summaries[child]), &part.only(range), separator, last, fresh)?;
                }
                Node::Branch(b) => self.edit_branch(b, &part.only(range), separator, last, fresh)?,
            }
            self.retire(&old.links[child]);
            copied = child + 1;
        }
        fresh.run.extend(old, copied..children.end);
        Ok(edited)
    }

    /// [`edit_children`](Self::edit_children) for all children, on two threads.
    fn edit_halves(&mut self, editing: Editing<'_>, shares: &[Share]) -> Result<Edited> {
        let (first, n) = (editing.part.range.start, editing.branch.len());
        let middle = shares.partition_point(|share| share.range.end - first <= editing.part.len() / 2);
        let (low, high) = shares.split_at(middle.clamp(1, shares.len() - 1));
        let border = high[0].child;
        let mut other = Applying { context: self.context, novelty: 0, alone: true };
        self.alone = true;
        let (low, high) = std::thread::scope(|scope| {
            let high = scope.spawn(|| other.edit_children(editing, high, border..n));
            let low = self.edit_children(editing, low, 0..border);
            (low, high.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        self.alone = false;
        self.novelty += other.novelty;
        let (mut low, high) = (low?, high?);
        low.buffer.extend(&high.buffer, 0..high.buffer.len());
        low.fresh.append(high.fresh);
        Ok(low)
    }

    fn fits(&self, part: &Part<'_>) -> bool {
        let shape = self.context.shape;
        shape.buffers(part.len(), 0) && shape.buffers(part.len(), part.heap_len())
    }

    /// Parts edits among the children of a branch. The smallest shares stay in the buffer, as many as fit.
    fn shares(&self, branch: &Branch, part: &Part<'_>) -> Vec<Share> {
        let (order, rows) = (self.context.order, part.edits.rows());
        let separators = &branch.run().separators;
        let mut shares: Vec<Share> = Vec::new();
        let mut edit = part.range.start;
        while edit < part.range.end {
            let from = shares.last().map_or(0, |share| share.child + 1);
            let child = branch.child_of(order, rows, edit, from, part.range.end - edit);
            let before_next = |j: usize| rows.compare(j, separators, child + 1, order) == Ordering::Less;
            let is_last = child + 1 == branch.len();
            let end = if is_last { part.range.end } else { gallop(edit + 1..part.range.end, before_next) };
            shares.push(Share { child, range: edit..end, stays: false });
            edit = end;
        }
        if self.context.shape.buffer > 0 {
            let mut by_size: Vec<&mut Share> = shares.iter_mut().collect();
            by_size.sort_unstable_by_key(|share| (share.range.len(), share.child));
            let (mut edits, mut heap) = (0, 0);
            for share in by_size {
                let with = (edits + share.range.len(), heap + part.only(share.range.clone()).heap_len());
                if self.context.shape.buffers(with.0, with.1) {
                    share.stays = true;
                    (edits, heap) = with;
                }
            }
        }
        shares
    }

    /// Makes edits in a leaf, of which `summary` tells, and appends the leaves that it becomes to `out`.
    fn edit_leaf(
        &mut self,
        (leaf, summary): (&Columns, Summary),
        part: &Part<'_>,
        separator: Separator<'_>,
        last: bool,
        out: &mut Fresh,
    ) -> Result<()> {
        let Part { edits, range } = part;
        let gain = edits.gain(range.clone());
        let Some(total) = (leaf.len() as u64).checked_add_signed(gain) else {
            return Err(ineffective(Edit::Remove));
        };
        // A single edit, which many leaves get, parts a leaf into three runs at most.
        let most = (2 * part.len() + 1).min(leaf.len() + 1);
        let mut runs: SmallVec<[(&Columns, Range<usize>); 3]> = SmallVec::with_capacity(most);
        merge(self.context.order, leaf, 0..leaf.len(), part, |columns, range| runs.push((columns, range)))?;
        if total as usize > self.context.shape.leaf || leaf.v.heap_len() + part.heap_len() > LEAF_BYTES {
            let at_end = leaf.is_empty()
                || leaf.compare(leaf.len() - 1, edits.rows(), range.start, self.context.order) == Ordering::Less;
            let mut builder = LeafBuilder::new(Plan::for_edit(self.context.shape, total as usize, at_end, last));
            runs.into_iter().for_each(|(columns, range)| builder.extend(columns, range));
            self.leaves(builder.finish(), separator, out);
        } else if !runs.is_empty() {
            let columns = Columns::concat(&runs);
            let only_inserts = gain == range.len() as i64;
            let summary = if only_inserts {
                summary.and(Summary::of_rows(edits.rows(), range.clone()))
            } else {
                Summary::of_rows(&columns, 0..columns.len())
            };
            self.leaf(columns, summary, separator, out);
        }
        Ok(())
    }

    /// Appends leaves that take the place of one whose separator was `separator`.
    fn leaves(&mut self, leaves: Vec<Columns>, separator: Separator<'_>, out: &mut Fresh) {
        let mut between = Columns::default();
        for pair in leaves.windows(2) {
            push_separator(&mut between, self.context.order, (&pair[0], pair[0].len() - 1), (&pair[1], 0));
        }
        for (i, columns) in leaves.into_iter().enumerate() {
            let summary = Summary::of_rows(&columns, 0..columns.len());
            self.leaf(columns, summary, if i == 0 { separator } else { (&between, i - 1) }, out);
        }
    }

    fn leaf(&mut self, columns: Columns, summary: Summary, separator: Separator<'_>, out: &mut Fresh) {
        let node = Node::Leaf(Arc::new(columns));
        self.novelty += weight(&node);
        out.push(separator, node, summary);
    }

    /// Makes branches over `run`, whose nodes are of `child_level`, and appends them to `out`. Each gets its own of the
    /// edits in `buffer`, which are all of children in `run`.
    fn branches(
        &mut self,
        child_level: u8,
        run: Run,
        buffer: Edits,
        separator: Separator<'_>,
        last: bool,
        out: &mut Fresh,
    ) {
        let (total, most) = (run.len(), self.context.shape.branch);
        let n = total.div_ceil(most);
        if n == 1 {
            self.branch(child_level, run, buffer, separator, out);
            return;
        }
        let start_of = |i: usize| if last { (i * most).min(total) } else { total * i / n };
        let rows = buffer.rows();
        let mut edit = 0;
        for i in 0..n {
            let (start, end) = (start_of(i), start_of(i + 1));
            let separator = if i == 0 { separator } else { (&run.separators, start) };
            let is_own =
                |j: usize| end == total || rows.compare(j, &run.separators, end, self.context.order) == Ordering::Less;
            let own = edit..partition(edit..buffer.len(), is_own);
            edit = own.end;
            let own = Part::whole(&buffer).only(own).to_edits();
            self.branch(child_level, run.slice(start..end), own, separator, out);
        }
        debug_assert_eq!(edit, buffer.len(), "edits of no child");
    }

    fn branch(&mut self, child_level: u8, run: Run, buffer: Edits, separator: Separator<'_>, out: &mut Fresh) {
        let node = Node::Branch(Arc::new(Branch::new(child_level, run, buffer)));
        self.novelty += weight(&node);
        let summary = node.summary();
        out.push(separator, node, summary);
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
        match link.as_novel() {
            Some(Node::Leaf(leaf)) => leaf.len() < self.context.shape.min_leaf() && leaf.v.heap_len() < LEAF_BYTES / 4,
            Some(Node::Branch(branch)) => branch.len() < self.context.shape.min_branch(),
            None => false,
        }
    }

    /// Makes one or two children of the children `left` and `left + 1`.
    fn join(&mut self, level: u8, fresh: &mut Fresh, left: usize, last: bool) -> Result<()> {
        let pair = Branch::new(level, fresh.run.slice(left..left + 2), Edits::default());
        let separators = &pair.run().separators;
        let mut joined = Fresh::default();
        match (pair.child(0, self.context)?, pair.child(1, self.context)?) {
            (Node::Leaf(x), Node::Leaf(y)) => {
                if x.v.heap_len() + y.v.heap_len() > LEAF_BYTES {
                    return Ok(());
                }
                let total = x.len() + y.len();
                let mut builder = LeafBuilder::new(Plan::for_edit(self.context.shape, total, false, false));
                builder.extend(&*x, 0..x.len());
                builder.extend(&*y, 0..y.len());
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
                let mut buffer = Edits::default();
                [&x, &y].into_iter().filter_map(|b| b.buffer()).for_each(|b| buffer.extend(b, 0..b.len()));
                if buffer.is_empty() || self.fits(&Part::whole(&buffer)) {
                    self.branches(level - 1, below.run, buffer, (separators, 0), false, &mut joined);
                } else {
                    let both = Branch::new(level - 1, below.run, Edits::default());
                    self.edit_branch(&both, &Part::whole(&buffer), (separators, 0), last, &mut joined)?;
                }
            }
            _ => return Err(Error::new(ErrorKind::Internal, "index/levels", "siblings of different levels")),
        }
        pair.run().links.iter().for_each(|link| self.retire(link));
        replace(&mut fresh.run, left, joined.run);
        Ok(())
    }

    /// The root without levels of one branch only, as far as the buffers of two levels fit into one.
    fn shrink(&mut self, mut root: Arc<Branch>) -> Result<Arc<Branch>> {
        while root.len() == 1 && root.level() > 1 {
            let Node::Branch(mut child) = root.child(0, self.context)? else { break };
            let is_stored = matches!(root.run().links[0], Link::Stored(_));
            let novelty = if is_stored { 0 } else { child.weight() };
            if let Some(above) = root.buffer() {
                let none = Edits::default();
                let below = Part::whole(child.buffer().map_or(&none, |buffer| buffer));
                let buffer = compose(self.context.order, &below, &Part::whole(above))?;
                if !self.fits(&Part::whole(&buffer)) {
                    break;
                }
                child = Arc::new(child.with_buffer(buffer));
            }
            // A root has no address of its own.
            self.novelty += child.weight() as isize - novelty as isize - root.weight() as isize;
            root = child;
        }
        Ok(root)
    }

    /// Takes the weight of a node that is no longer part of the tree off the novelty.
    fn retire(&mut self, link: &Link) {
        if let Some(node) = link.as_novel() {
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
