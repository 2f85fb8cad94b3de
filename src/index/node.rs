//! Where an index keeps its nodes: the seam to the store.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The place of a stored node: so many bytes from an offset of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// The pack, a blob of many nodes written by one flush.
    pub pack: u128,
    /// Where in the pack the node's frame begins.
    pub offset: u32,
    /// The length of the frame.
    pub len: u32,
}

/// A decoded node, as the cache keeps it.
pub trait Node: Any + Send + Sync {
    /// Bytes that the node takes in memory, by which the cache is bounded.
    fn weight(&self) -> usize;
}

/// How a kind of index makes a node of its bytes.
pub type Decode<'a> = &'a dyn Fn(&[u8]) -> Result<Arc<dyn Node>>;

/// Reads nodes by address, through a cache.
pub trait NodeSource: Send + Sync + Debug {
    /// The node at `address`, from the cache or made by `decode` from its stored bytes.
    ///
    /// # Errors
    /// `Storage` where the store fails, `Corrupt` where the bytes are not what was written or `decode` refuses them.
    fn load(&self, address: Address, decode: Decode<'_>) -> Result<Arc<dyn Node>>;

    /// Brings nodes that will be asked for soon to where [`load`](Self::load) finds them, with as few requests as the store
    /// allows. Answers how many of them, from the first on, are at hand then: all, or as many as there is room for. What
    /// cannot be had is passed over, since `load` will say why.
    ///
    /// The default brings none.
    fn prefetch(&self, addresses: &[Address], decode: Decode<'_>) -> usize {
        let _ = (addresses, decode);
        0
    }

    /// Whether nodes can be brought without that others have to go. By default there is no room.
    fn has_room(&self) -> bool {
        false
    }
}

/// Takes nodes to be stored, children before parents.
pub trait NodeSink {
    /// Stores the bytes of a node; says where it will be found once the flush is over.
    ///
    /// # Errors
    /// `Storage` where the store fails.
    fn put(&mut self, bytes: &[u8]) -> Result<Address>;

    /// [`put`](Self::put) for an index that has the node in memory: the sink may put it into the cache, so that it need
    /// not be decoded when it is read next.
    ///
    /// # Errors
    /// Those of [`put`](Self::put).
    fn put_node(&mut self, bytes: &[u8], node: Arc<dyn Node>) -> Result<Address> {
        let _ = node;
        self.put(bytes)
    }

    /// Calls `told` once all that was put so far is stored for good and in use; never, if it does not come to that. So other
    /// values of the index that share the nodes can learn that they have an address.
    ///
    /// The default never calls it.
    fn when_stored(&mut self, told: Box<dyn FnOnce() + Send>) {
        drop(told);
    }
}

/// The source of an index that is never flushed.
#[derive(Debug, Clone, Copy)]
pub struct NoNodes;

impl NodeSource for NoNodes {
    fn load(&self, address: Address, _: Decode<'_>) -> Result<Arc<dyn Node>> {
        Err(Error::new(
            ErrorKind::Internal,
            "index/node-not-found",
            format!("an index that was never flushed asked for the stored node {address:?}"),
        ))
    }
}
