//! What every backend does, as a suite.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::super::{Backend, Store};

/// Runs the whole suite. `make` gives a new empty backend each time it is called.
///
/// ```
/// use std::sync::Arc;
/// use treering::store::{MemoryBackend, testing::conformance};
/// conformance(|| Arc::new(MemoryBackend::new()));
/// ```
///
/// # Panics
/// With the check that failed, if the backend does not conform.
pub fn conformance(make: impl Fn() -> Arc<dyn Backend>) {
    let fresh = || Store::on(make());
    blobs(&fresh());
    ranges(&fresh());
    keys(&fresh());
    swaps(&fresh());
    batches(&fresh());
    concurrent_swaps(&fresh());
    concurrent_puts(&fresh());
    let store = fresh();
    if store.capabilities().write_at {
        overwriting(&store);
    } else {
        let error = store.write_at("log/1", 0, vec![1]).expect_err("write_at is not offered");
        assert_eq!(error.code(), "store/write-at-unsupported");
    }
}

fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    store.get(key, None).expect("get")
}

fn put(store: &Store, key: &str, bytes: &[u8]) {
    store.put(key, bytes.to_vec()).expect("put");
}

fn list(store: &Store, prefix: &str) -> Vec<String> {
    store.list(prefix).expect("list")
}

/// Bytes that differ at every place and compress badly.
fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

fn blobs(store: &Store) {
    assert_eq!(get(store, "a"), None, "nothing is there at first");
    assert!(list(store, "").is_empty(), "an empty backend lists nothing");
    assert!(!store.delete("a").expect("delete"), "deleting what is not there");
    put(store, "a", b"one");
    assert_eq!(get(store, "a").as_deref(), Some(&b"one"[..]));
    put(store, "a", b"a longer one");
    put(store, "a", b"2");
    assert_eq!(get(store, "a").as_deref(), Some(&b"2"[..]), "put replaces, however long it was");
    put(store, "empty", b"");
    assert_eq!(get(store, "empty").as_deref(), Some(&b""[..]), "an empty blob is there");
    let big = noise(5 << 20);
    put(store, "big/blob", &big);
    assert!(get(store, "big/blob").as_deref() == Some(&big[..]), "a blob of 5 MiB comes back");
    store.sync().expect("sync");
    assert!(store.delete("a").expect("delete"), "deleting what is there");
    assert_eq!(get(store, "a"), None);
    assert!(!store.delete("a").expect("delete"), "deleting twice");
    put(store, "a", b"again");
    assert_eq!(get(store, "a").as_deref(), Some(&b"again"[..]), "a deleted key can be used again");
}

fn ranges(store: &Store) {
    let bytes = noise(1000);
    put(store, "r", &bytes);
    put(store, "empty", b"");
    for (start, end) in [(0, 1000), (0, 0), (0, 1), (999, 1000), (10, 20), (500, 500)] {
        let got = store.get("r", Some(start..end)).expect("get");
        assert_eq!(got.as_deref(), Some(&bytes[start as usize..end as usize]), "range {start}..{end}");
    }
    for (start, end, from) in [(990, 2000, 990), (1000, 1001, 1000), (5000, 6000, 1000), (0, u64::MAX, 0)] {
        let got = store.get("r", Some(start..end)).expect("get");
        assert_eq!(got.as_deref(), Some(&bytes[from..]), "range {start}..{end} is cut at the end");
    }
    assert_eq!(store.get("empty", Some(0..10)).expect("get").as_deref(), Some(&b""[..]));
    assert_eq!(store.get("absent", Some(0..10)).expect("get"), None);
}

fn keys(store: &Store) {
    let long = format!("{}/{}", "d".repeat(90), "k".repeat(109));
    let all =
        ["-", "A", "A.b_c-9", "p.q/r", "p/1", "p/10", "p/2", "p/deep/er/x", "px", "z~".trim_end_matches('~'), &long];
    for key in all {
        put(store, key, key.as_bytes());
    }
    for key in all {
        assert_eq!(get(store, key).as_deref(), Some(key.as_bytes()), "{key}");
    }
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    assert_eq!(list(store, ""), sorted, "the empty prefix lists everything, sorted by bytes");
    assert_eq!(list(store, "p/"), ["p/1", "p/10", "p/2", "p/deep/er/x"]);
    assert_eq!(list(store, "p/1"), ["p/1", "p/10"], "a prefix need not end at a slash");
    assert_eq!(list(store, "p"), ["p.q/r", "p/1", "p/10", "p/2", "p/deep/er/x", "px"]);
    assert_eq!(list(store, "p/deep"), ["p/deep/er/x"]);
    assert_eq!(list(store, "p/de"), ["p/deep/er/x"]);
    for none in ["nothing", "p/1/", "p//", "../", "p/../", "%", "p/%"] {
        assert!(list(store, none).is_empty(), "{none}");
    }
    let too_long = "x".repeat(201);
    for key in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a b", "a\\b", "ä", "~a", "a\0", &too_long] {
        let errors = [
            store.put(key, vec![]).expect_err("a bad key"),
            store.get(key, None).expect_err("a bad key"),
            store.delete(key).expect_err("a bad key"),
            store.swap(key, None, vec![]).expect_err("a bad key"),
        ];
        assert!(errors.iter().all(|e| e.code() == "store/bad-key"), "{key:?}");
    }
}

fn swaps(store: &Store) {
    let swap = |expected: Option<&[u8]>, new: &[u8]| store.swap("head/main", expected, new.to_vec()).expect("swap");
    assert!(!swap(Some(b"x"), b"y"), "expecting a blob where there is none");
    assert!(!swap(Some(b""), b"y"), "an empty blob is not no blob");
    assert!(swap(None, b""), "put if absent");
    assert!(!swap(None, b"y"), "put if absent where an empty blob is");
    assert!(swap(Some(b""), b"1"));
    assert!(!swap(Some(b"2"), b"3"), "another blob is there");
    assert!(!swap(Some(b"11"), b"3"), "what is there is only the beginning of what is expected");
    assert!(!swap(Some(b""), b"3"));
    assert!(swap(Some(b"1"), b"1"), "a swap for the same bytes");
    assert_eq!(get(store, "head/main").as_deref(), Some(&b"1"[..]));
    put(store, "head/main", b"put");
    assert!(!store.swap("head/main", Some(b"1"), b"4".to_vec()).expect("swap"), "put is seen by swap");
    store.delete("head/main").expect("delete");
    assert!(!store.swap("head/main", Some(b"put"), b"5".to_vec()).expect("swap"), "delete is seen by swap");
    assert!(store.swap("head/main", None, b"6".to_vec()).expect("swap"));
    assert_eq!(get(store, "head/main").as_deref(), Some(&b"6"[..]));
}

fn batches(store: &Store) {
    store.put_many(Vec::new()).expect("an empty batch");
    let blob = |i: u8| (format!("pack/{i}"), noise(i as usize * 100));
    let mut batch: Vec<(String, Vec<u8>)> = (0..20).map(blob).collect();
    batch.push(("head/main".into(), b"pointer".to_vec()));
    store.put_many(batch.clone()).expect("put_many");
    for (key, bytes) in &batch {
        assert!(get(store, key).as_ref() == Some(bytes), "{key}");
    }
    let twice = vec![("k".into(), b"1".to_vec()), ("k".into(), b"2".to_vec())];
    store.put_many(twice).expect("put_many");
    assert_eq!(get(store, "k").as_deref(), Some(&b"2"[..]), "the later of two blobs for one key stands");
    let wanted = vec![("k".into(), None), ("absent".into(), None), ("head/main".into(), Some(2..5))];
    let found = store.get_many(wanted).expect("get_many");
    assert_eq!(found, [Some(b"2".to_vec()), None, Some(b"int".to_vec())]);
}

const THREADS: usize = 4;

fn on_threads(work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for n in 0..THREADS {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(n);
            });
        }
    });
}

/// Of those who expect the same blob exactly one wins, and what it wrote is what the next round finds.
fn concurrent_swaps(store: &Store) {
    let mut before: Option<Vec<u8>> = None;
    for round in 0..20u8 {
        let wins = AtomicUsize::new(0);
        on_threads(|n| {
            if store.swap("head/race", before.as_deref(), vec![round, n as u8]).expect("swap") {
                wins.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(wins.into_inner(), 1, "round {round}: exactly one swap wins");
        before = get(store, "head/race");
        assert_eq!(before.as_ref().and_then(|b| b.first()), Some(&round), "the winner's blob stands");
    }
    // A counter that everybody raises loses no step.
    on_threads(|_| {
        for _ in 0..10 {
            loop {
                let old = get(store, "count");
                let next = old.as_ref().map_or(0, |b| b[0]) + 1;
                if store.swap("count", old.as_deref(), vec![next]).expect("swap") {
                    break;
                }
            }
        }
    });
    assert_eq!(get(store, "count"), Some(vec![THREADS as u8 * 10]));
}

/// A reader sees one whole blob or another.
fn concurrent_puts(store: &Store) {
    let blob = |n: usize, round: usize| vec![(n * 50 + round) as u8; 1000 * (n + 1) + round];
    put(store, "shared/blob", &blob(0, 0));
    on_threads(|n| {
        for round in 0..20 {
            if n == 0 {
                let got = get(store, "shared/blob").expect("it is never away");
                assert!(got.iter().all(|b| *b == got[0]), "a mixture of two blobs was read");
                let (n, round) = (got[0] as usize / 50, got[0] as usize % 50);
                assert!(got == blob(n, round), "a part of a blob was read");
            } else {
                put(store, "shared/blob", &blob(n, round));
                put(store, &format!("own/{n}/{round}"), &blob(n, round));
            }
        }
    });
    for n in 1..THREADS {
        assert_eq!(list(store, &format!("own/{n}/")).len(), 20, "no put of another key was lost");
    }
}

/// The blob from 0 to `len`, which may be longer in zeros.
fn prefix(store: &Store, key: &str, len: usize) -> Vec<u8> {
    let mut bytes = get(store, key).expect("the blob is there");
    assert!(bytes.iter().skip(len).all(|b| *b == 0), "what was never written reads as zeros");
    bytes.resize(len, 0);
    bytes
}

fn overwriting(store: &Store) {
    let write = |key: &str, offset: u64, bytes: &[u8]| store.write_at(key, offset, bytes.to_vec()).expect("write_at");
    write("log/1", 0, b"abc");
    assert_eq!(prefix(store, "log/1", 5), b"abc\0\0");
    write("log/1", 10, b"x");
    assert_eq!(prefix(store, "log/1", 11), b"abc\0\0\0\0\0\0\0x", "a gap reads as zeros");
    write("log/1", 1, b"BCDE");
    assert_eq!(prefix(store, "log/1", 11), b"aBCDE\0\0\0\0\0x", "an overwrite leaves the rest");
    assert_eq!(store.get("log/1", Some(1..3)).expect("get").as_deref(), Some(&b"BC"[..]));
    write("log/1", 3, b"");
    assert_eq!(prefix(store, "log/1", 11), b"aBCDE\0\0\0\0\0x", "writing nothing changes nothing");

    let mut model = vec![0; 300_000];
    for i in 0..300usize {
        let at = (i * 7919) % 290_000;
        let bytes = vec![i as u8 | 1; 1 + (i * 131) % 9000];
        model[at..at + bytes.len()].copy_from_slice(&bytes);
        write("log/2", at as u64, &bytes);
    }
    assert!(prefix(store, "log/2", model.len()) == model, "many overwrites");
    let far = 5 << 20;
    write("log/3", far, b"far");
    assert_eq!(store.get("log/3", Some(far - 2..far + 3)).expect("get").as_deref(), Some(&b"\0\0far"[..]));

    put(store, "log/1", b"put");
    assert_eq!(get(store, "log/1").as_deref(), Some(&b"put"[..]), "put replaces the whole blob");
    write("log/1", 1, b"-");
    assert_eq!(prefix(store, "log/1", 3), b"p-t", "and write_at goes to the new one");
    store.delete("log/1").expect("delete");
    assert_eq!(get(store, "log/1"), None);
    write("log/1", 1, b"n");
    assert_eq!(prefix(store, "log/1", 2), b"\0n", "after delete a new blob begins");
    assert!(list(store, "log/").len() == 3);
}
