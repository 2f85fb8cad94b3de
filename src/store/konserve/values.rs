//! Single values: reading, replacing, changing, removing.

use super::record::{Key, Metadata, Stored, Value};
use super::{HEAD, KeyValue, WriteEvent, WriteOp, no_path, path, wait};
use crate::edn::Form;
use crate::error::Result;

impl KeyValue {
    /// Whether there is a value under `key`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn exists(&self, key: &Form) -> Result<bool> {
        wait(self.exists_async(key))
    }

    /// [`exists`](Self::exists) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn exists_async(&self, key: &Form) -> Result<bool> {
        Ok(self.get_meta_async(key).await?.is_some())
    }

    /// The value under `key`; `None` where there is none, which differs from `nil`.
    ///
    /// # Errors
    /// `store/type` if the value is binary, `store/corrupt`, `store/bad-form` if the key cannot be written as text, and
    /// those of the backend.
    pub fn get(&self, key: &Form) -> Result<Option<Form>> {
        wait(self.get_async(key))
    }

    /// [`get`](Self::get) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_async(&self, key: &Form) -> Result<Option<Form>> {
        let key = Key::of(key)?;
        self.read(&key).await?.map(|record| record.into_form(&key)).transpose()
    }

    /// The metadata and the value under `key`, of whatever type.
    ///
    /// # Errors
    /// As [`get`](Self::get), but for `store/type`.
    pub fn get_stored(&self, key: &Form) -> Result<Option<(Metadata, Stored)>> {
        wait(self.get_stored_async(key))
    }

    /// [`get_stored`](Self::get_stored) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_stored_async(&self, key: &Form) -> Result<Option<(Metadata, Stored)>> {
        let Some(record) = self.fetch(&Key::of(key)?).await? else { return Ok(None) };
        let value = match record.value {
            Value::Edn(form) => Stored::Edn(form),
            Value::AppendLog(form) => Stored::AppendLog(form),
            Value::Binary(bytes) => Stored::Binary(bytes),
            Value::Parts(_) => Stored::Binary(self.bget_async(key).await?.unwrap_or_default()),
        };
        Ok(Some((record.meta, value)))
    }

    /// The metadata in the beginning of a blob, of which more is read as needed; `None` if the blob is gone.
    pub(super) async fn read_meta(&self, name: &str, head: Vec<u8>) -> Result<Option<Metadata>> {
        let len = Metadata::encoded_len(&head, name)?;
        if len <= head.len() as u64 {
            return Metadata::decode(self.store.encoding(), &head, name).map(Some);
        }
        match self.store.get_async(name, Some(0..len)).await? {
            Some(bytes) => Metadata::decode(self.store.encoding(), &bytes, name).map(Some),
            None => Ok(None),
        }
    }

    /// The metadata of the value under `key`, without reading the value.
    ///
    /// # Errors
    /// As [`get`](Self::get), but for `store/type`.
    pub fn get_meta(&self, key: &Form) -> Result<Option<Metadata>> {
        wait(self.get_meta_async(key))
    }

    /// [`get_meta`](Self::get_meta) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_meta_async(&self, key: &Form) -> Result<Option<Metadata>> {
        let key = Key::of(key)?;
        let Some(head) = self.store.get_async(&key.name, Some(0..HEAD)).await? else { return Ok(None) };
        let meta = self.read_meta(&key.name, head).await?;
        meta.map(|meta| key.check(meta)).transpose()
    }

    /// What lies at a path: the key, then keys of maps, places in vectors, members of sets.
    ///
    /// # Errors
    /// As [`get`](Self::get), and `store/path` if the path is empty.
    pub fn get_in(&self, path: &[Form]) -> Result<Option<Form>> {
        wait(self.get_in_async(path))
    }

    /// [`get_in`](Self::get_in) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn get_in_async(&self, path: &[Form]) -> Result<Option<Form>> {
        let (key, rest) = path.split_first().ok_or_else(no_path)?;
        let value = self.get_async(key).await?;
        Ok(value.and_then(|value| path::find(&value, rest).cloned()))
    }

    /// Stores `value` under `key`, whatever is there. An append log or a large binary value is better removed first, or
    /// what belongs to it stays until [`sweep`](Self::sweep).
    ///
    /// # Errors
    /// `store/bad-form` if key or value is a form that cannot be read back from its text, and those of the backend.
    pub fn assoc(&self, key: &Form, value: Form) -> Result<()> {
        wait(self.assoc_async(key, value))
    }

    /// [`assoc`](Self::assoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn assoc_async(&self, key: &Form, value: Form) -> Result<()> {
        self.assoc_with_meta_async(key, value, &[]).await
    }

    /// [`assoc`](Self::assoc) with entries of the caller's own in the metadata. `:key`, `:type` and `:last-write` are
    /// the store's, whatever the caller says.
    ///
    /// # Errors
    /// As [`assoc`](Self::assoc).
    pub fn assoc_with_meta(&self, key: &Form, value: Form, extra: &[(Form, Form)]) -> Result<()> {
        wait(self.assoc_with_meta_async(key, value, extra))
    }

    /// [`assoc_with_meta`](Self::assoc_with_meta) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn assoc_with_meta_async(&self, key: &Form, value: Form, extra: &[(Form, Form)]) -> Result<()> {
        let form = key;
        let key = Key::of(form)?;
        let value = Value::Edn(value);
        let bytes = self.hand().encode(&key, &value, self.shared.now(), extra)?;
        let _held = self.shared.lock(&key.name).await;
        let put = self.store.put_async(&key.name, bytes).await;
        self.shared.written(&key.name);
        put?;
        self.shared.hooks.tell(|| WriteEvent {
            value: value.as_form(form).ok().cloned(),
            meta: extra.to_vec(),
            ..WriteEvent::new(WriteOp::AssocIn, std::slice::from_ref(form))
        });
        Ok(())
    }

    /// Stores `value` at a path; maps are made where the path leads through nothing, and a vector grows by one at its
    /// end.
    ///
    /// # Errors
    /// As [`assoc`](Self::assoc), `store/path` if the path is empty or leads through what is no map or vector, and
    /// `store/type` if the value under the key is binary or an append log.
    pub fn assoc_in(&self, path: &[Form], value: Form) -> Result<()> {
        wait(self.assoc_in_async(path, value))
    }

    /// [`assoc_in`](Self::assoc_in) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn assoc_in_async(&self, path: &[Form], value: Form) -> Result<()> {
        match path {
            [key] => self.assoc_async(key, value).await,
            path => {
                self.change_in(WriteOp::AssocIn, path, &mut |_| {}, &mut |_| Ok(value.clone())).await?;
                Ok(())
            }
        }
    }

    /// Stores what `change` makes of the value under `key`, and gives the old and the new one. The metadata's own
    /// entries are kept. `change` may run more than once, and must not use the same key.
    ///
    /// # Errors
    /// Those of `change` (nothing is stored then), and as [`assoc`](Self::assoc) and [`get`](Self::get).
    pub fn update(
        &self,
        key: &Form,
        change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        wait(self.update_async(key, change))
    }

    /// [`update`](Self::update) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn update_async(
        &self,
        key: &Form,
        change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        self.update_in_async(std::slice::from_ref(key), change).await
    }

    /// [`update`](Self::update) at a path as [`assoc_in`](Self::assoc_in) takes it.
    ///
    /// # Errors
    /// As [`update`](Self::update) and [`assoc_in`](Self::assoc_in).
    pub fn update_in(
        &self,
        path: &[Form],
        change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        wait(self.update_in_async(path, change))
    }

    /// [`update_in`](Self::update_in) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn update_in_async(
        &self,
        path: &[Form],
        mut change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        self.change_in(WriteOp::UpdateIn, path, &mut |_| {}, &mut change).await
    }

    /// [`update_in`](Self::update_in) that also changes the caller's own entries of the metadata.
    ///
    /// # Errors
    /// As there.
    pub fn update_in_with_meta(
        &self,
        path: &[Form],
        meta: impl FnMut(&mut Vec<(Form, Form)>) + Send,
        change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        wait(self.update_in_with_meta_async(path, meta, change))
    }

    /// [`update_in_with_meta`](Self::update_in_with_meta) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn update_in_with_meta_async(
        &self,
        path: &[Form],
        mut meta: impl FnMut(&mut Vec<(Form, Form)>) + Send,
        mut change: impl FnMut(Option<Form>) -> Result<Form> + Send,
    ) -> Result<(Option<Form>, Form)> {
        self.change_in(WriteOp::UpdateIn, path, &mut meta, &mut change).await
    }

    async fn change_in(
        &self,
        op: WriteOp,
        path: &[Form],
        meta: &mut (impl FnMut(&mut Vec<(Form, Form)>) + Send),
        change: &mut (impl FnMut(Option<Form>) -> Result<Form> + Send),
    ) -> Result<(Option<Form>, Form)> {
        let (key, rest) = path.split_first().ok_or_else(no_path)?;
        let change = |old: Option<&super::record::Record>| {
            let old = old.map(|old| old.value.as_form(key)).transpose()?;
            let (root, old, new) = path::change(old.cloned(), rest, change)?;
            Ok((Value::Edn(root), (old, new)))
        };
        let tell = |(old, new): &(Option<Form>, Form)| {
            self.shared.hooks.tell(|| WriteEvent {
                value: Some(new.clone()),
                old: old.clone(),
                ..WriteEvent::new(op, path)
            });
        };
        self.modify(key, meta, change, tell).await
    }

    /// Removes the value under `key`; whether there was one. The elements of an append log and the parts of a large binary
    /// value go with it.
    ///
    /// # Errors
    /// Those of the backend, and `store/corrupt` for an append log that cannot be read.
    pub fn dissoc(&self, key: &Form) -> Result<bool> {
        wait(self.dissoc_async(key))
    }

    /// [`dissoc`](Self::dissoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn dissoc_async(&self, key: &Form) -> Result<bool> {
        let _held = self.shared.lock(&Key::of(key)?.name).await;
        let existed = self.remove(key).await?;
        if existed {
            self.shared.hooks.tell(|| WriteEvent::new(WriteOp::Dissoc, std::slice::from_ref(key)));
        }
        Ok(existed)
    }

    /// Removes a value whose lock is held, with all that belongs to it.
    pub(super) async fn remove(&self, key: &Form) -> Result<bool> {
        let key = Key::of(key)?;
        let leftovers = self.leftovers(&key).await?;
        let deleted = self.store.delete_async(&key.name).await;
        self.shared.written(&key.name);
        let existed = deleted?;
        for name in leftovers {
            self.store.delete_async(&name).await?;
        }
        self.store.sync_async().await?;
        Ok(existed)
    }
}
