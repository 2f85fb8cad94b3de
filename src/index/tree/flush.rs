//! Nodes to the store and back.
//!
//! The root branch is written into the bytes that [`Index::flush`](crate::index::Index::flush) returns: it changes with
//! every flush, so a node of its own would cost one write and one read more. All other nodes are a level, then columns
//! for a leaf, or separators, sums, addresses and the buffer for a branch.

use std::sync::Arc;

use super::node::{Branch, Context, Link, Node, Novel, Run, Stored, Summary};
use crate::datom::codec::{
    damaged, decode_columns, decode_ints, encode_columns, encode_ints, put_varint, take_byte, take_count,
};
use crate::datom::{IntColumn, Order};
use crate::error::Result;
use crate::index::{self, Address, Edit, Edits, NodeSink};

/// The version of the layout of roots.
const ROOT_VERSION: u8 = 1;
/// Set in the byte of the level where a buffer follows the addresses.
const BUFFERED: u8 = 0x80;

/// Writes what is new under `root`; the same tree with addresses, and the bytes of its root.
pub(super) fn flush(context: &Context, root: &Arc<Branch>, sink: &mut dyn NodeSink) -> Result<(Arc<Branch>, Vec<u8>)> {
    let flushed = flush_children(root, sink)?;
    let mut bytes = vec![ROOT_VERSION, context.order as u8];
    encode_branch(&flushed, &mut bytes);
    Ok((flushed, bytes))
}

/// Stores the new nodes under `branch`, children before parents; the depth of the calls is that of the tree.
fn flush_children(branch: &Arc<Branch>, sink: &mut dyn NodeSink) -> Result<Arc<Branch>> {
    if branch.run().links.iter().all(|link| matches!(link, Link::Stored(_))) {
        return Ok(Arc::clone(branch));
    }
    let mut links = Vec::with_capacity(branch.len());
    for link in &branch.run().links {
        links.push(Link::Stored(match link {
            Link::Stored(stored) => Arc::clone(stored),
            Link::Novel(novel) => flush_novel(novel, sink)?,
        }));
    }
    Ok(Arc::new(branch.with_links(links)))
}

fn flush_novel(novel: &Arc<Novel>, sink: &mut dyn NodeSink) -> Result<Arc<Stored>> {
    if let Some(stored) = novel.stored() {
        return Ok(Arc::clone(stored));
    }
    let stored = match &novel.node {
        Node::Branch(child) => store(&Node::Branch(flush_children(child, sink)?), sink)?,
        leaf => store(leaf, sink)?,
    };
    let (novel, told) = (Arc::clone(novel), Arc::clone(&stored));
    sink.when_stored(Box::new(move || novel.set_stored(told)));
    Ok(stored)
}

/// Stores one node, the children of which are stored.
pub(super) fn store(node: &Node, sink: &mut dyn NodeSink) -> Result<Arc<Stored>> {
    let mut bytes = Vec::with_capacity(index::Node::weight(node) / 2);
    match node {
        Node::Leaf(columns) => {
            bytes.push(0);
            encode_columns(columns, &mut bytes);
        }
        Node::Branch(branch) => encode_branch(branch, &mut bytes),
    }
    let address = sink.put_node(&bytes, Arc::new(node.clone()))?;
    Ok(Arc::new(Stored::new(address, Some(node.clone()))))
}

fn encode_branch(branch: &Branch, out: &mut Vec<u8>) {
    let run = branch.run();
    out.push(branch.level() | if branch.buffer().is_some() { BUFFERED } else { 0 });
    encode_columns(&run.separators, out);
    let sums = |part: fn(&Summary) -> u64| run.summaries.iter().map(part).collect::<Vec<u64>>();
    encode_ints(&sums(|s| s.rows), out);
    encode_ints(&sums(|s| s.min_tx), out);
    encode_ints(&sums(|s| s.max_tx), out);
    encode_ints(&sums(|s| s.max_until), out);
    let stored = run.links.iter().filter_map(|link| if let Link::Stored(s) = link { Some(s.address) } else { None });
    let addresses: Vec<Address> = stored.collect();
    debug_assert_eq!(addresses.len(), run.len(), "children are stored before their parent");
    let mut packs: Vec<u128> = Vec::new();
    let mut places = Vec::with_capacity(addresses.len());
    for address in &addresses {
        // Few packs, and mostly the one of the child before.
        let place = packs.iter().rposition(|pack| *pack == address.pack).unwrap_or(packs.len());
        if place == packs.len() {
            packs.push(address.pack);
        }
        places.push(place as u64);
    }
    put_varint(packs.len() as u64, out);
    packs.iter().for_each(|pack| out.extend_from_slice(&pack.to_le_bytes()));
    encode_ints(&places, out);
    encode_ints(&addresses.iter().map(|a| u64::from(a.offset)).collect::<Vec<_>>(), out);
    encode_ints(&addresses.iter().map(|a| u64::from(a.len)).collect::<Vec<_>>(), out);
    if let Some(buffer) = branch.buffer() {
        encode_columns(buffer.rows(), out);
        let removes = |i: usize| u64::from(buffer.edit(i) == Edit::Remove);
        encode_ints(&(0..buffer.len()).map(removes).collect::<Vec<_>>(), out);
    }
}

/// Reads the root that [`flush`] made.
pub(super) fn decode_root(mut bytes: &[u8], order: Order) -> Result<Branch> {
    let bytes = &mut bytes;
    if take_byte(bytes)? != ROOT_VERSION {
        return Err(damaged("is a root with a layout that this version does not know"));
    }
    if take_byte(bytes)? != order as u8 {
        return Err(damaged("is a root of an index in another order"));
    }
    let level = take_byte(bytes)?;
    let root = decode_branch(bytes, order, level)?;
    finished(bytes, root)
}

/// Reads the node that [`store`] wrote for a place `level` above the leaves.
pub(super) fn decode_node(mut bytes: &[u8], order: Order, level: u8) -> Result<Node> {
    let bytes = &mut bytes;
    let node = match take_byte(bytes)? {
        found if found & !BUFFERED != level => return Err(damaged("is not of the level its parent means")),
        0 => Node::Leaf(Arc::new(decode_columns(bytes)?)),
        found => Node::Branch(Arc::new(decode_branch(bytes, order, found)?)),
    };
    finished(bytes, node)
}

fn finished<T>(rest: &[u8], node: T) -> Result<T> {
    if rest.is_empty() { Ok(node) } else { Err(damaged("is followed by bytes that belong to nothing")) }
}

/// Reads what [`encode_branch`] wrote after its first byte, `level`.
fn decode_branch(bytes: &mut &[u8], order: Order, level: u8) -> Result<Branch> {
    let Some(child_level) = (level & !BUFFERED).checked_sub(1) else {
        return Err(damaged("is a leaf where a branch is due"));
    };
    let separators = decode_columns(bytes)?;
    let n = separators.len();
    if !separators.ascends(order) {
        return Err(damaged("has separators that do not ascend"));
    }
    let (rows, min_tx) = (decode_ints(bytes, n)?, decode_ints(bytes, n)?);
    let (max_tx, max_until) = (decode_ints(bytes, n)?, decode_ints(bytes, n)?);
    let summary = |i: usize| Summary {
        rows: rows.get(i),
        min_tx: min_tx.get(i),
        max_tx: max_tx.get(i),
        max_until: max_until.get(i),
    };
    let summaries: Vec<Summary> = (0..n).map(summary).collect();
    let links = decode_addresses(bytes, n)?;
    let buffer = if level & BUFFERED == 0 { Edits::default() } else { decode_buffer(bytes, order, n)? };
    let total = summaries.iter().try_fold(0_u64, |sum, child| sum.checked_add(child.rows));
    let total = total.and_then(|total| total.checked_add_signed(buffer.gain(0..buffer.len())));
    // A branch may wait for the removal of all its rows, a leaf has some.
    if total.is_none() || (child_level == 0 && summaries.iter().any(|child| child.rows == 0)) {
        return Err(damaged("counts rows that cannot be"));
    }
    Ok(Branch::new(child_level, Run { separators, links, summaries }, buffer))
}

fn decode_buffer(bytes: &mut &[u8], order: Order, children: usize) -> Result<Edits> {
    let rows = decode_columns(bytes)?;
    let removes = decode_ints(bytes, rows.len())?;
    if rows.is_empty()
        || children == 0
        || !rows.ascends(order)
        || removes.extremes(0..removes.len()).is_some_and(|(_, max)| max > 1)
    {
        return Err(damaged("has a buffer that no edits lead to"));
    }
    let edit = |i: usize| if removes.get(i) == 1 { Edit::Remove } else { Edit::Insert };
    let edits = (0..rows.len()).map(edit).collect();
    Ok(Edits::ascending(order, rows, edits))
}

fn decode_addresses(bytes: &mut &[u8], n: usize) -> Result<Vec<Link>> {
    let packs_len = take_count(bytes)?;
    let mut packs = Vec::with_capacity(packs_len.min(bytes.len() / 16));
    for _ in 0..packs_len {
        let (pack, rest) = bytes.split_first_chunk::<16>().ok_or_else(|| damaged("is cut short"))?;
        packs.push(u128::from_le_bytes(*pack));
        *bytes = rest;
    }
    let (places, offsets, lens) = (decode_ints(bytes, n)?, decode_ints(bytes, n)?, decode_ints(bytes, n)?);
    let small =
        |column: &IntColumn, i: usize| u32::try_from(column.get(i)).map_err(|_| damaged("has an address out of range"));
    let link = |i: usize| {
        let pack = usize::try_from(places.get(i)).ok().and_then(|place| packs.get(place));
        let pack = *pack.ok_or_else(|| damaged("has an address in an unknown pack"))?;
        let address = Address { pack, offset: small(&offsets, i)?, len: small(&lens, i)? };
        Ok(Link::Stored(Arc::new(Stored::new(address, None))))
    };
    (0..n).map(link).collect()
}

/// Names the addresses under `branch`, parents first; the depth of the calls is that of the tree.
pub(super) fn walk(context: &Context, branch: &Branch, visit: &mut dyn FnMut(Address) -> Result<bool>) -> Result<()> {
    for (i, link) in branch.run().links.iter().enumerate() {
        let descends = match link.address() {
            Some(address) => visit(address)?,
            None => true,
        };
        if descends
            && branch.child_level() > 0
            && let Node::Branch(child) = branch.child(i, context)?
        {
            walk(context, &child, visit)?;
        }
    }
    Ok(())
}
