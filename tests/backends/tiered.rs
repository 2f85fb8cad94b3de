//! `:tiered`: a front of copies over any back.

use std::path::Path;

use treering::store::{MemoryBackend, Store, TieredBackend, WritePolicy};
use treering::{Config, Registry, connect_in, create_database_in, delete_database_in};

use crate::support::{SCHEMA, content};

/// The back is a real store that fences; each process has a front of its own.
#[cfg(feature = "lmdb")]
#[test]
fn tiered() {
    use crate::{Place, suites};

    struct Tiers(tempfile::TempDir);

    impl Place for Tiers {
        fn store(&self, name: &str) -> String {
            let path = self.0.path().join(name).display().to_string();
            format!(
                "{{:backend :tiered :frontend-config {{:backend :memory :name {name:?}}} \
                  :backend-config {{:backend :lmdb :path {path:?}}}}}"
            )
        }

        fn stops_anywhere(&self) -> bool {
            false
        }
    }

    suites::all(&Tiers(tempfile::tempdir().unwrap()));
}

fn memory() -> (MemoryBackend, Store) {
    let backend = MemoryBackend::new();
    (backend.clone(), Store::new(backend))
}

#[test]
fn unchanging_blobs_are_read_from_the_front() {
    for policy in [WritePolicy::Through, WritePolicy::Around] {
        let ((_, front), (_, back)) = (memory(), memory());
        let store = Store::new(TieredBackend::new(front.clone(), back.clone(), policy));
        store.put("pack/a", b"0123456789".to_vec()).unwrap();
        store.put("head/db", b"1".to_vec()).unwrap();
        assert_eq!(front.get("pack/a", None).unwrap().is_some(), policy == WritePolicy::Through);
        assert_eq!(store.get("pack/a", Some(2..5)).unwrap(), Some(b"234".to_vec()));
        assert_eq!(front.get("pack/a", None).unwrap(), Some(b"0123456789".to_vec()), "a read fills the front");
        // From the front alone, and what can change from the back alone.
        back.put("pack/a", b"other".to_vec()).unwrap();
        back.put("head/db", b"2".to_vec()).unwrap();
        assert_eq!(store.get("pack/a", Some(2..5)).unwrap(), Some(b"234".to_vec()));
        assert_eq!(store.get("head/db", None).unwrap(), Some(b"2".to_vec()));
        assert_eq!(front.list("head/").unwrap(), [""; 0]);
        // A batch takes each from where it is.
        back.put("pack/b", b"abcdef".to_vec()).unwrap();
        back.put("pack/c", b"ghi".to_vec()).unwrap();
        let wanted = [("pack/b", Some(1..3)), ("head/db", None), ("pack/a", Some(0..2)), ("pack/none", None)];
        let wanted = wanted.into_iter().chain([("pack/b", None), ("head/none", None), ("pack/c", Some(1..9))]);
        let found = store.get_many(wanted.map(|(key, range)| (key.to_owned(), range)).collect()).unwrap();
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(found, [text("bc"), text("2"), text("01"), None, text("abcdef"), None, text("hi")]);
        assert_eq!(front.list("").unwrap(), ["pack/a", "pack/b", "pack/c"]);
        // What is deleted is gone from both.
        assert!(store.delete("pack/a").unwrap());
        assert_eq!((store.get("pack/a", None).unwrap(), front.get("pack/a", None).unwrap()), (None, None));
    }
}

#[test]
fn a_front_that_fails_is_in_nobodys_way() {
    use treering::store::testing::{Failure, Fault, FaultBackend};
    let (_, back) = memory();
    let front = std::sync::Arc::new(FaultBackend::new(std::sync::Arc::new(MemoryBackend::new())));
    let store = Store::new(TieredBackend::new(Store::on(front.clone()), back, WritePolicy::Through));
    store.put("pack/a", vec![1]).unwrap();
    front.set_fault(Some(Fault { at: 0, failure: Failure::Io, sticky: true }));
    store.put("pack/b", vec![2]).unwrap();
    assert_eq!(store.get("pack/a", None).unwrap(), Some(vec![1]));
    assert_eq!(store.get("pack/b", None).unwrap(), Some(vec![2]));
    assert!(store.delete("pack/a").unwrap());
}

#[test]
fn of_many_readers_one_fetches() {
    use treering::store::testing::FaultBackend;
    let (_, front) = memory();
    let counted = std::sync::Arc::new(FaultBackend::new(std::sync::Arc::new(MemoryBackend::new())));
    let store = Store::new(TieredBackend::new(front, Store::on(counted.clone()), WritePolicy::Around));
    store.put("pack/a", vec![7; 100_000]).unwrap();
    counted.set_fault(None);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let store = &store;
            scope.spawn(move || assert_eq!(store.get("pack/a", Some(n..n + 2)).unwrap(), Some(vec![7; 2])));
        }
    });
    assert_eq!(counted.operations(), 1);
}

fn config(front: &Path, back: &Path, more: &str) -> Config {
    let text = format!(
        "{{:store {{:backend :tiered :frontend-config {{:backend :file :path {front:?}}} \
          :backend-config {{:backend :file :path {back:?}}} {more}}}}}"
    );
    Config::from_edn(&text).unwrap()
}

#[test]
fn a_front_is_filled_at_connect_and_can_be_lost() {
    let home = tempfile::tempdir().unwrap();
    let (front, back) = (home.path().join("front"), home.path().join("back"));
    let registry = Registry::with_builtins();
    let around = config(&front, &back, ":write-policy :write-around");
    create_database_in(&registry, &around).unwrap();
    let conn = connect_in(&registry, &around).unwrap();
    conn.transact(SCHEMA).unwrap();
    for i in 0..50 {
        conn.transact(format!("[{{:name \"n{i}\" :age {i}}}]").as_str()).unwrap();
    }
    let left = content(&conn.db()).unwrap();
    conn.release().unwrap();
    drop(conn);

    let keys = |path: &Path, prefix: &str| {
        Store::new(treering::store::FileBackend::open_reader(path).unwrap()).list(prefix).unwrap()
    };
    assert!(keys(&front, "pack/").is_empty(), "nothing was read");
    let stale = Store::new(treering::store::FileBackend::open_writer(&front).unwrap());
    stale.put("pack/stale", vec![1]).unwrap();
    drop(stale);
    for (sync, has_stale) in [(":populate-missing", true), (":full-sync", false)] {
        let config = config(&front, &back, &format!(":sync-on-connect {sync}"));
        let conn = connect_in(&registry, &config).unwrap();
        assert_eq!(content(&conn.db()).unwrap(), left);
        conn.release().unwrap();
        drop(conn);
        let there = keys(&front, "pack/");
        assert!(keys(&back, "pack/").iter().all(|key| there.contains(key)), "{sync}");
        assert_eq!(there.contains(&"pack/stale".to_owned()), has_stale, "{sync}");
    }

    std::fs::remove_dir_all(&front).unwrap();
    let conn = connect_in(&registry, &around).unwrap();
    assert_eq!(content(&conn.db()).unwrap(), left);
    assert!(!keys(&front, "pack/").is_empty(), "reading fills the front");
    conn.release().unwrap();
    drop(conn);
    delete_database_in(&registry, &around).unwrap();
    assert!(!front.exists() && !back.exists());
}

#[test]
fn configs_of_tiers_are_checked() {
    let code = |more: &str, front: &str| {
        let text =
            format!("{{:store {{:backend :tiered {front} :backend-config {{:backend :file :path \"x\"}} {more}}}}}");
        let config = Config::from_edn(&text).unwrap();
        Registry::with_builtins().check(&config).map_err(|error| (error.code(), error.to_string())).err()
    };
    let front = ":frontend-config {:backend :memory :name \"f\"}";
    assert_eq!(code("", front), None);
    assert_eq!(code("", "").unwrap().0, "config/missing");
    assert_eq!(code(":write-policy :write-behind", front).unwrap().0, "config/type");
    assert_eq!(code(":sync-on-connect :walk-sync", front).unwrap().0, "config/type");
    let (code_of_front, text) = code("", ":frontend-config {:backend :memroy}").unwrap();
    assert_eq!(code_of_front, "backend-does-not-exist");
    assert!(text.contains(":frontend-config") && text.contains("did you mean :memory?"), "{text}");
    let [one, two] = [1, 2].map(|n| format!("#uuid \"00000000-0000-0000-0000-00000000000{n}\""));
    let own = format!(":frontend-config {{:backend :memory :id {one}}}");
    assert_eq!(code(&format!(":id {two}"), &own).unwrap().0, "config/conflict");
    // The store is the back: one identity, whatever stands before it.
    let identity = |config: &Config| Registry::with_builtins().identity(config).unwrap();
    let (one, two) = (config("f1".as_ref(), "b".as_ref(), ""), config("f2".as_ref(), "b".as_ref(), ""));
    assert_eq!(identity(&one), identity(&two));
}
