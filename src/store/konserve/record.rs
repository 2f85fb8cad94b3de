//! The bytes of a value and its metadata.

use xxhash_rust::xxh3::xxh3_128;

use super::PREFIX;
use crate::edn::{self, Form, FormKind, Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::store::frame::{Frame, kind, serializer};

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

impl Stored {
    fn type_name(&self) -> &'static str {
        match self {
            Stored::Edn(_) => "edn",
            Stored::Binary(_) => "binary",
            Stored::AppendLog(_) => "append-log",
        }
    }

    /// The form, of a value that may be changed as one.
    ///
    /// # Errors
    /// `store/type` if the value is binary or the head of a log.
    pub(super) fn as_form(&self, key: &Form) -> Result<&Form> {
        match self {
            Stored::Edn(form) => Ok(form),
            Stored::Binary(_) | Stored::AppendLog(_) => Err(wrong_type(key, "EDN", self)),
        }
    }
}

pub(super) fn wrong_type(key: &Form, wanted: &str, got: &Stored) -> Error {
    let what = format!("the value under {key} is of type {}; wanted {wanted}", got.type_name());
    Error::new(ErrorKind::Argument, "store/type", what)
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
    /// Entries of the caller's own.
    pub extra: Vec<(Form, Form)>,
}

fn keyword(text: &str) -> Form {
    FormKind::Keyword(Keyword::new(text)).into()
}

impl Metadata {
    /// As a map: `{:key … :type … :last-write #inst …}` and the caller's own entries.
    pub fn to_form(&self) -> Form {
        let mut pairs = vec![
            (keyword("key"), self.key.clone()),
            (keyword("type"), FormKind::Keyword(self.value_type).into()),
            (keyword("last-write"), FormKind::Inst(self.last_write).into()),
        ];
        pairs.extend(self.extra.iter().filter(|(key, _)| !is_built(key)).cloned());
        Form::map(pairs)
    }

    fn from_form(form: &Form) -> Option<Metadata> {
        let FormKind::Inst(last_write) = form.get(Keyword::new("last-write"))?.kind else { return None };
        Some(Metadata {
            key: form.get(Keyword::new("key"))?.clone(),
            value_type: form.get(Keyword::new("type"))?.as_keyword()?,
            last_write,
            extra: form.pairs()?.iter().filter(|(key, _)| !is_built(key)).cloned().collect(),
        })
    }

    /// Bytes that the metadata takes of the blob that `head` begins.
    pub(super) fn encoded_len(head: &[u8], name: &str) -> Result<u64> {
        Frame::total_len(head, name, 0)
    }

    pub(super) fn decode(bytes: &[u8], name: &str) -> Result<Metadata> {
        Metadata::decode_first(bytes, name).map(|(meta, _)| meta)
    }

    fn decode_first<'a>(bytes: &'a [u8], name: &str) -> Result<(Metadata, &'a [u8])> {
        let (frame, rest) = Frame::decode_first(bytes, name, 0)?;
        let meta = if frame.kind == kind::METADATA { read_edn(frame, name)? } else { Form::nil() };
        let meta = Metadata::from_form(&meta).ok_or_else(|| corrupt(name, "does not begin with metadata"))?;
        Ok((meta, rest))
    }
}

/// Whether an entry of the metadata is the store's own.
fn is_built(key: &Form) -> bool {
    matches!(key.as_keyword().map(Keyword::as_str), Some("key" | "type" | "last-write"))
}

pub(super) fn corrupt(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "store/corrupt", format!("the blob {name:?} {what}"))
}

/// The text of a form.
///
/// # Errors
/// `store/bad-form` if reading it would not give the form again.
pub(super) fn print(form: &Form) -> Result<String> {
    let text = form.to_string();
    let bad = |why: &str| {
        let shown: String = text.chars().take(100).collect();
        let what = format!("{} cannot be stored: {why}: {shown}", form.kind_name());
        Error::new(ErrorKind::Argument, "store/bad-form", what)
    };
    match edn::read(&text) {
        Ok(again) if again == *form => Ok(text),
        Ok(_) => Err(bad("its text reads as another form")),
        Err(e) => Err(bad("its text cannot be read").caused_by(e)),
    }
}

pub(super) fn read_edn(frame: Frame<'_>, name: &str) -> Result<Form> {
    if frame.serializer != serializer::EDN {
        return Err(corrupt(name, &format!("was written with the unknown serializer {}", frame.serializer)));
    }
    let text = std::str::from_utf8(frame.body).map_err(|e| corrupt(name, "is not text").caused_by(e))?;
    edn::read(text).map_err(|e| corrupt(name, "is not EDN").caused_by(e))
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
#[derive(Debug)]
pub(super) struct Record {
    pub(super) meta: Metadata,
    pub(super) value: Stored,
    pub(super) bytes: Vec<u8>,
}

impl Record {
    pub(super) fn encode(key: &Key, value: &Stored, last_write: i64, extra: &[(Form, Form)]) -> Result<Vec<u8>> {
        let value_type = Keyword::new(value.type_name());
        let meta = Metadata { key: key.form.clone(), value_type, last_write, extra: extra.to_vec() };
        let meta = print(&meta.to_form())?;
        let mut out = Frame::encode(kind::METADATA, serializer::EDN, meta.as_bytes(), &key.name, 0)?;
        let offset = out.len() as u64;
        let mut add = |id, body: &[u8]| Frame::encode_into(&mut out, kind::VALUE, id, body, &key.name, offset);
        match value {
            Stored::Edn(form) | Stored::AppendLog(form) => add(serializer::EDN, print(form)?.as_bytes())?,
            Stored::Binary(bytes) => add(serializer::RAW, bytes)?,
        }
        Ok(out)
    }

    /// # Errors
    /// `store/corrupt`, and `store/key-collision` if the bytes are those of another key.
    pub(super) fn decode(key: &Key, bytes: Vec<u8>) -> Result<Record> {
        let (meta, rest) = Metadata::decode_first(&bytes, &key.name)?;
        let frame = Frame::decode(rest, &key.name, (bytes.len() - rest.len()) as u64)?;
        let value = match (frame.kind, meta.value_type.as_str()) {
            (kind::VALUE, "edn") => Stored::Edn(read_edn(frame, &key.name)?),
            (kind::VALUE, "append-log") => Stored::AppendLog(read_edn(frame, &key.name)?),
            (kind::VALUE, "binary") if frame.serializer == serializer::RAW => Stored::Binary(frame.body.to_vec()),
            _ => return Err(corrupt(&key.name, "holds a value of an unknown type")),
        };
        Ok(Record { meta: key.check(meta)?, value, bytes })
    }

    pub(super) fn into_form(self, key: &Key) -> Result<Form> {
        match self.value {
            Stored::Edn(form) | Stored::AppendLog(form) => Ok(form),
            value => Err(wrong_type(&key.form, "EDN", &value)),
        }
    }

    pub(super) fn into_bytes(self, key: &Key) -> Result<Vec<u8>> {
        match self.value {
            Stored::Binary(bytes) => Ok(bytes),
            value => Err(wrong_type(&key.form, "binary", &value)),
        }
    }
}
