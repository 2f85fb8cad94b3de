//! Listeners: functions that are told of every transaction once it is durable and visible.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::error::{Error, ErrorKind, Result};
use crate::transact::TxReport;

/// A function that is told of transactions.
pub(super) type Listener = Arc<dyn Fn(&TxReport) + Send + Sync>;

/// Names a listener, to take it off again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

/// The listeners of a connection, in the order in which they came.
#[derive(Default)]
pub(super) struct Listeners {
    next: AtomicU64,
    all: RwLock<Vec<(ListenerId, Listener)>>,
}

thread_local! {
    /// Whether this thread runs a listener, or reads datoms to load: the writer waits for it, so it must not wait for the
    /// writer.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one that the writer waits for until it is dropped, also when what it runs panics.
pub(super) struct Busy;

impl Busy {
    pub fn begin() -> Busy {
        BUSY.set(true);
        Busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.set(false);
    }
}

impl Listeners {
    pub fn add(&self, listener: Listener) -> ListenerId {
        let id = ListenerId(self.next.fetch_add(1, Ordering::Relaxed));
        self.all.write().push((id, listener));
        id
    }

    /// Whether the listener was there.
    pub fn remove(&self, id: ListenerId) -> bool {
        let mut all = self.all.write();
        let before = all.len();
        all.retain(|(other, _)| *other != id);
        all.len() < before
    }

    /// Tells every listener of every transaction, in order. A listener that panics is passed over; the transaction it
    /// was told of is durable all the same.
    pub fn tell(&self, reports: &[Arc<TxReport>]) {
        let listeners: Vec<Listener> = self.all.read().iter().map(|(_, listener)| Arc::clone(listener)).collect();
        if listeners.is_empty() {
            return;
        }
        let _busy = Busy::begin();
        for report in reports {
            for listener in &listeners {
                let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| listener(report)));
                if told.is_err() {
                    tracing::error!(t = report.db_after.basis_t().0, "a listener panicked");
                }
            }
        }
    }
}

/// # Errors
/// `Argument`, code `:transact/in-listener`, on a thread that runs a listener, or reads the datoms of a load.
pub(super) fn check_not_listening() -> Result<()> {
    if !BUSY.get() {
        return Ok(());
    }
    let message = "a blocking call to the writer was made inside a listener or the datoms of a load, which the writer waits for; \
                   use the call's async twin, or make it on another thread";
    Err(Error::new(ErrorKind::Closed, "transact/in-listener", message))
}
