//! Nodes of the tree and links between them.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::datom::{AttrId, Columns, Component, Cut, Order, ValueRef, compare, gallop, partition};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{self, Address, Edits, NodeSource, Reads, Visibility};

/// How large nodes grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::index) struct Shape {
    /// Most rows of a leaf after an edit.
    pub leaf: usize,
    /// Most rows of a leaf built from much sorted input; an edit splits such a leaf.
    pub bulk_leaf: usize,
    /// Most children of a branch.
    pub branch: usize,
    /// Most edits in the buffer of a branch; 0: edits go straight to the leaves.
    pub buffer: usize,
}

/// Heap bytes of values past which a leaf is split, however few its rows.
pub(super) const LEAF_BYTES: usize = 1 << 20;

/// Heap bytes that a buffer may have for each of its edits, on average.
const EDIT_BYTES: usize = 64;

impl Shape {
    /// Least rows of a leaf that is not the last. A quarter, so that a leaf that overflows at its end can be split
    /// unevenly: ascending entities fill each attribute's run from the left, and halves would stay half empty.
    pub fn min_leaf(self) -> usize {
        self.leaf / 4
    }

    /// Least children of a branch that is not the last of its level.
    pub fn min_branch(self) -> usize {
        self.branch / 4
    }

    /// Whether so many edits with so many heap bytes can stay in one buffer.
    pub fn buffers(self, edits: usize, heap: usize) -> bool {
        edits <= self.buffer && heap <= self.buffer * EDIT_BYTES
    }
}

/// What all nodes of a tree have in common.
#[derive(Debug, Clone)]
pub(in crate::index) struct Context {
    pub order: Order,
    pub shape: Shape,
    pub nodes: Arc<dyn NodeSource>,
}

/// A node in memory.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Leaf(Arc<Columns>),
    Branch(Arc<Branch>),
}

impl Node {
    /// The distance from the leaves.
    pub fn level(&self) -> u8 {
        match self {
            Node::Leaf(_) => 0,
            Node::Branch(branch) => branch.level(),
        }
    }

    pub fn summary(&self) -> Summary {
        match self {
            Node::Leaf(columns) => Summary::of_rows(columns, 0..columns.len()),
            Node::Branch(branch) => branch.summary(),
        }
    }
}

impl index::Node for Node {
    fn weight(&self) -> usize {
        match self {
            Node::Leaf(columns) => size_of::<Columns>() + columns.weight(),
            Node::Branch(branch) => branch.weight(),
        }
    }
}

/// What a branch says of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    /// Rows under the child.
    pub rows: u64,
    /// Least transaction of them.
    pub min_tx: u64,
    /// Greatest transaction of them.
    pub max_tx: u64,
    /// Greatest end of validity of them.
    pub max_until: u64,
}

impl Summary {
    pub const NONE: Summary = Summary { rows: 0, min_tx: u64::MAX, max_tx: 0, max_until: 0 };

    /// What is to be said of the rows `range`.
    pub fn of_rows(columns: &Columns, range: Range<usize>) -> Summary {
        let (min_tx, max_tx) = columns.tx.extremes(range.clone()).unwrap_or((Self::NONE.min_tx, Self::NONE.max_tx));
        let max_until = columns.until.extremes(range.clone()).map_or(Self::NONE.max_until, |(_, max)| max);
        Summary { rows: range.len() as u64, min_tx, max_tx, max_until }
    }

    pub fn and(self, other: Summary) -> Summary {
        Summary {
            rows: self.rows.saturating_add(other.rows),
            min_tx: self.min_tx.min(other.min_tx),
            max_tx: self.max_tx.max(other.max_tx),
            max_until: self.max_until.max(other.max_until),
        }
    }

    /// Whether a row under the child can be seen.
    pub fn may_show(&self, visibility: &Visibility) -> bool {
        visibility.may_show(self.min_tx, self.max_tx, self.max_until)
    }
}

/// The way from a branch to a child.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// A node that had no address when the link was made.
    Novel(Arc<Novel>),
    /// A node in the store.
    Stored(Arc<Stored>),
}

/// A node that had no address when it was made. All trees that have the node share this, so that they learn of the
/// address that the flush of any of them gives it.
#[derive(Debug)]
pub(super) struct Novel {
    pub node: Node,
    stored: OnceLock<Arc<Stored>>,
}

impl Novel {
    /// Where a flush has stored the node meanwhile.
    pub fn stored(&self) -> Option<&Arc<Stored>> {
        self.stored.get()
    }

    /// Tells of a flush that has stored the node. Where another has done so before, that one stands.
    pub fn set_stored(&self, stored: Arc<Stored>) {
        self.stored.get_or_init(|| stored);
    }
}

impl Link {
    /// A link to a node that was just made.
    pub fn novel(node: Node) -> Link {
        Link::Novel(Arc::new(Novel { node, stored: OnceLock::new() }))
    }

    /// The node that had no address when the link was made.
    pub fn as_novel(&self) -> Option<&Node> {
        match self {
            Link::Novel(novel) => Some(&novel.node),
            Link::Stored(_) => None,
        }
    }

    /// The address of the node, if it has one by now.
    pub fn address(&self) -> Option<Address> {
        match self {
            Link::Novel(novel) => novel.stored().map(|stored| stored.address),
            Link::Stored(stored) => Some(stored.address),
        }
    }
}

/// A stored node and, for branches high in the tree, the node itself once it was read.
#[derive(Debug)]
pub(super) struct Stored {
    pub address: Address,
    pinned: OnceLock<Node>,
}

/// Nodes of this level and above stay in memory once read: one row in some thousands has a place in them.
const PINNED_LEVEL: u8 = 2;

impl Stored {
    /// A link to a node at `address`; `node` is that node where it is at hand.
    pub fn new(address: Address, node: Option<Node>) -> Stored {
        let pinned = OnceLock::new();
        if let Some(node) = node.filter(|node| node.level() >= PINNED_LEVEL) {
            pinned.get_or_init(|| node);
        }
        Stored { address, pinned }
    }

    fn load(&self, level: u8, rows: u64, context: &Context) -> Result<Node> {
        if let Some(node) = self.pinned.get() {
            return Ok(node.clone());
        }
        let decode = |bytes: &[u8]| decode(bytes, context, level);
        let loaded: Arc<dyn std::any::Any + Send + Sync> = context.nodes.load(self.address, &decode)?;
        let node = loaded.downcast_ref::<Node>().ok_or_else(|| self.damaged("is not of such a tree"))?;
        // What is in the cache may have been read for another parent, so each parent checks what it expects.
        let found = match node {
            Node::Leaf(columns) => columns.len() as u64,
            Node::Branch(branch) => branch.rows(),
        };
        if node.level() != level || found != rows {
            return Err(self.damaged("is not the one its parent means"));
        }
        if level >= PINNED_LEVEL {
            self.pinned.get_or_init(|| node.clone());
        }
        Ok(node.clone())
    }

    /// Whether the node is in memory for good.
    fn is_pinned(&self) -> bool {
        self.pinned.get().is_some()
    }

    fn damaged(&self, what: &str) -> Error {
        Error::new(ErrorKind::Corrupt, "store/corrupt", format!("the node at {:?} {what}", self.address))
    }
}

fn decode(bytes: &[u8], context: &Context, level: u8) -> Result<Arc<dyn index::Node>> {
    Ok(Arc::new(super::flush::decode_node(bytes, context.order, level)?))
}

/// Brings nodes of one level to where they are found when they are asked for; see [`NodeSource::prefetch`].
pub(super) fn prefetch(addresses: &[Address], context: &Context, level: u8) -> usize {
    context.nodes.prefetch(addresses, &|bytes| decode(bytes, context, level))
}

/// An inner node. Child `i` holds the rows from separator `i` (inclusive) to separator `i + 1` (exclusive); what bounds
/// the first child is the separator that the parent has for this node, which may be lower than the one here.
///
/// The buffer holds edits that have yet to be made below: the rows of a branch are those of its children with the edits
/// of its buffer made. Every edit of the buffer is younger than all edits in the buffers below.
#[derive(Debug, Default)]
pub(super) struct Branch {
    /// The distance from the leaves of the children.
    child_level: u8,
    run: Run,
    /// Rows under the children up to and with each one.
    ends: Vec<u64>,
    /// Rows with the edits of the buffer made.
    rows: u64,
    /// None where there are no edits, as always in a branch without children.
    buffer: Option<Arc<Edits>>,
}

/// Neighbouring children of one level, the material of branches.
#[derive(Debug, Default, Clone)]
pub(super) struct Run {
    /// A row for each child: not above its first row, above the last row of the child before.
    pub separators: Columns,
    pub links: Vec<Link>,
    pub summaries: Vec<Summary>,
}

impl Run {
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// No children, and room for `n` like those of `model`.
    pub fn with_room_like(model: &Run, n: usize) -> Run {
        Run {
            separators: Columns::with_room_like(&model.separators, n),
            links: Vec::with_capacity(n),
            summaries: Vec::with_capacity(n),
        }
    }

    /// Appends children of `other`.
    pub fn extend(&mut self, other: &Run, range: Range<usize>) {
        self.separators.extend(&other.separators, range.clone());
        self.links.extend_from_slice(&other.links[range.clone()]);
        self.summaries.extend_from_slice(&other.summaries[range]);
    }

    /// Appends a child whose separator is row `i` of `separators`.
    pub fn push(&mut self, separators: &Columns, i: usize, link: Link, summary: Summary) {
        self.separators.extend(separators, i..i + 1);
        self.links.push(link);
        self.summaries.push(summary);
    }

    /// The children `range`, alone.
    pub fn slice(&self, range: Range<usize>) -> Run {
        let mut slice = Run::default();
        slice.extend(self, range);
        slice
    }
}

impl Branch {
    pub fn new(child_level: u8, run: Run, buffer: Edits) -> Branch {
        let mut rows: u64 = 0;
        let add = |summary: &Summary| {
            rows = rows.saturating_add(summary.rows);
            rows
        };
        let ends = run.summaries.iter().map(add).collect();
        let rows = rows.saturating_add_signed(buffer.gain(0..buffer.len()));
        let buffer = (!buffer.is_empty()).then(|| Arc::new(buffer));
        Branch { child_level, run, ends, rows, buffer }
    }

    /// The same branch with another buffer.
    pub fn with_buffer(&self, buffer: Edits) -> Branch {
        Branch::new(self.child_level, self.run.clone(), buffer)
    }

    /// The same branch with other links to the same children.
    pub fn with_links(&self, links: Vec<Link>) -> Branch {
        let Run { separators, summaries, .. } = &self.run;
        let run = Run { separators: separators.clone(), links, summaries: summaries.clone() };
        Branch { run, ends: self.ends.clone(), buffer: self.buffer.clone(), ..*self }
    }

    pub fn level(&self) -> u8 {
        self.child_level + 1
    }

    pub fn child_level(&self) -> u8 {
        self.child_level
    }

    /// The children.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The number of children.
    pub fn len(&self) -> usize {
        self.run.len()
    }

    pub fn is_empty(&self) -> bool {
        self.run.links.is_empty()
    }

    /// The number of rows under the branch.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of rows under the children before child `i`, the buffer left out.
    pub fn rows_before(&self, i: usize) -> u64 {
        if i == 0 { 0 } else { self.ends[i - 1] }
    }

    /// Edits that have yet to be made below.
    pub fn buffer(&self) -> Option<&Arc<Edits>> {
        self.buffer.as_ref()
    }

    /// What a parent says of the branch. Rows that the buffer removes still count for the bounds.
    pub fn summary(&self) -> Summary {
        let buffer =
            self.buffer.as_ref().map_or(Summary::NONE, |buffer| Summary::of_rows(buffer.rows(), 0..buffer.len()));
        let all = self.run.summaries.iter().fold(buffer, |sum, child| sum.and(*child));
        Summary { rows: self.rows, ..all }
    }

    /// The child inside which, or at whose edge, `cut` lies.
    pub fn child_at(&self, order: Order, cut: &Cut) -> usize {
        self.run.separators.position(order, cut).saturating_sub(1)
    }

    /// The child to which row `j` of `rows` belongs. Its separator is that of child `from` or lies behind it; `left` tells
    /// how many rows have children yet to be found, this one included.
    pub fn child_of(&self, order: Order, rows: &Columns, j: usize, from: usize, left: usize) -> usize {
        let separators = &self.run.separators;
        let is_up_to = |i: usize| separators.compare(i, rows, j, order) != Ordering::Greater;
        let rest = from..separators.len();
        // The next of many rows belongs to a child that is near.
        let behind = if left >= rest.len() { gallop(rest, is_up_to) } else { partition(rest, is_up_to) };
        behind.saturating_sub(1)
    }

    pub fn child(&self, i: usize, context: &Context) -> Result<Node> {
        Reads::node();
        match &self.run.links[i] {
            Link::Novel(novel) => Ok(novel.node.clone()),
            Link::Stored(stored) => stored.load(self.child_level, self.run.summaries[i].rows, context),
        }
    }

    /// Where child `i` would have to be read from.
    pub fn to_read(&self, i: usize) -> Option<Address> {
        match self.run.links.get(i)? {
            Link::Stored(stored) if !stored.is_pinned() => Some(stored.address),
            _ => None,
        }
    }

    pub fn weight(&self) -> usize {
        let child = size_of::<Link>() + size_of::<Summary>() + size_of::<u64>();
        let stored = self.run.links.iter().filter(|link| matches!(link, Link::Stored(_))).count();
        let buffer = self.buffer.as_ref().map_or(0, |buffer| size_of::<Edits>() + buffer.weight());
        size_of::<Branch>() + self.run.separators.weight() + self.len() * child + stored * size_of::<Stored>() + buffer
    }
}

/// A separator below every row.
pub(super) fn least_separator() -> Columns {
    let mut columns = Columns::default();
    columns.push(0, AttrId(0), &ValueRef::Nil, 0, 0);
    columns
}

/// Appends to `separators` the shortest row that is above row `i` of `left` and not above row `j` of `right`: the
/// components up to the first that differs, the least ones after it.
pub(super) fn push_separator(
    separators: &mut Columns,
    order: Order,
    (left, i): (&Columns, usize),
    (right, j): (&Columns, usize),
) {
    let (mut e, mut a, mut v, mut tx, mut until) = (0, 0, ValueRef::Nil, 0, 0);
    for component in order.components() {
        let differs = match component {
            Component::E => {
                e = right.e.get(j);
                e != left.e.get(i)
            }
            Component::A => {
                a = right.a.get(j);
                a != left.a.get(i)
            }
            Component::V => {
                v = right.v.get(j);
                let before = left.v.get(i);
                let differs = compare(&before, &v) != Ordering::Equal;
                v = match (before, v) {
                    (ValueRef::Str(x), ValueRef::Str(y)) if differs => ValueRef::Str(distinguishing(x, y)),
                    (_, v) => v,
                };
                differs
            }
            Component::Tx => {
                tx = right.tx.get(j);
                tx != left.tx.get(i)
            }
            Component::Until => {
                until = right.until.get(j);
                until != left.until.get(i)
            }
        };
        if differs {
            break;
        }
    }
    separators.push(e, AttrId(a as u32), &v, tx, until);
}

/// The shortest prefix of `right` that is above `left`, where `right` itself is.
fn distinguishing<'a>(left: &str, right: &'a str) -> &'a str {
    let same = left.bytes().zip(right.bytes()).take_while(|(x, y)| x == y).count();
    let end = (same + 1..=right.len()).find(|i| right.is_char_boundary(*i)).unwrap_or(right.len());
    &right[..end]
}
