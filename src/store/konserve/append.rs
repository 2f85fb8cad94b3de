//! Append logs: a head that names the last and the first element, and elements that each name the next.
//!
//! An element is stored under the number that the one before it has promised, and only if nothing is there, so of
//! several writers one wins and the others go on behind it. The element counts from then on; the head's last element
//! is a place to begin the search for the end, which may lag behind.

use std::collections::HashSet;

use uuid::Uuid;

use super::codec::decode_plain;
use super::record::{Hand, Key, Record, Value, corrupt};
use super::{KeyValue, WriteEvent, WriteOp, wait};
use crate::edn::{Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::store::frame::kind;

/// Where the elements lie.
pub(super) const PREFIX: &str = "kvlog/";

/// The first word of a head.
const MARK: &str = "append-log";

struct Head {
    last: Uuid,
    first: Uuid,
}

struct Element {
    next: Uuid,
    value: Form,
}

fn keyword(text: &str) -> Form {
    FormKind::Keyword(Keyword::new(text)).into()
}

impl Head {
    fn to_form(&self) -> Form {
        let ids = [self.last, self.first].map(|id| Form::from(FormKind::Uuid(id)));
        FormKind::Vector([keyword(MARK)].into_iter().chain(ids).collect()).into()
    }

    fn of(record: &Record, key: &Form) -> Result<Head> {
        if let Value::AppendLog(form) = &record.value
            && let Some([mark, last, first]) = form.items()
            && let (FormKind::Uuid(last), FormKind::Uuid(first)) = (&last.kind, &first.kind)
            && *mark == keyword(MARK)
        {
            return Ok(Head { last: *last, first: *first });
        }
        let what = format!("the value under {key} is no append log");
        Err(Error::new(ErrorKind::Argument, "store/not-a-log", what))
    }
}

fn name(id: Uuid) -> String {
    format!("{PREFIX}{}", id.simple())
}

/// The id of the element that a blob is of.
pub(super) fn element_id(name: &str) -> Option<Uuid> {
    Uuid::try_parse(name.strip_prefix(PREFIX)?).ok()
}

impl Element {
    fn encode(&self, hand: Hand<'_>, id: Uuid) -> Result<Vec<u8>> {
        let next = FormKind::Uuid(self.next).into();
        let form = Form::map(vec![(keyword("next"), next), (keyword("elem"), self.value.clone())]);
        let (serializer, body) = hand.codec.encode(&form)?;
        hand.encoding.seal(kind::ELEMENT, serializer, &body, &name(id), 0)
    }

    fn decode(hand: Hand<'_>, id: Uuid, bytes: &[u8]) -> Result<Element> {
        let name = name(id);
        let frame = hand.encoding.open(bytes, &name, 0)?;
        let form =
            if frame.kind == kind::ELEMENT { hand.codec.read(decode_plain(&frame, &name)?)? } else { Form::nil() };
        match (form.get(Keyword::new("next")).map(|f| &f.kind), form.get(Keyword::new("elem"))) {
            (Some(FormKind::Uuid(next)), Some(value)) => Ok(Element { next: *next, value: value.clone() }),
            _ => Err(corrupt(&name, "is no element of an append log")),
        }
    }
}

impl KeyValue {
    async fn element(&self, id: Uuid) -> Result<Option<Element>> {
        let bytes = self.store.get_async(&name(id), None).await?;
        bytes.map(|bytes| Element::decode(self.hand(), id, &bytes)).transpose()
    }

    /// Puts `value` at the end of the append log under `key`, which is made if nothing is there.
    ///
    /// # Errors
    /// `store/not-a-log` if another value is there, `store/bad-form`, `store/corrupt` and those of the backend.
    pub fn append(&self, key: &Form, value: Form) -> Result<()> {
        wait(self.append_async(key, value))
    }

    /// [`append`](Self::append) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn append_async(&self, key: &Form, value: Form) -> Result<()> {
        let form = key;
        let key = Key::of(form)?;
        // The ids tell their age, should nothing come to name them.
        let mut element = Element { next: Uuid::now_v7(), value };
        let _held = self.shared.lock(&key.name).await;
        loop {
            let old = self.fetch(&key).await?;
            let head = old.as_ref().map(|old| Head::of(old, form)).transpose()?;
            let (id, first) = match &head {
                Some(head) => (self.add(head.last, &mut element).await?, head.first),
                None => {
                    let id = Uuid::now_v7();
                    self.store.put_async(&name(id), element.encode(self.hand(), id)?).await?;
                    (id, id)
                }
            };
            let extra = old.as_ref().map_or(&[][..], |old| &old.meta.extra);
            let new = Value::AppendLog(Head { last: id, first }.to_form());
            let new = self.hand().encode(&key, &new, self.shared.now(), extra)?;
            let swapped = self.store.swap_async(&key.name, old.as_ref().map(|old| &old.bytes[..]), new).await;
            self.shared.written(&key.name);
            let tell = || {
                let value = Some(element.value.clone());
                WriteEvent { value, ..WriteEvent::new(WriteOp::Append, std::slice::from_ref(form)) }
            };
            if swapped? {
                self.shared.hooks.tell(tell);
                return Ok(());
            }
            // Another writer was faster. If it is the same log, the element is in it whatever the head says; if it is
            // not, because two began it or it was removed, the element goes to the log that is there now.
            let now = self.fetch(&key).await?;
            if now.is_some_and(|now| Head::of(&now, form).is_ok_and(|now| now.first == first)) {
                self.shared.hooks.tell(tell);
                return Ok(());
            }
            self.store.delete_async(&name(id)).await?;
        }
    }

    /// Stores the element behind the last one to be found from `last` on; its number.
    async fn add(&self, mut last: Uuid, element: &mut Element) -> Result<Uuid> {
        let mut seen = HashSet::new();
        loop {
            let before = self.element(last).await?;
            let before = before.filter(|_| seen.insert(last)).ok_or_else(|| broken(last))?;
            if self.store.swap_async(&name(before.next), None, element.encode(self.hand(), before.next)?).await? {
                return Ok(before.next);
            }
            last = before.next;
        }
    }

    /// The elements of the append log under `key`, first to last; none where nothing is there.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn log(&self, key: &Form) -> Result<Vec<Form>> {
        wait(self.log_async(key))
    }

    /// [`log`](Self::log) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn log_async(&self, key: &Form) -> Result<Vec<Form>> {
        let push = |mut all: Vec<Form>, value| {
            all.push(value);
            Ok(all)
        };
        self.reduce_log_async(key, Vec::new(), push).await
    }

    /// Folds the elements of the append log under `key`, first to last, one in memory at a time.
    ///
    /// # Errors
    /// Those of `fold`, and as [`append`](Self::append).
    pub fn reduce_log<T: Send>(&self, key: &Form, init: T, fold: impl FnMut(T, Form) -> Result<T> + Send) -> Result<T> {
        wait(self.reduce_log_async(key, init, fold))
    }

    /// [`reduce_log`](Self::reduce_log) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn reduce_log_async<T: Send>(
        &self,
        key: &Form,
        init: T,
        mut fold: impl FnMut(T, Form) -> Result<T> + Send,
    ) -> Result<T> {
        let Some(record) = self.fetch(&Key::of(key)?).await? else { return Ok(init) };
        let mut id = Head::of(&record, key)?.first;
        let mut seen = HashSet::new();
        let mut sum = init;
        while let Some(element) = self.element(id).await? {
            if !seen.insert(id) {
                return Err(broken(id));
            }
            sum = fold(sum, element.value)?;
            id = element.next;
        }
        if seen.is_empty() { Err(broken(id)) } else { Ok(sum) }
    }

    /// The blobs of the elements of the append log under `key`.
    pub(super) async fn log_elements(&self, key: &Key) -> Result<Vec<String>> {
        let Some(record) = self.fetch(key).await? else { return Ok(Vec::new()) };
        let mut id = Head::of(&record, &key.form)?.first;
        let mut seen = HashSet::new();
        let mut names = Vec::new();
        while let Some(element) = self.element(id).await? {
            if !seen.insert(id) {
                return Err(broken(id));
            }
            names.push(name(id));
            id = element.next;
        }
        Ok(names)
    }
}

fn broken(id: Uuid) -> Error {
    corrupt(&name(id), "breaks the chain of its append log: it is missing or comes twice")
}
