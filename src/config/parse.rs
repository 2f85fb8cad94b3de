//! A config map to a [`Config`].

use uuid::Uuid;

use crate::edn::{Form, FormKind, Keyword, Span};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{SchemaFlexibility, ValueCaps};
use crate::store::EncodingConfig;

use super::{Config, InitialTx, StoreConfig};
use crate::schema::did_you_mean;
use crate::store::config::is_secret;

/// Keys that are read.
const KEYS: [&str; 22] = [
    "store",
    "initial-tx",
    "keep-history?",
    "attribute-refs?",
    "schema-flexibility",
    "index",
    "index-config",
    "value-caps",
    "max-string-length",
    "max-bytes-length",
    "max-float-array-length",
    "max-double-array-length",
    "max-tuple-string-length",
    "branch",
    "name",
    "cache-bytes",
    "flush-after",
    "store-cache-size",
    "query-cache-bytes",
    "read-only?",
    "writer",
    "allow-unsafe-config",
];

/// Keys of Datahike that have one meaning here: which value is the same as leaving the key out, and why others are
/// refused.
const FOREIGN: [(&str, &str, &str); 7] = [
    ("crypto-hash?", "false", "blobs and the log carry checksums and a hash chain instead"),
    ("commit-graph?", "true", "every flush writes a commit record"),
    ("fuse-index-roots?", "false", "a commit is one blob of nodes already"),
    ("search-cache-size", "any", "there is no search cache"),
    ("online-gc", "{:enabled? false}", "space is reclaimed by an explicit collection"),
    ("allow-index-backfill?", "false", "the transactor alone decides which schema changes are legal"),
    ("remote-peer", "nil", "a config opens a store; it does not call a server"),
];

/// Bytes that one entry of Datahike's `:store-cache-size` is taken for.
const ENTRY_BYTES: u64 = 32 << 10;

/// What a config map was read from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// EDN text; errors show the line.
    Edn(&'a str),
    /// JSON: a string will do where a keyword is wanted.
    Json,
    /// Forms that were built.
    Forms,
}

/// A value under its key, with what an error needs to show it.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    /// The key, or the way to it: `:store :id`.
    pub key: &'a str,
    /// Where the key stands.
    pub place: Span,
    pub value: &'a Form,
    pub source: Source<'a>,
}

impl<'a> Entry<'a> {
    /// An error at the value.
    pub fn error(&self, code: &'static str, message: String) -> Error {
        self.error_at(self.value.span, code, message)
    }

    /// An error at the key.
    pub fn unknown(&self, message: String) -> Error {
        self.error_at(self.place, "config/unknown-key", message)
    }

    fn error_at(&self, place: Span, code: &'static str, message: String) -> Error {
        let error = Error::new(ErrorKind::Config, code, message);
        match self.source {
            Source::Edn(text) => error.at(place, text),
            Source::Json | Source::Forms => error,
        }
    }

    pub fn wrong(&self, wanted: &str) -> Error {
        let value = self.value;
        let last = self.key.rsplit(':').next().unwrap_or_default();
        let got = match &value.kind {
            _ if is_secret(Keyword::new(last)) => value.kind_name().to_owned(),
            FormKind::Nil => "nil".to_owned(),
            FormKind::Map(_) | FormKind::Vector(_) | FormKind::List(_) | FormKind::Set(_) => value.kind_name().into(),
            _ => format!("{}: {}", value.kind_name(), shorten(&value.to_string())),
        };
        self.error("config/type", format!("{} wants {wanted}, got {got}", self.key))
    }

    pub fn bool(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// A keyword, or a string where JSON has nothing else.
    pub fn keyword(&self, wanted: &str) -> Result<Keyword> {
        let name = match &self.value.kind {
            FormKind::Keyword(keyword) => return Ok(*keyword),
            FormKind::Str(name) if matches!(self.source, Source::Json) => name,
            _ => return Err(self.wrong(wanted)),
        };
        let name = name.strip_prefix(':').unwrap_or(name);
        if name.is_empty() { Err(self.wrong(wanted)) } else { Ok(Keyword::new(name)) }
    }

    fn uuid(&self) -> Result<Uuid> {
        const WANTED: &str = "a UUID, #uuid \"…\"";
        match &self.value.kind {
            FormKind::Uuid(id) => Ok(*id),
            FormKind::Str(text) => Uuid::parse_str(text).map_err(|_| self.wrong(WANTED)),
            _ => Err(self.wrong(WANTED)),
        }
    }

    pub fn string(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    pub fn count(&self, wanted: &str, least: u64) -> Result<u64> {
        let number = self.value.as_int().ok_or_else(|| self.wrong(wanted))?;
        let number = u64::try_from(number).ok().filter(|n| *n >= least);
        number.ok_or_else(|| self.wrong(wanted))
    }

    fn length(&self) -> Result<u32> {
        const WANTED: &str = "a length, 0 for no bound";
        u32::try_from(self.count(WANTED, 0)?).map_err(|_| self.wrong(WANTED))
    }

    /// The entries of a map with their keys as keywords, `nil`s left out.
    pub fn entries(&self, what: &str) -> Result<Vec<(Keyword, Span, &'a Form)>> {
        let pairs = self.value.pairs().ok_or_else(|| self.wrong(what))?;
        let mut entries = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let Some(name) = key.as_keyword() else {
                let message = format!("keys of {} are keywords, got {}: {key}", self.key, key.kind_name());
                return Err(self.error_at(key.span, "config/type", message));
            };
            if !value.is_nil() {
                entries.push((name, key.span, value));
            }
        }
        Ok(entries)
    }
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Whether a secret stands anywhere in the form: then no line of its text is shown.
fn holds_secret(form: &Form) -> bool {
    form.pairs().is_some_and(|pairs| {
        pairs.iter().any(|(key, value)| {
            key.as_keyword().is_some_and(is_secret)
                || holds_secret(value)
                || value.as_str().is_some_and(|text| text.contains('@') || text.contains("password="))
        })
    })
}

/// Reads a config map.
pub(super) fn config(form: &Form, source: Source<'_>) -> Result<Config> {
    let source = match source {
        Source::Edn(_) if holds_secret(form) => Source::Forms,
        other => other,
    };
    let whole = Entry { key: "the config", place: form.span, value: form, source };
    let mut config = Config::default();
    for (keyword, place, value) in whole.entries("a map")? {
        let name = format!(":{}", keyword.as_str());
        set(&mut config, keyword.as_str(), &Entry { key: &name, place, value, source })?;
    }
    config.check()?;
    Ok(config)
}

fn set(config: &mut Config, key: &str, entry: &Entry<'_>) -> Result<()> {
    match key {
        "store" => config.store = store(entry)?,
        "initial-tx" => config.initial_tx = Some(initial_tx(entry)?),
        "keep-history?" => config.keep_history = Some(entry.bool()?),
        "attribute-refs?" => config.attribute_refs = Some(entry.bool()?),
        "schema-flexibility" => config.schema_flexibility = Some(flexibility(entry)?),
        "index" => config.index = Some(entry.keyword("the keyword of an index kind")?),
        "index-config" => {
            entry.entries("a map")?;
            config.index_config = Some(entry.value.clone());
        }
        "value-caps" => match entry.keyword(":default")?.as_str() {
            "default" => config.value_caps = config.value_caps.or(ValueCaps::PRESET),
            _ => return Err(entry.wrong(":default")),
        },
        "max-string-length" => config.value_caps.string = Some(entry.length()?),
        "max-bytes-length" => config.value_caps.bytes = Some(entry.length()?),
        "max-float-array-length" => config.value_caps.float_array = Some(entry.length()?),
        "max-double-array-length" => config.value_caps.double_array = Some(entry.length()?),
        "max-tuple-string-length" => config.value_caps.tuple_string = Some(entry.length()?),
        "branch" => config.branch = Some(entry.keyword("a keyword")?),
        "name" => config.name = Some(entry.string()?.to_owned()),
        "cache-bytes" => config.cache_bytes = Some(entry.count("a number of bytes, 0 or more", 0)?),
        "flush-after" => config.flush_after = Some(entry.count("a number of bytes, 1 or more", 1)?),
        "store-cache-size" => {
            let entries = entry.count("a number of entries, 1 or more", 1)?;
            // The bytes are the plainer word for the same thing.
            config.cache_bytes = config.cache_bytes.or(Some(entries.saturating_mul(ENTRY_BYTES)));
        }
        "query-cache-bytes" => {
            config.query_cache_bytes = Some(entry.count("a number of bytes, 0 or more", 0)?);
        }
        "read-only?" => config.read_only = Some(entry.bool()?),
        "writer" => writer(config, entry)?,
        "allow-unsafe-config" => config.allow_unsafe_config = Some(entry.bool()?),
        "temporal-index" => {
            tracing::warn!(":temporal-index is the old name of :keep-history?");
            config.keep_history = Some(entry.bool()?);
        }
        "schema-on-read" => {
            tracing::warn!(":schema-on-read true is the old way to say :schema-flexibility :read");
            let flexible = if entry.bool()? { SchemaFlexibility::Read } else { SchemaFlexibility::Write };
            config.schema_flexibility = Some(flexible);
        }
        _ => return foreign(key, entry),
    }
    Ok(())
}

/// A key of Datahike that changes nothing here, or an error.
fn foreign(key: &str, entry: &Entry<'_>) -> Result<()> {
    let Some((_, harmless, why)) = FOREIGN.iter().find(|(name, ..)| *name == key) else {
        let known = KEYS.iter().chain(FOREIGN.iter().map(|(name, ..)| name)).copied();
        let hint = did_you_mean(key, known);
        let keys = KEYS.map(|key| format!(":{key}")).join(" ");
        let message = format!("the config has no key :{key}{hint} (its keys are {keys})");
        return Err(entry.unknown(message));
    };
    let same = match *harmless {
        "any" => true,
        "{:enabled? false}" => entry.value.get(Keyword::new("enabled?")).is_none_or(|on| on.as_bool() == Some(false)),
        text => entry.value.to_string() == text,
    };
    if same {
        tracing::warn!(":{key} has no effect: {why}");
        return Ok(());
    }
    let message = format!(":{key} {} is not supported: {why}. Leave the key out", shorten(&entry.value.to_string()));
    Err(entry.error("config/unsupported", message))
}

fn flexibility(entry: &Entry<'_>) -> Result<SchemaFlexibility> {
    match entry.keyword(":read or :write")?.as_str() {
        "read" => Ok(SchemaFlexibility::Read),
        "write" => Ok(SchemaFlexibility::Write),
        _ => Err(entry.wrong(":read or :write")),
    }
}

fn initial_tx(entry: &Entry<'_>) -> Result<InitialTx> {
    match &entry.value.kind {
        FormKind::Str(path) => Ok(InitialTx::File(path.as_ref().into())),
        FormKind::Vector(_) | FormKind::List(_) => Ok(InitialTx::Form(entry.value.clone())),
        _ => Err(entry.wrong("a vector of tx-data or the path of an EDN file")),
    }
}

fn store(entry: &Entry<'_>) -> Result<StoreConfig> {
    let (mut backend, mut id, mut options) = (None, None, Vec::new());
    let mut encoding = EncodingConfig::new();
    for (key, place, value) in entry.entries("a map")? {
        let name = format!(":store :{}", key.as_str());
        let entry = Entry { key: &name, place, value, ..*entry };
        match key.as_str() {
            "backend" => backend = Some(entry.keyword("a keyword")?),
            "id" => id = Some(entry.uuid()?),
            "config" => encoding = super::encoding::config(&entry)?,
            "path" => options.push((key, Form::from(entry.string()?))),
            _ => options.push((key, value.clone())),
        }
    }
    if backend == Some(Keyword::new("mem")) {
        tracing::warn!(":mem is the old name of the backend :memory");
        backend = Some(Keyword::new("memory"));
    }
    Ok(StoreConfig::from_parts(backend, id, options).with_encoding(encoding))
}

fn writer(config: &mut Config, entry: &Entry<'_>) -> Result<()> {
    const WRITER_KEYS: [&str; 4] = ["backend", "queue-size", "commit-wait-time", "streaming?"];
    for (key, place, value) in entry.entries("a map")? {
        let name = format!(":writer :{}", key.as_str());
        let entry = Entry { key: &name, place, value, ..*entry };
        match key.as_str() {
            "backend" => {
                let backend = entry.keyword("a keyword")?;
                if backend.as_str() != "self" {
                    let message = format!(
                        ":writer :backend {backend} is not supported: the process that connects writes itself, :self"
                    );
                    return Err(entry.error("config/unsupported", message));
                }
            }
            "queue-size" => config.queue_size = Some(entry.count("a number of transactions, 1 or more", 1)?),
            "commit-wait-time" => {
                if entry.count("milliseconds, 0 or more", 0)? > 0 {
                    let message = ":writer :commit-wait-time is not supported: transactions that arrive while one is \
                                   being made durable share the next write, and none waits for more";
                    return Err(entry.error("config/unsupported", message.to_owned()));
                }
            }
            "streaming?" => {
                if !entry.bool()? {
                    let message =
                        ":writer :streaming? false is not supported: a writer holds the database for its life";
                    return Err(entry.error("config/unsupported", message.to_owned()));
                }
            }
            other => {
                let hint = did_you_mean(other, WRITER_KEYS);
                let keys = WRITER_KEYS.map(|key| format!(":{key}")).join(" ");
                let message = format!(":writer has no key :{other}{hint} (its keys are {keys})");
                return Err(entry.unknown(message));
            }
        }
    }
    Ok(())
}
