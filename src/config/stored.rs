//! The config as the database itself remembers it, and as people see it.

use crate::edn::{Form, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::SchemaFlexibility;

use super::{Config, InitialTx};

fn key(name: &str) -> Form {
    Keyword::new(name).into()
}

fn flexibility(value: SchemaFlexibility) -> Form {
    let name = match value {
        SchemaFlexibility::Read => "read",
        SchemaFlexibility::Write => "write",
    };
    Keyword::new(name).into()
}

/// A number that fits the form; larger ones cannot come from text.
fn number(value: u64) -> Form {
    Form::from(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Config {
    /// What a database remembers of its config: what is fixed at creation, the backend and the id of the store, and
    /// nothing else of the store, so neither a secret nor a path. [`from_form`](Self::from_form) reads it back.
    pub fn to_form(&self) -> Form {
        let mut store = vec![(key("backend"), self.store.backend().into())];
        store.extend(self.store.id().map(|id| (key("id"), id.into())));
        let mut pairs = vec![
            (key("store"), Form::map(store)),
            (key("keep-history?"), self.keeps_history().into()),
            (key("attribute-refs?"), self.has_attribute_refs().into()),
            (key("schema-flexibility"), flexibility(self.flexibility())),
        ];
        pairs.extend(self.index.map(|index| (key("index"), index.into())));
        pairs.extend(self.index_config.clone().map(|settings| (key("index-config"), settings)));
        pairs.extend(self.caps_pairs());
        pairs.extend(self.name.clone().map(|name| (key("name"), name.into())));
        Form::map(pairs)
    }

    fn caps_pairs(&self) -> impl Iterator<Item = (Form, Form)> {
        let caps = self.value_caps;
        let named = [
            ("max-string-length", caps.string),
            ("max-bytes-length", caps.bytes),
            ("max-float-array-length", caps.float_array),
            ("max-double-array-length", caps.double_array),
            ("max-tuple-string-length", caps.tuple_string),
        ];
        named.into_iter().filter_map(|(name, cap)| Some((key(name), Form::from(i64::from(cap?)))))
    }

    /// This config for a database that was created with `stored`: what is fixed at creation is taken from there.
    ///
    /// What this config does not give cannot disagree. Another `:index` is no error: the stored one wins, with a
    /// warning; so do its settings, and the bounds of values.
    ///
    /// # Errors
    /// `Config`: `store-identity-mismatch` for another `:store :id`, `config-does-not-match-stored-db` for another
    /// `:keep-history?`, `:attribute-refs?` or `:schema-flexibility`,
    /// `create-time-fixed-index-config-mismatch` for another `:index-config` of the same index. None of them with
    /// `:allow-unsafe-config`, but for the id.
    pub fn matching(&self, stored: &Config) -> Result<Config> {
        if let (Some(given), Some(id)) = (self.store.given_id(), stored.store.given_id())
            && given != id
        {
            let message = format!(
                "the config names the database {given}, the store holds {id}: give that :id, none, or another store"
            );
            return Err(Error::new(ErrorKind::Config, "store-identity-mismatch", message));
        }
        if !self.allows_unsafe_config() {
            self.compare(stored)?;
        }
        if let (Some(given), Some(index)) = (self.index, stored.index)
            && given != index
        {
            tracing::warn!("the database was created with the index {index}; {given} of the config is not used");
        }
        if self.value_caps.or(stored.value_caps) != stored.value_caps {
            tracing::warn!(
                "the bounds of values are those that the database was created with; the config's are not used"
            );
        }
        Ok(Config {
            store: match stored.store.given_id() {
                Some(id) => self.store.clone().with_id(id),
                None => self.store.clone(),
            },
            keep_history: Some(stored.keeps_history()),
            attribute_refs: Some(stored.has_attribute_refs()),
            schema_flexibility: Some(stored.flexibility()),
            index: stored.index.or(self.index),
            index_config: stored.index_config.clone(),
            value_caps: stored.value_caps,
            name: self.name.clone().or_else(|| stored.name.clone()),
            ..self.clone()
        })
    }

    fn compare(&self, stored: &Config) -> Result<()> {
        let differs = |key: &str, given: Form, was: Form| {
            let message = format!(
                "the database was created with {key} {was}, the config says {given}: leave the key out, or give {was}"
            );
            Err(Error::new(ErrorKind::Config, "config-does-not-match-stored-db", message))
        };
        if let Some(given) = self.keep_history
            && given != stored.keeps_history()
        {
            return differs(":keep-history?", given.into(), stored.keeps_history().into());
        }
        if let Some(given) = self.attribute_refs
            && given != stored.has_attribute_refs()
        {
            return differs(":attribute-refs?", given.into(), stored.has_attribute_refs().into());
        }
        if let Some(given) = self.schema_flexibility
            && given != stored.flexibility()
        {
            return differs(":schema-flexibility", flexibility(given), flexibility(stored.flexibility()));
        }
        let same_index = self.index.is_none() || self.index == stored.index;
        if let Some(given) = &self.index_config
            && same_index
            && *given != stored.index_config.clone().unwrap_or_else(|| Form::map(Vec::new()))
        {
            let was = stored.index_settings();
            let message = format!(
                "the database was created with :index-config {was}, the config says {given}: it cannot change later"
            );
            return Err(Error::new(ErrorKind::Config, "create-time-fixed-index-config-mismatch", message));
        }
        Ok(())
    }

    /// What was given, without secrets.
    pub(super) fn describe(&self) -> Form {
        let mut pairs = vec![(key("store"), self.store.describe())];
        let mut put = |name: &str, value: Option<Form>| pairs.extend(value.map(|value| (key(name), value)));
        put(
            "initial-tx",
            self.initial_tx.as_ref().map(|tx| match tx {
                InitialTx::File(path) => Form::from(path.to_string_lossy().as_ref()),
                InitialTx::Form(_) => Form::from(true),
            }),
        );
        put("keep-history?", self.keep_history.map(Form::from));
        put("attribute-refs?", self.attribute_refs.map(Form::from));
        put("schema-flexibility", self.schema_flexibility.map(flexibility));
        put("index", self.index.map(Form::from));
        put("index-config", self.index_config.clone());
        put("branch", self.branch.map(Form::from));
        put("name", self.name.clone().map(Form::from));
        put("cache-bytes", self.cache_bytes.map(number));
        put("query-cache-bytes", self.query_cache_bytes.map(number));
        put("flush-after", self.flush_after.map(number));
        put("read-only?", self.read_only.map(Form::from));
        put("allow-unsafe-config", self.allow_unsafe_config.map(Form::from));
        pairs.extend(self.caps_pairs());
        let mut writer = Vec::new();
        writer.extend(self.queue_size.map(|n| (key("queue-size"), number(n))));
        if !writer.is_empty() {
            pairs.push((key("writer"), Form::map(writer)));
        }
        Form::map(pairs)
    }
}
