//! What is open in this process, shared by all who ask for the same thing.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};

type Slot = Arc<Mutex<Option<Weak<dyn Any + Send + Sync>>>>;

/// Values by name, for as long as somebody holds them.
#[derive(Default)]
pub(crate) struct Shared {
    slots: Mutex<HashMap<String, Slot>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slots.lock().keys()).finish()
    }
}

impl Shared {
    /// The value of that name, or what `open` makes if nobody holds one. Who asks while another opens, waits; other
    /// names are not held up.
    pub(crate) fn get_or_open<T>(&self, name: &str, open: impl FnOnce() -> Result<Arc<T>>) -> Result<Arc<T>>
    where
        T: Any + Send + Sync,
    {
        let slot = Arc::clone(self.slots.lock().entry_ref(name).or_default());
        let mut slot = slot.lock();
        if let Some(held) = slot.as_ref().and_then(Weak::upgrade) {
            return held.downcast::<T>().map_err(|_| {
                let message = format!("what is open as {name:?} is of another type");
                Error::new(ErrorKind::Internal, "registry/type", message)
            });
        }
        let opened = open()?;
        let erased: Arc<dyn Any + Send + Sync> = opened.clone();
        *slot = Some(Arc::downgrade(&erased));
        Ok(opened)
    }

    /// The value of that name, if somebody holds one.
    pub(crate) fn get<T: Any + Send + Sync>(&self, name: &str) -> Option<Arc<T>> {
        let slot = self.slots.lock().get(name).cloned()?;
        let held = slot.lock().as_ref().and_then(Weak::upgrade)?;
        held.downcast::<T>().ok()
    }

    /// Forgets the value of that name: who asks next, opens anew.
    pub(crate) fn forget(&self, name: &str) {
        self.slots.lock().remove(name);
    }
}
