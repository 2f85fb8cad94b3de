//! What a [`KeyValue`] does on every store, as a suite.

use std::io::Read;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::edn::{Form, read};
use crate::error::{Error, ErrorKind};
use crate::store::{Handlers, KeyValue, Serializer, Stored, WriteEvent, WriteOp, wait};

/// Runs the whole suite. `make` gives keys and values on a new empty store each time it is called.
///
/// ```
/// use treering::store::{KeyValue, MemoryBackend, Store, testing::konserve_conformance};
/// konserve_conformance(|| KeyValue::new(Store::new(MemoryBackend::new())));
/// ```
///
/// # Panics
/// With the check that failed, if something is not as it should be.
pub fn konserve_conformance(make: impl Fn() -> KeyValue) {
    values(&make());
    removal(&make());
    append_logs(&make());
    binary_values(&make());
    large_values(&make().with_parts_of(1000));
    keys_with_metadata(&make());
    many_at_once(&make());
    hooks(&make());
    serializers(&make());
    sweeping(&make().with_parts_of(1000));
    caching(&make().cached(1 << 20));
    writers_at_once(&make());
    wait(async_twins(&make()));
    wait(async_twins(&make().cached(1 << 20)));
}

fn form(text: &str) -> Form {
    read(text).expect("a form")
}

fn forms(text: &str) -> Vec<Form> {
    form(text).items().expect("items").to_vec()
}

/// One more than what was there.
fn count(old: Option<Form>) -> crate::Result<Form> {
    Ok(Form::from(old.and_then(|old| old.as_int()).unwrap_or(0) + 1))
}

fn get(kv: &KeyValue, key: &str) -> Option<Form> {
    kv.get(&form(key)).expect("get")
}

fn values(kv: &KeyValue) {
    assert_eq!(get(kv, ":foo"), None, "nothing is there at first");
    assert!(!kv.exists(&form(":foo")).expect("exists"));
    kv.assoc(&form(":foo"), form(":bar")).expect("assoc");
    assert!(kv.exists(&form(":foo")).expect("exists"));
    assert_eq!(get(kv, ":foo"), Some(form(":bar")));
    kv.assoc(&form(":nil"), Form::nil()).expect("assoc");
    assert_eq!(get(kv, ":nil"), Some(Form::nil()), "nil is a value");
    kv.assoc_in(&forms("[:foo]"), form(":bar2")).expect("assoc_in");
    assert_eq!(get(kv, ":foo"), Some(form(":bar2")), "a path of a key is the key");
    assert_eq!(kv.get_in(&forms("[:none :a]")).expect("get_in"), None);
    kv.assoc_in(&forms("[:baz :a :b]"), form("1")).expect("assoc_in");
    kv.assoc_in(&forms("[:baz :a :c]"), form("2")).expect("assoc_in");
    assert_eq!(get(kv, ":baz"), Some(form("{:a {:b 1 :c 2}}")), "what lies beside is kept");
    assert_eq!(kv.update_in(&forms("[:baz :a :b]"), count).expect("update_in"), (Some(form("1")), form("2")));
    assert_eq!(kv.get_in(&forms("[:baz :a]")).expect("get_in"), Some(form("{:b 2 :c 2}")));
    assert_eq!(kv.update(&form(":n"), count).expect("update"), (None, form("1")));
    let failing = |_| Err(Error::new(ErrorKind::Argument, "test/no", "no"));
    assert_eq!(kv.update(&form(":n"), failing).expect_err("it fails").code(), "test/no");
    assert_eq!(get(kv, ":n"), Some(form("1")), "what failed changed nothing");
    assert_eq!(kv.assoc_in(&forms("[:foo :a]"), form("1")).expect_err("no map").code(), "store/path");
    assert_eq!(kv.get_in(&[]).expect_err("no key").code(), "store/path");
    // Keys of every type, of which equal ones are one.
    for key in ["\"s\"", "1", "sym", "[1 {:a 2}]", "#{1 2}", "#uuid \"00000000-0000-0000-0000-000000000001\"", "nil"] {
        kv.assoc(&form(key), form(&format!("[{key}]"))).expect("assoc");
    }
    assert_eq!(get(kv, "#{2 1}"), Some(form("[#{1 2}]")));
    assert_eq!(get(kv, "\"1\""), None);
}

fn removal(kv: &KeyValue) {
    kv.assoc(&form(":foo"), form("1")).expect("assoc");
    assert!(kv.dissoc(&form(":foo")).expect("dissoc"), "it was there");
    assert!(!kv.dissoc(&form(":foo")).expect("dissoc"), "it is gone");
    assert!(!kv.dissoc(&form(":never")).expect("dissoc"));
    assert_eq!(get(kv, ":foo"), None);
    assert_eq!(kv.get_meta(&form(":foo")).expect("get_meta"), None);
}

fn append_logs(kv: &KeyValue) {
    let key = form(":log");
    assert!(kv.log(&key).expect("log").is_empty());
    kv.append(&key, form("{:bar 42}")).expect("append");
    kv.append(&key, form("{:bar 43}")).expect("append");
    assert_eq!(kv.log(&key).expect("log"), forms("[{:bar 42} {:bar 43}]"));
    let sum = |sum: i64, element: Form| {
        Ok(sum + element.get(crate::edn::Keyword::new("bar")).and_then(Form::as_int).expect("a number"))
    };
    assert_eq!(kv.reduce_log(&key, 0, sum).expect("reduce_log"), 85);
    let meta = kv.get_meta(&key).expect("get_meta").expect("it is there");
    assert_eq!((&meta.key, meta.value_type.as_str()), (&key, "append-log"));
    kv.assoc(&form(":other"), form("1")).expect("assoc");
    assert_eq!(kv.append(&form(":other"), form("1")).expect_err("no log").code(), "store/not-a-log");
    assert!(kv.dissoc(&key).expect("dissoc"));
    assert!(kv.store().list("kvlog/").expect("list").is_empty(), "the elements went with the log");
}

fn binary_values(kv: &KeyValue) {
    let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
    kv.bassoc(&form(":bytes"), bytes.clone()).expect("bassoc");
    kv.bassoc(&form(":text"), "text").expect("bassoc");
    kv.bassoc(&form(":none"), Vec::new()).expect("bassoc");
    assert_eq!(kv.bassoc_from(&form(":stream"), &bytes[..]).expect("bassoc_from"), 3000);
    for (key, wanted) in [(":bytes", &bytes[..]), (":stream", &bytes), (":text", b"text"), (":none", b"")] {
        assert_eq!(kv.bget(&form(key)).expect("bget").as_deref(), Some(wanted));
        let meta = kv.get_meta(&form(key)).expect("get_meta").expect("it is there");
        assert_eq!((meta.value_type.as_str(), meta.size), ("binary", Some(wanted.len() as u64)));
    }
    assert_eq!(kv.bget(&form(":absent")).expect("bget"), None);
    assert!(kv.bopen(&form(":absent")).expect("bopen").is_none());
    kv.assoc(&form(":edn"), form("1")).expect("assoc");
    assert_eq!(kv.bget(&form(":edn")).expect_err("a form").code(), "store/type");
    assert_eq!(kv.get(&form(":bytes")).expect_err("bytes").code(), "store/type");
    assert_eq!(kv.update(&form(":bytes"), count).expect_err("bytes").code(), "store/type");
}

/// Parts of 1000 bytes stand for those of megabytes.
fn large_values(kv: &KeyValue) {
    let key = form(":large");
    let parts = || kv.store().list("kvpart/").expect("list").len();
    let bytes = |len: usize| -> Vec<u8> { (0..len).map(|i| (i / 7) as u8).collect() };
    for len in [999, 1000, 1001, 2000, 12_345, 3] {
        let wanted = bytes(len);
        assert_eq!(kv.bassoc_from(&key, &wanted[..]).expect("bassoc_from"), len as u64);
        assert_eq!(parts(), if len > 1000 { len.div_ceil(1000) } else { 0 }, "the parts of what was replaced are gone");
        assert_eq!(kv.bget(&key).expect("bget"), Some(wanted.clone()));
        let Some((_, Stored::Binary(stored))) = kv.get_stored(&key).expect("get_stored") else { panic!("no bytes") };
        assert_eq!(stored, wanted);
        let mut reader = kv.bopen(&key).expect("bopen").expect("it is there");
        assert_eq!(reader.size(), len as u64);
        for (from, to) in [(0, 1), (990, 1010), (0, 5000), (len, len + 5), (len + 1, len + 2), (2, 2)] {
            let wanted = &wanted[from.min(len)..to.min(len)];
            assert_eq!(reader.range(from as u64..to as u64).expect("range"), wanted, "{from}..{to} of {len}");
        }
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("read");
        assert_eq!(all, wanted);
    }
    // A source that ends in an error leaves what was there, and nothing else.
    kv.bassoc(&key, bytes(4000)).expect("bassoc");
    struct Failing(u32);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| std::io::Error::other("no more"))?;
            buffer.fill(1);
            Ok(buffer.len())
        }
    }
    assert_eq!(kv.bassoc_from(&key, Failing(3)).expect_err("it fails").code(), "store/source");
    assert_eq!(kv.bget(&key).expect("bget"), Some(bytes(4000)));
    assert_eq!(parts(), 4);
    assert!(kv.dissoc(&key).expect("dissoc"));
    assert_eq!(parts(), 0);
}

fn keys_with_metadata(kv: &KeyValue) {
    let before = kv.now();
    assert!(kv.keys().expect("keys").is_empty());
    kv.assoc_with_meta(
        &form(":edn"),
        form("1"),
        &[(form(":immutable?"), form("true")), (form(":type"), form(":mine"))],
    )
    .expect("assoc_with_meta");
    kv.bassoc(&form(":binary"), "x").expect("bassoc");
    kv.append(&form(":log"), form("1")).expect("append");
    let long = form(&format!("{:?}", "x".repeat(3000)));
    kv.assoc(&long, form("1")).expect("assoc");
    let mut found = kv.keys().expect("keys");
    found.sort_by_key(|meta| meta.key.to_string());
    assert!(found.iter().all(|meta| (before..=kv.now()).contains(&meta.last_write)));
    let types: Vec<_> = found.iter().map(|meta| (meta.key.clone(), meta.value_type.as_str())).collect();
    let wanted = [(long, "edn"), (form(":binary"), "binary"), (form(":edn"), "edn"), (form(":log"), "append-log")];
    assert_eq!(types, wanted);
    let meta = kv.get_meta(&form(":edn")).expect("get_meta").expect("it is there");
    assert_eq!(meta.extra, [(form(":immutable?"), form("true"))], "what is the store's is the store's");
    let grown = |extra: &mut Vec<(Form, Form)>| extra.push((form(":seen"), form("1")));
    kv.update_in_with_meta(&forms("[:edn]"), grown, count).expect("update_in_with_meta");
    let later = kv.get_meta(&form(":edn")).expect("get_meta").expect("it is there");
    assert_eq!(later.extra, [(form(":immutable?"), form("true")), (form(":seen"), form("1"))]);
    assert!(later.last_write >= meta.last_write);
}

fn many_at_once(kv: &KeyValue) {
    let immutable = vec![(form(":immutable?"), form("true"))];
    let values = vec![
        (form(":a"), form("1"), immutable.clone()),
        (form(":b"), form("2"), immutable.clone()),
        (form(":head"), form("[:a :b]"), vec![]),
    ];
    kv.multi_assoc_with_meta(values).expect("multi_assoc_with_meta");
    let extra = |key: &str| kv.get_meta(&form(key)).expect("get_meta").expect("it is there").extra;
    assert_eq!((extra(":a"), extra(":b"), extra(":head")), (immutable.clone(), immutable, vec![]));
    kv.multi_assoc(vec![(form(":c"), form("3")), (form(":c"), form("4"))]).expect("multi_assoc");
    assert_eq!(get(kv, ":c"), Some(form("4")), "in the order given");
    kv.multi_assoc(Vec::new()).expect("multi_assoc");
    let found = kv.multi_get(&forms("[:head :none :a]")).expect("multi_get");
    assert_eq!(found, [(form(":head"), form("[:a :b]")), (form(":a"), form("1"))]);
    assert!(kv.multi_get(&forms("[:x :y]")).expect("multi_get").is_empty());
    assert!(kv.multi_get(&[]).expect("multi_get").is_empty());
    let gone = kv.multi_dissoc(&forms("[:a :none :c]")).expect("multi_dissoc");
    assert_eq!(gone, [(form(":a"), true), (form(":none"), false), (form(":c"), true)]);
    assert!(kv.multi_dissoc(&[]).expect("multi_dissoc").is_empty());
    assert_eq!(kv.keys().expect("keys").len(), 2);
}

fn hooks(kv: &KeyValue) {
    let told: Arc<Mutex<Vec<WriteEvent>>> = Arc::default();
    let list = Arc::clone(&told);
    kv.add_write_hook("test", move |event| list.lock().push(event.clone()));
    let last = |op: WriteOp| {
        let mut told = told.lock();
        let event = told.pop().expect("it was told");
        assert!(told.is_empty() && event.op == op, "{event:?} after {told:?}");
        event
    };
    kv.assoc(&form(":a"), form("1")).expect("assoc");
    let event = last(WriteOp::AssocIn);
    assert_eq!((event.key(), &event.value), (Some(&form(":a")), &Some(form("1"))));
    kv.assoc_in(&forms("[:m :x :y]"), form("1")).expect("assoc_in");
    let event = last(WriteOp::AssocIn);
    assert_eq!((event.path, event.value), (forms("[:m :x :y]"), Some(form("1"))));
    kv.update_in(&forms("[:m :x :y]"), count).expect("update_in");
    let event = last(WriteOp::UpdateIn);
    assert_eq!((event.path, event.old, event.value), (forms("[:m :x :y]"), Some(form("1")), Some(form("2"))));
    kv.bassoc(&form(":b"), "x").expect("bassoc");
    assert_eq!(last(WriteOp::Bassoc).path, [form(":b")]);
    kv.append(&form(":l"), form("5")).expect("append");
    assert_eq!(last(WriteOp::Append).value, Some(form("5")));
    kv.dissoc(&form(":a")).expect("dissoc");
    assert_eq!(last(WriteOp::Dissoc).path, [form(":a")]);
    let pairs = vec![(form(":z"), form("1")), (form(":y"), form("2")), (form(":head"), form("3"))];
    kv.multi_assoc(pairs.clone()).expect("multi_assoc");
    assert_eq!(last(WriteOp::MultiAssoc).pairs, pairs, "in the order given");
    kv.multi_dissoc(&forms("[:z :none]")).expect("multi_dissoc");
    assert_eq!(last(WriteOp::MultiDissoc).pairs, [(form(":z"), form("true"))]);
    // What was not done is not told.
    assert!(kv.update(&form(":b"), count).is_err());
    assert!(!kv.dissoc(&form(":none")).expect("dissoc"));
    assert!(kv.remove_write_hook("test") && !kv.remove_write_hook("test"));
    kv.assoc(&form(":a"), form("1")).expect("assoc");
    assert!(told.lock().is_empty());
}

fn serializers(kv: &KeyValue) {
    let value =
        form("{:a [1 2.5 3N 4.50M \\c \"s\" nil true] #{:b} #inst \"2020-01-01T00:00:00Z\" :t #my/point [1 2]}");
    let text = kv.clone().with_serializer(Serializer::Edn);
    let bytes = kv.clone().with_serializer(Serializer::Binary);
    text.assoc(&form(":text"), value.clone()).expect("assoc");
    bytes.assoc(&form(":bytes"), value.clone()).expect("assoc");
    for kv in [&text, &bytes] {
        assert_eq!(get(kv, ":text"), Some(value.clone()));
        assert_eq!(get(kv, ":bytes"), Some(value.clone()));
        assert_eq!(kv.keys().expect("keys").len(), 2);
    }
    let swap =
        |inner: Form| Ok(Form::from(inner.items().unwrap_or_default().iter().rev().cloned().collect::<Vec<_>>()));
    let tagged = move |inner: Form| Ok(form(&format!("#my/point {}", swap(inner)?)));
    let handled = bytes.clone().with_handlers(Handlers::new().reads("my/point", swap).writes("my/point", tagged));
    handled.assoc(&form(":handled"), value.clone()).expect("assoc");
    assert_eq!(kv.get_in(&forms("[:handled :t]")).expect("get_in"), Some(form("#my/point [2 1]")));
    assert_eq!(handled.get_in(&forms("[:handled :t]")).expect("get_in"), Some(form("[1 2]")));
    handled.append(&form(":log"), form("#my/point [3 4]")).expect("append");
    assert_eq!(kv.log(&form(":log")).expect("log"), [form("#my/point [4 3]")]);
    assert_eq!(handled.log(&form(":log")).expect("log"), [form("[3 4]")]);
}

fn sweeping(kv: &KeyValue) {
    for key in [":keep", ":old", ":older"] {
        kv.assoc(&form(key), form("1")).expect("assoc");
    }
    kv.bassoc(&form(":parts"), vec![1; 5000]).expect("bassoc");
    kv.bassoc(&form(":overwritten"), vec![1; 5000]).expect("bassoc");
    kv.append(&form(":log"), form("1")).expect("append");
    kv.append(&form(":overwritten-log"), form("1")).expect("append");
    kv.assoc(&form(":overwritten"), form("1")).expect("assoc");
    kv.assoc(&form(":overwritten-log"), form("1")).expect("assoc");
    let cutoff = kv.now();
    assert!(kv.sweep(0, |_| false).expect("sweep").is_empty(), "all is younger");
    let keep = forms("[:keep :parts :log :overwritten :overwritten-log]");
    let mut gone = kv.sweep(cutoff + 1, |key| keep.contains(key)).expect("sweep");
    gone.sort_by_key(Form::to_string);
    assert_eq!(gone, forms("[:old :older]"));
    assert_eq!(kv.keys().expect("keys").len(), keep.len());
    // What belonged to an overwritten value went, what belongs to one that is kept stayed.
    assert_eq!(kv.store().list("kvpart/").expect("list").len(), 5);
    assert_eq!(kv.store().list("kvlog/").expect("list").len(), 1);
    assert_eq!(kv.bget(&form(":parts")).expect("bget"), Some(vec![1; 5000]));
    assert_eq!(kv.log(&form(":log")).expect("log"), [form("1")]);
}

fn caching(kv: &KeyValue) {
    kv.assoc(&form(":a"), form("1")).expect("assoc");
    let hits = || kv.cache_stats().expect("there is a cache").hits;
    assert_eq!((get(kv, ":a"), hits()), (Some(form("1")), 0));
    assert_eq!((get(kv, ":a"), hits()), (Some(form("1")), 1));
    kv.assoc(&form(":a"), form("2")).expect("assoc");
    assert_eq!(get(kv, ":a"), Some(form("2")), "a write is seen");
    kv.multi_assoc(vec![(form(":a"), form("3"))]).expect("multi_assoc");
    assert_eq!(get(kv, ":a"), Some(form("3")));
    assert_eq!(kv.update(&form(":a"), count).expect("update"), (Some(form("3")), form("4")));
    assert_eq!(get(kv, ":a"), Some(form("4")));
    kv.bassoc(&form(":a"), "x").expect("bassoc");
    assert_eq!(kv.bget(&form(":a")).expect("bget"), Some(b"x".to_vec()));
    kv.assoc(&form(":a"), form("5")).expect("assoc");
    assert_eq!(get(kv, ":a"), Some(form("5")));
    // Another handle writes: what only reads may be late, what writes is not.
    let other = KeyValue::new(kv.store().clone());
    other.assoc(&form(":a"), form("10")).expect("assoc");
    assert_eq!(kv.update(&form(":a"), count).expect("update"), (Some(form("10")), form("11")));
    assert_eq!(get(kv, ":a"), Some(form("11")));
    assert!(kv.dissoc(&form(":a")).expect("dissoc"));
    assert_eq!(get(kv, ":a"), None);
}

/// Clones share their locks; handles that share none stand for processes.
fn writers_at_once(kv: &KeyValue) {
    std::thread::scope(|scope| {
        for n in 0..4i64 {
            let kv = if n % 2 == 0 { kv.clone() } else { KeyValue::new(kv.store().clone()) };
            scope.spawn(move || {
                for i in 0..10 {
                    kv.update(&form(":n"), count).expect("update");
                    kv.append(&form(":log"), Form::from(n * 100 + i)).expect("append");
                }
            });
        }
    });
    assert_eq!(KeyValue::new(kv.store().clone()).get(&form(":n")).expect("get"), Some(form("40")));
    let log: Vec<i64> = kv.log(&form(":log")).expect("log").iter().filter_map(Form::as_int).collect();
    for n in 0..4 {
        let own: Vec<i64> = log.iter().copied().filter(|v| v / 100 == n).collect();
        assert_eq!(own, (0..10).map(|i| n * 100 + i).collect::<Vec<_>>(), "each writer's own come in order");
    }
}

async fn async_twins(kv: &KeyValue) {
    let key = form(":a");
    kv.assoc_async(&key, form("1")).await.expect("assoc");
    kv.assoc_with_meta_async(&key, form("{:x 1}"), &[(form(":m"), form("1"))]).await.expect("assoc_with_meta");
    kv.assoc_in_async(&forms("[:a :y]"), form("2")).await.expect("assoc_in");
    assert_eq!(kv.update_in_async(&forms("[:a :x]"), count).await.expect("update_in").1, form("2"));
    assert_eq!(kv.get_async(&key).await.expect("get"), Some(form("{:x 2 :y 2}")));
    assert_eq!(kv.get_in_async(&forms("[:a :y]")).await.expect("get_in"), Some(form("2")));
    assert!(kv.exists_async(&key).await.expect("exists"));
    assert_eq!(kv.get_meta_async(&key).await.expect("get_meta").expect("it is there").extra.len(), 1);
    assert!(kv.get_stored_async(&key).await.expect("get_stored").is_some());
    kv.update_async(&form(":n"), count).await.expect("update");
    let mut pieces = vec![b"world".to_vec(), b"hello ".to_vec()];
    let next = || std::future::ready(Ok(pieces.pop()));
    assert_eq!(kv.bassoc_stream_async(&form(":b"), &[], next).await.expect("bassoc_stream"), 11);
    assert_eq!(kv.bget_async(&form(":b")).await.expect("bget"), Some(b"hello world".to_vec()));
    kv.bassoc_async(&form(":b"), vec![7; 10]).await.expect("bassoc");
    let mut reader = kv.bopen_async(&form(":b")).await.expect("bopen").expect("it is there");
    assert_eq!(reader.range_async(8..20).await.expect("range"), [7, 7]);
    assert_eq!(reader.next_async().await.expect("next"), Some(vec![7; 10]));
    assert_eq!(reader.next_async().await.expect("next"), None);
    drop(reader);
    kv.append_async(&form(":l"), form("1")).await.expect("append");
    assert_eq!(kv.log_async(&form(":l")).await.expect("log"), [form("1")]);
    kv.multi_assoc_async(vec![(form(":c"), form("1"))]).await.expect("multi_assoc");
    assert_eq!(kv.multi_get_async(&forms("[:c :d]")).await.expect("multi_get").len(), 1);
    assert_eq!(kv.keys_async().await.expect("keys").len(), 5);
    assert_eq!(kv.multi_dissoc_async(&forms("[:c]")).await.expect("multi_dissoc"), [(form(":c"), true)]);
    assert!(kv.dissoc_async(&key).await.expect("dissoc"));
    assert_eq!(kv.sweep_async(kv.now() + 1, |_| false).await.expect("sweep").len(), 3);
}
