//! What the engine takes from the world beside its store: the time, ids, threads of its own, and locks that are held while
//! a store is asked.
//!
//! A simulation makes a world of its own, in which the same seed leads to the same run: see [`simulated`].

#[cfg(feature = "testing")]
pub mod simulated;

use std::io;

use uuid::Uuid;

#[cfg(not(feature = "testing"))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(feature = "testing")]
pub(crate) use {
    parking_lot::MutexGuard,
    simulated::{Condvar, Mutex, RwLock},
};

/// Milliseconds since 1970-01-01T00:00Z.
pub(crate) fn now() -> i64 {
    #[cfg(feature = "testing")]
    if let Some(world) = simulated::current() {
        return world.now();
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// An id that no other is equal to, and that is greater than those that this process drew before; it tells the time.
pub(crate) fn ordered_id() -> u128 {
    #[cfg(feature = "testing")]
    if let Some(world) = simulated::current() {
        return simulated::ordered_id(&*world);
    }
    Uuid::now_v7().as_u128()
}

/// An id that no other is equal to.
pub(crate) fn random_id() -> u128 {
    #[cfg(feature = "testing")]
    if let Some(world) = simulated::current() {
        return simulated::random_id(&*world);
    }
    Uuid::new_v4().as_u128()
}

/// Runs `work` on a thread of its own.
///
/// # Errors
/// Those of the operating system; `work` is lost then.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    #[cfg(feature = "testing")]
    if let Some(world) = simulated::current() {
        world.spawn(name, Box::new(work));
        return Ok(());
    }
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}
