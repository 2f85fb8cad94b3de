//! `:s3`: an object for each blob, in a bucket of S3 or of what speaks as it does, of Google or of Azure.
//!
//! A swap is a conditional put: `If-None-Match: *` where no object is expected, `If-Match` with the tag of the object that
//! was read otherwise. What was read whole lately is remembered with its tag, so that most swaps are one request.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use parking_lot::Mutex;
use uuid::Uuid;

use super::Place;
use crate::edn::{Form, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::store::backend::{Backend, BoxFuture, Capabilities, check_key};
use crate::store::config::is_secret;
use crate::store::{Access, BackendKind, StoreConfig};

/// Requests that one call has under way at once.
const AT_ONCE: usize = 16;
/// Blobs that are remembered with their tags: how many, and how long at most.
const REMEMBERED: usize = 16;
const SHORT: usize = 64 << 10;
/// How often a swap is begun anew that met another one under way.
const TRIES: usize = 20;
/// How long a request may take, and all tries of one that may be tried again.
const REQUEST: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
const RETRIES: usize = 5;
/// The end of the name of the object beside the blobs of a store.
const MARK: &str = ".store";

/// Blobs as objects of a bucket, their keys behind a prefix.
///
/// ```no_run
/// use treering::{Config, connect, create_database};
/// let config = Config::from_edn("{:store {:backend :s3 :bucket \"facts\" :prefix \"people\"}}")?;
/// create_database(&config)?;
/// let conn = connect(&config)?;
/// # Ok::<(), treering::Error>(())
/// ```
pub struct ObjectBackend {
    /// For what can be done twice.
    patient: Arc<dyn ObjectStore>,
    /// For swaps: an answer that was lost stays lost.
    strict: Arc<dyn ObjectStore>,
    prefix: String,
    place: Place,
    remembered: Mutex<HashMap<String, (Vec<u8>, UpdateVersion)>>,
}

impl fmt::Debug for ObjectBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectBackend({})", self.place)
    }
}

impl ObjectBackend {
    /// The backend for the bucket that `store` names; its options are those of `:s3` in `docs/backends.md`. Nothing is
    /// sent yet.
    ///
    /// # Errors
    /// `Config` for options that name no bucket.
    pub fn new(store: &StoreConfig) -> Result<ObjectBackend> {
        let target = Target::of(store)?;
        let open = |retries| {
            target.open(retries).map_err(|cause| target.place.failed("store/connect", "set up the client", &cause))
        };
        let (patient, strict) = (open(RETRIES)?, open(0)?);
        Ok(ObjectBackend { patient, strict, prefix: target.prefix, place: target.place, remembered: Mutex::default() })
    }

    /// Makes sure that conditional puts are obeyed: a server that takes no notice of the conditions would let two writers
    /// overwrite each other.
    ///
    /// # Errors
    /// `store/no-conditional-puts`, and those of the server.
    pub async fn check_conditions(&self) -> Result<()> {
        let key = format!("conditions.check/{}", Uuid::new_v4().as_simple());
        let put = self.swap(&key, None, b"1".to_vec()).await?;
        let outcome = async {
            let again = self.swap(&key, None, b"2".to_vec()).await?;
            let stale = UpdateVersion { e_tag: Some("\"stale\"".to_owned()), version: Some("1".to_owned()) };
            let stale = self.put_if(&key, PutMode::Update(stale), b"3").await?.is_some();
            if put && !again && !stale {
                return Ok(());
            }
            let message = "the server does not obey conditional puts (If-None-Match, If-Match), without which two writers \
                           would overwrite each other";
            Err(self.place.error("store/no-conditional-puts", message))
        };
        let outcome = outcome.await;
        let removed = self.delete(&key).await;
        outcome.and(removed.map(|_| ()))
    }

    fn path(&self, key: &str) -> Path {
        if self.prefix.is_empty() { Path::from(key) } else { Path::from(format!("{}/{key}", self.prefix)) }
    }

    fn failed(&self, what: impl fmt::Display, cause: &object_store::Error) -> Error {
        let code = match cause {
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                "store/denied"
            }
            _ => "store/io",
        };
        self.place.failed(code, what, cause)
    }

    /// The blob or a range of it; a whole one with its tag.
    async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<(Vec<u8>, UpdateVersion)>> {
        let nothing = || (Vec::new(), UpdateVersion { e_tag: None, version: None });
        let wanted = match &range {
            None => None,
            // No request can ask for nothing.
            Some(range) if range.start >= range.end => return Ok(self.size(key).await?.map(|_| nothing())),
            Some(range) if range.end > i64::MAX as u64 => Some(GetRange::Offset(range.start)),
            Some(range) => Some(GetRange::Bounded(range.clone())),
        };
        let read = async {
            let options = GetOptions { range: wanted, ..GetOptions::default() };
            let found = self.patient.get_opts(&self.path(key), options).await?;
            let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
            Ok((found.bytes().await?.to_vec(), version))
        };
        let cause = match read.await {
            Ok(found) => return Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(cause) => cause,
        };
        // A range behind the end is refused.
        if let Some(range) = range
            && self.size(key).await?.is_some_and(|size| size <= range.start)
        {
            return Ok(Some(nothing()));
        }
        Err(self.failed(format_args!("read {key}"), &cause))
    }

    /// Puts an object under a condition; its new tag if the condition held.
    async fn put_if(&self, key: &str, mode: PutMode, bytes: &[u8]) -> Result<Option<UpdateVersion>> {
        let absent = matches!(mode, PutMode::Create);
        for _ in 0..TRIES {
            let options = PutOptions { mode: mode.clone(), ..PutOptions::default() };
            match self.strict.put_opts(&self.path(key), bytes.to_vec().into(), options).await {
                Ok(put) => return Ok(Some(UpdateVersion { e_tag: put.e_tag, version: put.version })),
                Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) if !absent => {
                    return Ok(None);
                }
                Err(object_store::Error::AlreadyExists { .. }) if absent => return Ok(None),
                // Another put was under way and this one was not done.
                Err(object_store::Error::AlreadyExists { .. }) => tokio::task::yield_now().await,
                Err(cause) => return Err(self.failed(format_args!("write {key}"), &cause)),
            }
        }
        Err(self.place.error("store/io", format_args!("cannot write {key}: too many others write it")))
    }

    /// Remembers a blob with its tag, and forgets others if they are too many.
    fn remember(&self, key: &str, bytes: &[u8], version: UpdateVersion) {
        if bytes.len() > SHORT {
            return;
        }
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED && !remembered.contains_key(key) {
            remembered.clear();
        }
        remembered.insert(key.to_owned(), (bytes.to_vec(), version));
    }

    async fn swap_expected(&self, key: &str, expected: &[u8], new: &[u8]) -> Result<bool> {
        let known = self.remembered.lock().remove(key).filter(|(bytes, _)| bytes == expected);
        if let Some((_, version)) = known
            && let Some(version) = self.put_if(key, PutMode::Update(version), new).await?
        {
            self.remember(key, new, version);
            return Ok(true);
        }
        // The same bytes may stand there under another tag.
        let Some((bytes, version)) = self.read(key, None).await? else { return Ok(false) };
        if bytes != expected {
            return Ok(false);
        }
        let put = self.put_if(key, PutMode::Update(version), new).await?;
        let swapped = put.is_some();
        if let Some(version) = put {
            self.remember(key, new, version);
        }
        Ok(swapped)
    }

    /// All keys below a path of segments.
    async fn below(&self, directory: &str) -> Result<Vec<String>> {
        let whole = self.path(directory);
        let under = Some(&whole).filter(|path| !path.as_ref().is_empty());
        let mut objects = self.patient.list(under);
        let mut keys = Vec::new();
        while let Some(object) = objects.try_next().await.map_err(|cause| self.failed("list the keys", &cause))? {
            let location = object.location.as_ref();
            let own = if self.prefix.is_empty() { Some(location) } else { location.strip_prefix(&self.prefix) };
            keys.extend(own.map(|key| key.trim_start_matches('/').to_owned()));
        }
        Ok(keys)
    }

    /// The object that tells that there is a store; it is none of a blob, and lies beside them.
    fn mark(&self) -> Path {
        Path::from(format!("{}{MARK}", self.prefix))
    }

    async fn is_marked(&self) -> Result<bool> {
        match self.patient.head(&self.mark()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(cause) => Err(self.failed("look for the store", &cause)),
        }
    }

    /// Removes every blob, and the mark.
    async fn clear(&self) -> Result<()> {
        let gone = stream::iter(self.below("").await?.into_iter().map(Ok));
        gone.try_for_each_concurrent(AT_ONCE, |key| async move { self.remove(&key).await }).await?;
        match self.patient.delete(&self.mark()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(self.failed("delete the store", &cause)),
        }
    }

    async fn remove(&self, key: &str) -> Result<()> {
        match self.patient.delete(&self.path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(self.failed(format_args!("delete {key}"), &cause)),
        }
    }
}

impl Backend for ObjectBackend {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let whole = range.is_none();
            let Some((bytes, version)) = self.read(key, range).await? else { return Ok(None) };
            if whole {
                self.remember(key, &bytes, version);
            }
            Ok(Some(bytes))
        })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let put = self.patient.put(&self.path(key), bytes.into()).await;
            put.map(|_| ()).map_err(|cause| self.failed(format_args!("write {key}"), &cause))
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            // The server does not tell whether there was an object.
            if self.size(key).await?.is_none() {
                return Ok(false);
            }
            self.remove(key).await.map(|()| true)
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let directory = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
            if !directory.is_empty() && check_key(directory).is_err() {
                return Ok(Vec::new());
            }
            let mut keys = self.below(directory).await?;
            keys.retain(|key| key.starts_with(prefix) && key != MARK && check_key(key).is_ok());
            keys.sort_unstable();
            Ok(keys)
        })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            match expected {
                None => Ok(self.put_if(key, PutMode::Create, &new).await?.is_some()),
                Some(expected) => self.swap_expected(key, expected, &new).await,
            }
        })
    }

    /// A put is answered when it is durable.
    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// All but the last at once, then the last.
    fn put_many(&self, mut blobs: Vec<(String, Vec<u8>)>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let Some((last, pointer)) = blobs.pop() else { return Ok(()) };
            // Of two for one key the later one stands.
            let mut others: HashMap<String, Vec<u8>> = HashMap::new();
            others.extend(blobs);
            others.remove(&last);
            let others = stream::iter(others.into_iter().map(Ok));
            others.try_for_each_concurrent(AT_ONCE, |(key, bytes)| async move { self.put(&key, bytes).await }).await?;
            self.put(&last, pointer).await
        })
    }

    fn get_many(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> BoxFuture<'_, Result<Vec<Option<Vec<u8>>>>> {
        Box::pin(async move {
            let read = |(key, range): (String, Option<Range<u64>>)| async move {
                Ok(self.read(&key, range).await?.map(|(bytes, _)| bytes))
            };
            stream::iter(wanted).map(read).buffered(AT_ONCE).try_collect().await
        })
    }

    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<u64>>> {
        Box::pin(async move {
            match self.patient.head(&self.path(key)).await {
                Ok(meta) => Ok(Some(meta.size)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(cause) => Err(self.failed(format_args!("measure {key}"), &cause)),
            }
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { tokio: true, ..Capabilities::default() }
    }
}

/// What the options say.
struct Target {
    service: Service,
    bucket: String,
    prefix: String,
    region: Option<String>,
    /// Access key, secret and token, where the config gives them.
    credentials: Option<(String, String, Option<String>)>,
    endpoint: Option<String>,
    /// Options of the client by their names there.
    options: Vec<(String, String)>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq)]
enum Service {
    S3,
    Google,
    Azure,
}

const KEYS: [&str; 9] =
    ["url", "bucket", "prefix", "region", "access-key", "secret", "session-token", "endpoint-override", "options"];

impl Target {
    fn of(store: &StoreConfig) -> Result<Target> {
        store.check_keys(&KEYS)?;
        let (service, bucket, path) = match store.string("url")? {
            Some(url) => place_of(url)?,
            None => {
                let bucket = store.string("bucket")?.ok_or_else(|| store.missing("bucket"))?;
                (Service::S3, bucket.to_owned(), String::new())
            }
        };
        let given = store.string("prefix")?.map(str::to_owned);
        let prefix = given.or(Some(path).filter(|path| !path.is_empty())).unwrap_or_else(|| "treering".to_owned());
        let prefix = prefix.trim_matches('/').to_owned();
        if !prefix.is_empty() && check_key(&prefix).is_err() {
            let message = format!(
                ":store :prefix wants segments of letters, digits, dots, _ and - with slashes between them, got {prefix:?}"
            );
            return Err(Error::new(ErrorKind::Config, "config/value", message));
        }
        let endpoint = endpoint(store)?;
        let credentials = match (store.string("access-key")?, store.string("secret")?) {
            (Some(key), Some(secret)) => {
                Some((key.to_owned(), secret.to_owned(), store.string("session-token")?.map(str::to_owned)))
            }
            (Some(_), None) => return Err(store.missing("secret")),
            (None, _) => None,
        };
        let options = options(store)?;
        let secret_options = options.iter().filter(|(key, _)| is_secret(Keyword::new(key)));
        let secrets = secret_options.map(|(_, value)| value.clone());
        let secrets = secrets.chain(
            credentials
                .iter()
                .flat_map(|(_, secret, token)| [Some(secret.clone()), token.clone()].into_iter().flatten()),
        );
        let scheme = match service {
            Service::S3 => "s3",
            Service::Google => "gs",
            Service::Azure => "az",
        };
        let at = endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        let place = Place::new(format!("{scheme}://{bucket}/{prefix}{at}"), secrets);
        let region = store.string("region")?.map(str::to_owned);
        Ok(Target { service, bucket, prefix, region, credentials, endpoint, options, place })
    }

    fn open(&self, retries: usize) -> object_store::Result<Arc<dyn ObjectStore>> {
        let retry = RetryConfig { max_retries: retries, retry_timeout: REQUEST, ..RetryConfig::default() };
        let client = ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT);
        let plain = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        match self.service {
            Service::S3 => {
                let mut builder = match &self.credentials {
                    None => AmazonS3Builder::from_env(),
                    Some((key, secret, token)) => {
                        let builder = AmazonS3Builder::new().with_access_key_id(key).with_secret_access_key(secret);
                        token.iter().fold(builder, |builder, token| builder.with_token(token))
                    }
                };
                builder = builder.with_client_options(client).with_retry(retry).with_bucket_name(&self.bucket);
                if let Some(region) = &self.region {
                    builder = builder.with_region(region);
                }
                if let Some(endpoint) = &self.endpoint {
                    builder = builder.with_endpoint(endpoint).with_allow_http(plain);
                }
                for (key, value) in &self.options {
                    builder = builder.with_config(key.parse()?, value);
                }
                Ok(Arc::new(builder.build()?))
            }
            Service::Google => {
                let mut builder = GoogleCloudStorageBuilder::from_env().with_client_options(client).with_retry(retry);
                builder = builder.with_bucket_name(&self.bucket);
                for (key, value) in &self.options {
                    builder = builder.with_config(key.parse()?, value);
                }
                Ok(Arc::new(builder.build()?))
            }
            Service::Azure => {
                let mut builder = MicrosoftAzureBuilder::from_env().with_client_options(client).with_retry(retry);
                builder = builder.with_container_name(&self.bucket);
                if let Some(endpoint) = &self.endpoint {
                    builder = builder.with_endpoint(endpoint.clone()).with_allow_http(plain);
                }
                for (key, value) in &self.options {
                    builder = builder.with_config(key.parse()?, value);
                }
                Ok(Arc::new(builder.build()?))
            }
        }
    }
}

/// Service, bucket and path of a URL.
fn place_of(url: &str) -> Result<(Service, String, String)> {
    let wanted = "s3://bucket/path, gs://bucket/path or az://container/path";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let service = match scheme {
        "s3" | "s3a" => Service::S3,
        "gs" => Service::Google,
        "az" | "azure" | "abfs" | "abfss" | "adl" => Service::Azure,
        "file" => {
            let message = "file:// has no conditional puts, without which two writers would overwrite each other: use \
                           :backend :file";
            return Err(Error::new(ErrorKind::Config, "config/unsupported", message));
        }
        _ => {
            let message = format!(":store :url wants {wanted}, got the scheme {scheme:?}");
            return Err(Error::new(ErrorKind::Config, "config/value", message));
        }
    };
    let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() || bucket.contains(['@', '?', '#']) {
        let message = format!(":store :url wants {wanted}; keys and options have keys of their own");
        return Err(Error::new(ErrorKind::Config, "config/value", message));
    }
    Ok((service, bucket.to_owned(), path.trim_matches('/').to_owned()))
}

/// `:endpoint-override`: a URL, or a map of `:protocol`, `:hostname` and `:port`.
fn endpoint(store: &StoreConfig) -> Result<Option<String>> {
    let Some(form) = store.option("endpoint-override") else { return Ok(None) };
    if form.as_str().is_some() {
        return Ok(store.string("endpoint-override")?.map(|url| url.trim_end_matches('/').to_owned()));
    }
    let part = |name: &str| form.get(Keyword::new(name));
    let text =
        |form: &Form| form.as_keyword().map(|k| k.as_str().to_owned()).or_else(|| form.as_str().map(str::to_owned));
    let host = part("hostname").and_then(text).ok_or_else(|| {
        let message = ":store :endpoint-override wants a URL, or a map of :protocol, :hostname and :port";
        Error::new(ErrorKind::Config, "config/type", message)
    })?;
    let protocol = part("protocol").and_then(text).unwrap_or_else(|| "https".to_owned());
    let port = part("port").and_then(Form::as_int).map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Some(format!("{protocol}://{host}{port}")))
}

/// `:options`: a map of keywords or strings to strings, numbers and booleans.
fn options(store: &StoreConfig) -> Result<Vec<(String, String)>> {
    let Some(form) = store.option("options") else { return Ok(Vec::new()) };
    let wrong = || {
        let message = ":store :options wants a map of the client's options to strings, numbers, true and false";
        Error::new(ErrorKind::Config, "config/type", message)
    };
    let pair = |(key, value): &(Form, Form)| {
        let key = key.as_keyword().map(|k| k.as_str().to_owned()).or_else(|| key.as_str().map(str::to_owned))?;
        let text = value.as_str().map(str::to_owned).or_else(|| value.as_int().map(|n| n.to_string()));
        let text = text.or_else(|| value.as_bool().map(|on| on.to_string()))?;
        Some((key.replace('-', "_"), text))
    };
    form.pairs().ok_or_else(wrong)?.iter().map(|entry| pair(entry).ok_or_else(wrong)).collect()
}

/// `:s3`: one store for each prefix of a bucket.
#[derive(Debug)]
pub struct ObjectKind;

impl BackendKind for ObjectKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("s3")
    }

    /// Without an `:access-key` the client finds credentials as AWS's own tools do, when it is made.
    fn default_config(&self, environment: &dyn Fn(&str) -> Option<String>) -> StoreConfig {
        let store = StoreConfig::new("s3");
        let region = environment("AWS_REGION").or_else(|| environment("AWS_DEFAULT_REGION"));
        match region.filter(|region| !region.is_empty()) {
            Some(region) => store.with_option("region", region.as_str()),
            None => store,
        }
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        Target::of(store).map(|_| ())
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        Ok(Target::of(store)?.place.to_string())
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let backend = ObjectBackend::new(store)?;
            backend.check_conditions().await?;
            let marked = backend.patient.put(&backend.mark(), b"treering".to_vec().into()).await;
            marked.map_err(|cause| backend.failed("create the store", &cause))?;
            Ok(Arc::new(backend) as Arc<dyn Backend>)
        })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { ObjectBackend::new(store)?.is_marked().await })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, _: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move { Ok(Arc::new(ObjectBackend::new(store)?) as Arc<dyn Backend>) })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { ObjectBackend::new(store)?.clear().await })
    }

    fn needs_tokio(&self) -> bool {
        true
    }
}
