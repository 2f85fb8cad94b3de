//! Nodes in packs: the store side of the index seam.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};
use crate::index::{Address, Decode, Node, NodeSink, NodeSource, Reads};
use crate::store::frame::Sealed;
use crate::store::{Cache, CacheStats, Encoding, Store};
use crate::world;

/// The kind of a node's frame.
const KIND: u8 = 2;
/// A pack that has reached so many bytes is written and followed by another.
const PACK: usize = 32 << 20;

/// Where a pack is kept.
pub(crate) fn pack_key(pack: u128) -> String {
    format!("pack/{pack:032x}")
}

/// The nodes of a store with a cache of their own.
pub(crate) fn cached_nodes(store: Store, capacity: usize) -> StoredNodes {
    StoredNodes::new(store, Arc::new(NodeCache::new(capacity)), "")
}

/// Verifies every node of a pack; gives their number. `broken` is told of each that is not as it was written; where the next
/// one begins is then as its header says, if that can be.
///
/// # Errors
/// Those of `broken`.
pub(crate) fn check_pack(
    encoding: &Encoding,
    bytes: &[u8],
    key: &str,
    broken: &mut dyn FnMut(Error) -> Result<()>,
) -> Result<u64> {
    let (mut nodes, mut at) = (0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        nodes += 1;
        let len = match encoding.open_first(rest, key, at as u64) {
            Ok((frame, after)) if frame.kind == KIND => rest.len() - after.len(),
            Ok((frame, after)) => {
                let message = format!("the blob {key:?} at offset {at} is of kind {} and no node", frame.kind);
                broken(Error::new(ErrorKind::Corrupt, "store/corrupt", message))?;
                rest.len() - after.len()
            }
            Err(error) => {
                broken(error)?;
                let len = Sealed::total_len(rest, key, at as u64).unwrap_or(u64::MAX);
                usize::try_from(len).unwrap_or(usize::MAX)
            }
        };
        at = at.saturating_add(len);
    }
    Ok(nodes)
}

/// Verifies the bytes of a node.
///
/// # Errors
/// `Corrupt` when it is not there or damaged, and those of the store.
pub(crate) fn check_node(store: &Store, address: Address) -> Result<()> {
    let (key, start) = (pack_key(address.pack), u64::from(address.offset));
    let bytes = store.get(&key, Some(start..start + u64::from(address.len)))?.unwrap_or_default();
    store.encoding().open(&bytes, &key, start).map(drop)
}

/// Decoded nodes of any number of stores, bounded by bytes: each under the number of its store and its address.
pub(crate) type NodeCache = Cache<(u64, Address), Arc<dyn Node>>;

/// The nodes of a store, read through a cache.
#[derive(Debug)]
pub(crate) struct StoredNodes {
    store: Store,
    cache: Arc<NodeCache>,
    /// The number of the store in the cache.
    number: u64,
    /// Most stored bytes that are read before they are asked for: they must not push each other out.
    most_ahead: u64,
}

/// Nodes with no more bytes of others between them are read as one.
const GAP: u64 = 16 << 10;
/// The part of the cache that one request may fill before anybody asks: one stored byte for so many.
const AHEAD: u64 = 64;

impl StoredNodes {
    /// A source that keeps decoded nodes in `cache`; `identity` tells the store from all others there.
    pub fn new(store: Store, cache: Arc<NodeCache>, identity: &str) -> StoredNodes {
        let most_ahead = cache.stats().capacity / AHEAD;
        StoredNodes { store, cache, number: xxh3_64(identity.as_bytes()), most_ahead }
    }

    /// A source that keeps nothing.
    pub fn uncached(store: Store) -> StoredNodes {
        StoredNodes::new(store, Arc::new(NodeCache::new(0)), "")
    }

    /// Whether a pack is in the store.
    pub fn has_pack(&self, pack: u128) -> Result<bool> {
        Ok(self.store.size(&pack_key(pack))?.is_some())
    }

    /// The store that the nodes are in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the cache did and holds.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    fn decode(&self, bytes: &[u8], address: Address, decode: Decode<'_>) -> Result<(Arc<dyn Node>, usize)> {
        let key = pack_key(address.pack);
        let node = decode(&self.store.encoding().open(bytes, &key, u64::from(address.offset))?.body)?;
        let weight = node.weight();
        Ok((node, weight))
    }
}

/// A part of a pack, and the nodes in it.
struct Span {
    start: u64,
    end: u64,
    nodes: Vec<Address>,
}

/// Nodes that lie beside each other are in one span.
fn spans(mut addresses: Vec<Address>) -> Vec<Span> {
    addresses.sort_unstable();
    let mut spans: Vec<Span> = Vec::new();
    for address in addresses {
        let (start, end) = (u64::from(address.offset), u64::from(address.offset) + u64::from(address.len));
        match spans.last_mut() {
            Some(span) if span.nodes[0].pack == address.pack && start <= span.end + GAP => {
                span.end = span.end.max(end);
                span.nodes.push(address);
            }
            _ => spans.push(Span { start, end, nodes: vec![address] }),
        }
    }
    spans
}

impl NodeSource for StoredNodes {
    fn load(&self, address: Address, decode: Decode<'_>) -> Result<Arc<dyn Node>> {
        self.cache.get_or_load(&(self.number, address), || {
            let key = pack_key(address.pack);
            let start = u64::from(address.offset);
            let bytes = self.store.get(&key, Some(start..start + u64::from(address.len)))?;
            let bytes = bytes.ok_or_else(|| {
                let message = format!(
                    "the index node at offset {start} of {key:?} is not in the store: if garbage was collected since this \
                     database was taken from its connection, its minimum age is over: take a newer one, or collect with a \
                     greater minimum age; otherwise the store is damaged"
                );
                Error::new(ErrorKind::Corrupt, "index/node-not-found", message)
            })?;
            Reads::bytes(bytes.len());
            self.decode(&bytes, address, decode)
        })
    }

    fn prefetch(&self, addresses: &[Address], decode: Decode<'_>) -> usize {
        let (mut wanted, mut bytes, mut at_hand) = (Vec::new(), 0, 0);
        for address in addresses {
            if !self.cache.contains(&(self.number, *address)) {
                bytes += u64::from(address.len);
                if bytes > self.most_ahead {
                    break;
                }
                wanted.push(*address);
            }
            at_hand += 1;
        }
        if wanted.is_empty() {
            return at_hand;
        }
        let spans = spans(wanted);
        let ranges = spans.iter().map(|span| (pack_key(span.nodes[0].pack), Some(span.start..span.end)));
        let Ok(found) = self.store.get_many(ranges.collect()) else { return 0 };
        for (span, bytes) in spans.iter().zip(found) {
            let bytes = bytes.unwrap_or_default();
            Reads::bytes(bytes.len());
            for address in &span.nodes {
                let from = (u64::from(address.offset) - span.start) as usize;
                let Some(bytes) = bytes.get(from..from + address.len as usize) else { continue };
                if let Ok((node, weight)) = self.decode(bytes, *address, decode) {
                    self.cache.insert((self.number, *address), node, weight);
                }
            }
        }
        at_hand
    }

    /// A fifth of the cache is left to what is asked for.
    fn has_room(&self) -> bool {
        let stats = self.cache.stats();
        stats.bytes < stats.capacity - stats.capacity / 5
    }
}

/// What is to be called once nodes are stored and in use.
pub(super) type WhenStored = Vec<Box<dyn FnOnce() + Send>>;

/// Gathers the nodes of a flush in packs.
pub(crate) struct Packs<'a> {
    nodes: &'a StoredNodes,
    id: u128,
    bytes: Vec<u8>,
    when_stored: WhenStored,
}

impl<'a> Packs<'a> {
    pub fn new(nodes: &'a StoredNodes) -> Packs<'a> {
        Packs { nodes, id: world::ordered_id(), bytes: Vec::new(), when_stored: Vec::new() }
    }

    /// Writes what is left; every address handed out is good from then on.
    pub fn finish(mut self) -> Result<WhenStored> {
        self.write()?;
        Ok(self.when_stored)
    }

    fn write(&mut self) -> Result<()> {
        if !self.bytes.is_empty() {
            self.nodes.store.put(&pack_key(self.id), std::mem::take(&mut self.bytes))?;
            self.id = world::ordered_id();
        }
        Ok(())
    }
}

impl NodeSink for Packs<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<Address> {
        let offset = self.bytes.len() as u32;
        let encoding = self.nodes.store.encoding();
        encoding.seal_into(&mut self.bytes, KIND, 0, bytes, &pack_key(self.id), u64::from(offset))?;
        let address = Address { pack: self.id, offset, len: self.bytes.len() as u32 - offset };
        if self.bytes.len() >= PACK {
            self.write()?;
        }
        Ok(address)
    }

    /// The node is in use: it stays at hand in the cache.
    fn put_node(&mut self, bytes: &[u8], node: Arc<dyn Node>) -> Result<Address> {
        let address = self.put(bytes)?;
        let weight = node.weight();
        self.nodes.cache.insert((self.nodes.number, address), node, weight);
        Ok(address)
    }

    fn when_stored(&mut self, told: Box<dyn FnOnce() + Send>) {
        self.when_stored.push(told);
    }
}
