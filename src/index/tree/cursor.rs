//! Walks over a range of the tree, in both directions.

use std::sync::Arc;

use super::node::{Branch, Context, Node, prefetch};
use super::pending::Pending;
use crate::datom::Cut;
use crate::error::{ErrorKind, Result};
use crate::index::{Chunk, Cursor, Direction, Lost, Visibility};

/// The path to the place the cursor has reached. Every frame holds the children that are still to be visited; the
/// child that the next frame belongs to is visited already.
pub(super) struct TreeCursor {
    context: Context,
    direction: Direction,
    visibility: Option<Visibility>,
    /// Where the rows that are left begin and end; meant by the frames' `cut_low` and `cut_high`.
    low: Option<Cut>,
    high: Option<Cut>,
    stack: Vec<Frame>,
    /// Children that the next request brings beside the one that is visited. It grows with each that is made on the way
    /// along children, so that who looks at one place reads no more than that.
    window: usize,
    /// Is told of nodes that cannot be read, which then are passed over.
    lost: Option<Lost>,
}

struct Frame {
    branch: Arc<Branch>,
    /// The edits to make below: those of the buffers of this branch and the ones above it.
    pending: Pending,
    /// The children to visit.
    start: usize,
    end: usize,
    /// Whether `low` lies inside the first of them.
    cut_low: bool,
    /// Whether `high` lies inside the last of them.
    cut_high: bool,
    /// Whether no child was visited.
    is_new: bool,
    /// Children still to be visited of those that were brought.
    brought: usize,
}

/// Most leaves that one request brings beside the one that is visited, and most branches.
const LEAVES_AHEAD: usize = 32;
const BRANCHES_AHEAD: usize = 4;

impl TreeCursor {
    pub fn new(
        context: &Context,
        root: &Arc<Branch>,
        from: Option<&Cut>,
        to: Option<&Cut>,
        direction: Direction,
        visibility: Option<Visibility>,
    ) -> Result<TreeCursor> {
        let (low, high) = (from.cloned(), to.cloned());
        let mut cursor = TreeCursor {
            context: context.clone(),
            direction,
            visibility,
            low,
            high,
            stack: Vec::with_capacity(4),
            window: 0,
            lost: None,
        };
        cursor.descend(Arc::clone(root), Pending::default(), cursor.low.is_some(), cursor.high.is_some())?;
        Ok(cursor)
    }

    /// The same cursor, which passes over what is damaged.
    pub fn salvaging(self, lost: Lost) -> TreeCursor {
        TreeCursor { lost: Some(lost), ..self }
    }

    /// The rows of a child with the edits that the branches above have for it, if it is a leaf; the way into it, if not.
    fn visit(&mut self, step: Step) -> Result<Option<Chunk>> {
        let Step { branch, child, pending, cut_low, cut_high } = step;
        let order = self.context.order;
        let columns = match branch.child(child, &self.context)? {
            Node::Branch(branch) => return self.descend(branch, pending, cut_low, cut_high).map(|()| None),
            Node::Leaf(columns) => columns,
        };
        let start = match &self.low {
            Some(cut) if cut_low => columns.position(order, cut),
            _ => 0,
        };
        let end = match &self.high {
            Some(cut) if cut_high => columns.position(order, cut),
            _ => columns.len(),
        };
        let pending = self.in_range(pending, cut_low, cut_high);
        let chunk = if pending.is_empty() {
            Chunk { columns, start, end: end.max(start) }
        } else {
            Chunk::whole(pending.made_to(order, &columns, start..end.max(start))?)
        };
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    /// Those of the edits below a node that lie in the range.
    fn in_range(&self, pending: Pending, cut_low: bool, cut_high: bool) -> Pending {
        let (low, high) = (self.low.as_ref().filter(|_| cut_low), self.high.as_ref().filter(|_| cut_high));
        pending.between(self.context.order, low, high)
    }

    /// Goes down to `branch`. `above`: the edits that the branches above it have for it; `cut_low`, `cut_high`: whether
    /// the ends of the range can lie inside it.
    fn descend(&mut self, branch: Arc<Branch>, above: Pending, cut_low: bool, cut_high: bool) -> Result<()> {
        let order = self.context.order;
        let pending = self.in_range(Pending::of(&branch), cut_low, cut_high).and(order, above)?;
        let start = match &self.low {
            Some(cut) if cut_low => branch.child_at(order, cut),
            _ => 0,
        };
        let end = match &self.high {
            Some(cut) if cut_high => (branch.child_at(order, cut) + 1).min(branch.len()),
            _ => branch.len(),
        };
        self.stack.push(Frame { branch, pending, start, end, cut_low, cut_high, is_new: true, brought: 0 });
        Ok(())
    }

    /// The next child. Frames that are done are left.
    fn step(&mut self) -> Option<Step> {
        let order = self.context.order;
        loop {
            let frame = self.stack.last_mut()?;
            if frame.start >= frame.end {
                self.stack.pop();
                continue;
            }
            let only = frame.end - frame.start == 1;
            let (child, cut_low, cut_high) = match self.direction {
                Direction::Forward => {
                    let cuts = (std::mem::take(&mut frame.cut_low), frame.cut_high && only);
                    frame.start += 1;
                    (frame.start - 1, cuts.0, cuts.1)
                }
                Direction::Reverse => {
                    let cuts = (frame.cut_low && only, std::mem::take(&mut frame.cut_high));
                    frame.end -= 1;
                    (frame.end, cuts.0, cuts.1)
                }
            };
            let pending = frame.pending.share(order, &frame.branch, child);
            let summary = &frame.branch.run().summaries[child];
            if self.visibility.is_none_or(|v| summary.may_show(&v) || pending.may_show(&v)) {
                frame.read_ahead(child, self.direction, self.visibility, &self.context, &mut self.window);
                return Some(Step { branch: Arc::clone(&frame.branch), child, pending, cut_low, cut_high });
            }
        }
    }
}

/// A child to visit.
struct Step {
    branch: Arc<Branch>,
    child: usize,
    /// The edits that the branches above have for it.
    pending: Pending,
    /// Which ends of the range lie inside it.
    cut_low: bool,
    cut_high: bool,
}

impl Cursor for TreeCursor {
    fn next(&mut self) -> Result<Option<Chunk>> {
        while let Some(step) = self.step() {
            if self.lost.is_none() {
                if let Some(chunk) = self.visit(step)? {
                    return Ok(Some(chunk));
                }
                continue;
            }
            let rows = step.branch.run().summaries[step.child].rows.saturating_add_signed(step.pending.gain());
            match (self.visit(step), &mut self.lost) {
                (Ok(None), _) => {}
                (Err(error), Some(lost)) if error.kind() == ErrorKind::Corrupt => lost(rows, error),
                (found, _) => return found,
            }
        }
        Ok(None)
    }

    fn seek(&mut self, cut: &Cut) -> Result<()> {
        let order = self.context.order;
        let end = match self.direction {
            Direction::Forward => &mut self.low,
            Direction::Reverse => &mut self.high,
        };
        let known = match (end.as_ref(), self.direction) {
            (None, _) => false,
            (Some(known), Direction::Forward) => known.compare(cut, order).is_ge(),
            (Some(known), Direction::Reverse) => known.compare(cut, order).is_le(),
        };
        if known {
            return Ok(());
        }
        *end = Some(cut.clone());
        // From the bottom up, as far as the place can lie outside of a branch.
        let mut depth = self.stack.len();
        while depth > 0 {
            depth -= 1;
            let frame = &mut self.stack[depth];
            let at = frame.branch.child_at(order, cut);
            let moved = match self.direction {
                Direction::Forward => frame.seek_forward(at),
                Direction::Reverse => frame.seek_reverse(at),
            };
            if moved {
                // What lies under the child visited last is passed over.
                self.stack.truncate(depth + 1);
                self.window = 0;
            }
            let frame = &self.stack[depth];
            let inside = match self.direction {
                Direction::Forward => at + 1 < frame.branch.len(),
                Direction::Reverse => at > 0,
            };
            if inside {
                break;
            }
        }
        Ok(())
    }
}

impl Frame {
    /// Brings the child to be visited now, and those after it as far as the window goes.
    fn read_ahead(
        &mut self,
        child: usize,
        direction: Direction,
        visibility: Option<Visibility>,
        context: &Context,
        window: &mut usize,
    ) {
        if self.brought > 0 {
            self.brought -= 1;
            return;
        }
        if !std::mem::take(&mut self.is_new) {
            *window = (*window * 2).clamp(1, LEAVES_AHEAD);
        }
        let most = if self.branch.child_level() == 0 { *window } else { BRANCHES_AHEAD.min(*window) };
        if most == 0 {
            return;
        }
        let shown = |i: &usize| visibility.is_none_or(|v| self.branch.run().summaries[*i].may_show(&v));
        let next: Vec<usize> = match direction {
            Direction::Forward => (self.start..self.end).filter(shown).take(most).collect(),
            Direction::Reverse => (self.start..self.end).rev().filter(shown).take(most).collect(),
        };
        let addresses: Vec<_> = [child].iter().chain(&next).filter_map(|i| self.branch.to_read(*i)).collect();
        if addresses.len() > 1 {
            prefetch(&addresses, context, self.branch.child_level());
        }
        self.brought = next.len();
    }

    /// Passes over the children before child `at`, in which the low end of the range lies now. Answers whether that
    /// end lies behind the child visited last.
    fn seek_forward(&mut self, at: usize) -> bool {
        if at < self.start {
            return false;
        }
        self.start = at.min(self.end);
        self.cut_low = at < self.end;
        (self.is_new, self.brought) = (true, 0);
        true
    }

    /// The mirror image of [`seek_forward`](Self::seek_forward).
    fn seek_reverse(&mut self, at: usize) -> bool {
        if at >= self.end {
            return false;
        }
        self.end = (at + 1).max(self.start);
        self.cut_high = at >= self.start;
        (self.is_new, self.brought) = (true, 0);
        true
    }
}
