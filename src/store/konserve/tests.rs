use super::*;
use crate::edn::{FormKind, Keyword, read};
use crate::store::testing::{Failure, Fault, FaultBackend, konserve_conformance};
use crate::store::{Backend, Compressor, EncodingConfig, FileBackend, MemoryBackend};
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Every way to write.
fn ways() -> Vec<(EncodingConfig, Serializer)> {
    let mut ways = vec![
        (EncodingConfig::new(), Serializer::Edn),
        (EncodingConfig::new(), Serializer::Binary),
        (EncodingConfig::new().compressor(Compressor::Lz4), Serializer::Edn),
    ];
    if cfg!(feature = "encryption") {
        let key = crate::store::Key::raw([1; 32]);
        ways.push((EncodingConfig::new().compressor(Compressor::Lz4).encrypted_with(key), Serializer::Binary));
    }
    ways
}

#[test]
fn every_way_to_write_conforms_in_memory_and_in_files() {
    for (encoding, serializer) in ways() {
        let on = |store: Store| KeyValue::new(store.encoded(&encoding).unwrap()).with_serializer(serializer);
        konserve_conformance(|| on(Store::new(MemoryBackend::new())));
        let home = tempfile::tempdir().unwrap();
        let number = std::cell::Cell::new(0);
        konserve_conformance(|| {
            number.set(number.get() + 1);
            on(Store::new(FileBackend::create(home.path().join(number.get().to_string())).unwrap()))
        });
    }
}

fn form(text: &str) -> Form {
    read(text).unwrap()
}

fn forms(text: &str) -> Vec<Form> {
    form(text).items().unwrap().to_vec()
}

fn memory() -> KeyValue {
    KeyValue::new(Store::new(MemoryBackend::new()))
}

/// The suite runs on each of these.
fn everywhere(check: impl Fn(&KeyValue)) {
    check(&memory());
    let home = tempfile::tempdir().unwrap();
    check(&KeyValue::new(Store::new(FileBackend::create(home.path()).unwrap())));
}

#[test]
fn values_come_and_go() {
    everywhere(|kv| {
        let key = form(":foo");
        assert_eq!(kv.get(&key).unwrap(), None);
        assert!(!kv.exists(&key).unwrap());
        kv.assoc(&key, form("nil")).unwrap();
        assert_eq!(kv.get(&key).unwrap(), Some(Form::nil()), "nil is a value");
        assert!(kv.exists(&key).unwrap());
        kv.assoc(&key, form("{:a 1, [2] #{3}, \"s\" #inst \"2020-01-01T00:00:00Z\"}")).unwrap();
        assert_eq!(kv.get(&key).unwrap(), Some(form("{\"s\" #inst \"2020-01-01T00:00:00Z\", :a 1, [2] #{3}}")));
        assert!(kv.dissoc(&key).unwrap());
        assert!(!kv.dissoc(&key).unwrap());
        assert_eq!(kv.get(&key).unwrap(), None);
        assert!(kv.keys().unwrap().is_empty());
    });
}

#[test]
fn keys_are_equal_as_forms_are() {
    let kv = memory();
    kv.assoc(&form("{:a 1 :b #{1 2 3}}"), form("1")).unwrap();
    assert_eq!(kv.get(&form("{:b #{3 1 2} :a 1}")).unwrap(), Some(form("1")));
    for other in ["{:a 1.0 :b #{1 2 3}}", "[:a 1 :b #{1 2 3}]", "\"{:a 1 :b #{1 2 3}}\""] {
        assert_eq!(kv.get(&form(other)).unwrap(), None, "{other}");
    }
    for (one, two) in [("1", "1N"), ("a", ":a"), ("\"a\"", "a"), ("[1]", "(1)"), ("#t [1]", "[1]")] {
        let kv = memory();
        kv.assoc(&form(one), form("1")).unwrap();
        assert!(!kv.exists(&form(two)).unwrap(), "{one} {two}");
    }
}

#[test]
fn paths_lead_through_maps_and_vectors() {
    everywhere(|kv| {
        let path = |text: &str| forms(text);
        kv.assoc_in(&path("[:foo]"), form("{:bar [1 {:x 2}] :s #{7}}")).unwrap();
        for (at, wanted) in [
            ("[:foo :bar 0]", Some("1")),
            ("[:foo :bar 1 :x]", Some("2")),
            ("[:foo :s 7]", Some("7")),
            ("[:foo :s 8]", None),
            ("[:foo :bar 2]", None),
            ("[:foo :bar -1]", None),
            ("[:foo :bar :x]", None),
            ("[:foo :bar 0 :x]", None),
            ("[:none :bar]", None),
        ] {
            assert_eq!(kv.get_in(&path(at)).unwrap(), wanted.map(form), "{at}");
        }
        kv.assoc_in(&path("[:foo :new :deep]"), form("3")).unwrap();
        kv.assoc_in(&path("[:foo :bar 2]"), form("4")).unwrap();
        assert_eq!(kv.get(&form(":foo")).unwrap(), Some(form("{:bar [1 {:x 2} 4] :s #{7} :new {:deep 3}}")));
        let change = |old: Option<Form>| Ok(FormKind::Int(old.and_then(|f| f.as_int()).unwrap_or(0) + 1).into());
        assert_eq!(kv.update_in(&path("[:foo :bar 1 :x]"), change).unwrap(), (Some(form("2")), form("3")));
        assert_eq!(kv.update_in(&path("[:n :x]"), change).unwrap(), (None, form("1")));
        assert_eq!(kv.update(&form(":count"), change).unwrap(), (None, form("1")));
        assert_eq!(kv.update(&form(":count"), change).unwrap(), (Some(form("1")), form("2")));
        let before = kv.get(&form(":foo")).unwrap();
        for bad in ["[:foo :bar 9]", "[:foo :bar :x]", "[:foo :s 7]", "[:foo :bar 0 :x]", "[]"] {
            assert_eq!(kv.assoc_in(&path(bad), form("1")).unwrap_err().code(), "store/path", "{bad}");
        }
        assert!(kv.update(&form(":foo"), |_| Err(no_path())).is_err());
        assert_eq!(kv.get(&form(":foo")).unwrap(), before, "what failed changed nothing");
    });
}

#[test]
fn metadata_is_the_stores_and_the_callers() {
    everywhere(|kv| {
        let (key, before) = (form("[:k 1]"), kv.shared.now());
        let extra = [(form(":immutable?"), form("true")), (form(":type"), form(":mine"))];
        kv.assoc_with_meta(&key, form("1"), &extra).unwrap();
        let meta = kv.get_meta(&key).unwrap().unwrap();
        assert_eq!((meta.key.clone(), meta.value_type.as_str()), (key.clone(), "edn"));
        assert_eq!(meta.extra, [(form(":immutable?"), form("true"))]);
        assert!(meta.last_write >= before);
        assert_eq!(meta.to_form().pairs().map(<[_]>::len), Some(4));
        kv.update(&key, |_| Ok(form("2"))).unwrap();
        let later = kv.get_meta(&key).unwrap().unwrap();
        assert_eq!(later.extra, meta.extra, "an update keeps the caller's entries");
        assert!(later.last_write >= meta.last_write);
        let long: String = "x".repeat(3000);
        kv.assoc(&FormKind::Str(long.as_str().into()).into(), form("1")).unwrap();
        kv.bassoc(&form(":bytes"), vec![0, 255]).unwrap();
        kv.append(&form(":log"), form("1")).unwrap();
        let mut all: Vec<(usize, &str)> =
            kv.keys().unwrap().iter().map(|m| (m.key.to_string().len(), m.value_type.as_str())).collect();
        all.sort_unstable();
        assert_eq!(all, [(4, "append-log"), (6, "binary"), (6, "edn"), (3002, "edn")]);
        assert_eq!(kv.get_stored(&form(":bytes")).unwrap().unwrap().1, Stored::Binary(vec![0, 255]));
    });
}

#[test]
fn the_clock_never_goes_back() {
    let kv = memory();
    let ahead = kv.shared.now() + 1_000_000_000;
    kv.shared.clock.store(ahead, Ordering::Release);
    kv.assoc(&form("1"), form("1")).unwrap();
    assert_eq!(kv.get_meta(&form("1")).unwrap().unwrap().last_write, ahead);
}

#[test]
fn binary_values_are_bytes() {
    everywhere(|kv| {
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        kv.bassoc(&form(":b"), bytes.clone()).unwrap();
        assert_eq!(kv.bget(&form(":b")).unwrap(), Some(bytes));
        assert_eq!(kv.bget(&form(":none")).unwrap(), None);
        kv.assoc(&form(":e"), form("1")).unwrap();
        for error in [
            kv.get(&form(":b")).unwrap_err(),
            kv.update(&form(":b"), |_| Ok(Form::nil())).unwrap_err(),
            kv.bget(&form(":e")).unwrap_err(),
        ] {
            assert_eq!(error.code(), "store/type");
        }
    });
}

#[test]
fn append_logs_grow_at_the_end() {
    everywhere(|kv| {
        let key = form(":log");
        assert!(kv.log(&key).unwrap().is_empty());
        for i in 0..10 {
            kv.append(&key, FormKind::Int(i).into()).unwrap();
        }
        let wanted: Vec<Form> = (0..10).map(|i| FormKind::Int(i).into()).collect();
        assert_eq!(kv.log(&key).unwrap(), wanted);
        let sum = |sum: i64, value: Form| Ok(sum * 2 + value.as_int().unwrap());
        assert_eq!(kv.reduce_log(&key, 0, sum).unwrap(), (0..10).fold(0, |s, i| s * 2 + i));
        assert_eq!(kv.get_meta(&key).unwrap().unwrap().value_type.as_str(), "append-log");
        assert_eq!(kv.keys().unwrap().len(), 1, "elements are no keys");
        kv.assoc(&form(":other"), form("1")).unwrap();
        assert_eq!(kv.append(&form(":other"), form("1")).unwrap_err().code(), "store/not-a-log");
        assert_eq!(kv.log(&form(":other")).unwrap_err().code(), "store/not-a-log");
        assert!(kv.dissoc(&key).unwrap());
        assert!(kv.log(&key).unwrap().is_empty());
        assert!(kv.store().list("kvlog/").unwrap().is_empty(), "the elements went with the log");
    });
}

/// Handles that share no lock stand for processes that share a backend.
#[test]
fn appends_and_updates_of_many_writers_are_all_kept() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    std::thread::scope(|scope| {
        for n in 0..4 {
            let kv = KeyValue::new(Store::on(backend.clone()));
            scope.spawn(move || {
                for i in 0..50 {
                    kv.append(&form(":log"), FormKind::Int(n * 1000 + i).into()).unwrap();
                    kv.update(&form(":n"), |old| {
                        Ok(FormKind::Int(old.and_then(|f| f.as_int()).unwrap_or(0) + 1).into())
                    })
                    .unwrap();
                }
            });
        }
    });
    let kv = KeyValue::new(Store::on(backend));
    assert_eq!(kv.get(&form(":n")).unwrap(), Some(form("200")));
    let log: Vec<i64> = kv.log(&form(":log")).unwrap().iter().map(|f| f.as_int().unwrap()).collect();
    for n in 0..4 {
        let own: Vec<i64> = log.iter().copied().filter(|v| v / 1000 == n).collect();
        assert_eq!(own, (0..50).map(|i| n * 1000 + i).collect::<Vec<_>>(), "each writer's own come in order");
    }
    assert_eq!(log.len(), 200);
    assert_eq!(kv.store().list("kvlog/").unwrap().len(), 200, "no element is left beside the log");
}

#[test]
fn an_append_that_failed_midway_does_no_harm() {
    let backend = Arc::new(FaultBackend::new(Arc::new(MemoryBackend::new())));
    let kv = KeyValue::new(Store::on(backend.clone()));
    let mut sure = Vec::new();
    for i in 0..60 {
        let failure = if i % 2 == 0 { Failure::Io } else { Failure::Sync };
        backend.set_fault((i % 3 != 0).then_some(Fault { at: i % 5, failure, sticky: false }));
        if kv.append(&form(":log"), FormKind::Int(i as i64).into()).is_ok() {
            sure.push(i as i64);
        }
    }
    backend.set_fault(None);
    let log: Vec<i64> = kv.log(&form(":log")).unwrap().iter().map(|f| f.as_int().unwrap()).collect();
    assert!(log.is_sorted() && sure.iter().all(|i| log.contains(i)), "{sure:?} {log:?}");
    assert!(sure.len() > 20 && sure.len() < 60);
}

#[test]
fn many_at_once() {
    everywhere(|kv| {
        let pairs = [(":a", "1"), (":b", "2"), (":head", "[:a :b]")].map(|(k, v)| (form(k), form(v)));
        kv.multi_assoc(pairs.to_vec()).unwrap();
        let found = kv.multi_get(&forms("[:head :none :a]")).unwrap();
        assert_eq!(found, [(form(":head"), form("[:a :b]")), (form(":a"), form("1"))]);
        assert!(kv.multi_get(&[]).unwrap().is_empty());
        let gone = kv.multi_dissoc(&forms("[:a :none]")).unwrap();
        assert_eq!(gone, [(form(":a"), true), (form(":none"), false)]);
        assert_eq!(kv.keys().unwrap().len(), 2);
    });
}

#[test]
fn what_cannot_be_read_back_is_refused() {
    let kv = memory();
    let odd = || Form::from(FormKind::Keyword(Keyword::new("a b")));
    let deep = (0..600).fold(form("1"), |inner, _| FormKind::Vector(vec![inner]).into());
    for bad in [odd(), FormKind::Vector(vec![odd()]).into(), deep] {
        assert_eq!(kv.assoc(&form("1"), bad.clone()).unwrap_err().code(), "store/bad-form");
        assert_eq!(kv.assoc(&bad, form("1")).unwrap_err().code(), "store/bad-form");
    }
    assert!(kv.keys().unwrap().is_empty());
}

#[test]
fn every_flip_of_a_byte_is_seen_and_a_moved_blob_too() {
    let kv = memory();
    let key = form(":k");
    kv.assoc(&key, form("[1 2 3]")).unwrap();
    let name = Key::of(&key).unwrap().name;
    let whole = kv.store().get(&name, None).unwrap().unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        kv.store().put(&name, bytes).unwrap();
        assert_eq!(kv.get(&key).unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
    }
    let other = form(":other");
    kv.store().put(&Key::of(&other).unwrap().name, whole).unwrap();
    assert_eq!(kv.get(&other).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(kv.exists(&other).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// A handle that shares no lock stands for another process.
#[test]
fn a_value_that_was_replaced_while_it_was_read_is_an_error() {
    let kv = memory().with_parts_of(10);
    let key = form(":b");
    kv.bassoc(&key, vec![1; 100]).unwrap();
    let mut reader = kv.bopen(&key).unwrap().unwrap();
    assert_eq!(reader.range(0..10).unwrap(), [1; 10]);
    KeyValue::new(kv.store().clone()).bassoc(&key, vec![2; 5]).unwrap();
    let error = reader.range(50..60).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Existence, "store/changed"));
    drop(reader);
    assert_eq!(kv.bget(&key).unwrap(), Some(vec![2; 5]));
}

/// What is spawned on a runtime of many threads.
#[test]
fn futures_may_move_between_threads() {
    fn check(_: impl Send) {}
    let (kv, key) = (memory(), form(":a"));
    check(kv.get_async(&key));
    check(kv.update_in_with_meta_async(std::slice::from_ref(&key), |_| {}, |_| Ok(Form::nil())));
    check(kv.multi_assoc_async(vec![]));
    check(kv.dissoc_async(&key));
    check(kv.append_async(&key, Form::nil()));
    check(kv.reduce_log_async(&key, 0, |sum, _| Ok(sum)));
    check(kv.bassoc_stream_async(&key, &[], || std::future::ready(Ok(None))));
    check(kv.bget_async(&key));
    check(kv.sweep_async(0, |_| true));
    check(kv.keys_async());
    check(kv.store().clone().encoded_async(&EncodingConfig::new()));
}

#[test]
fn the_async_twins_work_on_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let kv = memory();
    let both = async {
        let (one, two) = (kv.clone(), kv.clone());
        let add = |old: Option<Form>| Ok(FormKind::Int(old.and_then(|f| f.as_int()).unwrap_or(0) + 1).into());
        let task = tokio::task::spawn(async move {
            for _ in 0..20 {
                one.update_async(&form(":n"), add).await.unwrap();
            }
        });
        for _ in 0..20 {
            // A blocking call on the runtime's only thread.
            two.update(&form(":n"), add).unwrap();
            tokio::task::yield_now().await;
        }
        task.await.unwrap();
    };
    runtime.block_on(both);
    assert_eq!(kv.get(&form(":n")).unwrap(), Some(form("40")));
    assert!(kv.shared.locks.lock().is_empty(), "locks that nobody holds are gone");
}

/// A call of the property test.
#[derive(Debug, Clone)]
enum Call {
    Assoc(u8, i64),
    AssocIn(u8, u8, i64),
    Update(u8),
    Dissoc(u8),
    Append(u8, i64),
    MultiAssoc(Vec<(u8, i64)>),
    Bassoc(u8, usize),
    MultiDissoc(Vec<u8>),
    /// Of all but one key.
    Sweep(u8),
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    let key = 0u8..6;
    prop_oneof![
        (key.clone(), any::<i64>()).prop_map(|(k, v)| Call::Assoc(k, v)),
        (key.clone(), 0u8..4, any::<i64>()).prop_map(|(k, s, v)| Call::AssocIn(k, s, v)),
        key.clone().prop_map(Call::Update),
        key.clone().prop_map(Call::Dissoc),
        (key.clone(), any::<i64>()).prop_map(|(k, v)| Call::Append(k, v)),
        proptest::collection::vec((key.clone(), any::<i64>()), 0..4).prop_map(Call::MultiAssoc),
        (key.clone(), 0usize..50).prop_map(|(k, len)| Call::Bassoc(k, len)),
        proptest::collection::vec(key.clone(), 0..4).prop_map(Call::MultiDissoc),
        key.prop_map(Call::Sweep),
        Just(Call::Reopen),
    ]
}

/// What a key holds in the model.
#[derive(Debug, Clone, PartialEq)]
enum Model {
    Int(i64),
    Map(BTreeMap<u8, i64>),
    Log(Vec<i64>),
    Bytes(Vec<u8>),
}

proptest! {
    #[test]
    fn it_is_a_map(calls in proptest::collection::vec(call(), 1..60), way: proptest::sample::Index, cached: bool) {
        let int = |v: i64| Form::from(FormKind::Int(v));
        let key = |k: u8| Form::from(FormKind::Vector(vec![form(":key"), int(k.into())]));
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        let (encoding, serializer) = way.get(&ways()).clone();
        let open = || {
            let store = Store::on(backend.clone()).encoded(&encoding).unwrap();
            let kv = KeyValue::new(store).with_serializer(serializer).with_parts_of(7);
            if cached { kv.cached(10_000) } else { kv }
        };
        let mut kv = open();
        let mut model: BTreeMap<u8, Model> = BTreeMap::new();
        for call in calls {
            match call {
                Call::Assoc(k, v) => {
                    kv.assoc(&key(k), int(v)).unwrap();
                    model.insert(k, Model::Int(v));
                }
                Call::AssocIn(k, step, v) => {
                    let done = kv.assoc_in(&[key(k), int(step.into())], int(v));
                    match model.entry(k).or_insert_with(|| Model::Map(BTreeMap::new())) {
                        Model::Map(map) => {
                            done.unwrap();
                            map.insert(step, v);
                        }
                        Model::Int(_) => assert_eq!(done.unwrap_err().code(), "store/path"),
                        Model::Log(_) | Model::Bytes(_) => assert_eq!(done.unwrap_err().code(), "store/type"),
                    }
                }
                Call::Update(k) => {
                    let old = kv.get(&key(k)).ok().flatten();
                    let answer = kv.update(&key(k), |_| Ok(int(7)));
                    if let Some(Model::Log(_) | Model::Bytes(_)) = model.get(&k) {
                        assert_eq!(answer.unwrap_err().code(), "store/type");
                    } else {
                        prop_assert_eq!(answer.unwrap(), (old, int(7)));
                        model.insert(k, Model::Int(7));
                    }
                }
                Call::Dissoc(k) => {
                    prop_assert_eq!(kv.dissoc(&key(k)).unwrap(), model.remove(&k).is_some());
                }
                Call::Append(k, v) => {
                    let done = kv.append(&key(k), int(v));
                    match model.entry(k).or_insert_with(|| Model::Log(Vec::new())) {
                        Model::Log(log) => {
                            done.unwrap();
                            log.push(v);
                        }
                        _ => assert_eq!(done.unwrap_err().code(), "store/not-a-log"),
                    }
                }
                Call::MultiAssoc(pairs) => {
                    kv.multi_assoc(pairs.iter().map(|(k, v)| (key(*k), int(*v))).collect()).unwrap();
                    model.extend(pairs.into_iter().map(|(k, v)| (k, Model::Int(v))));
                }
                Call::Bassoc(k, len) => {
                    let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
                    prop_assert_eq!(kv.bassoc_from(&key(k), &bytes[..]).unwrap(), len as u64);
                    model.insert(k, Model::Bytes(bytes));
                }
                Call::MultiDissoc(keys) => {
                    let keys: std::collections::BTreeSet<u8> = keys.into_iter().collect();
                    let gone = kv.multi_dissoc(&keys.iter().map(|k| key(*k)).collect::<Vec<_>>()).unwrap();
                    let wanted: Vec<_> = keys.iter().map(|k| (key(*k), model.remove(k).is_some())).collect();
                    prop_assert_eq!(gone, wanted);
                }
                Call::Sweep(kept) => {
                    let gone = kv.sweep(kv.now() + 1, |other| *other == key(kept)).unwrap().len();
                    let before = model.len();
                    model.retain(|k, _| *k == kept);
                    prop_assert_eq!(gone, before - model.len());
                    // Nothing is left of what is gone or was overwritten.
                    let (logs, parts) = match model.get(&kept) {
                        Some(Model::Log(log)) => (log.len(), 0),
                        Some(Model::Bytes(bytes)) if bytes.len() > 7 => (0, bytes.len().div_ceil(7)),
                        _ => (0, 0),
                    };
                    prop_assert_eq!(kv.store().list("kvlog/").unwrap().len(), logs);
                    prop_assert_eq!(kv.store().list("kvpart/").unwrap().len(), parts);
                }
                Call::Reopen => kv = open(),
            }
            for k in 0..6 {
                prop_assert_eq!(kv.exists(&key(k)).unwrap(), model.contains_key(&k));
                match model.get(&k) {
                    None => prop_assert_eq!(kv.get(&key(k)).unwrap(), None),
                    Some(Model::Int(v)) => prop_assert_eq!(kv.get(&key(k)).unwrap(), Some(int(*v))),
                    Some(Model::Map(map)) => {
                        let pairs = map.iter().map(|(s, v)| (int((*s).into()), int(*v))).collect();
                        prop_assert_eq!(kv.get(&key(k)).unwrap(), Some(Form::map(pairs)));
                    }
                    Some(Model::Bytes(bytes)) => prop_assert_eq!(kv.bget(&key(k)).unwrap(), Some(bytes.clone())),
                    Some(Model::Log(log)) => {
                        let log: Vec<Form> = log.iter().map(|v| int(*v)).collect();
                        prop_assert_eq!(kv.log(&key(k)).unwrap(), log);
                    }
                }
            }
            prop_assert_eq!(kv.keys().unwrap().len(), model.len());
        }
    }
}
