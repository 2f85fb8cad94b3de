//! Nodes in packs: the store side of the index seam.

use std::sync::Arc;

use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::index::{Address, Node, NodeSink, NodeSource};
use crate::store::Cache;
use crate::store::Store;
use crate::store::frame::Frame;

/// The kind of a node's frame.
const KIND: u8 = 2;
/// A pack that has reached so many bytes is written and followed by another.
const PACK: usize = 32 << 20;

fn pack_key(pack: u128) -> String {
    format!("pack/{pack:032x}")
}

/// The nodes of a store, read through a cache that is bounded by bytes.
#[derive(Debug)]
pub(crate) struct StoredNodes {
    store: Store,
    cache: Cache<Address, Arc<dyn Node>>,
}

impl StoredNodes {
    /// A source that keeps at most `capacity` bytes of decoded nodes.
    pub fn new(store: Store, capacity: usize) -> StoredNodes {
        StoredNodes { store, cache: Cache::new(capacity) }
    }

    /// The store that the nodes are in.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl NodeSource for StoredNodes {
    fn load(&self, address: Address, decode: &dyn Fn(&[u8]) -> Result<Arc<dyn Node>>) -> Result<Arc<dyn Node>> {
        self.cache.get_or_load(&address, || {
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
            let node = decode(Frame::decode(&bytes, &key, start)?.body)?;
            let weight = node.weight();
            Ok((node, weight))
        })
    }
}

/// What is to be called once nodes are stored and in use.
pub(super) type WhenStored = Vec<Box<dyn FnOnce() + Send>>;

/// Gathers the nodes of a flush in packs.
pub(super) struct Packs<'a> {
    nodes: &'a StoredNodes,
    id: u128,
    bytes: Vec<u8>,
    when_stored: WhenStored,
}

impl<'a> Packs<'a> {
    pub fn new(nodes: &'a StoredNodes) -> Packs<'a> {
        Packs { nodes, id: Uuid::now_v7().as_u128(), bytes: Vec::new(), when_stored: Vec::new() }
    }

    /// Writes what is left; every address handed out is good from then on.
    pub fn finish(mut self) -> Result<WhenStored> {
        self.write()?;
        Ok(self.when_stored)
    }

    fn write(&mut self) -> Result<()> {
        if !self.bytes.is_empty() {
            self.nodes.store.put(&pack_key(self.id), std::mem::take(&mut self.bytes))?;
            self.id = Uuid::now_v7().as_u128();
        }
        Ok(())
    }
}

impl NodeSink for Packs<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<Address> {
        let offset = self.bytes.len() as u32;
        Frame::encode_into(&mut self.bytes, KIND, 0, bytes, &pack_key(self.id), u64::from(offset))?;
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
        self.nodes.cache.insert(address, node, weight);
        Ok(address)
    }

    fn when_stored(&mut self, told: Box<dyn FnOnce() + Send>) {
        self.when_stored.push(told);
    }
}
