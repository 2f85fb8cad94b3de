//! The file backend under loss of power, failing disks and killed writers, on a simulated file system.

use std::collections::BTreeMap;
use std::sync::Arc;

use treering::edn::read;
use treering::store::testing::{Crash, Failure, Fault, SimFs, conformance};
use treering::store::{FileBackend, KeyValue, Store};

#[test]
fn the_file_backend_conforms_on_the_simulated_file_system() {
    conformance(|| Arc::new(FileBackend::create_with(Arc::new(SimFs::new()), "/db").unwrap()));
}

type Blob = Option<Vec<u8>>;

/// One call and what it leaves under which keys.
#[derive(Clone, Debug)]
enum Call {
    Put(&'static str, Vec<u8>),
    PutMany(Vec<(&'static str, Vec<u8>)>),
    Swap(&'static str, Vec<u8>),
    Delete(&'static str),
    Sync,
}

impl Call {
    fn run(&self, store: &Store) -> treering::Result<()> {
        match self {
            Call::Put(key, bytes) => store.put(key, bytes.clone()),
            Call::PutMany(all) => store.put_many(all.iter().map(|(k, b)| (k.to_string(), b.clone())).collect()),
            Call::Swap(key, bytes) => {
                let old = store.get(key, None)?;
                assert!(store.swap(key, old.as_deref(), bytes.clone())?);
                Ok(())
            }
            Call::Delete(key) => store.delete(key).map(|_| ()),
            Call::Sync => store.sync(),
        }
    }

    fn leaves(&self) -> Vec<(&'static str, Blob)> {
        match self {
            Call::Put(key, bytes) | Call::Swap(key, bytes) => vec![(*key, Some(bytes.clone()))],
            Call::PutMany(all) => all.iter().map(|(k, b)| (*k, Some(b.clone()))).collect(),
            Call::Delete(key) => vec![(*key, None)],
            Call::Sync => vec![],
        }
    }
}

const KEYS: [&str; 6] = ["a", "d/b", "d/c", "e/f/g", "e/h", "head"];

fn calls(seed: u64, n: usize) -> Vec<Call> {
    let mut state = seed;
    let mut next = move |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    (0..n)
        .map(|i| {
            let mut bytes = || vec![i as u8 + 1; [0, 10, 600, 5000][next(4)]];
            let (one, two, three) = (bytes(), bytes(), bytes());
            let key = KEYS[next(KEYS.len())];
            match next(8) {
                0..3 => Call::Put(key, one),
                3 | 4 => {
                    let pointer = vec![i as u8 + 1; 7];
                    Call::PutMany(vec![("d/b", one), ("e/f/g", two), ("a", three), ("head", pointer)])
                }
                5 => Call::Swap(key, one),
                6 => Call::Delete(key),
                _ => Call::Sync,
            }
        })
        .collect()
}

/// What may be read under each key: what was acknowledged last, and what came after it in vain or without a sync.
#[derive(Clone, Default)]
struct Allowed(BTreeMap<&'static str, Vec<Blob>>);

impl Allowed {
    fn of(&self, key: &str) -> Vec<Blob> {
        self.0.get(key).cloned().unwrap_or_else(|| vec![None])
    }

    fn may(&mut self, call: &Call) {
        for (key, blob) in call.leaves() {
            let mut blobs = self.of(key);
            blobs.push(blob);
            self.0.insert(key, blobs);
        }
    }

    fn done(&mut self, call: &Call) {
        match call {
            // Durable after the next sync only.
            Call::Delete(_) => self.may(call),
            Call::Sync => {}
            call => self.0.extend(call.leaves().into_iter().map(|(key, blob)| (key, vec![blob]))),
        }
    }

    fn check(&self, store: &Store, what: impl Fn() -> String) {
        for key in KEYS {
            let got = store.get(key, None).unwrap();
            assert!(
                self.of(key).contains(&got),
                "{}: {key} is {:?}",
                what(),
                got.map(|b| (b.len(), b.first().copied()))
            );
        }
    }
}

fn open(fs: &SimFs) -> Store {
    Store::new(FileBackend::open_writer_with(Arc::new(fs.clone()), "/db").unwrap())
}

#[test]
fn after_a_crash_every_blob_is_the_old_or_the_new_one() {
    let mut images = 0;
    for seed in 0..2 {
        let fs = SimFs::new();
        let store = Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap());
        let mut before = fs.ops_len();
        let mut allowed = Allowed::default();
        for call in calls(seed, 30) {
            call.run(&store).unwrap();
            let mut during = allowed.clone();
            during.may(&call);
            allowed.done(&call);
            for prefix in before + 1..=fs.ops_len() {
                for crash in Crash::variants(2) {
                    let image = fs.crash_image(prefix, crash);
                    let allowed = if prefix == fs.ops_len() { &allowed } else { &during };
                    let what = || format!("seed {seed}, {prefix} operations, {crash:?}, {call:?}");
                    let store = open(&image);
                    allowed.check(&store, what);
                    if let Call::PutMany(all) = &call
                        && store.get("head", None).unwrap().as_ref() == all.last().map(|(_, b)| b)
                    {
                        for (key, bytes) in all {
                            assert_eq!(store.get(key, None).unwrap().as_ref(), Some(bytes), "{} {key}", what());
                        }
                    }
                    images += 1;
                }
            }
            before = fs.ops_len();
        }
    }
    assert!(images > 2000, "{images} images");
}

#[test]
fn what_is_written_after_a_crash_survives_the_next() {
    let fs = SimFs::new();
    let store = Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap());
    let from = fs.ops_len();
    for call in calls(9, 8) {
        call.run(&store).unwrap();
    }
    for prefix in from..=fs.ops_len() {
        for first in Crash::variants(1) {
            let image = fs.crash_image(prefix, first);
            let store = open(&image);
            let was: Vec<Blob> = KEYS.iter().map(|key| store.get(key, None).unwrap()).collect();
            store.put("d/b", b"after".to_vec()).unwrap();
            store.put("new/x", b"after".to_vec()).unwrap();
            for second in [Crash::Lost, Crash::NamesOnly, Crash::Subset(prefix as u64)] {
                let store = open(&image.crash_image(image.ops_len(), second));
                for (key, was) in KEYS.iter().zip(&was) {
                    let wanted = if *key == "d/b" { Some(b"after".to_vec()) } else { was.clone() };
                    assert_eq!(store.get(key, None).unwrap(), wanted, "{prefix} {first:?} {second:?} {key}");
                }
                assert_eq!(store.get("new/x", None).unwrap(), Some(b"after".to_vec()));
            }
        }
    }
}

#[test]
fn overwriting_touches_nothing_but_its_range() {
    let fs = SimFs::new();
    let store = Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap());
    let mut model = vec![0u8; 200_000];
    let mut images = 0;
    for i in 0..40usize {
        let (at, new) = ((i * 4211) % 190_000, vec![i as u8 + 1; 1 + (i * 977) % 9000]);
        let before = fs.ops_len();
        store.write_at("log/1", at as u64, new.clone()).unwrap();
        let old = model.clone();
        model[at..at + new.len()].copy_from_slice(&new);
        for prefix in before + 1..=fs.ops_len() {
            for crash in Crash::variants(3) {
                let got = open(&fs.crash_image(prefix, crash)).get("log/1", None).unwrap();
                let mut got = got.unwrap_or_default();
                assert!(got.iter().skip(model.len()).all(|b| *b == 0));
                got.resize(model.len(), 0);
                if prefix == fs.ops_len() {
                    assert!(got == model, "an acknowledged write was lost: {i} {prefix} {crash:?}");
                }
                let range = at..at + new.len();
                assert!(range.clone().all(|p| got[p] == old[p] || got[p] == model[p]), "{i} {prefix} {crash:?}");
                got[range.clone()].copy_from_slice(&old[range]);
                assert!(got == old, "a byte outside the range changed: {i} {prefix} {crash:?}");
                images += 1;
            }
        }
    }
    assert!(images > 500, "{images} images");
}

/// Fails each operation in turn, once and for good, in every way; then looks with the fault gone, and after a crash.
#[test]
fn after_a_fault_every_blob_is_the_old_or_the_new_one() {
    let calls = calls(4, 12);
    let run = |fault: Option<Fault>| {
        let fs = SimFs::new();
        let store = Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap());
        fs.set_fault(fault);
        let mut allowed = Allowed::default();
        let mut poisoned = false;
        for call in &calls {
            match call.run(&store) {
                Ok(()) => {
                    let writes = !matches!(call, Call::Delete(_) | Call::Sync);
                    assert!(!poisoned || !writes, "{fault:?}: {call:?} was acknowledged by a poisoned backend");
                    allowed.done(call);
                }
                Err(e) => {
                    allowed.may(call);
                    poisoned |= e.message().contains("cannot sync");
                    assert_eq!(poisoned, e.code() == "store/poisoned" || e.message().contains("cannot sync"), "{e}");
                }
            }
        }
        let count = fs.operations();
        fs.set_fault(None);
        drop(store);
        let what = || format!("{fault:?}");
        for crash in Crash::variants(1) {
            allowed.check(&open(&fs.crash_image(fs.ops_len(), crash)), what);
        }
        allowed.check(&open(&fs), what);
        (count, poisoned)
    };
    let (count, _) = run(None);
    assert!(count > 50);
    let mut poisonings = 0;
    for at in 0..count {
        for failure in [Failure::Io, Failure::Full, Failure::ShortWrite, Failure::Sync] {
            for sticky in [false, true] {
                poisonings += usize::from(run(Some(Fault { at, failure, sticky })).1);
            }
        }
    }
    assert!(poisonings > 100, "{poisonings} runs met a failed sync");
}

/// A writer killed between rename and sync leaves a name that can be read and is not durable. Who reads it as the next
/// writer builds on it, so it must be durable by then.
#[test]
fn what_a_new_writer_reads_is_durable() {
    let fs = SimFs::new();
    let store = Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap());
    store.put("head/main", b"old".to_vec()).unwrap();
    // Create, write, sync, rename: then the sync of the directory fails.
    fs.set_fault(Some(Fault { at: 4, failure: Failure::Io, sticky: false }));
    assert!(store.put("head/main", b"new".to_vec()).is_err());
    drop(store);
    fs.set_fault(None);
    assert_eq!(
        open(&fs.crash_image(fs.ops_len(), Crash::Lost)).get("head/main", None).unwrap(),
        Some(b"old".to_vec()),
        "the rename is not durable yet"
    );
    let store = open(&fs);
    assert_eq!(store.get("head/main", None).unwrap(), Some(b"new".to_vec()));
    let store = open(&fs.crash_image(fs.ops_len(), Crash::Lost));
    assert_eq!(store.get("head/main", None).unwrap(), Some(b"new".to_vec()));
}

/// The same for a file that is overwritten in place and was created by the writer that was killed.
#[test]
fn what_a_new_writer_overwrites_has_a_durable_name() {
    let fs = SimFs::new();
    let store = Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap());
    store.put("log/0", b"x".to_vec()).unwrap();
    // Create the file; then the sync of its directory fails.
    fs.set_fault(Some(Fault { at: 1, failure: Failure::Io, sticky: false }));
    assert!(store.write_at("log/1", 0, b"lost".to_vec()).is_err());
    drop(store);
    fs.set_fault(None);
    open(&fs).write_at("log/1", 0, b"kept".to_vec()).unwrap();
    let store = open(&fs.crash_image(fs.ops_len(), Crash::Lost));
    assert_eq!(store.get("log/1", Some(0..4)).unwrap(), Some(b"kept".to_vec()));
}

#[test]
fn append_logs_and_batches_keep_what_was_acknowledged() {
    let form = |text: &str| read(text).unwrap();
    let fs = SimFs::new();
    let kv = KeyValue::new(Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap()));
    let mut before = fs.ops_len();
    let mut images = 0;
    for i in 0..12usize {
        let value = form(&i.to_string());
        kv.append(&form(":log"), value.clone()).unwrap();
        let appended = fs.ops_len();
        let batch = [":a", ":b", ":pointer"].map(|key| (form(key), value.clone()));
        kv.multi_assoc(batch.to_vec()).unwrap();
        for prefix in before + 1..=fs.ops_len() {
            for crash in Crash::variants(2) {
                let image = KeyValue::new(open(&fs.crash_image(prefix, crash)));
                let log = image.log(&form(":log")).unwrap();
                assert!((i..=i + 1).contains(&log.len()), "{i} {prefix} {crash:?} {log:?}");
                assert!(prefix < appended || log.len() == i + 1, "{i} {prefix} {crash:?}: an element was lost");
                assert!(log.iter().enumerate().all(|(n, v)| *v == form(&n.to_string())));
                let [a, b, pointer] = [":a", ":b", ":pointer"].map(|key| image.get(&form(key)).unwrap());
                let new = Some(value.clone());
                assert!(prefix < fs.ops_len() || pointer == new, "{i} {prefix} {crash:?}: a batch was lost");
                assert!(pointer != new || (a == new && b == new), "{i} {prefix} {crash:?}: the pointer came first");
                // What is appended after the crash stands at the end.
                image.append(&form(":log"), form(":after")).unwrap();
                assert_eq!(image.log(&form(":log")).unwrap().len(), log.len() + 1);
                images += 1;
            }
        }
        before = fs.ops_len();
    }
    assert!(images > 1000, "{images} images");
}

#[test]
fn a_full_disk_says_path_and_cause_and_leaves_the_store_usable() {
    let fs = SimFs::new();
    let store = Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap());
    store.put("a", b"old".to_vec()).unwrap();
    fs.set_fault(Some(Fault { at: 0, failure: Failure::Full, sticky: true }));
    for error in [store.put("a", vec![1; 100]).unwrap_err(), store.write_at("log", 0, vec![1; 100]).unwrap_err()] {
        assert_eq!(error.code(), "store/full");
        assert!(error.message().contains("/db/") && error.message().contains("no space left"), "{error}");
    }
    fs.set_fault(None);
    assert_eq!(store.get("a", None).unwrap(), Some(b"old".to_vec()));
    store.put("a", b"new".to_vec()).unwrap();
    store.write_at("log", 0, vec![1; 100]).unwrap();
    assert_eq!(store.list("").unwrap(), ["a", "log"]);
}

#[test]
fn without_locks_there_is_no_writer() {
    let fs = SimFs::new();
    drop(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap());
    fs.forbid_locks();
    let error = FileBackend::open_writer_with(Arc::new(fs.clone()), "/db").unwrap_err();
    assert_eq!(error.code(), "store/lock-unsupported");
    assert!(error.message().contains("/db"), "{error}");
    FileBackend::open_reader_with(Arc::new(fs), "/db").unwrap();
}

/// Fails each operation of overwriting in turn: bytes outside the range in question stay, acknowledged ones are kept.
#[test]
fn overwriting_under_faults() {
    let run = |fault: Option<Fault>| {
        let fs = SimFs::new();
        let store = Store::new(FileBackend::create_with(Arc::new(fs.clone()), "/db").unwrap());
        fs.set_fault(fault);
        // What each byte may be, a bit for each value: what was acknowledged last, and what was written in vain since.
        let mut allowed = vec![1u16; 150_000];
        let mut failed = false;
        for i in 0..8usize {
            let (at, len) = (i * 17_000, 900 + i * 3_000);
            let done = store.write_at("log/1", at as u64, vec![i as u8 + 1; len]);
            let bit = 1 << (i + 1);
            for bits in &mut allowed[at..at + len] {
                *bits = if done.is_ok() { bit } else { *bits | bit };
            }
            if let Err(e) = done {
                let poisoned = e.code() == "store/poisoned" || e.message().contains("cannot sync");
                assert!(!failed || poisoned || fault.is_some_and(|f| f.sticky), "{fault:?} {e}");
                failed = true;
            }
        }
        let count = fs.operations();
        fs.set_fault(None);
        drop(store);
        for crash in [Crash::Lost, Crash::Kept, Crash::Subset(count)] {
            let got = open(&fs.crash_image(fs.ops_len(), crash)).get("log/1", None).unwrap().unwrap_or_default();
            for (at, bits) in allowed.iter().enumerate() {
                let byte = got.get(at).copied().unwrap_or(0);
                assert!(bits >> byte & 1 == 1, "{fault:?} {crash:?}: byte {at} is {byte}, not one of {bits:b}");
            }
        }
        (count, failed)
    };
    let (count, failed) = run(None);
    assert!(count > 20 && !failed);
    for at in 0..count {
        for failure in [Failure::Io, Failure::Full, Failure::ShortWrite, Failure::Sync] {
            for sticky in [false, true] {
                run(Some(Fault { at, failure, sticky }));
            }
        }
    }
}

/// The checks of this file must be able to fail: a file system that forgets to sync is found out.
#[test]
fn a_rename_without_a_sync_is_caught() {
    use treering::store::fs::Fs;
    let fs = SimFs::new();
    let path = std::path::Path::new("/x");
    let file = fs.create(std::path::Path::new("/t")).unwrap();
    file.write_at(0, &[7; 3000]).unwrap();
    fs.rename(std::path::Path::new("/t"), path).unwrap();
    fs.sync_dir(std::path::Path::new("/")).unwrap();
    let len = |crash| {
        let image = fs.crash_image(fs.ops_len(), crash);
        image.open(path, false).unwrap().len().unwrap()
    };
    assert_eq!(len(Crash::Lost), 0);
    assert_eq!(len(Crash::Kept), 3000);
    let torn: std::collections::BTreeSet<u64> = (0..40).map(|seed| len(Crash::Torn { sector: 512, seed })).collect();
    assert!(torn.len() > 3, "{torn:?}");
    assert_eq!(fs.crash_image(2, Crash::BytesOnly).is_dir(std::path::Path::new("/t")).unwrap(), None);
}
