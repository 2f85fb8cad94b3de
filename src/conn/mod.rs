//! Connections: the moving part. A connection has a current database, a writer, and listeners.

mod branch;
mod branch_async;
mod commits;
mod flush;
mod follow;
mod gc;
mod home;
mod listen;
mod load;
mod merging;
mod open;
mod queue;
mod revision;
mod tx_range;
mod writer;

pub use branch_async::{branch_as_db_async, branches_async, commit_as_db_async};
pub use commits::{BranchHistory, branch_as_db, branch_as_db_in, branches, branches_in, commit_as_db, commit_as_db_in};
pub use gc::{BackgroundGc, GcOptions, GcReport};
pub use listen::ListenerId;
pub use open::{
    connect, connect_async, connect_in, create_database, create_database_async, create_database_in, database_exists,
    database_exists_async, database_exists_in, delete_database, delete_database_async, delete_database_in, q_async,
};
pub use revision::Revision;
pub use tx_range::{LoggedTransaction, TxRange};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use crate::datom::EntityId;
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::{OpenTable, Pool};
use crate::store::{BoxFuture, CacheStats};
use crate::transact::{IntoTxData, TxReport};
use listen::{Listeners, check_may_wait, check_not_in_function};
use writer::Writer;

/// A connection to a branch of a database.
///
/// Clones are the same connection, and so are connections of one registry to one branch of one store. It is `Send` and
/// `Sync`: use it from as many threads as there are. Transactions are made one after the other; readers take a [`Db`]
/// and are never in anybody's way.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    branch: Keyword,
    read_only: bool,
    current: Arc<RwLock<Db>>,
    listeners: Arc<Listeners>,
    role: Role,
    /// The log; absent for a database in memory.
    log: Option<tx_range::LogOf>,
    /// Connects that were not released yet.
    users: AtomicUsize,
    /// Async transactions that may be on their way at once.
    queue: Arc<Semaphore>,
    pool: Arc<Pool>,
    /// The other branches and the commits of the database.
    home: home::Home,
    /// What is open in this process.
    open: Arc<OpenTable>,
    /// What tells the store from every other.
    identity: String,
}

enum Role {
    Writer(Box<Writer>),
    /// Follows the log of a writer elsewhere.
    Reader(Box<Mutex<follow::Follower>>),
}

impl Connection {
    /// The current database: every transaction that was acknowledged, and none that was not. A read-only connection
    /// shows what its last [`sync`](Self::sync) saw.
    pub fn db(&self) -> Db {
        self.shared.current.read().clone()
    }

    /// What the cache of index nodes did and holds. Connections of one registry whose `:cache-bytes` are equal share it. A
    /// database in memory needs none, and all is 0.
    pub fn cache_stats(&self) -> CacheStats {
        match &self.shared.home {
            home::Home::Stored(home) => home.nodes.cache_stats(),
            home::Home::Memory(_) => CacheStats::default(),
        }
    }

    /// The branch that the connection is to.
    pub fn branch_name(&self) -> Keyword {
        self.shared.branch
    }

    /// Makes a transaction and waits until it is durable. `tx_data` is EDN text, a form, or entities and operations made
    /// in Rust; see `docs/transactions.md`.
    ///
    /// # Errors
    /// `Transact` or `Syntax` when the tx-data breaks a rule: nothing was written. `Fenced` when another writer took
    /// over, `Storage` when the log could not be written: the writer stops; the transaction is not visible here, and
    /// whether it is in the log shows when the database is opened again. `Closed` after release, after such an error, on
    /// a read-only connection, inside a listener, and inside a transaction function or predicate.
    ///
    /// # Panics
    /// With the panic of a function that the tx-data calls, which may have run on the thread of another caller.
    pub fn transact(&self, tx_data: impl IntoTxData) -> Result<Arc<TxReport>> {
        check_may_wait()?;
        let span = tracing::debug_span!("transact", branch = %self.shared.branch);
        let _entered = span.enter();
        self.writer()?.transact(tx_data.into_tx_data()?)
    }

    /// [`transact`](Self::transact) as a future, for any executor. At most `:queue-size` of them are on their way; the
    /// next wait their turn. Dropping the future does not take the transaction back. A listener may call this, but a
    /// transaction function may not.
    ///
    /// # Errors
    /// As there.
    pub fn transact_async(&self, tx_data: impl IntoTxData) -> BoxFuture<'static, Result<Arc<TxReport>>> {
        let data = check_not_in_function().and_then(|()| tx_data.into_tx_data());
        let this = self.clone();
        Box::pin(async move {
            let data = data?;
            let permit = Arc::clone(&this.shared.queue).acquire_owned().await.map_err(|_| released())?;
            let pool = Arc::clone(&this.shared.pool);
            pool.run(move || {
                let _permit = permit;
                this.writer()?.transact(data)
            })
            .await
        })
    }

    /// Tells `listener` of every transaction once it is durable and visible, in order. It runs on the thread of some
    /// caller of [`transact`](Self::transact), who waits for it.
    pub fn listen(&self, listener: impl Fn(&TxReport) + Send + Sync + 'static) -> ListenerId {
        self.shared.listeners.add(Arc::new(listener))
    }

    /// Takes a listener off; whether it was there.
    pub fn unlisten(&self, listener: ListenerId) -> bool {
        self.shared.listeners.remove(listener)
    }

    /// Brings a read-only connection up to date with the log and gives the database. On a writing connection it is
    /// [`db`](Self::db).
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn sync(&self) -> Result<Db> {
        if let Role::Reader(follower) = &self.shared.role {
            // Held until the database is in its place, or another call's older one could follow it there.
            let mut follower = follower.lock();
            *self.shared.current.write() = follower.follow()?;
        }
        Ok(self.db())
    }

    /// [`sync`](Self::sync) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn sync_async(&self) -> BoxFuture<'static, Result<Db>> {
        let this = self.clone();
        self.shared.pool.run(move || this.sync())
    }

    /// Stores the indexes now instead of when the log has grown enough or at release. What was acknowledged is durable
    /// without it. Transactions go on meanwhile.
    ///
    /// # Errors
    /// Those of the store; the writer stops then.
    pub fn flush(&self) -> Result<()> {
        check_may_wait()?;
        self.writer()?.flush_now()
    }

    /// [`flush`](Self::flush) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn flush_async(&self) -> BoxFuture<'static, Result<()>> {
        let allowed = check_not_in_function();
        let this = self.clone();
        self.shared.pool.run(move || allowed.and_then(|()| this.flush()))
    }

    /// The transactions after `after` up to `to` (`None`: up to the last that [`db`](Self::db) contains), oldest first,
    /// each with what it asserted and retracted. Begin after `EntityId(TX0)` (see [`TX0`](crate::TX0)) for all of them.
    ///
    /// They come from the log, entry by entry, so any number of them takes little memory. What was purged is not among
    /// them, and of a database without history those are missing that [`gc`](Self::gc) has collected. A database in memory has no log,
    /// and that of a branch begins with it: there they come from the indexes, which is a scan of the whole history, without what `:db/noHistory` forgot.
    ///
    /// # Errors
    /// Those of reading the store; `Closed`, code `:log/rewritten`, on the way if a purge or a collection changes what is
    /// still to be read; `Argument` for a database in memory that keeps no history.
    pub fn tx_range(&self, after: EntityId, to: Option<EntityId>) -> Result<TxRange> {
        let db = self.db();
        let to = to.map_or(db.basis_t(), |to| to.min(db.basis_t()));
        match &self.shared.log {
            Some(log) => TxRange::of_log(log, &db, after, to),
            None => TxRange::of_db(&db, after, to),
        }
    }

    /// Lets go of the connection. The last of those who connected flushes the indexes, closes the log and gives up the
    /// right to write. A connection that is dropped instead loses nothing, but the next open has to replay the log.
    ///
    /// # Errors
    /// Those of the flush. The connection is released all the same; what was acknowledged is in the log.
    pub fn release(&self) -> Result<()> {
        check_may_wait()?;
        let mut closed = Ok(());
        // Nobody connects meanwhile.
        self.shared.open.leave(&open::open_name(&self.shared.identity, self.shared.branch), &mut || {
            let before = self.shared.users.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
            if before != Ok(1) {
                return false;
            }
            self.shared.queue.close();
            if let Role::Writer(writer) = &self.shared.role {
                closed = writer.close();
            }
            true
        });
        closed
    }

    /// [`release`](Self::release) as a future, for any executor. Dropping the future does not take the release back.
    ///
    /// # Errors
    /// As there.
    pub fn release_async(&self) -> BoxFuture<'static, Result<()>> {
        // Asked here too: the pool's thread does not know that a listener calls.
        let allowed = check_may_wait();
        let this = self.clone();
        match allowed {
            Ok(()) => self.shared.pool.run(move || this.release()),
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }

    fn writer(&self) -> Result<&Writer> {
        if self.shared.users.load(Ordering::Acquire) == 0 {
            return Err(released());
        }
        match &self.shared.role {
            Role::Writer(writer) => Ok(writer),
            Role::Reader(_) => Err(read_only()),
        }
    }
}

fn read_only() -> Error {
    let message = "the connection is read-only; connect without :read-only? true to write";
    Error::new(ErrorKind::Closed, "connection/read-only", message)
}

fn released() -> Error {
    let message = "the connection has been released; connect again";
    Error::new(ErrorKind::Closed, "connection-has-been-released", message)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("branch", &self.shared.branch).field("db", &self.db()).finish()
    }
}
