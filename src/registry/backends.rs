//! The kinds of backend that need no feature: `:memory` and `:file`.

use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{Access, BackendKind};
use crate::config::{StoreConfig, absolute, did_you_mean};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Backend, BoxFuture, FileBackend, MemoryBackend};

/// `:memory`: stores by their id, kept until they are deleted.
#[derive(Debug, Default)]
pub(super) struct MemoryKind {
    stores: Mutex<HashMap<Uuid, MemoryBackend>>,
}

impl MemoryKind {
    fn id(store: &StoreConfig) -> Result<Uuid> {
        store.id().ok_or_else(|| {
            let message = format!(
                "a :memory store is found by its :id, and the config gives none: \
                 add :id #uuid \"{}\" (or another UUID) to :store, or a :name",
                Uuid::new_v4()
            );
            Error::new(ErrorKind::Config, "config/missing", message)
        })
    }
}

impl BackendKind for MemoryKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("memory")
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        check_options(store, &["name", "scope"])?;
        MemoryKind::id(store).map(|_| ())
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        Ok(MemoryKind::id(store)?.to_string())
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let backend = self.stores.lock().entry(MemoryKind::id(store)?).or_default().clone();
            Ok(Arc::new(backend) as Arc<dyn Backend>)
        })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.stores.lock().contains_key(&MemoryKind::id(store)?)) })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, _access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let id = MemoryKind::id(store)?;
            let backend = self.stores.lock().get(&id).cloned();
            let backend = backend.ok_or_else(|| {
                let message = format!("there is no database {id} in the memory of this process: create it first");
                Error::new(ErrorKind::Existence, "db-does-not-exist", message)
            })?;
            Ok(Arc::new(backend) as Arc<dyn Backend>)
        })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.stores.lock().remove(&MemoryKind::id(store)?);
            Ok(())
        })
    }
}

/// `:file`: one directory for each store.
#[derive(Debug)]
pub(super) struct FileKind;

impl FileKind {
    fn path(store: &StoreConfig) -> Result<PathBuf> {
        store.path().filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
            let message = "a :file store wants a :path, and the config gives none: add :path \"…\" to :store";
            Error::new(ErrorKind::Config, "config/missing", message)
        })
    }
}

impl BackendKind for FileKind {
    fn keyword(&self) -> Keyword {
        Keyword::new("file")
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        check_options(store, &["path", "scope"])?;
        FileKind::path(store).map(|_| ())
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        Ok(absolute(&FileKind::path(store)?).to_string_lossy().into_owned())
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move { Ok(Arc::new(FileBackend::create(FileKind::path(store)?)?) as Arc<dyn Backend>) })
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(FileKind::path(store)?.is_dir()) })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let path = FileKind::path(store)?;
            let backend = match access {
                Access::ReadOnly => FileBackend::open_reader(path)?,
                Access::Writer => FileBackend::open_writer(path)?,
            };
            Ok(Arc::new(backend) as Arc<dyn Backend>)
        })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let path = FileKind::path(store)?;
            if path.exists() { FileBackend::destroy(path) } else { Ok(()) }
        })
    }
}

/// Refuses options that the backend does not know.
fn check_options(store: &StoreConfig, known: &[&'static str]) -> Result<()> {
    let Some(unknown) = store.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let all = ["backend", "id"].into_iter().chain(known.iter().copied());
    let hint = did_you_mean(unknown.as_str(), all.clone());
    let list: Vec<String> = all.map(|key| format!(":{key}")).collect();
    let message = format!(
        ":store of the backend {} has no key {unknown}{hint} (its keys are {})",
        store.backend(),
        list.join(" ")
    );
    Err(Error::new(ErrorKind::Config, "config/unknown-key", message))
}
