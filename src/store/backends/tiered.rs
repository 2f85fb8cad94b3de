//! `:tiered`: a fast store in front of a slow one.
//!
//! The back is the store; the front holds copies of blobs that never change, and may be lost at any time. What can change
//! is read from the back alone, so a front never shows an old head, and fences hold as they do on the back.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::store::backend::{Backend, BoxFuture, Capabilities, cut};
use crate::store::kind::{Access, BackendKind, Kinds};
use crate::store::{Store, StoreConfig};

/// The beginnings of keys whose blobs are written once and never changed. They are deleted, though.
const UNCHANGING: [&str; 2] = ["commit/", "pack/"];
/// Blobs that are copied at once.
const BATCH: usize = 16;

/// What becomes of the front when a blob is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritePolicy {
    /// It is written to the back, then to the front.
    Through,
    /// It is written to the back; the first read brings it to the front.
    Around,
}

/// Copies of the unchanging blobs of one store in another.
///
/// ```
/// use treering::store::{MemoryBackend, Store, TieredBackend, WritePolicy};
/// let (front, back) = (Store::new(MemoryBackend::new()), Store::new(MemoryBackend::new()));
/// back.put("pack/1", b"nodes".to_vec())?;
/// let store = Store::new(TieredBackend::new(front.clone(), back, WritePolicy::Through));
/// assert_eq!(store.get("pack/1", Some(0..2))?, Some(b"no".to_vec()));
/// assert_eq!(front.get("pack/1", None)?, Some(b"nodes".to_vec()));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Debug)]
pub struct TieredBackend {
    front: Store,
    back: Store,
    policy: WritePolicy,
    /// Whose turn it is to bring a blob to the front.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl TieredBackend {
    /// Copies of blobs of `back` in `front`. No other back may have had that front.
    pub fn new(front: Store, back: Store, policy: WritePolicy) -> TieredBackend {
        TieredBackend { front, back, policy, turns: Mutex::default() }
    }

    fn is_kept(key: &str) -> bool {
        UNCHANGING.iter().any(|prefix| key.starts_with(prefix))
    }

    /// What the front has. One that fails is as good as one that has nothing.
    async fn in_front(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> Vec<Option<Vec<u8>>> {
        let number = wanted.len();
        self.front.get_many_async(wanted).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the front of a tiered store cannot be read");
            vec![None; number]
        })
    }

    /// Puts copies into the front. The store is whole without them.
    async fn keep(&self, blobs: Vec<(String, Vec<u8>)>) {
        if blobs.is_empty() {
            return;
        }
        if let Err(error) = self.front.put_many_async(blobs).await {
            tracing::warn!(%error, "the front of a tiered store cannot be written");
        }
    }

    async fn forget(&self, key: &str) {
        if TieredBackend::is_kept(key)
            && let Err(error) = self.front.delete_async(key).await
        {
            tracing::warn!(%error, "the front of a tiered store keeps what was deleted");
        }
    }

    /// Takes what was written to the back into the front, as the policy says.
    async fn written(&self, blobs: Vec<(String, Vec<u8>)>) {
        match self.policy {
            WritePolicy::Through => self.keep(blobs).await,
            WritePolicy::Around => {
                for (key, _) in blobs {
                    self.forget(&key).await;
                }
            }
        }
    }

    /// Brings a blob to the front; of several who want it one fetches it.
    async fn fill(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let turn = {
            let mut turns = self.turns.lock();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(key.to_owned()).or_default())
        };
        let _mine = turn.lock().await;
        if let Some(found) = self.in_front(vec![(key.to_owned(), None)]).await.pop().flatten() {
            return Ok(Some(found));
        }
        let found = self.back.get_async(key, None).await?;
        if let Some(bytes) = &found {
            self.keep(vec![(key.to_owned(), bytes.clone())]).await;
        }
        Ok(found)
    }

    /// Copies to the front what it has not, and where `whole`, removes from it what the back has not.
    ///
    /// # Errors
    /// Those of the two stores.
    pub async fn sync_front(&self, whole: bool) -> Result<()> {
        for prefix in UNCHANGING {
            let wanted = self.back.list_async(prefix).await?;
            let there: HashSet<String> = self.front.list_async(prefix).await?.into_iter().collect();
            let missing: Vec<&String> = wanted.iter().filter(|key| !there.contains(*key)).collect();
            for keys in missing.chunks(BATCH) {
                let found = self.back.get_many_async(keys.iter().map(|key| ((*key).clone(), None)).collect()).await?;
                let found = keys.iter().zip(found).filter_map(|(key, bytes)| Some(((*key).clone(), bytes?)));
                self.front.put_many_async(found.collect()).await?;
            }
            let wanted: HashSet<String> = wanted.into_iter().collect();
            for key in there.difference(&wanted).filter(|_| whole) {
                self.front.delete_async(key).await?;
            }
        }
        self.front.sync_async().await
    }
}

/// The range of a whole blob.
fn part(mut bytes: Vec<u8>, range: Option<Range<u64>>) -> Vec<u8> {
    let (start, end) = cut(range, bytes.len() as u64);
    bytes.truncate(end as usize);
    bytes.drain(..start as usize);
    bytes
}

impl Backend for TieredBackend {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            if !TieredBackend::is_kept(key) {
                return self.back.get_async(key, range).await;
            }
            match self.in_front(vec![(key.to_owned(), range.clone())]).await.pop().flatten() {
                Some(found) => Ok(Some(found)),
                None => Ok(self.fill(key).await?.map(|bytes| part(bytes, range))),
            }
        })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if !TieredBackend::is_kept(key) {
                return self.back.put_async(key, bytes).await;
            }
            self.back.put_async(key, bytes.clone()).await?;
            self.written(vec![(key.to_owned(), bytes)]).await;
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let deleted = self.back.delete_async(key).await?;
            self.forget(key).await;
            Ok(deleted)
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(self.back.list_async(prefix))
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a [u8]>, new: Vec<u8>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let swapped = self.back.swap_async(key, expected, new).await?;
            self.forget(key).await;
            Ok(swapped)
        })
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.back.sync_async())
    }

    fn put_many(&self, blobs: Vec<(String, Vec<u8>)>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let kept: Vec<_> = blobs.iter().filter(|(key, _)| TieredBackend::is_kept(key)).cloned().collect();
            self.back.put_many_async(blobs).await?;
            self.written(kept).await;
            Ok(())
        })
    }

    /// Blobs that the front lacks are fetched whole, all in one call of the back.
    fn get_many(&self, wanted: Vec<(String, Option<Range<u64>>)>) -> BoxFuture<'_, Result<Vec<Option<Vec<u8>>>>> {
        Box::pin(async move {
            let (kept, _): (Vec<_>, Vec<_>) = wanted.iter().cloned().partition(|(key, _)| TieredBackend::is_kept(key));
            let mut kept = self.in_front(kept).await.into_iter();
            let mut found: Vec<Option<Vec<u8>>> = Vec::with_capacity(wanted.len());
            let (mut missing, mut blobs) = (Vec::new(), HashMap::new());
            for (key, range) in &wanted {
                let is_kept = TieredBackend::is_kept(key);
                let in_front = if is_kept { kept.next().flatten() } else { None };
                match in_front {
                    None if !is_kept => missing.push((key.clone(), range.clone())),
                    None if blobs.insert(key.clone(), None).is_none() => missing.push((key.clone(), None)),
                    _ => {}
                }
                found.push(in_front);
            }
            let fetched = self.back.get_many_async(missing.clone()).await?;
            let (mut changing, mut copies) = (Vec::new(), Vec::new());
            for ((key, _), bytes) in missing.into_iter().zip(fetched) {
                match blobs.get_mut(&key) {
                    Some(blob) => {
                        copies.extend(bytes.clone().map(|bytes| (key, bytes)));
                        *blob = bytes;
                    }
                    None => changing.push(bytes),
                }
            }
            self.keep(copies).await;
            let mut changing = changing.into_iter();
            for (place, (key, range)) in found.iter_mut().zip(wanted) {
                if place.is_none() {
                    *place = match blobs.get(&key) {
                        Some(blob) => blob.clone().map(|bytes| part(bytes, range)),
                        None => changing.next().flatten(),
                    };
                }
            }
            Ok(found)
        })
    }

    fn size<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<u64>>> {
        Box::pin(self.back.size_async(key))
    }

    fn write_at<'a>(&'a self, key: &'a str, offset: u64, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.back.write_at_async(key, offset, bytes).await?;
            self.forget(key).await;
            Ok(())
        })
    }

    fn give_up_writing(&self) {
        self.back.give_up_writing();
    }

    fn hint<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.back.drive(self.back.backend().hint(key, bytes)))
    }

    fn hinted<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(self.back.drive(self.back.backend().hinted(key)))
    }

    /// Those of the back, whose calls are polled in a runtime of its own.
    fn capabilities(&self) -> Capabilities {
        Capabilities { tokio: false, ..self.back.capabilities() }
    }
}

/// `:tiered`: a front over each back.
#[derive(Debug)]
pub struct TieredKind {
    kinds: Kinds,
}

/// What the options say.
struct Tiers {
    front: StoreConfig,
    back: StoreConfig,
    policy: WritePolicy,
    sync: Option<&'static str>,
}

impl TieredKind {
    /// The kind that finds front and back among `kinds`.
    pub fn new(kinds: Kinds) -> TieredKind {
        TieredKind { kinds }
    }

    fn tiers(&self, store: &StoreConfig) -> Result<Tiers> {
        store.check_keys(&["frontend-config", "backend-config", "write-policy", "read-policy", "sync-on-connect"])?;
        let tier = |key: &str| {
            let form = store.option(key).ok_or_else(|| store.missing(key))?;
            let tier = StoreConfig::from_form(form).map_err(|error| error.context(format!(":store :{key}")))?;
            if let (Some(id), Some(own)) = (store.given_id(), tier.given_id())
                && id != own
            {
                let message = format!(":store :{key} has the :id {own}, the tiered store {id}: they are one database");
                return Err(Error::new(ErrorKind::Config, "config/conflict", message));
            }
            Ok(tier)
        };
        let (front, back) = (tier("frontend-config")?, tier("backend-config")?);
        let policies = ["write-through", "write-around"];
        let policy = match store.one_of("write-policy", &policies)? {
            Some("write-around") => WritePolicy::Around,
            _ => WritePolicy::Through,
        };
        store.one_of("read-policy", &["frontend-first"])?;
        let sync = store.one_of("sync-on-connect", &["none", "populate-missing", "full-sync"])?;
        Ok(Tiers { front, back, policy, sync })
    }

    /// The backend over `back`. The front is made where it is not there.
    async fn over(&self, back: Store, tiers: &Tiers) -> Result<Arc<dyn Backend>> {
        let front = self.kinds.create(&tiers.front).map_err(|error| error.context(":frontend-config"))?;
        let backend = TieredBackend::new(front, back, tiers.policy);
        match tiers.sync {
            Some("populate-missing") => backend.sync_front(false).await?,
            Some("full-sync") => backend.sync_front(true).await?,
            _ => {}
        }
        Ok(Arc::new(backend))
    }
}

impl BackendKind for TieredKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("tiered")
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        let Tiers { front, back, .. } = self.tiers(store)?;
        self.kinds.check(&front).map_err(|error| error.context(":frontend-config"))?;
        self.kinds.check(&back).map_err(|error| error.context(":backend-config"))?;
        Ok(())
    }

    /// The store is the back.
    fn identity(&self, store: &StoreConfig) -> Result<String> {
        self.kinds.identity(&self.tiers(store)?.back)
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let tiers = self.tiers(store)?;
            self.over(self.kinds.create(&tiers.back)?, &tiers).await
        })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { self.kinds.exists(&self.tiers(store)?.back) })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let tiers = self.tiers(store)?;
            self.over(self.kinds.connect(&tiers.back, access)?, &tiers).await
        })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let tiers = self.tiers(store)?;
            self.kinds.delete(&tiers.back)?;
            self.kinds.delete(&tiers.front)
        })
    }
}
