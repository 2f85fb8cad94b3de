//! `:redis`: a string for each blob.
//!
//! The server runs one command at a time, so a `SET NX` or a script of a few commands is all that a swap needs. One
//! connection carries the calls of all threads.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline, Script, Value};

use super::Place;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::store::backend::{Backend, BoxFuture, Capabilities};
use crate::store::{Access, BackendKind, StoreConfig};

/// The longest blob: what a string of Redis can hold.
const LONGEST: u64 = 512 << 20;
/// How long an answer may take. What was asked may have been done when it is over.
const ANSWER: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
/// Keys that one step of a listing looks at.
const STEP: usize = 1000;

/// Stores the second argument if the first is what stands there.
const SWAP: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2])
  return 1
end
return 0";

/// Blobs as strings of a Redis server, their keys behind a prefix.
///
/// ```no_run
/// use treering::{Config, connect, create_database};
/// let config = Config::from_edn("{:store {:backend :redis :uri \"redis://localhost\" :prefix \"people\"}}")?;
/// create_database(&config)?;
/// let conn = connect(&config)?;
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisBackend {
    connection: ConnectionManager,
    /// With its colon.
    prefix: String,
    place: Place,
    durable: bool,
    swap: Script,
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisBackend({} {:?})", self.place, self.prefix)
    }
}

impl RedisBackend {
    /// Connects to the server that `store` names; its options are those of `:redis` in `docs/backends.md`. To be called
    /// inside the runtime that the calls will be polled in.
    ///
    /// # Errors
    /// `Config` for options that name no server, `store/connect` for one that does not answer or refuses.
    pub async fn connect(store: &StoreConfig) -> Result<RedisBackend> {
        let Server { info, prefix, place } = Server::of(store)?;
        let failed = |cause| place.failed("store/connect", "connect", &cause);
        let client = Client::open(info).map_err(failed)?;
        let settings = ConnectionManagerConfig::new()
            .set_number_of_retries(3)
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connection = ConnectionManager::new_with_config(client, settings).await.map_err(failed)?;
        let mut backend = RedisBackend { connection, prefix, place, durable: false, swap: Script::new(SWAP) };
        backend.durable = backend.is_durable().await;
        Ok(backend)
    }

    /// Whether what is acknowledged survives a loss of power; warns where it does not, or where the server may drop
    /// blobs.
    async fn is_durable(&self) -> bool {
        let mut pipe = redis::pipe();
        for name in ["appendonly", "appendfsync", "maxmemory-policy"] {
            pipe.cmd("CONFIG").arg("GET").arg(name);
        }
        let place = &self.place;
        let answers: Vec<Vec<String>> = match self.ask(("read", "the configuration"), &pipe).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::warn!(%place, %error, "the server does not say whether it is durable; it is taken not to be");
                return false;
            }
        };
        let value = |name: &str| answers.iter().find_map(|a| (a.first()? == name).then(|| a.get(1).cloned())?);
        if value("maxmemory-policy").is_some_and(|policy| policy != "noeviction") {
            tracing::warn!(%place, "the server may evict blobs when its memory is full: set maxmemory-policy noeviction");
        }
        let durable =
            value("appendonly").as_deref() == Some("yes") && value("appendfsync").as_deref() == Some("always");
        if !durable {
            tracing::warn!(
                %place,
                "transactions that were acknowledged can be lost with the server: set appendonly yes and appendfsync always"
            );
        }
        durable
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn ask<T: FromRedisValue>(&self, what: (&str, &str), pipe: &Pipeline) -> Result<T> {
        let mut connection = self.connection.clone();
        pipe.query_async(&mut connection).await.map_err(|cause| self.failed(what, &cause))
    }

    /// Asks one command.
    async fn one<T: FromRedisValue>(&self, what: (&str, &str), command: &redis::Cmd) -> Result<T> {
        let mut connection = self.connection.clone();
        command.query_async(&mut connection).await.map_err(|cause| self.failed(what, &cause))
    }

    fn failed(&self, (verb, what): (&str, &str), cause: &redis::RedisError) -> Error {
        let code = match cause.code() {
            Some("OOM") => "store/full",
            Some("NOPERM" | "NOAUTH" | "WRONGPASS" | "READONLY") => "store/denied",
            _ => "store/io",
        };
        self.place.failed(code, format_args!("{verb} {what}"), cause)
    }

    fn check(&self, key: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 <= LONGEST {
            return Ok(());
        }
        let what = format!("the blob {key:?} has {} bytes; a string of Redis holds at most {LONGEST}", bytes.len());
        Err(self.place.error("store/too-large", what))
    }

    /// Several blobs or ranges of them as they are at one moment.
    async fn read(&self, wanted: &[(String, Option<Range<u64>>)]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut pipe = redis::pipe();
        if wanted.len() > 1 || wanted.iter().any(|(_, range)| range.is_some()) {
            pipe.atomic();
        }
        for (key, range) in wanted {
            match range {
                None => pipe.cmd("GET").arg(self.key(key)),
                Some(range) => {
                    // A range of what is not there is empty too, and the end is included.
                    let (first, last) = if range.start < range.end.min(LONGEST) {
                        (range.start, range.end.min(LONGEST) - 1)
                    } else {
                        (1, 0)
                    };
                    pipe.cmd("EXISTS").arg(self.key(key));
                    pipe.cmd("GETRANGE").arg(self.key(key)).arg(first).arg(last)
                }
            };
        }
        let what = if let [(key, _)] = wanted { key } else { "several blobs" };
        let answers: Vec<Value> = self.ask(("read", what), &pipe).await?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let mut found = Vec::with_capacity(wanted.len());
        for (key, range) in wanted {
            let there = range.is_none() || matches!(next(), Value::Int(1));
            found.push(match next() {
                Value::BulkString(bytes) if there => Some(bytes),
                Value::BulkString(_) | Value::Nil => None,
                _ => return Err(self.place.error("store/io", format_args!("the answer for {key} is no string"))),
            });
        }
        Ok(found)
    }

    /// All keys of Redis that begin with `prefix` behind that of the store, each perhaps more than once.
    async fn scan(&self, prefix: &str) -> Result<Vec<String>> {
        let mut pattern = String::new();
        for c in self.key(prefix).chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('*');
        let (mut cursor, mut keys) = (0u64, Vec::new());
        loop {
            let mut step = redis::cmd("SCAN");
            step.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
            let (next, found): (u64, Vec<String>) = self.one(("list", "the keys"), &step).await?;
            keys.extend(found);
            if next == 0 {
                return Ok(keys);
            }
            cursor = next;
        }
    }

    /// The key that tells that there is a store; it is none of a blob.
    fn mark(&self) -> &str {
        self.prefix.trim_end_matches(':')
    }

    async fn is_marked(&self) -> Result<bool> {
        self.one(("look for", "the store"), redis::cmd("EXISTS").arg(self.mark())).await
    }

    /// Removes every blob, and the mark.
    async fn clear(&self) -> Result<()> {
        for keys in self.scan("").await?.chunks(STEP) {
            self.one::<u64>(("delete", "the store"), redis::cmd("UNLINK").arg(keys)).await?;
        }
        self.one::<u64>(("delete", "the store"), redis::cmd("UNLINK").arg(self.mark())).await.map(|_| ())
    }
}

impl Backend for RedisBackend {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move { Ok(self.read(&[(key.to_owned(), range)]).await?.pop().flatten()) })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check(key, &bytes)?;
            self.one(("write", key), redis::cmd("SET").arg(self.key(key)).arg(bytes)).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.one(("delete", key), redis::cmd("UNLINK").arg(self.key(key))).await })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let keys = self.scan(prefix).await?;
            let own = keys.iter().filter_map(|key| key.strip_prefix(&self.prefix));
            let mut own: Vec<String> = own.map(str::to_owned).collect();
            own.sort_unstable();
            own.dedup();
            Ok(own)
        })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            self.check(key, &new)?;
            let Some(expected) = expected else {
                let put = redis::cmd("SET").arg(self.key(key)).arg(new).arg("NX").to_owned();
                let answer: Value = self.one(("write", key), &put).await?;
                return Ok(answer != Value::Nil);
            };
            let mut connection = self.connection.clone();
            let mut call = self.swap.key(self.key(key));
            let swapped = call.arg(expected).arg(new).invoke_async(&mut connection).await;
            swapped.map_err(|cause| self.failed(("write", key), &cause))
        })
    }

    /// A server that is durable at all syncs before it answers.
    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// One transaction of the server: all of them or none.
    fn put_many(&self, blobs: Vec<(String, Vec<u8>)>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut pipe = redis::pipe();
            pipe.atomic();
            for (key, bytes) in &blobs {
                self.check(key, bytes)?;
                pipe.cmd("SET").arg(self.key(key)).arg(bytes).ignore();
            }
            if blobs.is_empty() { Ok(()) } else { self.ask(("write", "several blobs"), &pipe).await }
        })
    }

    fn get_many(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> BoxFuture<'_, Result<Vec<Option<Vec<u8>>>>> {
        Box::pin(async move { if wanted.is_empty() { Ok(Vec::new()) } else { self.read(&wanted).await } })
    }

    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<u64>>> {
        Box::pin(async move {
            let mut pipe = redis::pipe();
            pipe.atomic().cmd("EXISTS").arg(self.key(key)).cmd("STRLEN").arg(self.key(key));
            let (there, len): (bool, u64) = self.ask(("measure", key), &pipe).await?;
            Ok(there.then_some(len))
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: self.durable, tokio: true, ..Capabilities::default() }
    }
}

/// What the options say.
struct Server {
    info: ConnectionInfo,
    prefix: String,
    place: Place,
}

const KEYS: [&str; 7] = ["uri", "host", "port", "user", "password", "db", "prefix"];

impl Server {
    fn of(store: &StoreConfig) -> Result<Server> {
        store.check_keys(&KEYS)?;
        let port = store.number("port", 1..=65_535)?.unwrap_or(6379) as u16;
        let (uri, host, password) = (store.string("uri")?, store.string("host")?, store.string("password")?);
        if host.is_none() && uri.is_some_and(|uri| uri.starts_with("rediss:") || uri.starts_with("valkeys:")) {
            let message = ":store :uri rediss:// is not supported: TLS is not built in; reach the server by a tunnel";
            return Err(Error::new(ErrorKind::Config, "config/unsupported", message));
        }
        // A host of its own has nothing to do with a URI that the environment gave.
        let info = match (host, uri) {
            (Some(host), _) => ConnectionAddr::Tcp(host.to_owned(), port).into_connection_info(),
            (None, Some(uri)) => uri.into_connection_info(),
            (None, None) => return Err(store.missing("uri")),
        };
        let unusable = |cause: redis::RedisError| {
            let message = format!(
                ":store :uri wants redis://[user:password@]host[:port][/number] or unix:///path, and is none: {}",
                cause.category()
            );
            Error::new(ErrorKind::Config, "config/value", message)
        };
        let mut info = info.map_err(unusable)?;
        let mut settings = info.redis_settings().clone();
        if let Some(user) = store.string("user")? {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        if let Some(db) = store.number("db", 0..=1_000_000)? {
            settings = settings.set_db(db as i64);
        }
        let secrets = [password.map(str::to_owned), settings.password().map(str::to_owned)];
        let place =
            Place::new(format!("redis {} database {}", info.addr(), settings.db()), secrets.into_iter().flatten());
        info = info.set_redis_settings(settings);
        let prefix = format!("{}:", store.string("prefix")?.unwrap_or("treering"));
        Ok(Server { info, prefix, place })
    }
}

/// `:redis`: one store for each prefix of a database of a server.
#[derive(Debug)]
pub struct RedisKind;

impl BackendKind for RedisKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("redis")
    }

    fn default_config(&self, environment: &dyn Fn(&str) -> Option<String>) -> StoreConfig {
        let store = StoreConfig::new("redis");
        match environment("REDIS_URL").filter(|uri| !uri.is_empty()) {
            Some(uri) => store.with_option("uri", uri.as_str()),
            None => store,
        }
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        Server::of(store).map(|_| ())
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        let Server { prefix, place, .. } = Server::of(store)?;
        Ok(format!("{place} {prefix}"))
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let backend = RedisBackend::connect(store).await?;
            backend.one::<()>(("create", "the store"), redis::cmd("SET").arg(backend.mark()).arg("treering")).await?;
            Ok(Arc::new(backend) as Arc<dyn Backend>)
        })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { RedisBackend::connect(store).await?.is_marked().await })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, _: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move { Ok(Arc::new(RedisBackend::connect(store).await?) as Arc<dyn Backend>) })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { RedisBackend::connect(store).await?.clear().await })
    }

    fn needs_tokio(&self) -> bool {
        true
    }
}
