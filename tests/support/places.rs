//! `:<name>`: named stores side by side, in simulated directories or as blobs, each with faults on order.

#![allow(dead_code, reason = "each test uses its part")]

use std::sync::Arc;

use treering::edn::Keyword;
use treering::store::testing::{FaultBackend, SimFs};
use treering::store::{Backend, BoxFuture, FileBackend};
use treering::{Access, BackendKind, Config, Registry, Result, StoreConfig};

use super::blobs::Blobs;

/// What a place keeps its blobs in.
#[derive(Debug, Clone)]
pub enum Medium {
    Files(SimFs),
    Blobs(Blobs, Arc<FaultBackend>),
}

/// A store that a config names.
#[derive(Debug, Clone)]
pub struct Place {
    pub name: &'static str,
    pub medium: Medium,
}

impl Place {
    pub fn files(name: &'static str) -> Place {
        Place::on(name, SimFs::new())
    }

    pub fn on(name: &'static str, fs: SimFs) -> Place {
        Place { name, medium: Medium::Files(fs) }
    }

    pub fn blobs(name: &'static str) -> Place {
        let blobs = Blobs::default();
        Place { name, medium: Medium::Blobs(blobs.clone(), Arc::new(FaultBackend::new(Arc::new(blobs)))) }
    }

    pub fn config(&self) -> Config {
        crate::support::of_wanted_kind(Config::new().store(StoreConfig::new(self.name)))
    }

    pub fn fs(&self) -> &SimFs {
        match &self.medium {
            Medium::Files(fs) => fs,
            Medium::Blobs(..) => panic!("blobs lie in no file system"),
        }
    }

    pub fn faults(&self) -> &FaultBackend {
        match &self.medium {
            Medium::Files(_) => panic!("a file system has faults of its own"),
            Medium::Blobs(_, faults) => faults,
        }
    }

    /// The store itself, to look at and to change.
    pub fn store(&self) -> treering::store::Store {
        treering::store::Store::on(self.open(Some(Access::ReadOnly)).unwrap())
    }

    pub fn writable(&self) -> treering::store::Store {
        treering::store::Store::on(self.open(None).unwrap())
    }

    fn open(&self, access: Option<Access>) -> Result<Arc<dyn Backend>> {
        Ok(match &self.medium {
            Medium::Blobs(_, faults) => Arc::clone(faults) as Arc<dyn Backend>,
            Medium::Files(fs) => {
                let fs = Arc::new(fs.clone());
                Arc::new(match access {
                    None => FileBackend::create_with(fs, "/db")?,
                    Some(Access::ReadOnly) => FileBackend::open_reader_with(fs, "/db")?,
                    Some(Access::Writer) => FileBackend::open_writer_with(fs, "/db")?,
                })
            }
        })
    }
}

/// A registry that knows these places.
pub fn registry_of(places: &[&Place]) -> Registry {
    places.iter().fold(Registry::with_builtins(), |registry, place| registry.with_backend((*place).clone()))
}

impl BackendKind for Place {
    fn keyword(&self) -> Keyword {
        Keyword::new(self.name)
    }

    fn validate(&self, _: &StoreConfig) -> Result<()> {
        Ok(())
    }

    fn identity(&self, _: &StoreConfig) -> Result<String> {
        Ok(self.name.to_owned())
    }

    fn create<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async { self.open(None) })
    }

    fn exists<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }

    fn connect<'a>(&'a self, _: &'a StoreConfig, access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move { self.open(Some(access)) })
    }

    fn delete<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        unreachable!("these tests delete no store")
    }
}
