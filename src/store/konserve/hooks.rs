//! Hooks: what is told of every write.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use super::KeyValue;
use crate::edn::{Form, Keyword};

/// Which call wrote.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteOp {
    /// `assoc` and `assoc_in`
    AssocIn,
    /// `update` and `update_in`
    UpdateIn,
    /// `dissoc`
    Dissoc,
    /// `bassoc` and its like
    Bassoc,
    /// `append`
    Append,
    /// `multi_assoc`
    MultiAssoc,
    /// `multi_dissoc`
    MultiDissoc,
}

impl WriteOp {
    /// konserve's name of it, such as `:assoc-in`.
    pub fn keyword(self) -> Keyword {
        Keyword::new(match self {
            WriteOp::AssocIn => "assoc-in",
            WriteOp::UpdateIn => "update-in",
            WriteOp::Dissoc => "dissoc",
            WriteOp::Bassoc => "bassoc",
            WriteOp::Append => "append",
            WriteOp::MultiAssoc => "multi-assoc",
            WriteOp::MultiDissoc => "multi-dissoc",
        })
    }
}

/// A write that was done.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct WriteEvent {
    /// The call.
    pub op: WriteOp,
    /// The path that it was given, of which the key is the first; empty where several keys were written at once.
    pub path: Vec<Form>,
    /// What lies there now; none of what is binary or gone.
    pub value: Option<Form>,
    /// What lay there before, of an update.
    pub old: Option<Form>,
    /// What was written at once, in the order given: keys and values, or keys and `true` for those that were removed.
    pub pairs: Vec<(Form, Form)>,
    /// The caller's own entries of the metadata, where the call had some.
    pub meta: Vec<(Form, Form)>,
}

impl WriteEvent {
    pub(super) fn new(op: WriteOp, path: &[Form]) -> WriteEvent {
        WriteEvent { op, path: path.to_vec(), value: None, old: None, pairs: Vec::new(), meta: Vec::new() }
    }

    /// The key; none where several were written at once.
    pub fn key(&self) -> Option<&Form> {
        self.path.first()
    }
}

type Hook = Arc<dyn Fn(&WriteEvent) + Send + Sync>;

/// The hooks of a handle and its clones, in the order in which they were added.
#[derive(Default)]
pub(super) struct Hooks(RwLock<Vec<(String, Hook)>>);

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.read().iter().map(|(id, _)| id)).finish()
    }
}

impl Hooks {
    /// Tells all of what `event` makes, if there are any.
    pub fn tell(&self, event: impl FnOnce() -> WriteEvent) {
        let hooks = self.0.read().clone();
        if !hooks.is_empty() {
            let event = event();
            hooks.iter().for_each(|(_, hook)| hook(&event));
        }
    }
}

impl KeyValue {
    /// Calls `hook` after each write of this handle and its clones that was done, under the name `id`; another of that
    /// name is replaced. The writes of one key are told in their order, while its lock is held, so a hook must not write
    /// under that key, and should be quick.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use treering::edn::read;
    /// use treering::store::{KeyValue, MemoryBackend, Store, WriteOp};
    /// let kv = KeyValue::new(Store::new(MemoryBackend::new()));
    /// let told = Arc::new(Mutex::new(Vec::new()));
    /// let list = told.clone();
    /// kv.add_write_hook("audit", move |event| list.lock().unwrap().push((event.op, event.key().cloned())));
    /// kv.assoc(&read(":a")?, read("1")?)?;
    /// kv.dissoc(&read(":a")?)?;
    /// let key = Some(read(":a")?);
    /// assert_eq!(*told.lock().unwrap(), [(WriteOp::AssocIn, key.clone()), (WriteOp::Dissoc, key)]);
    /// assert!(kv.remove_write_hook("audit"));
    /// # Ok::<(), treering::Error>(())
    /// ```
    pub fn add_write_hook(&self, id: &str, hook: impl Fn(&WriteEvent) + Send + Sync + 'static) {
        let mut hooks = self.shared.hooks.0.write();
        hooks.retain(|(known, _)| known != id);
        hooks.push((id.to_owned(), Arc::new(hook)));
    }

    /// Calls the hook of that name no more; whether there was one.
    pub fn remove_write_hook(&self, id: &str) -> bool {
        let mut hooks = self.shared.hooks.0.write();
        let before = hooks.len();
        hooks.retain(|(known, _)| known != id);
        hooks.len() < before
    }
}
