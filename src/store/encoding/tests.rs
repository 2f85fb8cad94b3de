use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{Compressor, Encoding, EncodingConfig, Key};
use crate::error::ErrorKind;
use crate::store::frame::reseal;
use crate::store::{MemoryBackend, Store};

/// Every compressor that this build has.
fn compressors() -> Vec<Compressor> {
    let all = [Compressor::None, Compressor::Lz4, Compressor::Zstd(1), Compressor::Zstd(19)];
    all.into_iter().filter(|compressor| compressor.check().is_ok()).collect()
}

/// Every encoding that this build has, on one backend, so with one key.
fn encodings() -> Vec<Encoding> {
    let backend = MemoryBackend::new();
    let mut all = Vec::new();
    for compressor in compressors() {
        let config = EncodingConfig::new().compressor(compressor);
        let encrypted = config.clone().encrypted_with(Key::raw([7; 32]));
        for config in [Some(config), cfg!(feature = "encryption").then_some(encrypted)].into_iter().flatten() {
            all.push(Store::new(backend.clone()).encoded(&config).unwrap().encoding().clone());
        }
    }
    all
}

/// Bodies that compress well and such that do not.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let runs = proptest::collection::vec((any::<u8>(), 1usize..200), 0..40)
        .prop_map(|runs| runs.into_iter().flat_map(|(byte, len)| std::iter::repeat_n(byte, len)).collect());
    prop_oneof![runs, proptest::collection::vec(any::<u8>(), 0..600)]
}

proptest! {
    #[test]
    fn what_was_sealed_is_opened_at_its_place_only(kind: u8, serializer: u8, body in body(), offset: u64) {
        for encoding in encodings() {
            let mut bytes = vec![1, 2, 3];
            encoding.seal_into(&mut bytes, kind, serializer, &body, "k/1", offset).unwrap();
            let whole = [&bytes[3..], b"rest"].concat();
            let (frame, rest) = encoding.open_first(&whole, "k/1", offset).unwrap();
            prop_assert_eq!((frame.kind, frame.serializer, &*frame.body, rest), (kind, serializer, &body[..], &b"rest"[..]));
            prop_assert!(encoding.open_first(&whole, "k/1", offset.wrapping_add(1)).is_err());
            prop_assert!(encoding.open_first(&whole, "k/2", offset).is_err());
        }
    }

    /// A right checksum over wrong bytes: an error or other bytes, never a panic and never too many of them.
    #[test]
    fn wrong_bytes_under_a_right_checksum(body in body(), changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4)) {
        for encoding in encodings() {
            let mut bytes = encoding.seal(1, 0, &body, "k", 0).unwrap();
            let whole = bytes.clone();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            reseal(&mut bytes, "k", 0);
            if let Ok(frame) = encoding.open(&bytes, "k", 0) {
                prop_assert!(bytes == whole || !encoding.encrypts());
                prop_assert_eq!(frame.body.len(), u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize);
            }
        }
    }
}

#[test]
fn only_what_gets_smaller_is_compressed() {
    // Hashes have no pattern.
    let noise: Vec<u8> = (0..4096u32).map(|i| xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes()) as u8).collect();
    for encoding in encodings() {
        let overhead = if encoding.encrypts() { 24 + 40 } else { 24 };
        for (body, shrinks) in [(vec![7; 63], false), (vec![7; 4096], true), (noise.clone(), false), (vec![], false)] {
            let bytes = encoding.seal(1, 0, &body, "k", 0).unwrap();
            let shrinks = shrinks && encoding.compressor() != Compressor::None;
            assert_eq!(bytes[5] != 0, shrinks, "{encoding:?}");
            assert_eq!(bytes.len() < body.len() + overhead, shrinks, "{encoding:?}");
            assert_eq!(bytes.len() == body.len() + overhead, !shrinks, "{encoding:?}");
        }
    }
}

/// A header that claims more than the body can hold costs no memory.
#[test]
fn a_body_that_claims_to_be_huge_is_refused() {
    for encoding in encodings().iter().filter(|encoding| !encoding.encrypts()) {
        let mut bytes = encoding.seal(1, 0, &[7; 4096], "k", 0).unwrap();
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        reseal(&mut bytes, "k", 0);
        assert_eq!(encoding.open(&bytes, "k", 0).unwrap_err().code(), "store/corrupt", "{encoding:?}");
    }
}

#[test]
fn stores_of_any_compressor_read_each_other() {
    for from in encodings().iter().filter(|encoding| !encoding.encrypts()) {
        for to in encodings().iter().filter(|encoding| !encoding.encrypts()) {
            let bytes = from.seal(1, 0, &[9; 1000], "k", 0).unwrap();
            assert_eq!(*to.open(&bytes, "k", 0).unwrap().body, [9; 1000]);
        }
    }
}

#[test]
fn keys_are_hex_or_base64() {
    let bytes: [u8; 32] = std::array::from_fn(|i| (i * 7) as u8);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let base64 = "AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0tk=";
    for text in [&hex, &hex.to_uppercase(), base64, base64.trim_end_matches('='), &base64.replace('+', "-")] {
        assert_eq!(Key::from_text(text).unwrap(), Key::raw(bytes), "{text}");
    }
    for text in ["", "hunter2", &hex[1..], &hex.replace('0', "g"), &base64[1..], &base64.replace("tk=", "tl="), "ä"] {
        let error = Key::from_text(text).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Config, "config/value"));
        assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
    }
}

#[cfg(not(feature = "encryption"))]
#[test]
fn without_the_feature_a_key_is_refused() {
    let config = EncodingConfig::new().encrypted_with(Key::raw([1; 32]));
    let error = Store::new(MemoryBackend::new()).encoded(&config).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Config, "config/unsupported"));
}

#[cfg(feature = "encryption")]
mod encrypted {
    use super::{ErrorKind, Key, MemoryBackend, Store, encodings, reseal};
    use crate::edn;
    use crate::store::{EncodingConfig, KeyValue};

    fn with(key: Key) -> EncodingConfig {
        EncodingConfig::new().encrypted_with(key)
    }

    fn code(store: &MemoryBackend, config: &EncodingConfig) -> &'static str {
        let opened = Store::new(store.clone()).encoded(config);
        opened.map_or_else(
            |error| {
                assert_eq!(error.kind(), ErrorKind::Config, "{error}");
                error.code()
            },
            |_| "ok",
        )
    }

    #[test]
    fn every_flip_of_a_bit_is_seen_under_any_checksum() {
        for encoding in encodings().iter().filter(|encoding| encoding.encrypts()) {
            let whole = encoding.seal(3, 1, &[5; 100], "pack/0", 4096).unwrap();
            for bit in 0..whole.len() * 8 {
                let mut bytes = whole.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(encoding.open(&bytes, "pack/0", 4096).is_err(), "bit {bit}");
                reseal(&mut bytes, "pack/0", 4096);
                // The checksum itself is put right.
                let open = encoding.open(&bytes, "pack/0", 4096);
                assert_eq!(open.is_ok(), (16 * 8..24 * 8).contains(&bit), "bit {bit}");
            }
            // Moved elsewhere with a checksum for there.
            let mut moved = whole.clone();
            reseal(&mut moved, "pack/1", 4096);
            assert_eq!(encoding.open(&moved, "pack/1", 4096).unwrap_err().code(), "store/not-authentic");
            let mut moved = whole.clone();
            reseal(&mut moved, "pack/0", 0);
            let error = encoding.open(&moved, "pack/0", 0).unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "store/not-authentic"));
        }
    }

    #[test]
    fn no_two_seals_are_alike_and_none_shows_its_body() {
        for encoding in encodings().iter().filter(|encoding| encoding.encrypts()) {
            let seal = || encoding.seal(1, 0, b"the body that nobody may see", "k", 0).unwrap();
            let (one, two) = (seal(), seal());
            assert_ne!(one[24..48], two[24..48], "a nonce comes once");
            assert_ne!(one[48..], two[48..]);
            assert!(!one.windows(8).any(|part| part == b"the body"));
        }
    }

    #[test]
    fn a_wrong_key_and_a_missing_one_say_so() {
        let store = MemoryBackend::new();
        let key = |text: &str| edn::read(text).unwrap();
        let kv = |config: &EncodingConfig| KeyValue::new(Store::new(store.clone()).encoded(config).unwrap());
        kv(&with(Key::raw([1; 32]))).assoc(&key(":a"), key("[1 2]")).unwrap();
        assert_eq!(kv(&with(Key::raw([1; 32]))).get(&key(":a")).unwrap(), Some(key("[1 2]")));
        assert_eq!(code(&store, &with(Key::raw([2; 32]))), "store/wrong-key");
        assert_eq!(code(&store, &with(Key::passphrase("words"))), "store/wrong-key");
        assert_eq!(code(&store, &EncodingConfig::new().encrypted()), "store/key-missing");
        let without = KeyValue::new(Store::new(store.clone()));
        let error = without.get(&key(":a")).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Config, "store/key-missing"));
        assert!(without.keys().is_err());
        // What somebody without the key has put there is refused.
        without.assoc(&key(":b"), key("3")).unwrap();
        let error = kv(&with(Key::raw([1; 32]))).get(&key(":b")).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Config, "store/not-encrypted"));
    }

    #[test]
    fn a_passphrase_opens_what_it_has_closed() {
        let store = MemoryBackend::new();
        assert_eq!(code(&store, &with(Key::passphrase("correct horse"))), "ok");
        assert_eq!(code(&store, &with(Key::passphrase("correct horse"))), "ok");
        assert_eq!(code(&store, &with(Key::passphrase("battery staple"))), "store/wrong-key");
        assert_eq!(code(&store, &with(Key::raw([0; 32]))), "store/wrong-key");
        assert_eq!(code(&store, &with(Key::passphrase(""))), "config/value");
    }

    #[test]
    fn each_store_has_a_key_of_its_own() {
        let store = || Store::new(MemoryBackend::new()).encoded(&with(Key::raw([3; 32]))).unwrap();
        let bytes = store().encoding().seal(1, 0, b"x", "k", 0).unwrap();
        assert_eq!(store().encoding().open(&bytes, "k", 0).unwrap_err().code(), "store/not-authentic");
    }

    #[test]
    fn a_store_that_was_begun_in_the_open_is_read_on_if_that_is_said() {
        let store = MemoryBackend::new();
        let key = |text: &str| edn::read(text).unwrap();
        let open = KeyValue::new(Store::new(store.clone()));
        open.assoc(&key(":old"), key("1")).unwrap();
        let config = with(Key::raw([4; 32]));
        assert_eq!(code(&store, &config), "store/not-encrypted");
        let kv = KeyValue::new(Store::new(store.clone()).encoded(&config.clone().mixed(true)).unwrap());
        assert_eq!(kv.get(&key(":old")).unwrap(), Some(key("1")));
        kv.assoc(&key(":new"), key("2")).unwrap();
        assert_eq!(open.get(&key(":new")).unwrap_err().code(), "store/key-missing");
        assert_eq!(kv.get(&key(":new")).unwrap(), Some(key("2")));
        let strict = KeyValue::new(Store::new(store).encoded(&config).unwrap());
        assert_eq!(strict.get(&key(":old")).unwrap_err().code(), "store/not-encrypted");
    }

    /// Two who encrypt a store at the same time end up with one key.
    #[test]
    fn the_first_key_holds() {
        let store = MemoryBackend::new();
        let opened: Vec<Store> = std::thread::scope(|scope| {
            let open = || Store::new(store.clone()).encoded(&with(Key::raw([5; 32])).mixed(true)).unwrap();
            let tasks: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            tasks.into_iter().map(|task| task.join().unwrap()).collect()
        });
        let bytes = opened[0].encoding().seal(1, 0, b"x", "k", 0).unwrap();
        assert!(opened.iter().all(|store| store.encoding().open(&bytes, "k", 0).is_ok()));
    }

    #[test]
    fn a_damaged_record_of_the_key_is_an_error() {
        let store = MemoryBackend::new();
        let config = with(Key::raw([6; 32]));
        assert_eq!(code(&store, &config), "ok");
        let raw = Store::new(store.clone());
        let whole = raw.get("encryption", None).unwrap().unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            raw.put("encryption", bytes.clone()).unwrap();
            let error = Store::new(store.clone()).encoded(&config).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}");
            // What is wrong under a right checksum is noticed too, wherever it matters.
            reseal(&mut bytes, "encryption", 0);
            let _ = Store::new(store.clone()).encoded(&config);
        }
        for (from, to) in [("xchacha20", "rot13"), (":raw", ":none"), (":type", ":kind"), ("wrapped-key", "key")] {
            let text = String::from_utf8(whole[24..].to_vec()).unwrap().replace(from, to);
            let bytes = crate::store::Encoding::PLAIN.seal(19, 0, text.as_bytes(), "encryption", 0).unwrap();
            raw.put("encryption", bytes).unwrap();
            assert_eq!(Store::new(store.clone()).encoded(&config).unwrap_err().kind(), ErrorKind::Corrupt, "{to}");
        }
        // A record that asks for all the memory there is.
        let text = "{:cipher :xchacha20-poly1305 :derivation {:type :argon2id :memory-kib 4294967295 :passes 1 :lanes 1 \
                    :salt \"00112233445566778899aabbccddeeff\"} :wrapped-key \"00\"}";
        let bytes = crate::store::Encoding::PLAIN.seal(19, 0, text.as_bytes(), "encryption", 0).unwrap();
        raw.put("encryption", bytes).unwrap();
        let error = Store::new(store).encoded(&with(Key::passphrase("x"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }

    #[test]
    fn nothing_shows_a_key() {
        let secret = "3f7a91c4d2e8b605174f9a3c5d7e1b2884f6a0c9e3b5d7f1a2c4e6f8091b3d5e";
        for key in [Key::from_text(secret).unwrap(), Key::passphrase(secret)] {
            let config = with(key.clone());
            let backend = MemoryBackend::new();
            let store = Store::new(backend.clone()).encoded(&config).unwrap();
            let wrong = Store::new(backend.clone()).encoded(&with(Key::raw([9; 32]))).unwrap_err();
            let shown = format!("{key:?} {config:?} {store:?} {:?} {wrong:?} {wrong}", store.encoding());
            let bytes: Vec<u8> = Store::new(backend).get("encryption", None).unwrap().unwrap();
            for text in [shown, String::from_utf8_lossy(&bytes).into_owned()] {
                assert!(!text.contains(&secret[..12]), "{text}");
            }
        }
    }
}
