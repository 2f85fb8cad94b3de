//! The bytes of a value and its metadata.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::PREFIX;
use super::codec::{Codec, decode_plain, print};
use super::parts::Parts;
use crate::edn::{Form, FormKind, Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Encoding;
use crate::store::frame::{Sealed, kind, serializer};

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Stored {
    /// A form.
    Edn(Form),
    /// Bytes.
    Binary(Vec<u8>),
    /// The head of an append log: `[:append-log last first]`.
    AppendLog(Form),
}

/// A value as its blob holds it.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Edn(Form),
    Binary(Vec<u8>),
    /// Binary too, in blobs of its own.
    Parts(Parts),
    AppendLog(Form),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Value::Edn(_) => "edn",
            Value::Binary(_) | Value::Parts(_) => "binary",
            Value::AppendLog(_) => "append-log",
        }
    }

    /// The form, of a value that may be changed as one.
    ///
    /// # Errors
    /// `store/type` if the value is binary or the head of a log.
    pub(super) fn as_form(&self, key: &Form) -> Result<&Form> {
        match self {
            Value::Edn(form) => Ok(form),
            other => Err(other.wrong_type(key, "EDN")),
        }
    }

    pub(super) fn wrong_type(&self, key: &Form, wanted: &str) -> Error {
        let what = format!("the value under {key} is of type {}; wanted {wanted}", self.type_name());
        Error::new(ErrorKind::Argument, "store/type", what)
    }

    /// Bytes of a binary value.
    fn size(&self) -> Option<u64> {
        match self {
            Value::Binary(bytes) => Some(bytes.len() as u64),
            Value::Parts(parts) => Some(parts.size),
            Value::Edn(_) | Value::AppendLog(_) => None,
        }
    }
}

/// What is known of a value beside itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// The key.
    pub key: Form,
    /// `:edn`, `:binary` or `:append-log`.
    pub value_type: Keyword,
    /// When it was last written, in milliseconds since 1970; never less than that of an earlier write by the same handle.
    pub last_write: i64,
    /// Bytes of a binary value; none of others.
    pub size: Option<u64>,
    /// Entries of the caller's own.
    pub extra: Vec<(Form, Form)>,
}

fn keyword(text: &str) -> Form {
    FormKind::Keyword(Keyword::new(text)).into()
}

impl Metadata {
    /// As a map: `{:key … :type … :last-write #inst …}`, `:size` of a binary value, and the caller's own entries.
    pub fn to_form(&self) -> Form {
        let mut pairs = vec![
            (keyword("key"), self.key.clone()),
            (keyword("type"), FormKind::Keyword(self.value_type).into()),
            (keyword("last-write"), FormKind::Inst(self.last_write).into()),
        ];
        pairs.extend(self.size.map(|size| (keyword("size"), i64::try_from(size).unwrap_or(i64::MAX).into())));
        let is_built = |key: &Form| is_built(key, self.size.is_some());
        pairs.extend(self.extra.iter().filter(|(key, _)| !is_built(key)).cloned());
        Form::map(pairs)
    }

    fn from_form(form: &Form) -> Option<Metadata> {
        let FormKind::Inst(last_write) = form.get(Keyword::new("last-write"))?.kind else { return None };
        let value_type = form.get(Keyword::new("type"))?.as_keyword()?;
        let size = form.get(Keyword::new("size")).filter(|_| value_type.as_str() == "binary");
        Some(Metadata {
            key: form.get(Keyword::new("key"))?.clone(),
            value_type,
            last_write,
            size: size.and_then(Form::as_int).and_then(|size| u64::try_from(size).ok()),
            extra: form.pairs()?.iter().filter(|(key, _)| !is_built(key, size.is_some())).cloned().collect(),
        })
    }

    /// Bytes that the metadata takes of the blob that `head` begins.
    pub(super) fn encoded_len(head: &[u8], name: &str) -> Result<u64> {
        Sealed::total_len(head, name, 0)
    }

    pub(super) fn decode(encoding: &Encoding, bytes: &[u8], name: &str) -> Result<Metadata> {
        Metadata::decode_first(encoding, bytes, name).map(|(meta, _)| meta)
    }

    fn decode_first<'a>(encoding: &Encoding, bytes: &'a [u8], name: &'a str) -> Result<(Metadata, &'a [u8])> {
        let (frame, rest) = encoding.open_first(bytes, name, 0)?;
        let meta = if frame.kind == kind::METADATA { decode_plain(&frame, name)? } else { Form::nil() };
        let meta = Metadata::from_form(&meta).ok_or_else(|| corrupt(name, "does not begin with metadata"))?;
        Ok((meta, rest))
    }
}

/// Whether an entry of the metadata, of a binary value or another, is the store's own.
fn is_built(key: &Form, binary: bool) -> bool {
    match key.as_keyword().map(Keyword::as_str) {
        Some("key" | "type" | "last-write") => true,
        Some("size") => binary,
        _ => false,
    }
}

pub(super) fn corrupt(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "store/corrupt", format!("the blob {name:?} {what}"))
}

/// A key and where its value lies.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) form: Form,
    /// The text of the form with the members of maps and sets in order, by which keys are told apart.
    text: String,
    /// The key of the blob.
    pub(super) name: String,
}

impl Key {
    /// # Errors
    /// `store/bad-form` if the key cannot be read back from its text.
    pub(super) fn of(form: &Form) -> Result<Key> {
        // Bounds the depth as well, so that the recursion below is bounded.
        print(form)?;
        let text = canonical(form);
        let name = format!("{PREFIX}{:032x}", xxh3_128(text.as_bytes()));
        Ok(Key { form: form.clone(), text, name })
    }

    /// The metadata, if it is of this key.
    pub(super) fn check(&self, meta: Metadata) -> Result<Metadata> {
        if canonical(&meta.key) == self.text {
            return Ok(meta);
        }
        let what =
            format!("the keys {} and {} have the same hash, so only one of them can be stored", self.form, meta.key);
        Err(Error::new(ErrorKind::Storage, "store/key-collision", what))
    }
}

/// Text that is the same for equal forms: members of maps and sets in the order of their texts.
fn canonical(form: &Form) -> String {
    let all = |items: &[Form]| -> Vec<String> { items.iter().map(canonical).collect() };
    let sorted = |mut texts: Vec<String>| {
        texts.sort_unstable();
        texts.join(" ")
    };
    match &form.kind {
        FormKind::List(items) => format!("({})", all(items).join(" ")),
        FormKind::Vector(items) => format!("[{}]", all(items).join(" ")),
        FormKind::Set(items) => format!("#{{{}}}", sorted(all(items))),
        FormKind::Map(pairs) => {
            let texts = pairs.iter().map(|(key, value)| format!("{} {}", canonical(key), canonical(value)));
            format!("{{{}}}", sorted(texts.collect()))
        }
        FormKind::Tagged(tag, inner) => format!("#{} {}", Symbol::as_str(*tag), canonical(inner)),
        _ => form.to_string(),
    }
}

/// A value with its metadata, and the bytes that it was read from.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) meta: Metadata,
    pub(super) value: Value,
    pub(super) bytes: Vec<u8>,
}

/// What a blob is sealed and serialized with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hand<'a> {
    pub encoding: &'a Encoding,
    pub codec: &'a Codec,
}

impl Hand<'_> {
    pub(super) fn encode(&self, key: &Key, value: &Value, last_write: i64, extra: &[(Form, Form)]) -> Result<Vec<u8>> {
        let value_type = Keyword::new(value.type_name());
        let (size, extra) = (value.size(), extra.to_vec());
        let meta = Metadata { key: key.form.clone(), value_type, last_write, size, extra };
        let (id, meta) = self.codec.encode_plain(&meta.to_form())?;
        let mut out = self.encoding.seal(kind::METADATA, id, &meta, &key.name, 0)?;
        let offset = out.len() as u64;
        let mut add = |id, body: &[u8]| self.encoding.seal_into(&mut out, kind::VALUE, id, body, &key.name, offset);
        match value {
            Value::Edn(form) => {
                let (id, body) = self.codec.encode(form)?;
                add(id, &body)?;
            }
            Value::AppendLog(form) => {
                let (id, body) = self.codec.encode_plain(form)?;
                add(id, &body)?;
            }
            Value::Binary(bytes) => add(serializer::RAW, bytes)?,
            Value::Parts(parts) => add(serializer::PARTS, print(&parts.to_form())?.as_bytes())?,
        }
        Ok(out)
    }

    /// # Errors
    /// `store/corrupt`, and `store/key-collision` if the bytes are those of another key.
    pub(super) fn decode(&self, key: &Key, bytes: Vec<u8>) -> Result<Record> {
        let (meta, rest) = Metadata::decode_first(self.encoding, &bytes, &key.name)?;
        let frame = self.encoding.open(rest, &key.name, (bytes.len() - rest.len()) as u64)?;
        let value = match (frame.kind, meta.value_type.as_str(), frame.serializer) {
            (kind::VALUE, "edn", _) => Value::Edn(decode_plain(&frame, &key.name)?),
            (kind::VALUE, "append-log", _) => Value::AppendLog(decode_plain(&frame, &key.name)?),
            (kind::VALUE, "binary", serializer::RAW) => Value::Binary(frame.body.into_owned()),
            (kind::VALUE, "binary", serializer::PARTS) => Value::Parts(Parts::of_body(&frame.body, &key.name)?),
            _ => return Err(corrupt(&key.name, "holds a value of an unknown type")),
        };
        let meta = Metadata { size: value.size(), ..key.check(meta)? };
        Ok(Record { meta, value, bytes })
    }
}

impl Record {
    /// With what the handlers make of a form.
    pub(super) fn handled(mut self, codec: &Codec) -> Result<Record> {
        if let Value::Edn(form) = self.value {
            self.value = Value::Edn(codec.read(form)?);
        }
        Ok(self)
    }

    /// Whether its value lies in the parts of that id.
    pub(super) fn has_parts(&self, id: Uuid) -> bool {
        matches!(&self.value, Value::Parts(parts) if parts.id() == id)
    }

    pub(super) fn into_form(self, key: &Key) -> Result<Form> {
        match self.value {
            Value::Edn(form) | Value::AppendLog(form) => Ok(form),
            value => Err(value.wrong_type(&key.form, "EDN")),
        }
    }

    /// Bytes of memory, about.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() * 8 + 256
    }
}
