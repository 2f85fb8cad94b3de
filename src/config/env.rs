//! Environment variables to a config.

use crate::edn::{self, Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};

use super::Config;
use super::parse::{self, Source};

/// How the text of a variable is read.
enum Read {
    /// `true` or `false`
    Bool,
    /// A keyword, with or without colon.
    Keyword,
    /// A keyword; one without namespace is of Datahike's index kinds.
    Index,
    /// The text itself.
    Text,
    /// A number.
    Number,
    /// EDN.
    Edn,
}

/// Name after the prefix, key of the config, and how it is read.
const VARIABLES: [(&str, &str, Read); 17] = [
    ("INITIAL_TX", "initial-tx", Read::Text),
    ("KEEP_HISTORY", "keep-history?", Read::Bool),
    ("ATTRIBUTE_REFS", "attribute-refs?", Read::Bool),
    ("SCHEMA_FLEXIBILITY", "schema-flexibility", Read::Keyword),
    ("INDEX", "index", Read::Index),
    ("INDEX_CONFIG", "index-config", Read::Edn),
    ("BRANCH", "branch", Read::Keyword),
    ("NAME", "name", Read::Text),
    ("CACHE_BYTES", "cache-bytes", Read::Number),
    ("QUERY_CACHE_BYTES", "query-cache-bytes", Read::Number),
    ("FLUSH_AFTER", "flush-after", Read::Number),
    ("READ_ONLY", "read-only?", Read::Bool),
    ("SEARCH_CACHE_SIZE", "search-cache-size", Read::Number),
    ("STORE_CACHE_SIZE", "store-cache-size", Read::Number),
    ("STORE_CONFIG", "store", Read::Edn),
    ("STORE_BACKEND", "backend", Read::Keyword),
    ("STORE_PATH", "path", Read::Text),
];

/// The variable's name and text, Treering's before Datahike's. An empty one is as good as none.
fn find(get: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<(String, String)> {
    ["TREERING_", "DATAHIKE_"].iter().find_map(|prefix| {
        let name = format!("{prefix}{name}");
        let text = get(&name)?;
        (!text.trim().is_empty()).then_some((name, text))
    })
}

/// The config that the variables give.
pub(super) fn config(get: &dyn Fn(&str) -> Option<String>) -> Result<Config> {
    let mut config = Config::default();
    let mut store = Vec::new();
    for (name, key, how) in &VARIABLES {
        let Some((name, text)) = find(get, name) else { continue };
        let value = read(how, &name, &text)?;
        let pair = (Form::from(Keyword::new(key)), value);
        match *key {
            "backend" | "path" => {
                // What has a variable of its own wins over the map.
                store.retain(|(k, _): &(Form, Form)| *k != pair.0);
                store.push(pair);
            }
            "store" => store.extend(pair.1.pairs().into_iter().flatten().cloned()),
            _ => {
                let one = parse::config(&Form::map(vec![pair]), Source::Forms);
                config = config.or(one.map_err(|error| error.context(format!("the environment variable {name}")))?);
            }
        }
    }
    if !store.is_empty() {
        let map = Form::map(vec![(Keyword::new("store").into(), Form::map(store))]);
        let one = parse::config(&map, Source::Forms).map_err(|error| error.context("the store of the environment"))?;
        config = config.or(one);
    }
    config.check()?;
    Ok(config)
}

fn read(how: &Read, name: &str, text: &str) -> Result<Form> {
    let wrong = |wanted: &str| {
        let message = format!("the environment variable {name} wants {wanted}, got {text:?}");
        Error::new(ErrorKind::Config, "config/type", message)
    };
    let trimmed = text.trim();
    let bare = trimmed.strip_prefix(':').unwrap_or(trimmed);
    Ok(match how {
        Read::Bool => Form::from(trimmed.parse::<bool>().map_err(|_| wrong("true or false"))?),
        Read::Number => Form::from(trimmed.parse::<i64>().map_err(|_| wrong("an integer"))?),
        Read::Text => Form::from(text),
        Read::Keyword => Form::from(Keyword::new(bare)),
        Read::Index if bare.contains('/') => Form::from(Keyword::new(bare)),
        Read::Index => Form::from(Keyword::new(&format!("datahike.index/{bare}"))),
        Read::Edn => {
            let form = edn::read(text).map_err(|cause| {
                // The text may hold a secret: it is not shown.
                let at = cause.position().map(|(l, c)| format!(" (line {l}, column {c})")).unwrap_or_default();
                let message = format!("the environment variable {name} wants an EDN map: {}{at}", cause.message());
                Error::new(ErrorKind::Syntax, cause.code(), message)
            })?;
            if !matches!(form.kind, FormKind::Map(_)) {
                let message = format!("the environment variable {name} wants an EDN map, got {}", form.kind_name());
                return Err(Error::new(ErrorKind::Config, "config/type", message));
            }
            form
        }
    })
}
