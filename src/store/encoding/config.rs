//! What a config says of the encoding.

use std::fmt;

use super::Compressor;
use crate::edn::{Form, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Serializer;

/// What a store is to be encoded with. `Debug` does not show the key.
///
/// ```
/// use treering::store::{Compressor, EncodingConfig, Key};
/// let config = EncodingConfig::new().compressor(Compressor::Lz4).encrypted_with(Key::raw([7; 32]));
/// assert_eq!(format!("{config:?}"), r#"{:compressor {:type :lz4}, :encryptor {:type :xchacha20-poly1305, :key "…"}}"#);
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct EncodingConfig {
    compressor: Option<Compressor>,
    encrypts: bool,
    key: Option<Key>,
    mixed: bool,
    serializer: Option<Serializer>,
}

/// What opens an encrypted store: 32 bytes, or a passphrase. `Debug` shows neither.
#[derive(Clone, PartialEq)]
pub struct Key(pub(super) Secret);

#[derive(Clone, PartialEq)]
pub(super) enum Secret {
    Raw([u8; 32]),
    Passphrase(String),
}

impl Key {
    /// 32 bytes that are random.
    pub fn raw(bytes: [u8; 32]) -> Key {
        Key(Secret::Raw(bytes))
    }

    /// Words that people can remember; turned into a key by Argon2id, which takes 64 MiB and a part of a second.
    pub fn passphrase(words: impl Into<String>) -> Key {
        Key(Secret::Passphrase(words.into()))
    }

    /// 32 bytes as 64 hex digits, or as base64.
    ///
    /// # Errors
    /// `Config`, `config/value`; it does not show the text.
    pub fn from_text(text: &str) -> Result<Key> {
        from_hex(text).or_else(|| from_base64(text)).map(Key::raw).ok_or_else(|| {
            let what = format!(
                "a key is 32 bytes, as 64 hex digits or as base64; got {} characters that are neither. Words go under \
                 :passphrase",
                text.chars().count()
            );
            Error::new(ErrorKind::Config, "config/value", what)
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Secret::Raw(_) => "Key::raw(…)",
            Secret::Passphrase(_) => "Key::passphrase(…)",
        })
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// Both alphabets, with or without padding.
fn from_base64(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_suffix('=').unwrap_or(text);
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::with_capacity(32));
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(six), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    if text.len() == 43 && bits == 0 { bytes.try_into().ok() } else { None }
}

impl EncodingConfig {
    /// Neither compression nor encryption.
    pub fn new() -> EncodingConfig {
        EncodingConfig::default()
    }

    /// How bodies are compressed from now on.
    #[must_use]
    pub fn compressor(mut self, compressor: Compressor) -> EncodingConfig {
        self.compressor = Some(compressor);
        self
    }

    /// How values of a [`KeyValue`](crate::store::KeyValue) are written from now on. Databases have their own way.
    #[must_use]
    pub fn serializer(mut self, serializer: Serializer) -> EncodingConfig {
        self.serializer = Some(serializer);
        self
    }

    /// Encrypts under a key; needs the feature `encryption`.
    #[must_use]
    pub fn encrypted_with(mut self, key: Key) -> EncodingConfig {
        self.key = Some(key);
        self.encrypted()
    }

    /// Encrypts; the key is still to be given.
    #[must_use]
    pub fn encrypted(mut self) -> EncodingConfig {
        self.encrypts = true;
        self
    }

    /// Reads what is not encrypted too, of a store that was begun without encryption. It stays as it is.
    #[must_use]
    pub fn mixed(mut self, mixed: bool) -> EncodingConfig {
        self.mixed = mixed;
        self
    }

    /// How bodies are compressed.
    pub fn given_compressor(&self) -> Compressor {
        self.compressor.unwrap_or_default()
    }

    /// How values are written.
    pub fn given_serializer(&self) -> Serializer {
        self.serializer.unwrap_or_default()
    }

    /// Whether bodies are encrypted.
    pub fn encrypts(&self) -> bool {
        self.encrypts
    }

    /// Whether what is not encrypted is read too.
    pub fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// The key, if it was given.
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// This, and from `other` what it does not give.
    pub(crate) fn or(self, other: EncodingConfig) -> EncodingConfig {
        EncodingConfig {
            compressor: self.compressor.or(other.compressor),
            encrypts: self.encrypts || other.encrypts,
            mixed: if self.encrypts { self.mixed } else { other.mixed },
            key: self.key.or(other.key),
            serializer: self.serializer.or(other.serializer),
        }
    }

    /// Whether this program can do it.
    ///
    /// # Errors
    /// `Config`.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.key {
            Some(Key(Secret::Passphrase(words))) if words.is_empty() => {
                Err(Error::new(ErrorKind::Config, "config/value", "a passphrase is empty"))
            }
            _ => self.given_compressor().check(),
        }
    }
}

impl EncodingConfig {
    /// As the map of a config, without secrets.
    pub(crate) fn describe(&self) -> Form {
        let pair = |name: &str, value: Form| (Form::from(Keyword::new(name)), value);
        let typed = |name: &str| pair("type", Keyword::new(name).into());
        let mut pairs = Vec::new();
        pairs.extend(self.serializer.map(|serializer| {
            let name = if serializer == Serializer::Edn { "edn" } else { "binary" };
            pair("serializer", Form::map(vec![typed(name)]))
        }));
        pairs.extend(self.compressor.map(|compressor| {
            let inside = match compressor {
                Compressor::None => vec![typed("none")],
                Compressor::Lz4 => vec![typed("lz4")],
                Compressor::Zstd(level) => vec![typed("zstd"), pair("level", i64::from(level).into())],
            };
            pair("compressor", Form::map(inside))
        }));
        if self.encrypts {
            let mut inside = vec![typed("xchacha20-poly1305")];
            inside.extend(self.key.as_ref().map(|key| match key.0 {
                Secret::Raw(_) => pair("key", "…".into()),
                Secret::Passphrase(_) => pair("passphrase", "…".into()),
            }));
            inside.extend(self.mixed.then(|| pair("mixed?", true.into())));
            pairs.push(pair("encryptor", Form::map(inside)));
        }
        Form::map(pairs)
    }
}

impl fmt::Debug for EncodingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.describe())
    }
}
