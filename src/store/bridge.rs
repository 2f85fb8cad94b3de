//! The one place where synchronous code waits for asynchronous storage.
//!
//! A future is polled on the thread that asks, which parks between polls. Backends that need tokio are polled inside
//! a runtime of the store's own: its threads drive sockets and timers, so a caller that blocks its own runtime's
//! worker never blocks the reply, and nothing here enters a runtime in the way that tokio forbids inside another.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, ErrorKind, Result};

/// Wakes the thread that waits. The flag tells a wake from other reasons to return from `park`.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Runs `future` to its end on this thread.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    // Local storage answers at once: the waker is only made when something is waited for.
    if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return value;
    }
    let unpark = Arc::new(Unpark { thread: std::thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(unpark.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

/// The store's own runtime, started when a backend first needs one.
#[derive(Debug, Default)]
pub(crate) struct Bridge {
    runtime: OnceLock<Runtime>,
}

impl Bridge {
    /// The runtime for backends that need tokio.
    pub(crate) fn handle(&self) -> Result<&Handle> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime.handle());
        }
        let built = Builder::new_multi_thread().worker_threads(2).thread_name("treering-io").enable_all().build();
        let built = built.map_err(|e| {
            Error::new(ErrorKind::Storage, "store/runtime", format!("cannot start the storage threads: {e}"))
                .caused_by(e)
        })?;
        // Of two threads that get here one wins; the other's runtime must not be dropped as a value, see `Drop`.
        if let Err(spare) = self.runtime.set(built) {
            spare.shutdown_background();
        }
        match self.runtime.get() {
            Some(runtime) => Ok(runtime.handle()),
            None => Err(Error::new(ErrorKind::Internal, "store/runtime", "the storage runtime vanished")),
        }
    }

    /// `future`, polled inside the store's own runtime if `tokio` is set.
    pub(crate) fn within<'a, F>(&self, tokio: bool, future: F) -> Result<Within<F>>
    where
        F: Future + Send + Unpin + 'a,
    {
        let handle = if tokio { Some(self.handle()?.clone()) } else { None };
        Ok(Within { handle, future })
    }
}

impl Drop for Bridge {
    /// Dropping a runtime as a value panics inside another runtime; in the background it is always allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A future that sees the store's runtime as the current one whenever it is polled.
pub(crate) struct Within<F> {
    handle: Option<Handle>,
    future: F,
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _entered = this.handle.as_ref().map(Handle::enter);
        Pin::new(&mut this.future).poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ready only after another thread of the store's runtime ran a task, which needs the reactor of that runtime.
    async fn through_runtime(n: u64) -> u64 {
        let (send, receive) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            let _ = send.send(n + 1);
        });
        receive.await.expect("the task sends")
    }

    fn ask(bridge: &Bridge, n: u64) -> u64 {
        wait(bridge.within(true, Box::pin(through_runtime(n))).expect("a runtime"))
    }

    #[test]
    fn a_plain_thread_waits() {
        let bridge = Bridge::default();
        assert_eq!((0..100).map(|n| ask(&bridge, n)).sum::<u64>(), 5050);
        assert_eq!(wait(async { 7 }), 7);
    }

    #[test]
    fn waiting_inside_a_current_thread_runtime() {
        let outer = Builder::new_current_thread().build().expect("runtime");
        outer.block_on(async {
            let bridge = Bridge::default();
            assert_eq!(ask(&bridge, 1), 2);
            drop(bridge);
        });
    }

    #[test]
    fn waiting_on_every_worker_of_a_multi_thread_runtime() {
        let outer = Builder::new_multi_thread().worker_threads(2).build().expect("runtime");
        let bridge = Arc::new(Bridge::default());
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let bridge = bridge.clone();
                outer.spawn(async move { ask(&bridge, n) })
            })
            .collect();
        outer.block_on(async {
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.expect("no panic"), n as u64 + 1);
            }
        });
    }

    #[test]
    fn async_callers_use_the_same_runtime() {
        let bridge = Bridge::default();
        let outer = Builder::new_current_thread().build().expect("runtime");
        let got = outer.block_on(bridge.within(true, Box::pin(through_runtime(4))).expect("a runtime"));
        assert_eq!(got, 5);
    }
}
