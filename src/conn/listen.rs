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
    /// What of the user's this thread runs while the writer waits for it: it must not wait for the writer.
    static RUNNING: Cell<Option<Running>> = const { Cell::new(None) };
}

/// Code of users that the writer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    Listener,
    /// What gives the datoms of a load.
    Load,
    /// Transaction functions and predicates.
    Function,
}

/// Marks this thread as running users' code until it is dropped, also when that panics.
pub(super) struct Marked {
    before: Option<Running>,
}

impl Running {
    pub fn begin(self) -> Marked {
        Marked { before: RUNNING.replace(Some(self)) }
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        RUNNING.set(self.before);
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
        let _running = Running::Listener.begin();
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

/// Whether this thread may wait for the writer.
///
/// # Errors
/// `Closed`: code `:transact/in-listener` on a thread that runs a listener or reads the datoms of a load; as
/// [`check_not_in_function`].
pub(super) fn check_may_wait() -> Result<()> {
    if matches!(RUNNING.get(), Some(Running::Listener | Running::Load)) {
        let message = "a blocking call to the writer was made inside a listener or the datoms of a load, which the \
                       writer waits for; use the call's async twin, or make it on another thread";
        return Err(Error::new(ErrorKind::Closed, "transact/in-listener", message));
    }
    check_not_in_function()
}

/// Whether this thread may ask the writer for something.
///
/// # Errors
/// `Closed`, code `:transact/in-function`, on a thread that runs a transaction function or a predicate.
pub(super) fn check_not_in_function() -> Result<()> {
    if RUNNING.get() != Some(Running::Function) {
        return Ok(());
    }
    let message = "a call to the writer was made inside a transaction function or a predicate, which the writer waits \
                   for; what the function gives is transacted, and the database to read is its argument";
    Err(Error::new(ErrorKind::Closed, "transact/in-function", message))
}
