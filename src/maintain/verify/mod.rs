//! Verification: every blob is read again and every rule of a database is checked. What is wrong becomes a list.

mod blobs;
mod facts;
mod findings;
mod journal;
mod orders;
mod times;

pub use findings::{Problem, VerifyReport};

use std::time::Instant;

use self::findings::Findings;
use super::options::Watcher;
use crate::config::Config;
use crate::conn::connect_in;
use crate::error::Result;
use crate::registry::Registry;
use crate::store::{Access, BoxFuture};

/// How a store is verified.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    most_problems: usize,
    cache_bytes: usize,
    watcher: Watcher,
}

/// At most 1000 problems, 32 MiB of nodes.
impl Default for VerifyOptions {
    fn default() -> VerifyOptions {
        VerifyOptions { most_problems: 1000, cache_bytes: 32 << 20, watcher: Watcher::default() }
    }
}

impl VerifyOptions {
    /// At most 1000 problems, 32 MiB of nodes.
    pub fn new() -> VerifyOptions {
        VerifyOptions::default()
    }

    /// Tells of so many problems; of others only their number.
    #[must_use]
    pub fn most_problems(mut self, problems: usize) -> VerifyOptions {
        self.most_problems = problems;
        self
    }

    /// Keeps so many bytes of decoded nodes in memory.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> VerifyOptions {
        self.cache_bytes = bytes;
        self
    }

    /// Calls `watch` now and then, on the thread of the caller.
    #[must_use]
    pub fn progress(mut self, watch: impl Fn(&super::Progress) + Send + Sync + 'static) -> VerifyOptions {
        self.watcher = Watcher::new(watch);
        self
    }
}

/// Reads and checks everything that the store of a config holds: the bytes of all blobs, what they say of each other, the
/// structure of all indexes, and what their rows say: `docs/backup.md` has the list. Nothing is written, a writer may be
/// at work, and memory is bounded but for a few bytes for each node and blob.
///
/// ```
/// use treering::{Config, VerifyOptions, connect, create_database, verify};
/// # let dir = tempfile::tempdir().unwrap();
/// let config = Config::file(dir.path().join("people.tr"));
/// create_database(&config)?;
/// let conn = connect(&config)?;
/// conn.transact("[{:db/doc \"a fact\"}]")?;
/// let report = verify(&config, &VerifyOptions::new())?;
/// assert!(report.is_sound(), "{:?}", report.problems);
/// # conn.release()?;
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// Those of the config and of the store, where they are no damage: what is damaged is in the report. `Config` for an index
/// kind that is not registered or a format that is too new.
pub fn verify(config: &Config, options: &VerifyOptions) -> Result<VerifyReport> {
    verify_in(Registry::standard(), config, options)
}

/// [`verify`] as a future, for any executor. Dropping the future does not stop it.
///
/// # Errors
/// As there.
pub fn verify_async(config: &Config, options: &VerifyOptions) -> BoxFuture<'static, Result<VerifyReport>> {
    let (config, options) = (config.clone(), options.clone());
    Registry::standard().pool().run(move || verify(&config, &options))
}

/// [`verify`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn verify_in(registry: &Registry, config: &Config, options: &VerifyOptions) -> Result<VerifyReport> {
    let config = registry.complete(config)?;
    let span = tracing::debug_span!("verify");
    let _entered = span.enter();
    let began = Instant::now();
    let store = registry.connect_store(&config, Access::ReadOnly)?;
    let found = if store.capabilities().volatile {
        verify_memory(registry, &config, options)
    } else {
        verify_store(registry, &store, options)
    };
    let released = store.close();
    let report = found?;
    released?;
    Ok(VerifyReport { elapsed: began.elapsed(), ..report })
}

/// How often all is checked anew because what was found may be the work of a writer.
const MOST_ATTEMPTS: usize = 8;

fn verify_store(registry: &Registry, store: &crate::store::Store, options: &VerifyOptions) -> Result<VerifyReport> {
    let mut attempt = 1;
    loop {
        let mut findings = Findings::new(options.most_problems, options.watcher.clone());
        let heads = blobs::heads(store)?;
        blobs::check(registry, store, &heads, options.cache_bytes, &mut findings)?;
        // What is missing may have been collected or rewritten since the heads were read.
        if findings.is_sound() || attempt == MOST_ATTEMPTS || blobs::heads(store)? == heads {
            return Ok(findings.report);
        }
        attempt += 1;
    }
}

fn verify_memory(registry: &Registry, config: &Config, options: &VerifyOptions) -> Result<VerifyReport> {
    let mut findings = Findings::new(options.most_problems, options.watcher.clone());
    let conn = connect_in(registry, config)?;
    let db = conn.db();
    conn.release()?;
    orders::check(db.snapshot(), "memory", &mut findings)?;
    Ok(findings.report)
}
