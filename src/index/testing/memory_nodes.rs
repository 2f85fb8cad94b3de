//! A store of nodes in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::index::{Address, Decode, Node, NodeSink, NodeSource};

/// Takes nodes, and gives them back from their bytes: nothing decoded is kept, so every load decodes.
///
/// Clones share the nodes.
#[derive(Clone, Default)]
pub struct MemoryNodes(Arc<Shared>);

#[derive(Default)]
struct Shared {
    packs: Mutex<HashMap<Address, Arc<[u8]>>>,
    loads: AtomicUsize,
}

impl MemoryNodes {
    /// A store without nodes.
    pub fn new() -> MemoryNodes {
        MemoryNodes::default()
    }

    /// The addresses of all nodes.
    pub fn addresses(&self) -> Vec<Address> {
        self.0.packs.lock().keys().copied().collect()
    }

    /// The bytes at `address`.
    pub fn bytes(&self, address: Address) -> Option<Arc<[u8]>> {
        self.0.packs.lock().get(&address).cloned()
    }

    /// Puts other bytes at `address`: what a damaged disk does.
    pub fn damage(&self, address: Address, bytes: &[u8]) {
        self.0.packs.lock().insert(address, bytes.into());
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.0.packs.lock().len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all nodes.
    pub fn total_bytes(&self) -> usize {
        self.0.packs.lock().values().map(|bytes| bytes.len()).sum()
    }

    /// How many nodes were loaded so far.
    pub fn loads(&self) -> usize {
        self.0.loads.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for MemoryNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryNodes({} nodes)", self.len())
    }
}

impl NodeSource for MemoryNodes {
    fn load(&self, address: Address, decode: Decode<'_>) -> Result<Arc<dyn Node>> {
        self.0.loads.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes(address).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "index/node-not-found", format!("no node was stored at {address:?}"))
        })?;
        decode(&bytes)
    }
}

impl NodeSink for MemoryNodes {
    fn put(&mut self, bytes: &[u8]) -> Result<Address> {
        let mut packs = self.0.packs.lock();
        let address = Address { pack: 7, offset: packs.len() as u32, len: bytes.len() as u32 };
        packs.insert(address, bytes.into());
        Ok(address)
    }

    fn when_stored(&mut self, told: Box<dyn FnOnce() + Send>) {
        told();
    }
}
