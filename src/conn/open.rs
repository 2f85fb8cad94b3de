//! From a config to a connection, and the life of databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::follow::Follower;
use super::listen::{Listeners, check_may_wait};
use super::tx_range::LogOf;
use super::writer::{Clock, Durable, Writer};
use super::{Connection, Role, Shared};
use crate::commit::{self, Provenance, StoredNodes};
use crate::config::Config;
use crate::db::{Db, Settings, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{NoNodes, NodeSource};
use crate::log::{LogWriter, Tail, Transaction};
use crate::query::{Answers, IntoInputs, IntoQuery, Output, q};
use crate::registry::{Access, Registry};
use crate::store::{BoxFuture, Store};
use crate::transact::{IntoTxData, transact};

/// Creates a database, and its store where there is none; makes the `:initial-tx`.
///
/// ```
/// use treering::{Config, connect, create_database, delete_database};
/// let config = Config::memory("create-example");
/// create_database(&config)?;
/// let conn = connect(&config)?;
/// conn.transact("[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]")?;
/// conn.transact(r#"[{:name "Alice"}]"#)?;
/// conn.release()?;
/// delete_database(&config)?;
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// `Existence`, code `:db-already-exists`, when the store holds a database; `Config` for a config that is not usable;
/// those of the store and of the `:initial-tx`, after which no database is left behind.
pub fn create_database(config: &Config) -> Result<()> {
    create_database_in(Registry::standard(), config)
}

/// [`create_database`] as a future, for any executor.
///
/// # Errors
/// As there.
pub fn create_database_async(config: &Config) -> BoxFuture<'static, Result<()>> {
    let config = config.clone();
    Registry::standard().pool().run(move || create_database(&config))
}

/// Connects to a database. Connections to the same branch of the same store are one; each connect wants its release.
///
/// # Errors
/// `Existence`, code `:db-does-not-exist`; `Fenced`, code `:store/locked`, naming the process that writes already;
/// `Config` when the config contradicts what the database was created with; `Corrupt` for damage; `Closed` inside a
/// listener, a transaction function or a predicate.
pub fn connect(config: &Config) -> Result<Connection> {
    connect_in(Registry::standard(), config)
}

/// [`connect`] as a future, for any executor.
///
/// # Errors
/// As there.
pub fn connect_async(config: &Config) -> BoxFuture<'static, Result<Connection>> {
    let config = config.clone();
    Registry::standard().pool().run(move || connect(&config))
}

/// Whether the store of a config exists and holds a database.
///
/// # Errors
/// Those of the config and of the store.
pub fn database_exists(config: &Config) -> Result<bool> {
    database_exists_in(Registry::standard(), config)
}

/// Deletes a database with its store. What does not exist need not be deleted.
///
/// # Errors
/// `Closed`, code `:connection-not-released`, while this process is connected; `Fenced` while another one writes; those
/// of the store.
pub fn delete_database(config: &Config) -> Result<()> {
    delete_database_in(Registry::standard(), config)
}

/// [`database_exists`] as a future, for any executor.
///
/// # Errors
/// As there.
pub fn database_exists_async(config: &Config) -> BoxFuture<'static, Result<bool>> {
    let config = config.clone();
    Registry::standard().pool().run(move || database_exists(&config))
}

/// [`delete_database`] as a future, for any executor.
///
/// # Errors
/// As there.
pub fn delete_database_async(config: &Config) -> BoxFuture<'static, Result<()>> {
    let config = config.clone();
    Registry::standard().pool().run(move || delete_database(&config))
}

/// [`q`](crate::q) as a future, for any executor. Dropping the future does not stop the query.
///
/// # Errors
/// As there.
pub fn q_async(query: impl IntoQuery, inputs: impl IntoInputs) -> BoxFuture<'static, Result<Output>> {
    let (query, inputs) = (query.into_query(), inputs.into_inputs());
    Registry::standard().pool().run(move || q(query?, inputs))
}

/// [`create_database`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn create_database_in(registry: &Registry, config: &Config) -> Result<()> {
    registry.check(config)?;
    // Before anything is stored: a database exists with its initial transaction or not at all.
    let (db, initial) = initial_db(registry, config)?;
    let store = registry.create_store(config)?;
    create_in(registry, config, &store, db, initial).map_err(|error| located(config, error))?;
    registry.release_store(config, store)
}

/// The database as it begins, in memory, and what the log has to say of it.
fn initial_db(registry: &Registry, config: &Config) -> Result<(Db, Option<Transaction>)> {
    let initial = config.initial_tx_data()?;
    let config = registry.complete(config)?;
    let kind = registry.index(config.index_kind().ok_or_else(unknown_index)?)?;
    let nodes: Arc<dyn NodeSource> = Arc::new(NoNodes);
    let settings = Settings {
        keep_history: config.keeps_history(),
        flexibility: config.flexibility(),
        attribute_refs: config.has_attribute_refs(),
        caps: config.caps(),
    };
    let mut empty = Snapshot::empty(settings, kind.as_ref(), &config.index_settings(), &nodes)?;
    empty.library = registry.library(&config)?;
    empty.answers = Answers::within(config.answer_bytes());
    let db = Db::new(Arc::new(empty));
    let Some(initial) = initial else { return Ok((db, None)) };
    let made = initial.into_tx_data().and_then(|data| transact(&db, data, system_clock()));
    let made = made.map_err(|error| error.context(":initial-tx"))?;
    let transaction = Transaction { t: made.report.db_after.basis_t().0, bytes: made.record().encode()? };
    Ok((made.report.db_after, Some(transaction)))
}

fn create_in(registry: &Registry, config: &Config, store: &Store, db: Db, initial: Option<Transaction>) -> Result<()> {
    let config = registry.complete(config)?;
    let keyword = config.index_kind().ok_or_else(unknown_index)?;
    if store.capabilities().volatile {
        return registry.memory().create(open_name(registry, &config)?, config, db);
    }
    let nodes = Arc::new(StoredNodes::uncached(store.clone()));
    let provenance =
        Provenance { config: config.to_form().to_string(), index: keyword, index_settings: config.index_settings() };
    commit::create(&nodes, config.branch_name(), db.snapshot(), initial, &provenance, system_clock())
}

/// [`connect`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn connect_in(registry: &Registry, config: &Config) -> Result<Connection> {
    // It waits for a release, which waits for listeners and functions.
    check_may_wait()?;
    let config = registry.complete(config)?;
    let span = tracing::debug_span!("connect", branch = %config.branch_name(), read_only = config.is_read_only());
    let _entered = span.enter();
    let name = open_name(registry, &config)?;
    let join = |shared: &Shared| {
        if shared.read_only == config.is_read_only() {
            shared.users.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        let message = "the database is open in this process already, read-only in one place and for writing in another; \
                       release one of the connections first";
        Err(Error::new(ErrorKind::Config, "config-does-not-match-existing-connections", message))
    };
    let shared = registry.open().get_or_open(&name, || open_connection(registry, &config, &name), join)?;
    Ok(Connection { shared })
}

fn open_connection(registry: &Registry, config: &Config, name: &str) -> Result<Arc<Shared>> {
    let read_only = config.is_read_only();
    let store = registry.connect_store(config, if read_only { Access::ReadOnly } else { Access::Writer })?;
    let listeners: Arc<Listeners> = Arc::default();
    let clock: Clock = system_clock;
    let Opened { current, role, log, nodes } = if store.capabilities().volatile {
        let current = registry.memory().connect(name, config)?;
        let writer = Writer::new(Arc::clone(&current), Arc::clone(&listeners), clock, None);
        Opened { current, role: Role::Writer(Box::new(writer)), log: None, nodes: None }
    } else {
        open_stored(registry, config, store, &listeners, clock).map_err(|error| located(config, error))?
    };
    let open = Arc::clone(registry.open());
    let name = name.to_owned();
    Ok(Arc::new(Shared {
        branch: config.branch_name(),
        read_only,
        current,
        listeners,
        role,
        log,
        nodes,
        users: AtomicUsize::new(0),
        queue: Arc::new(Semaphore::new(queue_size(config))),
        pool: Arc::clone(registry.pool()),
        leave: Box::new(move |last| open.leave(&name, last)),
    }))
}

/// How many async transactions may be on their way: as many as the config says, one at least, and no more than can be
/// counted.
fn queue_size(config: &Config) -> usize {
    usize::try_from(config.writer_queue_size()).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)
}

/// The parts of a connection.
struct Opened {
    current: Arc<RwLock<Db>>,
    role: Role,
    log: Option<LogOf>,
    nodes: Option<Arc<StoredNodes>>,
}

fn open_stored(
    registry: &Registry,
    config: &Config,
    store: Store,
    listeners: &Arc<Listeners>,
    clock: Clock,
) -> Result<Opened> {
    let branch = config.branch_name();
    let cache = registry.node_cache(config.node_cache_bytes());
    let nodes = Arc::new(StoredNodes::new(store.clone(), cache, &registry.identity(config)?));
    let source: Arc<dyn NodeSource> = Arc::clone(&nodes) as _;
    let mut loaded = commit::load(&store, branch, config.is_read_only(), &|keyword| registry.index(keyword), &source)?;
    loaded.snapshot.library = registry.library(config)?;
    loaded.snapshot.answers = Answers::within(config.answer_bytes());
    let stored = Config::from_edn(&loaded.provenance.config).map_err(|e| e.context("the stored config"))?;
    config.matching(&stored)?;
    loaded.snapshot.settings.caps = stored.caps();
    if loaded.tail == Tail::Dropped {
        tracing::warn!(%branch, "the end of the log was never acknowledged and is dropped");
    }
    let log_of = LogOf { store: store.clone(), branch };
    let current = Arc::new(RwLock::new(Db::new(Arc::new(loaded.snapshot.clone()))));
    if config.is_read_only() {
        let follower = Follower::new(store, branch, source, loaded);
        let role = Role::Reader(Box::new(Mutex::new(follower)));
        return Ok(Opened { current, role, log: Some(log_of), nodes: Some(nodes) });
    }
    let session = Uuid::new_v4().as_u128();
    let log = LogWriter::begin(&loaded.log, session)?;
    let head = commit::take_over(&store, branch, &loaded.head, session)?;
    let durable = Durable {
        nodes: Arc::clone(&nodes),
        branch,
        head,
        log,
        provenance: loaded.provenance,
        unflushed: loaded.replayed,
        flush_after: config.bytes_to_flush_after(),
        flushing: None,
        flushed_at: loaded.flushed_at,
        purges: loaded.purges,
        kind: loaded.kind,
    };
    let writer = Writer::new(Arc::clone(&current), Arc::clone(listeners), clock, Some(durable));
    writer.resume()?;
    Ok(Opened { current, role: Role::Writer(Box::new(writer)), log: Some(log_of), nodes: Some(nodes) })
}

/// [`database_exists`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn database_exists_in(registry: &Registry, config: &Config) -> Result<bool> {
    let config = registry.complete(config)?;
    if !registry.store_exists(&config)? {
        return Ok(false);
    }
    let store = registry.connect_store(&config, Access::ReadOnly)?;
    let exists = if store.capabilities().volatile {
        registry.memory().exists(&open_name(registry, &config)?)
    } else {
        store.get(&commit::head_key(config.branch_name()), None)?.is_some()
    };
    registry.release_store(&config, store)?;
    Ok(exists)
}

/// [`delete_database`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn delete_database_in(registry: &Registry, config: &Config) -> Result<()> {
    let config = registry.complete(config)?;
    let name = open_name(registry, &config)?;
    if registry.open().get::<Shared>(&name).is_some_and(|shared| shared.users.load(Ordering::Acquire) > 0) {
        let message = "the database is open in this process; release its connections first";
        return Err(Error::new(ErrorKind::Closed, "connection-not-released", message));
    }
    registry.memory().delete(&name);
    registry.delete_store(&config)
}

/// What a connection is found by: the store and the branch.
fn open_name(registry: &Registry, config: &Config) -> Result<String> {
    Ok(format!("{} {}", registry.identity(config)?, config.branch_name()))
}

/// Says of which store an error is that cannot know it.
fn located(config: &Config, error: Error) -> Error {
    let concerned = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Existence);
    match config.store_config().path().map(|path| path.display().to_string()) {
        Some(path) if concerned && !error.message().contains(&path) => error.context(path),
        _ => error,
    }
}

fn unknown_index() -> Error {
    Error::new(ErrorKind::Config, "config/missing", "the config names no :index and the backend has no default")
}

fn system_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
