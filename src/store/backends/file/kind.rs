//! `:store {:backend :file …}`.

use std::path::PathBuf;
use std::sync::Arc;

use super::FileBackend;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::store::config::absolute;
use crate::store::{Access, Backend, BackendKind, BoxFuture, StoreConfig};

/// `:file`: one directory for each store.
#[derive(Debug)]
pub(crate) struct FileKind;

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
        store.check_keys(&["path", "scope"])?;
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
