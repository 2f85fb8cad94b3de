//! Garbage: what no list of keys to keep has.

use std::collections::HashSet;

use uuid::Uuid;

use super::append::element_id;
use super::parts::{self, Parts};
use super::record::{Key, Value};
use super::{KeyValue, WriteEvent, WriteOp, append, wait};
use crate::edn::Form;
use crate::error::Result;

impl KeyValue {
    /// Removes every value that `keep` answers false for and that was last written before `cutoff` (milliseconds since
    /// 1970); the keys that are gone. Then what belongs to no value any more and is older than that goes too: elements of
    /// append logs and parts of binary values whose writers were interrupted or whose key was overwritten.
    ///
    /// The cutoff is to be taken before it is decided what to keep, so that what is written meanwhile stays: see
    /// [`now`](Self::now).
    ///
    /// ```
    /// use treering::edn::read;
    /// use treering::store::{KeyValue, MemoryBackend, Store};
    /// let kv = KeyValue::new(Store::new(MemoryBackend::new()));
    /// kv.assoc(&read(":root")?, read(":a")?)?;
    /// kv.assoc(&read(":a")?, read("1")?)?;
    /// kv.assoc(&read(":b")?, read("2")?)?;
    /// let cutoff = kv.now() + 1;
    /// let root = kv.get(&read(":root")?)?.expect("it is there");
    /// let gone = kv.sweep(cutoff, |key| *key == root || key.to_string() == ":root")?;
    /// assert_eq!(gone, [read(":b")?]);
    /// # Ok::<(), treering::Error>(())
    /// ```
    ///
    /// # Errors
    /// `store/corrupt` and those of the backend; what was removed before stays removed.
    pub fn sweep(&self, cutoff: i64, keep: impl FnMut(&Form) -> bool + Send) -> Result<Vec<Form>> {
        wait(self.sweep_async(cutoff, keep))
    }

    /// [`sweep`](Self::sweep) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn sweep_async(&self, cutoff: i64, mut keep: impl FnMut(&Form) -> bool + Send) -> Result<Vec<Form>> {
        let mut gone = Vec::new();
        for meta in self.keys_async().await? {
            if meta.last_write >= cutoff || keep(&meta.key) {
                continue;
            }
            let key = Key::of(&meta.key)?;
            let _held = self.shared.lock(&key.name).await;
            // Somebody may have written it since it was listed.
            let now = self.get_meta_async(&meta.key).await?;
            if now.is_some_and(|now| now.last_write < cutoff) && self.remove(&meta.key).await? {
                gone.push(meta.key);
            }
        }
        self.sweep_strays(cutoff).await?;
        if gone.is_empty() {
            return Ok(gone);
        }
        self.shared.hooks.tell(|| {
            let pairs = gone.iter().map(|key| (key.clone(), Form::from(true))).collect();
            WriteEvent { pairs, ..WriteEvent::new(WriteOp::MultiDissoc, &[]) }
        });
        Ok(gone)
    }

    /// Removes elements and parts that are older than the cutoff and belong to no value.
    async fn sweep_strays(&self, cutoff: i64) -> Result<()> {
        let old = |id: Option<Uuid>| id.filter(|id| drawn(*id).is_some_and(|at| at < cutoff));
        // Listed before the values are read, so that what is written meanwhile is not among them.
        let mut strays = Vec::new();
        for name in self.store.list_async(parts::PREFIX).await? {
            strays.extend(old(Parts::id_of(&name)).map(|id| (name, id)));
        }
        for name in self.store.list_async(append::PREFIX).await? {
            strays.extend(old(element_id(&name)).map(|id| (name, id)));
        }
        if strays.is_empty() {
            return Ok(());
        }
        let used = self.ids_in_use().await?;
        for (name, _) in strays.iter().filter(|(_, id)| !used.contains(id)) {
            self.store.delete_async(name).await?;
        }
        self.store.sync_async().await
    }

    async fn ids_in_use(&self) -> Result<HashSet<Uuid>> {
        let mut used = HashSet::new();
        for meta in self.keys_async().await?.into_iter().filter(|meta| meta.value_type.as_str() != "edn") {
            let key = Key::of(&meta.key)?;
            match self.fetch(&key).await?.map(|record| record.value) {
                Some(Value::Parts(parts)) => {
                    used.insert(parts.id());
                }
                Some(Value::AppendLog(_)) => {
                    used.extend(self.log_elements(&key).await?.iter().filter_map(|name| element_id(name)));
                }
                _ => {}
            }
        }
        Ok(used)
    }

    /// The time that a write would be stamped with now: milliseconds since 1970, never less than the last stamp of this
    /// handle and its clones.
    pub fn now(&self) -> i64 {
        self.shared.now()
    }
}

/// When an id was drawn, if it tells: milliseconds since 1970.
fn drawn(id: Uuid) -> Option<i64> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()?.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000))
}
