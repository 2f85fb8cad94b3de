//! Forms to bodies of frames and back, by the serializer that is set and the handlers of the user's types.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;

use super::binary;
use super::record::corrupt;
use crate::edn::{self, Form, FormKind, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::store::frame::{Frame, serializer};

/// How values are written; what is read says itself how it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Serializer {
    /// As text of EDN, which people can read.
    #[default]
    Edn,
    /// As bytes: smaller and faster, and for forms that have no text too.
    Binary,
}

type Handler = Arc<dyn Fn(Form) -> Result<Form> + Send + Sync>;

/// What is done with tagged forms, by tag: the types of the user.
///
/// ```
/// use treering::edn::{Form, read};
/// use treering::store::{Handlers, KeyValue, MemoryBackend, Store};
/// // A point was stored as a vector once and is a map now.
/// let handlers = Handlers::new().reads("my/point", |inner| match inner.items() {
///     Some([x, y]) => read(&format!("#my/point {{:x {x} :y {y}}}")),
///     _ => read(&format!("#my/point {inner}")),
/// });
/// let kv = KeyValue::new(Store::new(MemoryBackend::new())).with_handlers(handlers);
/// kv.assoc(&read(":p")?, read("[#my/point [1 2]]")?)?;
/// assert_eq!(kv.get(&read(":p")?)?, Some(read("[#my/point {:x 1 :y 2}]")?));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Handlers {
    read: HashMap<Symbol, Handler>,
    write: HashMap<Symbol, Handler>,
}

impl Handlers {
    /// None: tagged forms are stored and read as they are.
    pub fn new() -> Handlers {
        Handlers::default()
    }

    /// When `#tag inner` is read, anywhere in a value, `handler` gets `inner` and gives what stands in its place.
    #[must_use]
    pub fn reads(mut self, tag: &str, handler: impl Fn(Form) -> Result<Form> + Send + Sync + 'static) -> Handlers {
        self.read.insert(Symbol::new(tag), Arc::new(handler));
        self
    }

    /// When `#tag inner` is written, anywhere in a value, `handler` gets `inner` and gives what is stored in its place.
    #[must_use]
    pub fn writes(mut self, tag: &str, handler: impl Fn(Form) -> Result<Form> + Send + Sync + 'static) -> Handlers {
        self.write.insert(Symbol::new(tag), Arc::new(handler));
        self
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags = |handlers: &HashMap<Symbol, Handler>| {
            let mut tags: Vec<&str> = handlers.keys().map(|tag| tag.as_str()).collect();
            tags.sort_unstable();
            tags.join(" ")
        };
        write!(f, "Handlers(reads {}; writes {})", tags(&self.read), tags(&self.write))
    }
}

/// `form` with what the handlers make of its tagged forms, the inner ones first.
fn handled(form: Form, handlers: &HashMap<Symbol, Handler>) -> Result<Form> {
    if handlers.is_empty() {
        return Ok(form);
    }
    let all = |forms: Vec<Form>| forms.into_iter().map(|form| handled(form, handlers)).collect::<Result<Vec<_>>>();
    Ok(match form.kind {
        FormKind::List(items) => FormKind::List(all(items)?).into(),
        FormKind::Vector(items) => FormKind::Vector(all(items)?).into(),
        FormKind::Set(items) => FormKind::Set(all(items)?).into(),
        FormKind::Map(pairs) => {
            let pair = |(key, value)| Ok((handled(key, handlers)?, handled(value, handlers)?));
            FormKind::Map(pairs.into_iter().map(pair).collect::<Result<_>>()?).into()
        }
        FormKind::Tagged(tag, inner) => {
            let inner = handled(*inner, handlers)?;
            match handlers.get(&tag) {
                Some(handler) => handler(inner)?,
                None => FormKind::Tagged(tag, Box::new(inner)).into(),
            }
        }
        _ => form,
    })
}

/// How one handle writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Codec {
    pub serializer: Serializer,
    pub handlers: Arc<Handlers>,
}

impl Codec {
    /// The serializer's id and the bytes of a value.
    ///
    /// # Errors
    /// `store/bad-form` if it could not be read again, and those of handlers.
    pub fn encode(&self, form: &Form) -> Result<(u8, Vec<u8>)> {
        if self.handlers.write.is_empty() {
            return self.encode_plain(form);
        }
        // What is too deep for the stack is refused before anything descends into it.
        binary::encode(form)?;
        self.encode_plain(&handled(form.clone(), &self.handlers.write)?)
    }

    /// The same of what is the store's own.
    pub fn encode_plain(&self, form: &Form) -> Result<(u8, Vec<u8>)> {
        match self.serializer {
            Serializer::Edn => Ok((serializer::EDN, print(form)?.into_bytes())),
            Serializer::Binary => Ok((serializer::BINARY, binary::encode(form)?)),
        }
    }

    /// What the handlers make of a form that was read.
    pub fn read(&self, form: Form) -> Result<Form> {
        handled(form, &self.handlers.read)
    }
}

/// The form in a frame as it was stored.
pub(super) fn decode_plain(frame: &Frame<'_>, name: &str) -> Result<Form> {
    match frame.serializer {
        serializer::EDN => {
            let text = std::str::from_utf8(&frame.body).map_err(|e| corrupt(name, "is not text").caused_by(e))?;
            edn::read(text).map_err(|e| corrupt(name, "is not EDN").caused_by(e))
        }
        serializer::BINARY => binary::decode(&frame.body).ok_or_else(|| corrupt(name, "is no form")),
        other => Err(corrupt(name, &format!("was written with the unknown serializer {other}"))),
    }
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
