//! What is open in this process, shared by all who ask for the same thing.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::world::Mutex;

type Slot = Arc<Mutex<Option<Weak<dyn Any + Send + Sync>>>>;

/// Values by name, for as long as somebody holds them.
#[derive(Default)]
pub(crate) struct OpenTable {
    slots: Mutex<HashMap<String, Slot>>,
}

impl fmt::Debug for OpenTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slots.lock().keys()).finish()
    }
}

impl OpenTable {
    /// The value of that name, or what `open` makes if nobody holds one, after `join` agreed to it. Who asks while
    /// another opens or leaves, waits; other names are not held up.
    pub(crate) fn get_or_open<T>(
        &self,
        name: &str,
        open: impl FnOnce() -> Result<Arc<T>>,
        join: impl FnOnce(&T) -> Result<()>,
    ) -> Result<Arc<T>>
    where
        T: Any + Send + Sync,
    {
        let slot = Arc::clone(self.slots.lock().entry_ref(name).or_default());
        let mut slot = slot.lock();
        if let Some(held) = slot.as_ref().and_then(Weak::upgrade) {
            let held = held.downcast::<T>().map_err(|_| {
                let message = format!("what is open as {name:?} is of another type");
                Error::new(ErrorKind::Internal, "registry/type", message)
            })?;
            join(&held)?;
            return Ok(held);
        }
        let opened = open()?;
        join(&opened)?;
        let erased: Arc<dyn Any + Send + Sync> = opened.clone();
        *slot = Some(Arc::downgrade(&erased));
        Ok(opened)
    }

    /// The values that somebody holds whose names begin with `prefix`.
    pub(crate) fn held<T: Any + Send + Sync>(&self, prefix: &str) -> Vec<Arc<T>> {
        let slots = self.slots.lock();
        let slots: Vec<Slot> =
            slots.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, s)| s.clone()).collect();
        let held = slots.iter().filter_map(|slot| slot.lock().as_ref().and_then(Weak::upgrade));
        held.filter_map(|held| held.downcast::<T>().ok()).collect()
    }

    /// Runs `work` with the value of that name, if somebody holds one, while nobody can ask for it.
    pub(crate) fn alone<T: Any + Send + Sync, R>(&self, name: &str, work: impl FnOnce(Option<Arc<T>>) -> R) -> R {
        let slot = Arc::clone(self.slots.lock().entry_ref(name).or_default());
        let slot = slot.lock();
        let held = slot.as_ref().and_then(Weak::upgrade);
        work(held.and_then(|held| held.downcast::<T>().ok()))
    }

    /// Runs `last` while nobody can ask for the value of that name. Where it answers true the value is forgotten: who
    /// asks next, opens anew.
    pub(crate) fn leave(&self, name: &str, last: &mut dyn FnMut() -> bool) {
        let slot = Arc::clone(self.slots.lock().entry_ref(name).or_default());
        let mut slot = slot.lock();
        if last() {
            *slot = None;
        }
    }
}
