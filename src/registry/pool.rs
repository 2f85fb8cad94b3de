//! Threads on which the async twins of blocking calls run.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, ErrorKind, Result};
use crate::store::BoxFuture;

/// Threads for blocking work, started when the first is needed.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    runtime: OnceLock<Runtime>,
}

/// Most blocking calls that run at once.
const THREADS: usize = 64;

impl Pool {
    /// Runs `work` on a thread of the pool. The future can be awaited on any executor; dropping it does not stop the
    /// work.
    ///
    /// # Errors
    /// Those of `work`; `Storage` when no thread can be started.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let task = self.runtime().map(|runtime| runtime.spawn_blocking(work));
        Box::pin(async move {
            task?.await.unwrap_or_else(|e| {
                Err(Error::new(ErrorKind::Internal, "conn/panic", "a blocking call ended in a panic").caused_by(e))
            })
        })
    }

    fn runtime(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let built = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(THREADS)
            .thread_name("treering")
            .build()
            .map_err(|e| {
                Error::new(ErrorKind::Storage, "conn/threads", format!("cannot start a thread: {e}")).caused_by(e)
            })?;
        if let Err(spare) = self.runtime.set(built) {
            spare.shutdown_background();
        }
        self.runtime
            .get()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "conn/threads", "the pool of threads vanished"))
    }
}

impl Drop for Pool {
    /// Dropping a runtime as a value is not allowed inside another runtime; in the background it always is.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
