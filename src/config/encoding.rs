//! `:config` of `:store`: how what is stored is serialized, compressed and encrypted, in konserve's words.

use super::parse::{Entry, Source};
use crate::edn::{Form, FormKind, Keyword, Span};
use crate::error::{Error, Result};
use crate::schema::did_you_mean;
use crate::store::{Compressor, EncodingConfig, Key, Serializer};

/// Keys of konserve that have one meaning here: which value is the same as leaving the key out, and why others are refused.
const FOREIGN: [(&str, &str, &str); 4] = [
    ("sync-blob?", "true", "what is acknowledged is synced"),
    ("in-place?", "false", "a blob is replaced whole"),
    ("lock-blob?", "true", "the writer holds the lock of the store"),
    ("no-backup?", "true", "a blob is replaced whole, so there is none to back up"),
];

/// A value under a key of a map.
struct Field<'a> {
    name: &'static str,
    /// The way to it, for errors.
    label: String,
    place: Span,
    value: &'a Form,
    source: Source<'a>,
}

impl<'a> Field<'a> {
    fn entry(&self) -> Entry<'_> {
        Entry { key: &self.label, place: self.place, value: self.value, source: self.source }
    }

    /// The fields of the map that `value` is, found under `label`.
    fn all(label: &str, value: &'a Form, source: Source<'a>) -> Result<Vec<Field<'a>>> {
        // It is a map with keywords.
        Entry { key: label, place: value.span, value, source }.entries("a map")?;
        let given = value.pairs().unwrap_or_default().iter().filter(|(_, value)| !value.is_nil());
        let named = |(key, value): &'a (Form, Form)| {
            let name = key.as_keyword()?.as_str();
            Some(Field { name, label: format!("{label} {key}"), place: key.span, value, source })
        };
        Ok(given.filter_map(named).collect())
    }

    fn inner(&self) -> Result<Vec<Field<'a>>> {
        Field::all(&self.label, self.value, self.source)
    }

    fn wrong(&self, wanted: &str) -> Error {
        self.entry().wrong(wanted)
    }

    fn unsupported(&self, why: &str) -> Error {
        self.entry().error("config/unsupported", format!("{} {why}", self.label))
    }

    fn unknown(&self, known: &[&'static str]) -> Error {
        let hint = did_you_mean(self.name, known.iter().copied());
        let keys: Vec<String> = known.iter().map(|key| format!(":{key}")).collect();
        self.entry().unknown(format!("there is no key {}{hint} (its keys are {})", self.label, keys.join(" ")))
    }

    /// The keyword of `:lz4`, or of `{:type :lz4}`, and the fields beside the `:type`.
    fn typed(&self, wanted: &str) -> Result<(Keyword, Vec<Field<'a>>)> {
        if !matches!(self.value.kind, FormKind::Map(_)) {
            return Ok((self.entry().keyword(wanted)?, Vec::new()));
        }
        let (types, rest): (Vec<_>, Vec<_>) = self.inner()?.into_iter().partition(|field| field.name == "type");
        let given = types.first().ok_or_else(|| self.wrong(&format!("a :type, {wanted}")))?;
        Ok((given.entry().keyword(wanted)?, rest))
    }
}

/// The encoding of a `:config` map.
pub(super) fn config(entry: &Entry<'_>) -> Result<EncodingConfig> {
    let mut config = EncodingConfig::new();
    for field in Field::all(entry.key, entry.value, entry.source)? {
        match field.name {
            "encoding" => config = encoding(&field)?,
            _ => foreign(&field)?,
        }
    }
    Ok(config)
}

fn foreign(field: &Field<'_>) -> Result<()> {
    let Some((_, harmless, why)) = FOREIGN.iter().find(|(name, ..)| *name == field.name) else {
        return Err(field.unknown(&["encoding"]));
    };
    if field.value.to_string() == *harmless {
        return Ok(());
    }
    Err(field.unsupported(&format!("{} is not supported: {why}. Leave the key out", field.value.kind_name())))
}

fn encoding(field: &Field<'_>) -> Result<EncodingConfig> {
    let mut config = EncodingConfig::new();
    for field in field.inner()? {
        config = match field.name {
            "serializer" => config.serializer(serializer(&field)?),
            "compressor" => config.compressor(compressor(&field)?),
            "encryptor" => encryptor(config, &field)?,
            "read-handlers" | "write-handlers" => {
                return Err(
                    field.unsupported("is of functions, which a config does not hold: see KeyValue::with_handlers")
                );
            }
            _ => return Err(field.unknown(&["serializer", "compressor", "encryptor"])),
        };
    }
    Ok(config)
}

fn serializer(field: &Field<'_>) -> Result<Serializer> {
    const WANTED: &str = ":edn or :binary (what konserve's own serializers wrote cannot be read)";
    match field.typed(WANTED)?.0.as_str() {
        "edn" => Ok(Serializer::Edn),
        "binary" => Ok(Serializer::Binary),
        _ => Err(field.wrong(WANTED)),
    }
}

fn compressor(field: &Field<'_>) -> Result<Compressor> {
    const WANTED: &str = ":lz4, :zstd or :none";
    const LEVEL: &str = "a level from 1 to 22";
    let (kind, rest) = field.typed(WANTED)?;
    let mut compressor = match kind.as_str() {
        "none" => Compressor::None,
        "lz4" => Compressor::Lz4,
        "zstd" => Compressor::Zstd(3),
        _ => return Err(field.wrong(WANTED)),
    };
    for field in rest {
        let Compressor::Zstd(level) = &mut compressor else { return Err(field.unknown(&["type"])) };
        if field.name != "level" {
            return Err(field.unknown(&["type", "level"]));
        }
        let given = i32::try_from(field.entry().count(LEVEL, 1)?).ok().filter(|n| *n <= 22);
        *level = given.ok_or_else(|| field.wrong(LEVEL))?;
    }
    Ok(compressor)
}

fn encryptor(config: EncodingConfig, field: &Field<'_>) -> Result<EncodingConfig> {
    const TYPE: &str = ":xchacha20-poly1305";
    let mut config = config.encrypted();
    for field in field.inner()? {
        let entry = field.entry();
        config = match field.name {
            "type" => match entry.keyword(TYPE)?.as_str() {
                "xchacha20-poly1305" => config,
                "aes" => {
                    let why =
                        ":aes is konserve's, whose data cannot be read here; say :xchacha20-poly1305, or leave it out";
                    return Err(field.unsupported(why));
                }
                _ => return Err(field.wrong(TYPE)),
            },
            "key" => config.encrypted_with(Key::from_text(entry.string()?).map_err(|e| e.context(&field.label))?),
            "passphrase" => config.encrypted_with(Key::passphrase(entry.string()?)),
            "mixed?" => config.mixed(entry.bool()?),
            _ => return Err(field.unknown(&["type", "key", "passphrase", "mixed?"])),
        };
    }
    Ok(config)
}
