//! The same suites over every backend, against the real servers.
//!
//! A server that is not on the machine is named in a line that begins with `SKIPPED`; in CI that is a failure.

#![cfg_attr(
    not(all(feature = "lmdb", feature = "postgres", feature = "redis", feature = "s3")),
    allow(dead_code, reason = "each backend uses its part")
)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/writers.rs"]
mod writers;

mod calls;
#[cfg(feature = "s3")]
mod objects;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod secrets;
#[cfg(any(feature = "postgres", feature = "redis", feature = "s3"))]
mod servers;
mod suites;
mod tiered;

/// The other process.
#[test]
fn writer() {
    writers::child();
}

/// A place to keep stores in.
trait Place {
    /// The `:store` map of a store of that name; a new one for a name that was not used.
    fn store(&self, name: &str) -> String;

    /// Whether a writer may be stopped anywhere without holding up others.
    fn stops_anywhere(&self) -> bool {
        true
    }

    /// How many writers are killed.
    fn kills(&self) -> usize {
        support::env_number("TREERING_BACKEND_KILLS", 10) as usize
    }
}

#[cfg(feature = "lmdb")]
#[test]
fn lmdb() {
    struct Directory(tempfile::TempDir);

    impl Place for Directory {
        fn store(&self, name: &str) -> String {
            format!("{{:backend :lmdb :path {:?}}}", self.0.path().join(name).display().to_string())
        }

        /// One that holds the lock holds up the others.
        fn stops_anywhere(&self) -> bool {
            false
        }
    }

    let place = Directory(tempfile::tempdir().unwrap());
    suites::all(&place);

    // A store that is full says so, and goes on when it may grow.
    let small = format!("{{:store {{:backend :lmdb :map-size 1048576 :path {:?}}}}}", place.0.path().join("small"));
    let store = treering::Registry::with_builtins().create_store(&writers::config(&small)).unwrap();
    let error = store.put("a", vec![7; 2 << 20]).unwrap_err();
    assert_eq!(error.code(), "store/full");
    assert!(error.message().contains(":map-size"), "{error}");
    store.put("a", vec![7; 1000]).unwrap();
    store.close().unwrap();
    let larger = small.replace("1048576", "16777216");
    let store = treering::Registry::with_builtins().create_store(&writers::config(&larger)).unwrap();
    assert_eq!(store.get("a", None).unwrap(), Some(vec![7; 1000]));
    store.put("a", vec![7; 2 << 20]).unwrap();
}
