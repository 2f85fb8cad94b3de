//! The `:store` map.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::edn::{Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::did_you_mean;
use crate::store::{EncodingConfig, Key};

/// The `:store` map of a config: the keyword of a backend, the id of the database, and what else the backend wants.
///
/// `Debug` prints it without passwords, tokens and keys.
///
/// ```
/// use treering::StoreConfig;
/// let store = StoreConfig::new("s3").with_option("bucket", "facts").with_option("secret-access-key", "abc");
/// assert_eq!(store.text("bucket"), Some("facts"));
/// assert_eq!(format!("{store:?}"), r#"{:backend :s3, :bucket "facts", :secret-access-key "…"}"#);
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct StoreConfig {
    backend: Option<Keyword>,
    id: Option<Uuid>,
    options: Vec<(Keyword, Form)>,
    encoding: EncodingConfig,
}

impl StoreConfig {
    /// A store of the backend with this keyword, written without its colon.
    pub fn new(backend: &str) -> StoreConfig {
        StoreConfig { backend: Some(Keyword::new(backend)), ..StoreConfig::default() }
    }

    pub(crate) fn memory(name: &str) -> StoreConfig {
        StoreConfig::new("memory").with_id(id_of_name("memory", name))
    }

    pub(crate) fn file(path: &Path) -> StoreConfig {
        StoreConfig::new("file").with_option("path", path.to_string_lossy().as_ref())
    }

    pub(crate) fn from_parts(backend: Option<Keyword>, id: Option<Uuid>, options: Vec<(Keyword, Form)>) -> StoreConfig {
        StoreConfig { backend, id, options, encoding: EncodingConfig::new() }
    }

    /// The same store with this id.
    #[must_use]
    pub fn with_id(mut self, id: Uuid) -> StoreConfig {
        self.id = Some(id);
        self
    }

    /// The same store with an option set; its key is written without a colon.
    #[must_use]
    pub fn with_option(mut self, key: &str, value: impl Into<Form>) -> StoreConfig {
        let key = Keyword::new(key);
        self.options.retain(|(k, _)| *k != key);
        self.options.push((key, value.into()));
        self
    }

    /// The same store, compressed and encrypted as `:config {:encoding …}` says.
    ///
    /// ```
    /// use treering::store::{Compressor, EncodingConfig};
    /// use treering::{Config, StoreConfig};
    /// let store = StoreConfig::new("file").with_option("path", "facts.tr");
    /// let built = Config::new().store(store.with_encoding(EncodingConfig::new().compressor(Compressor::Lz4)));
    /// let text = r#"{:store {:backend :file :path "facts.tr" :config {:encoding {:compressor {:type :lz4}}}}}"#;
    /// assert_eq!(Config::from_edn(text)?, built);
    /// # Ok::<(), treering::Error>(())
    /// ```
    #[must_use]
    pub fn with_encoding(mut self, encoding: EncodingConfig) -> StoreConfig {
        self.encoding = encoding;
        self
    }

    /// How the store is compressed and encrypted.
    pub fn encoding(&self) -> &EncodingConfig {
        &self.encoding
    }

    /// `:backend`; `:memory` where none was given.
    pub fn backend(&self) -> Keyword {
        self.backend.unwrap_or_else(|| Keyword::new("memory"))
    }

    /// `:id`, if it was given.
    pub fn given_id(&self) -> Option<Uuid> {
        self.id
    }

    /// `:id`, or one derived from the `:path` or the `:name` where that was not given; `None` where there is nothing to
    /// derive it from.
    pub fn id(&self) -> Option<Uuid> {
        self.id.or_else(|| {
            let path = self.path().map(|path| absolute(&path).to_string_lossy().into_owned());
            let name = path.or_else(|| self.text("name").map(str::to_owned))?;
            Some(id_of_name(self.backend().as_str(), &name))
        })
    }

    /// An option beside `:backend` and `:id`; the key is written without its colon.
    pub fn option(&self, key: &str) -> Option<&Form> {
        self.options.iter().find(|(k, _)| k.as_str() == key).map(|(_, value)| value)
    }

    /// An option that is a string.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.option(key).and_then(Form::as_str)
    }

    /// The keys of all options beside `:backend` and `:id`.
    pub fn keys(&self) -> impl Iterator<Item = Keyword> + '_ {
        self.options.iter().map(|(key, _)| *key)
    }

    /// `:path`
    pub fn path(&self) -> Option<PathBuf> {
        self.text("path").map(PathBuf::from)
    }

    /// The store that a map names, as it stands inside the options of another: `:frontend-config {:backend :file …}`.
    ///
    /// # Errors
    /// `Config`, code `config/type`, for what is no map of keywords, a `:backend` that is no keyword, an `:id` that is no
    /// UUID.
    pub fn from_form(form: &Form) -> Result<StoreConfig> {
        let wrong = |what: &str, wanted: &str, got: &Form| {
            let message = format!("{what} wants {wanted}, got {}", got.kind_name());
            Error::new(ErrorKind::Config, "config/type", message)
        };
        let mut store = StoreConfig::default();
        for (key, value) in form.pairs().ok_or_else(|| wrong("a store", "a map", form))? {
            let key = key.as_keyword().ok_or_else(|| wrong("a key of a store", "a keyword", key))?;
            match (key.as_str(), &value.kind) {
                (_, FormKind::Nil) => {}
                ("backend", FormKind::Keyword(backend)) => store.backend = Some(*backend),
                ("backend", FormKind::Str(name)) => store.backend = Some(Keyword::new(name.trim_start_matches(':'))),
                ("id", FormKind::Uuid(id)) => store.id = Some(*id),
                ("id", FormKind::Str(text)) => {
                    store.id = Some(Uuid::parse_str(text).map_err(|_| wrong(":id", "a UUID", value))?);
                }
                ("backend", _) => return Err(wrong(":backend", "a keyword", value)),
                ("id", _) => return Err(wrong(":id", "a UUID", value)),
                _ => store.options.push((key, value.clone())),
            }
        }
        Ok(store)
    }

    /// This store, and from `other` what it does not give, unless `other` is of another backend.
    pub(crate) fn or(mut self, other: StoreConfig) -> StoreConfig {
        if let (Some(mine), Some(theirs)) = (self.backend, other.backend)
            && mine != theirs
        {
            return self;
        }
        self.backend = self.backend.or(other.backend);
        self.id = self.id.or(other.id);
        self.encoding = self.encoding.or(other.encoding);
        for (key, value) in other.options {
            if !self.keys().any(|k| k == key) {
                self.options.push((key, value));
            }
        }
        self
    }

    /// This store, whose key comes from the environment if it is to be encrypted and the config gives none.
    ///
    /// # Errors
    /// `config/value`, naming the variable.
    pub(crate) fn with_key_of(mut self, environment: &dyn Fn(&str) -> Option<String>) -> Result<StoreConfig> {
        let named = |name: &str| environment(name).filter(|text| !text.is_empty());
        if self.encoding.encrypts() && self.encoding.key().is_none() {
            const KEY: &str = "TREERING_ENCRYPTION_KEY";
            let key = match (named(KEY), named("TREERING_ENCRYPTION_PASSPHRASE")) {
                (Some(text), _) => Key::from_text(text.trim()).map_err(|error| error.context(KEY))?,
                (None, Some(words)) => Key::passphrase(words),
                (None, None) => return Ok(self),
            };
            self.encoding = self.encoding.encrypted_with(key);
        }
        Ok(self)
    }

    /// The map, without secrets.
    pub(crate) fn describe(&self) -> Form {
        let id = self.id.map(|id| (Keyword::new("id"), Form::from(id)));
        let given = self.backend.map(|backend| (Keyword::new("backend"), Form::from(backend)));
        let shown = self.options.iter().map(|(key, value)| (*key, hide(*key, value)));
        let encoding = (self.encoding != EncodingConfig::new()).then(|| {
            let inside = Form::map(vec![(Keyword::new("encoding").into(), self.encoding.describe())]);
            (Keyword::new("config"), inside)
        });
        Form::map(
            given.into_iter().chain(id).chain(shown).chain(encoding).map(|(key, value)| (key.into(), value)).collect(),
        )
    }
}

/// What a backend asks of its options.
///
/// ```
/// use treering::StoreConfig;
/// let store = StoreConfig::new("table").with_option("host", "db").with_option("port", 70_000);
/// store.check_keys(&["host", "port"])?;
/// assert_eq!(store.string("host")?, Some("db"));
/// assert_eq!(store.number("port", 1..=65_535).unwrap_err().code(), "config/type");
/// assert_eq!(store.check_keys(&["host"]).unwrap_err().code(), "config/unknown-key");
/// # Ok::<(), treering::Error>(())
/// ```
impl StoreConfig {
    /// Refuses options that the backend does not know.
    ///
    /// # Errors
    /// `Config`, code `config/unknown-key`, with the keys that are `known` and the nearest of them.
    pub fn check_keys(&self, known: &[&str]) -> Result<()> {
        let Some(unknown) = self.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
        let all = ["backend", "id"].into_iter().chain(known.iter().copied());
        let hint = did_you_mean(unknown.as_str(), all.clone());
        let list: Vec<String> = all.map(|key| format!(":{key}")).collect();
        let message = format!(
            ":store of the backend {} has no key {unknown}{hint} (its keys are {})",
            self.backend(),
            list.join(" ")
        );
        Err(Error::new(ErrorKind::Config, "config/unknown-key", message))
    }

    /// An option that is a string where it is given; an empty one is as good as none.
    ///
    /// # Errors
    /// `Config`, code `config/type`.
    pub fn string(&self, key: &str) -> Result<Option<&str>> {
        let Some(form) = self.option(key) else { return Ok(None) };
        let text = form.as_str().ok_or_else(|| self.wrong(key, "a string"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// An option that is a number in `range` where it is given.
    ///
    /// # Errors
    /// `Config`, code `config/type`.
    pub fn number(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(form) = self.option(key) else { return Ok(None) };
        let number = form.as_int().and_then(|n| u64::try_from(n).ok()).filter(|n| range.contains(n));
        let wanted = || format!("a number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.wrong(key, &wanted()))
    }

    /// An option that is one of some keywords, written without their colons, where it is given. A string will do, for
    /// JSON.
    ///
    /// # Errors
    /// `Config`, code `config/type`.
    pub fn one_of(&self, key: &str, names: &[&'static str]) -> Result<Option<&'static str>> {
        let Some(form) = self.option(key) else { return Ok(None) };
        let given = form.as_keyword().map(|keyword| keyword.as_str()).or_else(|| form.as_str());
        let given = given.map(|given| given.trim_start_matches(':'));
        let found = names.iter().find(|name| Some(**name) == given);
        let wanted = || names.iter().map(|name| format!(":{name}")).collect::<Vec<_>>().join(" or ");
        found.copied().map(Some).ok_or_else(|| self.wrong(key, &wanted()))
    }

    /// The error that an option has another type; the value is shown unless it may be a secret.
    fn wrong(&self, key: &str, wanted: &str) -> Error {
        let keyword = Keyword::new(key);
        let got = self.option(key).map_or_else(String::new, |value| match &value.kind {
            FormKind::Int(_) | FormKind::Keyword(_) if !is_secret(keyword) => value.to_string(),
            _ => value.kind_name().to_owned(),
        });
        Error::new(ErrorKind::Config, "config/type", format!(":store :{key} wants {wanted}, got {got}"))
    }

    /// The error that an option is missing without which there is no store.
    pub fn missing(&self, key: &str) -> Error {
        let message = format!("a {} store wants :{key}, and the config gives none: add it to :store", self.backend());
        Error::new(ErrorKind::Config, "config/missing", message)
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.describe())
    }
}

/// The absolute path without links as far as it exists.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// The same id for the same name, in every process and version.
fn id_of_name(backend: &str, name: &str) -> Uuid {
    let hash = xxhash_rust::xxh3::xxh3_128(format!("treering/{backend}/{name}").as_bytes());
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid()
}

/// Whether what stands under the key must not be shown.
pub(crate) fn is_secret(key: Keyword) -> bool {
    const PARTS: [&str; 8] =
        ["password", "passwd", "passphrase", "secret", "token", "credential", "access-key", "encryption"];
    let name = key.as_str().to_ascii_lowercase().replace('_', "-");
    PARTS.iter().any(|part| name.contains(part)) || name == "key" || name.ends_with("-key")
}

/// The value as it may be shown: nothing of a secret, no user information in URLs, and the same inside maps.
fn hide(key: Keyword, value: &Form) -> Form {
    if is_secret(key) {
        return Form::from("…");
    }
    match &value.kind {
        FormKind::Str(text) => Form::from(without_user(text)),
        FormKind::Map(pairs) => {
            let hidden = |(k, v): &(Form, Form)| (k.clone(), k.as_keyword().map_or_else(|| v.clone(), |k| hide(k, v)));
            Form::map(pairs.iter().map(hidden).collect())
        }
        _ => value.clone(),
    }
}

/// `scheme://user:password@host` without what stands before the `@`, and without passwords in `key=value` pairs.
fn without_user(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if let Some((_, host)) = authority.rsplit_once('@') {
            let path = rest.get(authority.len()..).unwrap_or_default();
            return format!("{scheme}://…@{host}{}", if path.contains("password=") { "…" } else { path });
        }
    }
    if text.contains("password=") { "…".to_owned() } else { text.to_owned() }
}
