//! Stores that this process writes to: opened once, shared by the connections to their branches.

use std::fmt;
use std::sync::Arc;

use crate::world::{Mutex, RwLock};
use hashbrown::HashMap;

use crate::error::Result;
use crate::store::Store;

/// The stores that are open for writing, by their identity.
#[derive(Debug, Default)]
pub(crate) struct OpenStores {
    slots: Mutex<HashMap<String, Slot>>,
}

type Slot = Arc<Mutex<Option<Held>>>;

#[derive(Debug)]
struct Held {
    open: Arc<OpenStore>,
    leases: usize,
}

/// A store that is open for writing, and what the writers of its branches must not do at once.
pub(crate) struct OpenStore {
    pub store: Store,
    /// Shared by who writes blobs that only a head makes reachable, until the head is moved; held alone for a moment to list
    /// blobs, so that whatever is listed and in use is reachable. Taken after all locks of a writer.
    pub flushing: RwLock<()>,
    /// Held while garbage is collected, and while a head is moved to what may be garbage otherwise. Taken before all locks of
    /// a writer.
    pub collecting: Mutex<()>,
}

impl fmt::Debug for OpenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenStore").field(&self.store).finish()
    }
}

/// The right to write to a store. With the last one another process is let in; databases that are still held read on.
#[derive(Debug)]
pub(crate) struct Lease {
    stores: Arc<OpenStores>,
    identity: String,
    open: Arc<OpenStore>,
}

impl Lease {
    /// The store.
    pub fn open(&self) -> &Arc<OpenStore> {
        &self.open
    }
}

impl OpenStores {
    /// A lease on the store of that identity, which `connect` opens if it is not open.
    ///
    /// # Errors
    /// Those of `connect`.
    pub fn lease(self: &Arc<OpenStores>, identity: String, connect: impl FnOnce() -> Result<Store>) -> Result<Lease> {
        let slot = self.slot(&identity);
        let mut slot = slot.lock();
        let held = match &mut *slot {
            Some(held) => held,
            None => {
                let open = OpenStore { store: connect()?, flushing: RwLock::default(), collecting: Mutex::default() };
                slot.insert(Held { open: Arc::new(open), leases: 0 })
            }
        };
        held.leases += 1;
        Ok(Lease { stores: Arc::clone(self), identity, open: Arc::clone(&held.open) })
    }

    fn slot(&self, identity: &str) -> Slot {
        Arc::clone(self.slots.lock().entry_ref(identity).or_default())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Who asks for the store meanwhile waits, and opens it anew.
        let slot = self.stores.slot(&self.identity);
        let mut slot = slot.lock();
        if let Some(held) = &mut *slot {
            held.leases -= 1;
            if held.leases == 0 {
                held.open.store.give_up_writing();
                *slot = None;
            }
        }
    }
}
