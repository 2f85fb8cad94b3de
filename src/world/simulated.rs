//! Worlds of simulations. Each thread of a simulation enters its world; the engine then takes time and ids from it, runs
//! its own threads as the world's, and where it would wait for a lock it lets the world decide who goes on.

use std::cell::RefCell;
use std::sync::Arc;

use uuid::Builder;

/// A world in which one thread runs at a time.
pub trait World: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00Z.
    fn now(&self) -> i64;

    /// A number that is greater each time.
    fn count(&self) -> u64;

    /// Runs `work` on a thread that has entered this world.
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>);

    /// Lets other threads go on, one of which has what the caller waits for.
    fn wait(&self);
}

thread_local! {
    static WORLD: RefCell<Option<Arc<dyn World>>> = const { RefCell::new(None) };
}

/// Lets the calling thread be in a world, or in none.
pub fn enter(world: Option<Arc<dyn World>>) {
    WORLD.with(|slot| *slot.borrow_mut() = world);
}

/// The world that the calling thread is in.
pub(super) fn current() -> Option<Arc<dyn World>> {
    WORLD.try_with(|slot| slot.borrow().clone()).ok().flatten()
}

pub(super) fn ordered_id(world: &dyn World) -> u128 {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&world.count().to_be_bytes());
    Builder::from_unix_timestamp_millis(world.now().unsigned_abs(), &bytes).into_uuid().as_u128()
}

pub(super) fn random_id(world: &dyn World) -> u128 {
    let half = |n: u64| u128::from(xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()));
    let bytes = (half(world.count()) << 64 | half(world.count())).to_le_bytes();
    Builder::from_random_bytes(bytes).into_uuid().as_u128()
}

/// A lock for which a world is asked to wait.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Mutex<T> {
        Mutex(parking_lot::Mutex::new(value))
    }

    pub fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        let Some(world) = current() else { return self.0.lock() };
        loop {
            match self.0.try_lock() {
                Some(guard) => return guard,
                None => world.wait(),
            }
        }
    }
}

/// As [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    pub fn read(&self) -> parking_lot::RwLockReadGuard<'_, T> {
        let Some(world) = current() else { return self.0.read() };
        loop {
            match self.0.try_read() {
                Some(guard) => return guard,
                None => world.wait(),
            }
        }
    }

    pub fn write(&self) -> parking_lot::RwLockWriteGuard<'_, T> {
        let Some(world) = current() else { return self.0.write() };
        loop {
            match self.0.try_write() {
                Some(guard) => return guard,
                None => world.wait(),
            }
        }
    }
}

/// What is waited for with the lock of a [`Mutex`]. In a world it may wake without a reason.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub fn new() -> Condvar {
        Condvar::default()
    }

    pub fn wait<T>(&self, guard: &mut parking_lot::MutexGuard<'_, T>) {
        let Some(world) = current() else { return self.0.wait(guard) };
        parking_lot::MutexGuard::unlocked(guard, || world.wait());
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
