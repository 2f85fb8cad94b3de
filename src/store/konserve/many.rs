//! Many values at once.

use super::record::{Key, Metadata, Value};
use super::{HEAD, KeyValue, PREFIX, WriteEvent, WriteOp, wait};
use crate::edn::Form;
use crate::error::Result;

/// A value to be stored: key, value, and entries of the caller's own for the metadata.
pub type WithMeta = (Form, Form, Vec<(Form, Form)>);

impl KeyValue {
    /// The metadata of all values, in no order.
    ///
    /// # Errors
    /// `store/corrupt` and those of the backend.
    pub fn keys(&self) -> Result<Vec<Metadata>> {
        wait(self.keys_async())
    }

    /// [`keys`](Self::keys) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn keys_async(&self) -> Result<Vec<Metadata>> {
        let names = self.store.list_async(PREFIX).await?;
        let heads = names.iter().map(|name| (name.clone(), Some(0..HEAD))).collect();
        let mut all = Vec::with_capacity(names.len());
        for (name, head) in names.iter().zip(self.store.get_many_async(heads).await?) {
            // One that was removed meanwhile is no key.
            let Some(head) = head else { continue };
            all.extend(self.read_meta(name, head).await?);
        }
        Ok(all)
    }

    /// The values that are there of those asked for, with their keys, in the order asked.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn multi_get(&self, keys: &[Form]) -> Result<Vec<(Form, Form)>> {
        wait(self.multi_get_async(keys))
    }

    /// [`multi_get`](Self::multi_get) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn multi_get_async(&self, keys: &[Form]) -> Result<Vec<(Form, Form)>> {
        let keys: Vec<Key> = keys.iter().map(Key::of).collect::<Result<_>>()?;
        let wanted = keys.iter().map(|key| (key.name.clone(), None)).collect();
        let blobs = self.store.get_many_async(wanted).await?;
        let found = keys.into_iter().zip(blobs).filter_map(|(key, blob)| Some((key, blob?)));
        found
            .map(|(key, blob)| {
                let value = self.hand().decode(&key, blob)?.handled(&self.codec)?.into_form(&key)?;
                Ok((key.form, value))
            })
            .collect()
    }

    /// Stores all values in order: the last one, which may point to the others, becomes visible only when they are
    /// durable.
    ///
    /// # Errors
    /// As [`assoc`](Self::assoc); some may be stored then.
    pub fn multi_assoc(&self, pairs: Vec<(Form, Form)>) -> Result<()> {
        wait(self.multi_assoc_async(pairs))
    }

    /// [`multi_assoc`](Self::multi_assoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn multi_assoc_async(&self, pairs: Vec<(Form, Form)>) -> Result<()> {
        let values = pairs.into_iter().map(|(key, value)| (key, value, Vec::new())).collect();
        self.multi_assoc_with_meta_async(values).await
    }

    /// [`multi_assoc`](Self::multi_assoc), each value with entries of the caller's own in its metadata.
    ///
    /// # Errors
    /// As there.
    pub fn multi_assoc_with_meta(&self, values: Vec<WithMeta>) -> Result<()> {
        wait(self.multi_assoc_with_meta_async(values))
    }

    /// [`multi_assoc_with_meta`](Self::multi_assoc_with_meta) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn multi_assoc_with_meta_async(&self, values: Vec<WithMeta>) -> Result<()> {
        let keys: Vec<Key> = values.iter().map(|(key, ..)| Key::of(key)).collect::<Result<_>>()?;
        let mut blobs = Vec::with_capacity(keys.len());
        for (key, (_, value, extra)) in keys.iter().zip(&values) {
            let bytes = self.hand().encode(key, &Value::Edn(value.clone()), self.shared.now(), extra)?;
            blobs.push((key.name.clone(), bytes));
        }
        let _held = self.shared.lock_all(keys.iter().map(|key| &*key.name)).await;
        let put = self.store.put_many_async(blobs).await;
        keys.iter().for_each(|key| self.shared.written(&key.name));
        put?;
        self.shared.hooks.tell(|| {
            let pairs = values.into_iter().map(|(key, value, _)| (key, value)).collect();
            WriteEvent { pairs, ..WriteEvent::new(WriteOp::MultiAssoc, &[]) }
        });
        Ok(())
    }

    /// Removes all these values; each key with whether there was one.
    ///
    /// # Errors
    /// As [`dissoc`](Self::dissoc); some may be removed then.
    pub fn multi_dissoc(&self, keys: &[Form]) -> Result<Vec<(Form, bool)>> {
        wait(self.multi_dissoc_async(keys))
    }

    /// [`multi_dissoc`](Self::multi_dissoc) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn multi_dissoc_async(&self, keys: &[Form]) -> Result<Vec<(Form, bool)>> {
        let names: Vec<String> = keys.iter().map(|key| Key::of(key).map(|key| key.name)).collect::<Result<_>>()?;
        let _held = self.shared.lock_all(names.iter().map(|name| &**name)).await;
        let mut existed = Vec::with_capacity(keys.len());
        for key in keys {
            existed.push((key.clone(), self.remove(key).await?));
        }
        self.shared.hooks.tell(|| {
            let gone = existed.iter().filter(|(_, existed)| *existed);
            let pairs = gone.map(|(key, existed)| (key.clone(), Form::from(*existed))).collect();
            WriteEvent { pairs, ..WriteEvent::new(WriteOp::MultiDissoc, &[]) }
        });
        Ok(existed)
    }
}
