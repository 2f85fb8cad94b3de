//! The config of a database: where it is stored, how it is indexed, what it keeps.
//!
//! A [`Config`] is read from EDN, JSON or environment variables, or built in Rust. It holds what was given; what was
//! not given has a default, and [`Config::or_env`] lays the environment between the two. Keys and their meaning are
//! listed in `docs/configuration.md`.

mod encoding;
mod env;
mod json;
mod parse;
mod stored;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use parse::Source;
use uuid::Uuid;

use crate::edn::{self, Form, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{SchemaFlexibility, ValueCaps};
use crate::store::StoreConfig;

/// The config of a database: what was given of it.
///
/// Methods that set have the name of the key and can be chained; methods that answer give what was given or the
/// default. `Debug` prints it without passwords, tokens and keys.
///
/// ```
/// use treering::{Config, SchemaFlexibility};
/// let config = Config::from_edn(
///     r#"{:store {:backend :file :path "people.tr"} :keep-history? false :schema-flexibility :read}"#,
/// )?;
/// assert_eq!(config, Config::file("people.tr").keep_history(false).schema_flexibility(SchemaFlexibility::Read));
/// assert!(!config.keeps_history());
///
/// let error = Config::from_edn("{:keep-histroy? false}").unwrap_err();
/// assert_eq!(error.code(), "config/unknown-key");
/// assert!(error.message().contains("did you mean :keep-history??"));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Config {
    store: StoreConfig,
    initial_tx: Option<InitialTx>,
    keep_history: Option<bool>,
    attribute_refs: Option<bool>,
    schema_flexibility: Option<SchemaFlexibility>,
    index: Option<Keyword>,
    index_config: Option<Form>,
    value_caps: ValueCaps,
    branch: Option<Keyword>,
    name: Option<String>,
    cache_bytes: Option<u64>,
    query_cache_bytes: Option<u64>,
    flush_after: Option<u64>,
    read_only: Option<bool>,
    queue_size: Option<u64>,
    allow_unsafe_config: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
enum InitialTx {
    Form(Form),
    File(PathBuf),
}

impl Config {
    /// Bytes that decoded nodes may take when no other bound is given: 128 MiB.
    pub const DEFAULT_CACHE_BYTES: u64 = 128 << 20;
    /// Bytes of log after which the indexes are flushed when no other bound is given: 16 MiB.
    pub const DEFAULT_FLUSH_AFTER: u64 = 16 << 20;
    /// Transactions that may wait for the writer when no other bound is given.
    pub const DEFAULT_QUEUE_SIZE: u64 = 120_000;

    /// A config in which nothing is given. It names no store yet: see [`store`](Self::store).
    pub fn new() -> Config {
        Config::default()
    }

    /// A database in the memory of this process, found again by `name` until it is deleted. The `:id` is derived from
    /// the name.
    pub fn memory(name: impl AsRef<str>) -> Config {
        Config { store: StoreConfig::memory(name.as_ref()), ..Config::default() }
    }

    /// A database in the directory `path`. The `:id` is derived from the path unless [`id`](Self::id) gives one.
    pub fn file(path: impl AsRef<Path>) -> Config {
        Config { store: StoreConfig::file(path.as_ref()), ..Config::default() }
    }

    /// Reads a config map.
    ///
    /// # Errors
    /// `Syntax` for text that is no EDN; `Config` for a key that is not known (`config/unknown-key`), one whose value
    /// has another type (`config/type`) or cannot be (`config/value`), one of Datahike's that Treering has not
    /// (`config/unsupported`), and keys that exclude each other (`config/conflict`).
    pub fn from_edn(text: &str) -> Result<Config> {
        parse::config(&edn::read(text)?, Source::Edn(text))
    }

    /// Reads a config from a form; errors as [`from_edn`](Self::from_edn).
    ///
    /// # Errors
    /// As there.
    pub fn from_form(form: &Form) -> Result<Config> {
        parse::config(form, Source::Forms)
    }

    /// Reads a config from a JSON object. Keys are written with or without the leading colon; a string that begins with
    /// a colon is a keyword (`"\\:"` escapes), and where a keyword or a UUID is wanted, a plain string will do.
    ///
    /// ```
    /// use treering::Config;
    /// let config = Config::from_json(r#"{"store": {"backend": "file", "path": "people.tr"}, "keep-history?": false}"#)?;
    /// assert_eq!(config, Config::file("people.tr").keep_history(false));
    /// # Ok::<(), treering::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_edn`](Self::from_edn); `config/json` for text that is no JSON.
    pub fn from_json(text: &str) -> Result<Config> {
        parse::config(&json::read(text)?, Source::Json)
    }

    /// Reads a config from the file `path`: JSON if its name ends so, else EDN.
    ///
    /// # Errors
    /// As [`from_edn`](Self::from_edn); `config/file` for a file that cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Config> {
        let path = path.as_ref();
        let text = read_file(path, "the config")?;
        let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let config = if is_json { Config::from_json(&text) } else { Config::from_edn(&text) };
        config.map_err(|error| error.context(path.display()))
    }

    /// Reads a config from the environment: `TREERING_KEEP_HISTORY` and so on, or Datahike's `DATAHIKE_KEEP_HISTORY`.
    ///
    /// # Errors
    /// As [`from_edn`](Self::from_edn), naming the variable.
    pub fn from_env() -> Result<Config> {
        env::config(&|name| std::env::var(name).ok())
    }

    /// This config, and from the environment what it does not give.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn or_env(self) -> Result<Config> {
        Ok(self.or(Config::from_env()?))
    }

    /// This config, and from `other` what it does not give. Options of `other`'s store are only taken for the same
    /// backend.
    #[must_use]
    pub fn or(self, other: Config) -> Config {
        Config {
            store: self.store.or(other.store),
            initial_tx: self.initial_tx.or(other.initial_tx),
            keep_history: self.keep_history.or(other.keep_history),
            attribute_refs: self.attribute_refs.or(other.attribute_refs),
            schema_flexibility: self.schema_flexibility.or(other.schema_flexibility),
            index: self.index.or(other.index),
            index_config: self.index_config.or(other.index_config),
            value_caps: self.value_caps.or(other.value_caps),
            branch: self.branch.or(other.branch),
            name: self.name.or(other.name),
            cache_bytes: self.cache_bytes.or(other.cache_bytes),
            query_cache_bytes: self.query_cache_bytes.or(other.query_cache_bytes),
            flush_after: self.flush_after.or(other.flush_after),
            read_only: self.read_only.or(other.read_only),
            queue_size: self.queue_size.or(other.queue_size),
            allow_unsafe_config: self.allow_unsafe_config.or(other.allow_unsafe_config),
        }
    }

    /// Whether the keys agree with each other. Whatever reads a config has asked already.
    ///
    /// # Errors
    /// `Config`, `config/conflict`.
    pub fn check(&self) -> Result<()> {
        if self.has_attribute_refs() && self.flexibility() == SchemaFlexibility::Read {
            let message = ":attribute-refs? true cannot go with :schema-flexibility :read: attributes that are entities \
                           must be declared. Leave one of the two out";
            return Err(Error::new(ErrorKind::Config, "config/conflict", message));
        }
        Ok(())
    }
}

/// What sets.
impl Config {
    /// `:store :backend` and the options of the store; see also [`memory`](Self::memory) and [`file`](Self::file).
    #[must_use]
    pub fn store(mut self, store: StoreConfig) -> Config {
        self.store = store;
        self
    }

    /// `:store :id`
    #[must_use]
    pub fn id(mut self, id: Uuid) -> Config {
        self.store = self.store.with_id(id);
        self
    }

    /// `:initial-tx`: tx-data for the first transaction of the database.
    #[must_use]
    pub fn initial_tx(mut self, tx_data: impl Into<Form>) -> Config {
        self.initial_tx = Some(InitialTx::Form(tx_data.into()));
        self
    }

    /// `:initial-tx` as a path: an EDN file of tx-data for the first transaction of the database.
    #[must_use]
    pub fn initial_tx_file(mut self, path: impl Into<PathBuf>) -> Config {
        self.initial_tx = Some(InitialTx::File(path.into()));
        self
    }

    /// `:keep-history?`: whether replaced and retracted facts are kept; true by default. Fixed at creation.
    #[must_use]
    pub fn keep_history(mut self, keep: bool) -> Config {
        self.keep_history = Some(keep);
        self
    }

    /// `:attribute-refs?`: whether users see attributes as entities; false by default. Fixed at creation.
    #[must_use]
    pub fn attribute_refs(mut self, refs: bool) -> Config {
        self.attribute_refs = Some(refs);
        self
    }

    /// `:schema-flexibility`: whether attributes must be declared; `:write`, they must, by default. Fixed at creation.
    #[must_use]
    pub fn schema_flexibility(mut self, flexibility: SchemaFlexibility) -> Config {
        self.schema_flexibility = Some(flexibility);
        self
    }

    /// `:index`: the keyword of an index kind, written without its colon. Fixed at creation.
    #[must_use]
    pub fn index(mut self, kind: &str) -> Config {
        self.index = Some(Keyword::new(kind));
        self
    }

    /// `:index-config`: the settings of the index kind. Fixed at creation.
    #[must_use]
    pub fn index_config(mut self, settings: Form) -> Config {
        self.index_config = Some(settings);
        self
    }

    /// `:max-string-length` and its like: how long values may be; [`ValueCaps::PRESET`] is `:value-caps :default`.
    /// Fixed at creation.
    #[must_use]
    pub fn value_caps(mut self, caps: ValueCaps) -> Config {
        self.value_caps = caps;
        self
    }

    /// `:branch`: the branch to connect to, written without a colon; `db` by default.
    #[must_use]
    pub fn branch(mut self, branch: &str) -> Config {
        self.branch = Some(Keyword::new(branch));
        self
    }

    /// `:name`: a name for people; not compared with anything.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Config {
        self.name = Some(name.into());
        self
    }

    /// `:cache-bytes`: bytes that decoded nodes may take in memory.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Config {
        self.cache_bytes = Some(bytes);
        self
    }

    /// `:query-cache-bytes`: bytes that answers of queries may take in memory; 0, as by default, keeps none.
    #[must_use]
    pub fn query_cache_bytes(mut self, bytes: u64) -> Config {
        self.query_cache_bytes = Some(bytes);
        self
    }

    /// `:flush-after`: bytes of log after which the indexes are flushed.
    #[must_use]
    pub fn flush_after(mut self, bytes: u64) -> Config {
        self.flush_after = Some(bytes);
        self
    }

    /// `:read-only?`: connect without becoming the writer; false by default.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Config {
        self.read_only = Some(read_only);
        self
    }

    /// `:writer :queue-size`: transactions that may wait for the writer.
    #[must_use]
    pub fn queue_size(mut self, transactions: u64) -> Config {
        self.queue_size = Some(transactions);
        self
    }

    /// `:allow-unsafe-config`: connect even where the stored config differs from this one.
    #[must_use]
    pub fn allow_unsafe_config(mut self, allow: bool) -> Config {
        self.allow_unsafe_config = Some(allow);
        self
    }
}

/// What answers.
impl Config {
    /// `:store`
    pub fn store_config(&self) -> &StoreConfig {
        &self.store
    }

    /// `:keep-history?`
    pub fn keeps_history(&self) -> bool {
        self.keep_history.unwrap_or(true)
    }

    /// `:attribute-refs?`
    pub fn has_attribute_refs(&self) -> bool {
        self.attribute_refs.unwrap_or(false)
    }

    /// `:schema-flexibility`
    pub fn flexibility(&self) -> SchemaFlexibility {
        self.schema_flexibility.unwrap_or(SchemaFlexibility::Write)
    }

    /// `:index`, where it was given; else the default of the backend holds.
    pub fn index_kind(&self) -> Option<Keyword> {
        self.index
    }

    /// `:index-config`; `nil` where it was not given.
    pub fn index_settings(&self) -> Form {
        self.index_config.clone().unwrap_or_else(Form::nil)
    }

    /// `:max-string-length` and its like
    pub fn caps(&self) -> ValueCaps {
        self.value_caps
    }

    /// `:branch`
    pub fn branch_name(&self) -> Keyword {
        self.branch.unwrap_or_else(|| Keyword::new("db"))
    }

    /// `:name`
    pub fn label(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Bytes that pieces of views may take: half of what decoded nodes may.
    pub(crate) fn piece_bytes(&self) -> usize {
        usize::try_from(self.node_cache_bytes() / 2).unwrap_or(usize::MAX)
    }

    /// `:cache-bytes`
    pub fn node_cache_bytes(&self) -> u64 {
        self.cache_bytes.unwrap_or(Self::DEFAULT_CACHE_BYTES)
    }

    /// `:query-cache-bytes`
    pub fn answer_bytes(&self) -> u64 {
        self.query_cache_bytes.unwrap_or(0)
    }

    /// `:flush-after`
    pub fn bytes_to_flush_after(&self) -> u64 {
        self.flush_after.unwrap_or(Self::DEFAULT_FLUSH_AFTER)
    }

    /// `:read-only?`
    pub fn is_read_only(&self) -> bool {
        self.read_only.unwrap_or(false)
    }

    /// `:writer :queue-size`
    pub fn writer_queue_size(&self) -> u64 {
        self.queue_size.unwrap_or(Self::DEFAULT_QUEUE_SIZE)
    }

    /// `:allow-unsafe-config`
    pub fn allows_unsafe_config(&self) -> bool {
        self.allow_unsafe_config.unwrap_or(false)
    }

    /// `:initial-tx`: the tx-data, read from its file where it was given as a path; all forms of the file in a vector
    /// unless the file holds one vector.
    ///
    /// # Errors
    /// `config/file` for a file that cannot be read, and those of reading EDN, naming the file.
    pub fn initial_tx_data(&self) -> Result<Option<Form>> {
        match &self.initial_tx {
            None => Ok(None),
            Some(InitialTx::Form(form)) => Ok(Some(form.clone())),
            Some(InitialTx::File(path)) => {
                let text = read_file(path, "the :initial-tx")?;
                let mut forms = edn::read_all(&text).map_err(|error| error.context(path.display()))?;
                let single = matches!(forms.as_slice(), [only] if only.items().is_some());
                Ok(if single { forms.pop() } else { Some(Form::from(forms)) })
            }
        }
    }
}

/// The text of a file that a config names.
fn read_file(path: &Path, what: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|cause| {
        let message = format!("{what} file {} cannot be read: {cause}", path.display());
        Error::new(ErrorKind::Config, "config/file", message).caused_by(cause)
    })
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.describe())
    }
}
