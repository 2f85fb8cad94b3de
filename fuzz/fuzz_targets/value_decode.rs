//! Any bytes as a value of the key-value API, text or binary: reading them is an error or a form, and the form can be written
//! and read again.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use treering::edn::{Form, read};
use treering::store::frame::{Sealed, kind};
use treering::store::{Encoding, KeyValue, MemoryBackend, Serializer, Store};

static KEY: LazyLock<Form> = LazyLock::new(|| read(":key").expect("a form"));

fuzz_target!(|bytes: &[u8]| {
    let [serializer, body @ ..] = bytes else { return };
    let kv = KeyValue::new(Store::new(MemoryBackend::new())).with_serializer(Serializer::Binary);
    if serializer & 8 == 0 {
        kv.assoc(&KEY, Form::nil()).expect("stored");
    } else {
        kv.bassoc(&KEY, Vec::new()).expect("stored");
    }
    let name = kv.store().list("kv/").expect("listed").remove(0);
    let mut blob = kv.store().get(&name, None).expect("read").expect("it is there");
    let start = Sealed::total_len(&blob, &name, 0).expect("metadata");
    blob.truncate(start as usize);
    Encoding::PLAIN.seal_into(&mut blob, kind::VALUE, serializer & 7, body, &name, start).expect("a small body");
    kv.store().put(&name, blob).expect("stored");
    if let Ok(Some(form)) = kv.get(&KEY) {
        kv.assoc(&KEY, form).expect("it was read");
        kv.get(&KEY).expect("it was written").expect("it is there");
    }
    let _ = kv.bget(&KEY);
    let _ = kv.keys().expect("the metadata is whole");
});
