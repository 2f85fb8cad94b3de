//! From a config to a connection, and the life of databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::follow::Follower;
use super::home::{Home, StoredHome};
use super::listen::{Listeners, check_may_wait};
use super::tx_range::LogOf;
use super::writer::{Durable, Writer};
use super::{Connection, Role, Shared};
use crate::commit::{self, Loaded, Provenance, StoredNodes};
use crate::config::Config;
use crate::db::{Db, KeptPieces, Settings, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{NoNodes, NodeSource};
use crate::log::{LogWriter, Tail, Transaction};
use crate::query::{Answers, IntoInputs, IntoQuery, Output, q};
use crate::registry::{Lease, Registry};
use crate::store::{Access, BoxFuture, Store};
use crate::transact::{IntoTxData, transact};
use crate::world;

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
    store.close()
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
    empty.pieces = Arc::new(KeptPieces::within(config.piece_bytes(), empty.basis_t));
    let db = Db::new(Arc::new(empty));
    let Some(initial) = initial else { return Ok((db, None)) };
    let made = initial.into_tx_data().and_then(|data| transact(&db, data, world::now()));
    let made = made.map_err(|error| error.context(":initial-tx"))?;
    let transaction = Transaction { t: made.report.db_after.basis_t().0, bytes: made.record().encode()? };
    Ok((made.report.db_after, Some(transaction)))
}

fn create_in(registry: &Registry, config: &Config, store: &Store, db: Db, initial: Option<Transaction>) -> Result<()> {
    let config = registry.complete(config)?;
    let keyword = config.index_kind().ok_or_else(unknown_index)?;
    if store.capabilities().volatile {
        return registry.memory().create(registry.identity(&config)?, config, db, world::now());
    }
    let nodes = Arc::new(StoredNodes::uncached(store.clone()));
    let provenance =
        Provenance { config: config.to_form().to_string(), index: keyword, index_settings: config.index_settings() };
    commit::create(&nodes, config.branch_name(), db.snapshot(), initial, &provenance, world::now())
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
    let name = open_name(&registry.identity(&config)?, config.branch_name());
    let join = |shared: &Shared| {
        if shared.read_only == config.is_read_only() {
            shared.users.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        let message = "the database is open in this process already, read-only in one place and for writing in another; \
                       release one of the connections first";
        Err(Error::new(ErrorKind::Config, "config-does-not-match-existing-connections", message))
    };
    let shared = registry.open().get_or_open(&name, || open_connection(registry, &config), join)?;
    Ok(Connection { shared })
}

fn open_connection(registry: &Registry, config: &Config) -> Result<Arc<Shared>> {
    let read_only = config.is_read_only();
    let source = if read_only {
        Source::ToRead(registry.connect_store(config, Access::ReadOnly)?)
    } else {
        Source::ToWrite(registry.lease(config)?)
    };
    let identity = registry.identity(config)?;
    let listeners: Arc<Listeners> = Arc::default();
    let opened = if source.store().capabilities().volatile {
        let database = registry.memory().find(&identity, config)?;
        let branch = config.branch_name();
        let current = database.branch(branch).ok_or_else(|| {
            let message = format!("the database in memory has no branch {branch}; create it first");
            Error::new(ErrorKind::Existence, "db-does-not-exist", message)
        })?;
        let writer = Writer::new(Arc::clone(&current), Arc::clone(&listeners), None);
        Opened { current, role: Role::Writer(Box::new(writer)), log: None, home: Home::Memory(database) }
    } else {
        open_stored(registry, config, source, &listeners).map_err(|error| located(config, error))?
    };
    let Opened { current, role, log, home } = opened;
    Ok(Arc::new(Shared {
        branch: config.branch_name(),
        read_only,
        current,
        listeners,
        role,
        log,
        users: AtomicUsize::new(0),
        queue: Arc::new(Semaphore::new(queue_size(config))),
        pool: Arc::clone(registry.pool()),
        home,
        open: Arc::clone(registry.open()),
        identity,
    }))
}

/// How many async transactions may be on their way: as many as the config says, one at least, and no more than can be
/// counted.
fn queue_size(config: &Config) -> usize {
    usize::try_from(config.writer_queue_size()).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)
}

/// A store that was opened.
enum Source {
    ToRead(Store),
    ToWrite(Lease),
}

impl Source {
    fn store(&self) -> &Store {
        match self {
            Source::ToRead(store) => store,
            Source::ToWrite(lease) => &lease.open().store,
        }
    }
}

/// The parts of a connection that its store decides.
struct Opened {
    current: Arc<RwLock<Db>>,
    role: Role,
    log: Option<LogOf>,
    home: Home,
}

fn open_stored(registry: &Registry, config: &Config, source: Source, listeners: &Arc<Listeners>) -> Result<Opened> {
    let store = source.store().clone();
    let branch = config.branch_name();
    let cache = registry.node_cache(config.node_cache_bytes());
    let nodes = Arc::new(StoredNodes::new(store.clone(), cache, &registry.identity(config)?));
    let node_source: Arc<dyn NodeSource> = Arc::clone(&nodes) as _;
    let load = || -> Result<Loaded> {
        let kind_of = |keyword| registry.index(keyword);
        let mut loaded = commit::load(&store, branch, config.is_read_only(), &kind_of, &node_source)?;
        loaded.snapshot.library = registry.library(config)?;
        loaded.snapshot.answers = Answers::within(config.answer_bytes());
        loaded.snapshot.pieces = Arc::new(KeptPieces::within(config.piece_bytes(), loaded.snapshot.basis_t));
        let stored = Config::from_edn(&loaded.provenance.config).map_err(|e| e.context("the stored config"))?;
        config.matching(&stored)?;
        loaded.snapshot.settings.caps = stored.caps();
        if loaded.tail == Tail::Dropped {
            tracing::warn!(%branch, "the end of the log was never acknowledged and is dropped");
        }
        Ok(loaded)
    };
    let log = Some(LogOf { store: store.clone(), branch });
    let current_of = |loaded: &Loaded| Arc::new(RwLock::new(Db::new(Arc::new(loaded.snapshot.clone()))));
    let home_of = |loaded: &Loaded, open| {
        Home::Stored(StoredHome {
            nodes: Arc::clone(&nodes),
            provenance: loaded.provenance.clone(),
            kind: Arc::clone(&loaded.kind),
            library: Arc::clone(&loaded.snapshot.library),
            open,
        })
    };
    let lease = match source {
        Source::ToWrite(lease) => lease,
        Source::ToRead(store) => {
            let loaded = load()?;
            let (current, home) = (current_of(&loaded), home_of(&loaded, None));
            let follower = Follower::new(store, branch, Arc::clone(&node_source), loaded);
            return Ok(Opened { current, role: Role::Reader(Box::new(Mutex::new(follower))), log, home });
        }
    };
    let (loaded, log_writer, head) = take_over(&store, branch, &load)?;
    let (current, home) = (current_of(&loaded), home_of(&loaded, Some(Arc::clone(lease.open()))));
    let durable = Durable {
        nodes: Arc::clone(&nodes),
        branch,
        head,
        log: log_writer,
        provenance: loaded.provenance,
        unflushed: loaded.replayed,
        flush_after: config.bytes_to_flush_after(),
        flushing: None,
        flushed_at: loaded.flushed_at,
        purges: loaded.purges,
        merged: loaded.merged,
        kind: loaded.kind,
        lease,
    };
    let writer = Writer::new(Arc::clone(&current), Arc::clone(listeners), Some(durable));
    writer.resume()?;
    Ok(Opened { current, role: Role::Writer(Box::new(writer)), log, home })
}

/// Reads a branch and becomes its writer: what one at work writes meanwhile is read too.
fn take_over(
    store: &Store,
    branch: Keyword,
    load: &dyn Fn() -> Result<Loaded>,
) -> Result<(Loaded, LogWriter, commit::Head)> {
    let session = world::random_id();
    let mut left = MOST_TRIES;
    'opened: loop {
        let mut loaded = load()?;
        let log = loop {
            match LogWriter::begin(&loaded.log, session) {
                Ok(log) => break log,
                // It was faster.
                Err(error) if error.kind() == ErrorKind::Fenced && left > 0 => left -= 1,
                Err(error) => return Err(error),
            }
            // Otherwise the log was rewritten or collected.
            if loaded.read_on().is_err() {
                continue 'opened;
            }
        };
        match commit::take_over(store, branch, &loaded.head, session) {
            // It has stored its indexes.
            Err(error) if error.kind() == ErrorKind::Fenced && left > 0 => left -= 1,
            head => return Ok((loaded, log, head?)),
        }
    }
}

/// How often who takes over from a writer at work tries again because that one has written once more meanwhile.
const MOST_TRIES: u32 = 100;

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
        registry.memory().exists(&registry.identity(&config)?, config.branch_name())
    } else {
        commit::branches::heads(&store)?.iter().any(|(name, _)| *name == config.branch_name())
    };
    store.close()?;
    Ok(exists)
}

/// [`delete_database`] with the kinds of a registry.
///
/// # Errors
/// As there.
pub fn delete_database_in(registry: &Registry, config: &Config) -> Result<()> {
    let config = registry.complete(config)?;
    let identity = registry.identity(&config)?;
    let held = registry.open().held::<Shared>(&format!("{identity}\n"));
    if let Some(shared) = held.iter().find(|shared| shared.users.load(Ordering::Acquire) > 0) {
        let message = format!("the branch {} is open in this process; release its connections first", shared.branch);
        return Err(Error::new(ErrorKind::Closed, "connection-not-released", message));
    }
    registry.memory().delete(&identity);
    registry.delete_store(&config)
}

/// What a connection is found by: the store and the branch.
pub(super) fn open_name(identity: &str, branch: Keyword) -> String {
    format!("{identity}\n{branch}")
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
