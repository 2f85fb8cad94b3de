use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::error::{Error, ErrorKind};
use crate::store::{Backend, BoxFuture, StoreConfig};

fn registry() -> Registry {
    Registry::with_builtins().with_index(crate::index::testing::SortedRows)
}

fn index() -> String {
    crate::index::testing::SortedRows.keyword().as_str().to_owned()
}

fn code<T>(result: Result<T>) -> &'static str {
    result.map(|_| ()).expect_err("an error").code()
}

#[test]
fn unknown_keywords_list_the_known_ones() {
    let registry = registry();
    let error = registry.backend(Keyword::new("memry")).unwrap_err();
    assert_eq!(error.code(), "backend-does-not-exist");
    assert!(error.message().contains(":memry; did you mean :memory? (known: :file "), "{error}");
    let error = registry.index(Keyword::new("datahike.index/btree")).unwrap_err();
    assert_eq!(error.code(), "unknown-index-type");
    assert!(error.message().contains(&format!(":{}", index())), "{error}");
    let config = Config::memory("x").index("nowhere");
    assert_eq!(code(registry.check(&config)), "unknown-index-type");
    registry.check(&Config::memory("x").index(&index())).unwrap();
}

#[test]
fn options_of_the_store_are_checked() {
    let registry = registry();
    let check = |text: &str| {
        let config = Config::from_edn(text).unwrap().index(&index());
        registry.check(&config).map_err(|error| (error.code(), error.to_string()))
    };
    let (code, text) = check("{:store {:backend :file :pth \"x\"}}").unwrap_err();
    assert_eq!(code, "config/unknown-key");
    assert!(text.contains("did you mean :path?"), "{text}");
    assert_eq!(check("{:store {:backend :file}}").unwrap_err().0, "config/missing");
    assert_eq!(check("{:store {:backend :file :path \"\"}}").unwrap_err().0, "config/missing");
    let (code, text) = check("{:store {:backend :memory}}").unwrap_err();
    assert_eq!(code, "config/missing");
    assert!(text.contains(":id #uuid"), "{text}");
    check("{:store {:backend :mem :name \"x\"}}").unwrap();
}

#[test]
fn stores_in_memory_live_until_they_are_deleted() {
    let registry = registry();
    let config = Config::memory("one");
    assert!(!registry.store_exists(&config).unwrap());
    assert_eq!(code(registry.connect_store(&config, Access::Writer)), "db-does-not-exist");
    let store = registry.create_store(&config).unwrap();
    store.put("k", vec![1]).unwrap();
    store.close().unwrap();
    let again = registry.connect_store(&Config::memory("one"), Access::ReadOnly).unwrap();
    assert_eq!(again.get("k", None).unwrap(), Some(vec![1]));
    assert!(!registry.store_exists(&Config::memory("two")).unwrap());
    // Another registry has stores of its own.
    assert!(!Registry::with_builtins().store_exists(&config).unwrap());
    registry.delete_store(&config).unwrap();
    assert!(!registry.store_exists(&config).unwrap());
    registry.delete_store(&config).unwrap();
}

#[test]
fn stores_in_files_are_found_by_their_path() {
    let registry = registry();
    let dir = tempfile::tempdir().unwrap();
    let config = Config::file(dir.path().join("a.tr"));
    assert!(!registry.store_exists(&config).unwrap());
    assert_eq!(code(registry.connect_store(&config, Access::ReadOnly)), "store/missing");
    let before = registry.identity(&config).unwrap();
    let store = registry.create_store(&config).unwrap();
    store.put("k", vec![1]).unwrap();
    assert_eq!(registry.identity(&config).unwrap(), before);
    assert_eq!(registry.identity(&Config::file(dir.path().join("./a.tr"))).unwrap(), before);
    assert_eq!(code(registry.connect_store(&config, Access::Writer)), "store/locked");
    let reader = registry.connect_store(&config, Access::ReadOnly).unwrap();
    assert_eq!(reader.get("k", None).unwrap(), Some(vec![1]));
    assert_eq!(code(registry.delete_store(&config)), "store/locked");
    store.close().unwrap();
    registry.delete_store(&config).unwrap();
    assert!(!registry.store_exists(&config).unwrap());
    registry.delete_store(&config).unwrap();
}

#[test]
fn what_is_open_is_shared_while_it_is_held() {
    let shared = OpenTable::default();
    let opened = AtomicUsize::new(0);
    let open = || {
        opened.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(7_u32))
    };
    let one = shared.get_or_open("a", open, |_| Ok(())).unwrap();
    let two = shared.get_or_open("a", open, |_| Ok(())).unwrap();
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(code(shared.get_or_open("a", || Ok(Arc::new(String::new())), |_| Ok(()))), "registry/type");
    assert_eq!(shared.held::<u32>("a").first().map(|n| **n), Some(7));
    assert_eq!(shared.held::<u32>("b"), []);
    drop((one, two));
    assert_eq!(shared.held::<u32>("a"), []);
    let failed = shared.get_or_open::<u32>("a", || Err(Error::new(ErrorKind::Storage, "store/io", "no")), |_| Ok(()));
    assert_eq!(code(failed), "store/io");
    let three = shared.get_or_open("a", open, |_| Ok(())).unwrap();
    shared.leave("a", &mut || false);
    assert!(Arc::ptr_eq(&three, &shared.get_or_open("a", open, |_| Ok(())).unwrap()));
    shared.leave("a", &mut || true);
    let four = shared.get_or_open("a", open, |_| Ok(())).unwrap();
    assert!(!Arc::ptr_eq(&three, &four));
    assert_eq!(opened.load(Ordering::Relaxed), 3);
}

/// A backend that an embedder might add: the blobs of `:memory` under a name, with a default from the environment.
/// Counts what it is given back.
#[derive(Debug, Default)]
struct Mine(Arc<AtomicUsize>);

impl BackendKind for Mine {
    fn keyword(&self) -> Keyword {
        Keyword::new("mine")
    }

    fn default_config(&self, environment: &dyn Fn(&str) -> Option<String>) -> StoreConfig {
        let folder = environment("CARGO_PKG_NAME").unwrap_or_default();
        StoreConfig::new("mine").with_option("folder", folder)
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        match store.text("folder") {
            Some("treering" | "given") => Ok(()),
            other => Err(Error::new(ErrorKind::Config, "config/value", format!("folder {other:?}"))),
        }
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        Ok(store.text("folder").unwrap_or_default().to_owned())
    }

    fn create<'a>(&'a self, _store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            let backend: Arc<dyn Backend> = Arc::new(crate::store::MemoryBackend::new());
            // Only inside a runtime.
            tokio::spawn(async move { backend })
                .await
                .map_err(|cause| Error::new(ErrorKind::Storage, "store/io", "the task was lost").caused_by(cause))
        })
    }

    fn exists<'a>(&'a self, _store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(tokio::spawn(async { false }).await.unwrap_or(true)) })
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, _access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        self.create(store)
    }

    fn release<'a>(&'a self, store: &'a StoreConfig, backend: Arc<dyn Backend>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // Inside the runtime that the backend was opened in.
            let _ = tokio::spawn(async move { drop(backend) }).await;
            self.0.fetch_add(1, Ordering::Relaxed);
            match store.text("folder") {
                Some("given") => Err(Error::new(ErrorKind::Storage, "store/io", "it cannot be closed")),
                _ => Ok(()),
            }
        })
    }

    fn delete<'a>(&'a self, _store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn default_index(&self) -> Keyword {
        crate::index::testing::SortedRows.keyword()
    }

    fn needs_tokio(&self) -> bool {
        true
    }
}

#[test]
fn a_backend_of_the_embedder_is_named_by_its_keyword() {
    let registry = registry();
    registry.register_backend(Mine::default());
    let config = Config::from_edn("{:store {:backend :mine}}").unwrap();
    registry.check(&config).unwrap();
    let complete = registry.complete(&config).unwrap();
    assert_eq!(complete.store_config().text("folder"), Some("treering"));
    assert_eq!(complete.index_kind().map(Keyword::as_str), Some(index().as_str()));
    assert_eq!(registry.identity(&config).unwrap(), ":mine treering");
    let store = registry.create_store(&config).unwrap();
    store.put("k", vec![1]).unwrap();
    assert!(!registry.store_exists(&config).unwrap());
    let other = Config::from_edn("{:store {:backend :mine :folder \"given\"}}").unwrap();
    assert_eq!(registry.identity(&other).unwrap(), ":mine given");
    let wrong = Config::from_edn("{:store {:backend :mine :folder \"no\"}}").unwrap();
    assert_eq!(code(registry.check(&wrong)), "config/value");
}

#[test]
fn keys_and_values_are_opened_by_config() {
    use crate::store::{Compressor, EncodingConfig, Serializer};
    let registry = registry();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kv").to_string_lossy().into_owned();
    let encoding = EncodingConfig::new().compressor(Compressor::Lz4).serializer(Serializer::Binary);
    for config in [
        StoreConfig::new("memory").with_option("name", "kv"),
        StoreConfig::new("file").with_option("path", path.as_str()).with_encoding(encoding),
    ] {
        let key = crate::edn::read("[:a 1]").unwrap();
        let connect = |access| registry.connect_key_value(&config, access);
        assert_eq!(connect(Access::Writer).unwrap_err().code(), "store/missing");
        let kv = registry.create_key_value(&config).unwrap();
        kv.assoc(&key, key.clone()).unwrap();
        assert_eq!(registry.create_key_value(&config).unwrap_err().code(), "store/exists");
        registry.release_key_value(&config, kv).unwrap();
        for access in [Access::ReadOnly, Access::Writer] {
            let kv = connect(access).unwrap();
            assert_eq!(kv.get(&key).unwrap(), Some(key.clone()));
            registry.release_key_value(&config, kv).unwrap();
        }
        registry.delete_store(&Config::new().store(config.clone())).unwrap();
        assert_eq!(connect(Access::Writer).unwrap_err().code(), "store/missing");
    }
    assert!(registry.create_key_value(&StoreConfig::new("memory")).unwrap_err().message().contains(":id"));
}

#[test]
fn a_store_goes_back_to_its_kind_when_nobody_holds_it() {
    let (registry, released) = (registry(), Arc::new(AtomicUsize::new(0)));
    registry.register_backend(Mine(Arc::clone(&released)));
    let times = || released.load(Ordering::Relaxed);
    let open = |text: &str| registry.create_store(&Config::from_edn(text).unwrap()).unwrap();
    let store = open("{:store {:backend :mine}}");
    let other = store.clone();
    store.close().unwrap();
    assert_eq!(times(), 0, "another holds it");
    other.close().unwrap();
    assert_eq!(times(), 1);
    drop(open("{:store {:backend :mine}}"));
    assert_eq!(times(), 2, "to drop it is enough");
    let fails = || open("{:store {:backend :mine :folder \"given\"}}");
    assert_eq!(code(fails().close()), "store/io");
    drop(fails());
    assert_eq!(times(), 4);

    // A connection and what was taken from it hold the store.
    let config = Config::from_edn("{:store {:backend :mine :folder \"treering\"}}").unwrap().index(&index());
    crate::create_database_in(&registry, &config).unwrap();
    assert_eq!(times(), 5, "creating a database is over");
    assert!(registry.kinds().get(Keyword::new("mine")).is_ok());
}
