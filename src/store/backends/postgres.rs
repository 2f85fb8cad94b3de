//! `:postgres`: a row for each blob, in a table of its own.
//!
//! Every call is one statement, so each is a transaction of its own and there is nothing to clean up after a failure.
//! A few connections are kept; each runs one statement at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

use super::Place;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::store::backend::{Backend, BoxFuture, Capabilities};
use crate::store::{Access, BackendKind, StoreConfig};

/// The longest blob: the server's bound for one value is 1 GiB, and a message has to hold it.
const LONGEST: usize = 1 << 29;
/// Bytes after which a batch goes on in another statement.
const BATCH: usize = 64 << 20;
const CONNECTIONS: u64 = 8;
const CONNECT: Duration = Duration::from_secs(10);
/// How long the network may swallow what is sent before the connection is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// Blobs as rows of a table of a PostgreSQL server.
///
/// ```no_run
/// use treering::{Config, connect, create_database};
/// let config = Config::from_edn("{:store {:backend :postgres :host \"db\" :user \"people\" :table \"people\"}}")?;
/// create_database(&config)?;
/// let conn = connect(&config)?;
/// # Ok::<(), treering::Error>(())
/// ```
pub struct PostgresBackend {
    pool: Pool,
    place: Place,
    sql: Statements,
    durable: bool,
}

impl fmt::Debug for PostgresBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresBackend({})", self.place)
    }
}

/// The statements, with the name of the table.
struct Statements {
    get: String,
    get_many: String,
    put: String,
    put_many: String,
    put_absent: String,
    swap: String,
    delete: String,
    list: String,
    size: String,
}

impl Statements {
    fn of(table: &str) -> Statements {
        let update = "ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        Statements {
            get: format!("SELECT substring(value FROM $2 FOR $3) FROM {table} WHERE key = $1"),
            get_many: format!(
                "SELECT w.n, substring(t.value FROM w.start FOR w.len) \
                 FROM unnest($1::text[], $2::int4[], $3::int4[]) WITH ORDINALITY AS w (key, start, len, n) \
                 JOIN {table} AS t ON t.key = w.key"
            ),
            put: format!("INSERT INTO {table} (key, value) VALUES ($1, $2) {update}"),
            put_many: format!(
                "INSERT INTO {table} (key, value) SELECT key, value FROM unnest($1::text[], $2::bytea[]) AS b (key, value) \
                 {update}"
            ),
            put_absent: format!("INSERT INTO {table} (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING"),
            swap: format!("UPDATE {table} SET value = $3 WHERE key = $1 AND value = $2"),
            delete: format!("DELETE FROM {table} WHERE key = $1"),
            list: format!("SELECT key FROM {table} WHERE key >= $1 AND key < $2 ORDER BY key"),
            size: format!("SELECT octet_length(value) FROM {table} WHERE key = $1"),
        }
    }
}

impl PostgresBackend {
    /// Connects to the server that `store` names, whose table must be there; its options are those of `:postgres` in
    /// `docs/backends.md`. To be called inside the runtime that the calls will be polled in.
    ///
    /// # Errors
    /// `Config` for options that name no server, `store/connect` for one that does not answer or refuses, `Existence`
    /// for a table that is not there.
    pub async fn connect(store: &StoreConfig) -> Result<PostgresBackend> {
        let (mut backend, table) = PostgresBackend::reach(store)?;
        if !backend.look(&table).await? {
            let message = format!("{}: there is no table {table}: create the database first", backend.place);
            return Err(Error::new(ErrorKind::Existence, "db-does-not-exist", message));
        }
        Ok(backend)
    }

    /// Makes the table if it is not there, and connects.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn create(store: &StoreConfig) -> Result<PostgresBackend> {
        let (mut backend, table) = PostgresBackend::reach(store)?;
        if !backend.look(&table).await? {
            // A range of a value that is stored outside of its row uncompressed is read alone.
            let make = format!(
                "CREATE TABLE IF NOT EXISTS {table} (key text COLLATE \"C\" PRIMARY KEY, value bytea NOT NULL); \
                 ALTER TABLE {table} ALTER COLUMN value SET STORAGE EXTERNAL"
            );
            let made = backend.client().await?.batch_execute(&make).await;
            // Of several who make it at once some are refused.
            if let Err(cause) = made
                && !backend.look(&table).await?
            {
                return Err(backend.failed(("create", "the table"), &cause));
            }
            backend.look(&table).await?;
        }
        Ok(backend)
    }

    /// The backend without a look at the server, and the quoted name of its table.
    fn reach(store: &StoreConfig) -> Result<(PostgresBackend, String)> {
        let Server { config, table, connections, place } = Server::of(store)?;
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let read_committed = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move {
                // A swap that waited for another looks again at what stands there, and is not refused.
                let set = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";
                client.batch_execute(set).await.map_err(HookError::Backend)
            })
        });
        let pool = Pool::builder(manager)
            .max_size(connections as usize)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(CONNECT))
            .post_create(read_committed)
            .build();
        let pool = pool.map_err(|cause| place.failed("store/connect", "set up the connections", &cause))?;
        Ok((PostgresBackend { pool, place, sql: Statements::of(&table), durable: false }, table))
    }

    async fn client(&self) -> Result<Object> {
        self.pool.get().await.map_err(|cause| match &cause {
            PoolError::Backend(cause) if cause.as_db_error().is_some() => {
                self.failed(("connect to", "the server"), cause)
            }
            _ => self.place.failed("store/connect", "connect", &cause),
        })
    }

    fn failed(&self, (verb, what): (&str, &str), cause: &tokio_postgres::Error) -> Error {
        let code = match cause.code() {
            Some(state) if *state == SqlState::DISK_FULL => "store/full",
            Some(state)
                if [
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    SqlState::READ_ONLY_SQL_TRANSACTION,
                    SqlState::INVALID_PASSWORD,
                    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                ]
                .contains(state) =>
            {
                "store/denied"
            }
            _ => "store/io",
        };
        self.place.failed(code, format_args!("{verb} {what}"), cause)
    }

    async fn query(&self, what: (&str, &str), sql: &str, with: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let client = self.client().await?;
        let rows = async { client.query(&client.prepare_cached(sql).await?, with).await };
        rows.await.map_err(|cause| self.failed(what, &cause))
    }

    /// The number of rows that a statement changed.
    async fn execute(&self, what: (&str, &str), sql: &str, with: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let client = self.client().await?;
        let changed = async { client.execute(&client.prepare_cached(sql).await?, with).await };
        changed.await.map_err(|cause| self.failed(what, &cause))
    }

    fn column<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, row: &Row, column: usize) -> Result<T> {
        row.try_get(column).map_err(|cause| self.failed(("read", "an answer"), &cause))
    }

    /// Whether the table is there, and whether it is durable; warns where it is not.
    async fn look(&mut self, table: &str) -> Result<bool> {
        let sql = "SELECT (SELECT relpersistence = 'p' FROM pg_class WHERE oid = to_regclass($1)), \
                   current_setting('synchronous_commit'), current_setting('fsync')";
        let rows = self.query(("look at", "the table"), sql, &[&table]).await?;
        let row = rows.first().ok_or_else(|| self.place.error("store/io", "no answer about the table"))?;
        let logged: Option<bool> = self.column(row, 0)?;
        let (commit, fsync): (String, String) = (self.column(row, 1)?, self.column(row, 2)?);
        self.durable = logged == Some(true) && commit != "off" && fsync != "off";
        if logged.is_some() && !self.durable {
            tracing::warn!(
                place = %self.place, synchronous_commit = %commit, %fsync, logged_table = ?logged,
                "transactions that were acknowledged can be lost with the server"
            );
        }
        Ok(logged.is_some())
    }

    fn check(&self, key: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() <= LONGEST {
            return Ok(());
        }
        let what = format!("the blob {key:?} has {} bytes; a row takes at most {LONGEST}", bytes.len());
        Err(self.place.error("store/too-large", what))
    }
}

/// A range as the server counts: the first byte, from 1, and the length.
fn bounds(range: &Option<Range<u64>>) -> (i32, i32) {
    let number = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
    match range {
        None => (1, i32::MAX),
        Some(range) => (number(range.start.saturating_add(1)), number(range.end.saturating_sub(range.start))),
    }
}

impl Backend for PostgresBackend {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let (start, len) = bounds(&range);
            let rows = self.query(("read", key), &self.sql.get, &[&key, &start, &len]).await?;
            rows.first().map(|row| self.column(row, 0)).transpose()
        })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check(key, &bytes)?;
            self.execute(("write", key), &self.sql.put, &[&key, &bytes]).await.map(|_| ())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.execute(("delete", key), &self.sql.delete, &[&key]).await? > 0) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            if prefix.contains('\0') {
                return Ok(Vec::new());
            }
            // Above every character of a key.
            let end = format!("{prefix}\u{7f}");
            let rows = self.query(("list", "the keys"), &self.sql.list, &[&prefix, &end]).await?;
            rows.iter().map(|row| self.column(row, 0)).collect()
        })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.check(key, &new)?;
            let what = ("write", key);
            let changed = match expected {
                None => self.execute(what, &self.sql.put_absent, &[&key, &new]).await?,
                Some(expected) => self.execute(what, &self.sql.swap, &[&key, &expected, &new]).await?,
            };
            Ok(changed == 1)
        })
    }

    /// A server that is durable at all syncs before it answers.
    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// One statement for each batch of them: a statement is there whole or not at all.
    fn put_many(&self, blobs: Vec<(String, Vec<u8>)>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut blobs = blobs.into_iter().peekable();
            while blobs.peek().is_some() {
                let (mut batch, mut len) = (BTreeMap::new(), 0);
                while len < BATCH
                    && let Some((key, bytes)) = blobs.next()
                {
                    self.check(&key, &bytes)?;
                    len += bytes.len();
                    // A statement may write a row once.
                    batch.insert(key, bytes);
                }
                let (keys, values): (Vec<String>, Vec<Vec<u8>>) = batch.into_iter().unzip();
                self.execute(("write", "several blobs"), &self.sql.put_many, &[&keys, &values]).await?;
            }
            Ok(())
        })
    }

    fn get_many(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> BoxFuture<'_, Result<Vec<Option<Vec<u8>>>>> {
        Box::pin(async move {
            let mut found = vec![None; wanted.len()];
            if wanted.is_empty() {
                return Ok(found);
            }
            let (starts, lens): (Vec<i32>, Vec<i32>) = wanted.iter().map(|(_, range)| bounds(range)).unzip();
            let keys: Vec<String> = wanted.into_iter().map(|(key, _)| key).collect();
            let what = ("read", "several blobs");
            for row in self.query(what, &self.sql.get_many, &[&keys, &starts, &lens]).await? {
                let n: i64 = self.column(&row, 0)?;
                let place = usize::try_from(n - 1).ok().and_then(|n| found.get_mut(n));
                *place.ok_or_else(|| self.place.error("store/io", "an answer that was not asked for"))? =
                    Some(self.column(&row, 1)?);
            }
            Ok(found)
        })
    }

    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<u64>>> {
        Box::pin(async move {
            let rows = self.query(("measure", key), &self.sql.size, &[&key]).await?;
            let len: Option<i32> = rows.first().map(|row| self.column(row, 0)).transpose()?;
            Ok(len.and_then(|len| u64::try_from(len).ok()))
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: self.durable, tokio: true, ..Capabilities::default() }
    }
}

/// What the options say.
struct Server {
    config: tokio_postgres::Config,
    /// Quoted.
    table: String,
    connections: u64,
    place: Place,
}

const KEYS: [&str; 10] =
    ["url", "jdbcUrl", "dbtype", "host", "port", "user", "password", "dbname", "table", "connections"];

impl Server {
    fn of(store: &StoreConfig) -> Result<Server> {
        store.check_keys(&KEYS)?;
        store.one_of("dbtype", &["postgresql", "postgres"])?;
        let mut config = match (store.string("url")?, store.string("jdbcUrl")?) {
            (Some(url), _) => parse("url", url)?,
            (None, Some(url)) => parse("jdbcUrl", url.strip_prefix("jdbc:").unwrap_or(url))?,
            (None, None) => tokio_postgres::Config::new(),
        };
        // What the URL does not say.
        if config.get_hosts().is_empty() {
            config.host(store.string("host")?.ok_or_else(|| store.missing("host"))?);
        }
        if config.get_ports().is_empty() {
            config.port(store.number("port", 1..=65_535)?.unwrap_or(5432) as u16);
        }
        if let (None, Some(user)) = (config.get_user(), store.string("user")?) {
            config.user(user);
        }
        if let (None, Some(password)) = (config.get_password(), store.string("password")?) {
            config.password(password);
        }
        if let (None, Some(name)) = (config.get_dbname(), store.string("dbname")?) {
            config.dbname(name);
        }
        if matches!(config.get_ssl_mode(), SslMode::Require) {
            let message = "sslmode=require is not supported by the :postgres store: TLS is not built in; reach the server \
                           by a socket, a tunnel or a proxy that speaks it";
            return Err(Error::new(ErrorKind::Config, "config/unsupported", message));
        }
        config.tcp_user_timeout(SILENCE);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        let table = quoted(store.string("table")?.unwrap_or("treering"))?;
        let connections = store.number("connections", 1..=1000)?.unwrap_or(CONNECTIONS);
        let password = config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let place = Place::new(name(&config, &table), password);
        Ok(Server { config, table, connections, place })
    }
}

/// The client's complaint may quote what must not be shown.
fn parse(key: &str, url: &str) -> Result<tokio_postgres::Config> {
    url.parse().map_err(|_| {
        let message = format!(
            ":store :{key} wants postgresql://[user[:password]@]host[:port][/database][?option=value], and is none that the \
             client understands"
        );
        Error::new(ErrorKind::Config, "config/value", message)
    })
}

/// What tells one store from another: where it is, and its table.
fn name(config: &tokio_postgres::Config, table: &str) -> String {
    let ports = config.get_ports();
    let host = |(i, host): (usize, &Host)| {
        let port = ports.get(i).or_else(|| ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(host).collect();
    let database = config.get_dbname().or_else(|| config.get_user()).unwrap_or_default();
    format!("postgres {}/{database} {table}", hosts.join(","))
}

/// The name of a table, perhaps with its schema, as it stands in a statement.
fn quoted(table: &str) -> Result<String> {
    let good = |part: &str| {
        let mut chars = part.chars();
        part.len() <= 63
            && chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let parts: Vec<&str> = table.split('.').collect();
    if parts.len() > 2 || !parts.iter().all(|part| good(part)) {
        let message = format!(
            ":store :table wants the name of a table, perhaps behind a schema and a dot, of letters, digits and _, got \
             {table:?}"
        );
        return Err(Error::new(ErrorKind::Config, "config/value", message));
    }
    Ok(parts.iter().map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join("."))
}

/// `:postgres`: one store for each table.
#[derive(Debug)]
pub struct PostgresKind;

impl BackendKind for PostgresKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("postgres")
    }

    fn default_config(&self, environment: &dyn Fn(&str) -> Option<String>) -> StoreConfig {
        let variables = [("PGHOST", "host"), ("PGUSER", "user"), ("PGPASSWORD", "password"), ("PGDATABASE", "dbname")];
        let mut store = StoreConfig::new("postgres");
        for (variable, key) in variables {
            if let Some(text) = environment(variable).filter(|text| !text.is_empty()) {
                store = store.with_option(key, text.as_str());
            }
        }
        match environment("PGPORT").and_then(|port| port.trim().parse::<i64>().ok()) {
            Some(port) => store.with_option("port", port),
            None => store,
        }
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        Server::of(store).map(|_| ())
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        Ok(Server::of(store)?.place.to_string())
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move { Ok(Arc::new(PostgresBackend::create(store).await?) as Arc<dyn Backend>) })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let (mut backend, table) = PostgresBackend::reach(store)?;
            backend.look(&table).await
        })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, _: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move { Ok(Arc::new(PostgresBackend::connect(store).await?) as Arc<dyn Backend>) })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (backend, table) = PostgresBackend::reach(store)?;
            let dropped = backend.client().await?.batch_execute(&format!("DROP TABLE IF EXISTS {table}")).await;
            dropped.map_err(|cause| backend.failed(("delete", "the table"), &cause))
        })
    }

    fn needs_tokio(&self) -> bool {
        true
    }
}
