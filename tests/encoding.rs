//! Databases that are compressed and encrypted hold what others hold, and keep what they are to keep.

#[path = "support/blobs.rs"]
mod blobs;
mod support;

use std::path::Path;
use std::time::Duration;

use blobs::Blobs;
use support::{Model, SCHEMA, content, files, one_more, transaction};
use treering::store::{Compressor, EncodingConfig, Key};
use treering::{Config, Connection, GcOptions, Registry, StoreConfig, connect_in, create_database_in};

fn on(path: &Path, encoding: EncodingConfig) -> Config {
    let store = StoreConfig::new("file").with_option("path", path.to_string_lossy().as_ref());
    support::with_small_nodes(Config::new().store(store.with_encoding(encoding)))
}

fn lz4() -> EncodingConfig {
    EncodingConfig::new().compressor(Compressor::Lz4)
}

/// Every encoding that this build has, each with a name.
fn encodings() -> Vec<(&'static str, EncodingConfig)> {
    let mut all = vec![("plain", EncodingConfig::new()), ("lz4", lz4())];
    if cfg!(feature = "zstd") {
        all.push(("zstd", EncodingConfig::new().compressor(Compressor::Zstd(3))));
    }
    if cfg!(feature = "encryption") {
        all.push(("encrypted", EncodingConfig::new().encrypted_with(Key::raw([7; 32]))));
        all.push(("lz4, encrypted", lz4().encrypted_with(Key::passphrase("correct horse battery staple"))));
    }
    all
}

fn registry() -> Registry {
    Registry::with_builtins()
}

/// Transactions `from..to`, the schema before the first, with a flush among them.
fn write(conn: &Connection, model: &mut Model, from: usize, to: usize) {
    if from == 0 {
        one_more(conn, model, SCHEMA).unwrap();
    }
    for i in from..to {
        one_more(conn, model, &transaction(i, "p")).unwrap();
        if i % 20 == 13 {
            conn.flush().unwrap();
        }
    }
}

fn size(path: &Path) -> u64 {
    files(path)
        .iter()
        .filter(|file| !file.to_string_lossy().contains("/log/"))
        .map(|file| file.metadata().unwrap().len())
        .sum()
}

#[test]
fn databases_of_every_encoding_hold_what_they_were_told() {
    let home = tempfile::tempdir().unwrap();
    let mut sizes = Vec::new();
    for (name, encoding) in encodings() {
        let path = home.path().join(name);
        let config = on(&path, encoding);
        let mut model = Model::default();
        create_database_in(&registry(), &config).unwrap();
        let conn = connect_in(&registry(), &config).unwrap();
        write(&conn, &mut model, 0, 60);
        conn.release().unwrap();
        // A second writer, which stops without closing the log; a third replays it.
        let conn = connect_in(&registry(), &config).unwrap();
        write(&conn, &mut model, 60, 70);
        drop(conn);
        let reader = connect_in(&registry(), &config.clone().read_only(true)).unwrap();
        assert_eq!(content(&reader.db()).unwrap(), model.last(), "{name}");
        reader.release().unwrap();
        let conn = connect_in(&registry(), &config).unwrap();
        assert_eq!(content(&conn.db()).unwrap(), model.last(), "{name}");
        conn.release().unwrap();
        sizes.push((name, size(&path)));
    }
    let of = |name: &str| sizes.iter().find(|(n, _)| *n == name).map_or(0, |(_, size)| *size);
    assert!(of("lz4") < of("plain"), "{sizes:?}");
    if cfg!(feature = "zstd") {
        assert!(of("zstd") < of("lz4"), "{sizes:?}");
    }
}

/// Each opening writes in another way, into the same segment of the log, too.
#[test]
fn one_database_may_have_many_encodings() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let mut model = Model::default();
    create_database_in(&registry(), &on(&path, EncodingConfig::new())).unwrap();
    for (n, (name, encoding)) in encodings().into_iter().enumerate() {
        // One key only: that of the first encryption holds.
        let encoding = match encoding.key() {
            Some(_) => lz4().encrypted_with(Key::raw([7; 32])).mixed(true),
            None => encoding,
        };
        let conn = connect_in(&registry(), &on(&path, encoding)).unwrap();
        assert_eq!(conn.db().basis_t().0, model.last().basis, "before {name}");
        write(&conn, &mut model, n * 17, (n + 1) * 17);
        assert_eq!(content(&conn.db()).unwrap(), model.last(), "{name}");
        if n % 2 == 0 { conn.release().unwrap() } else { drop(conn) }
    }
    let mut last = lz4();
    if cfg!(feature = "encryption") {
        last = last.encrypted_with(Key::raw([7; 32])).mixed(true);
    }
    let conn = connect_in(&registry(), &on(&path, last).read_only(true)).unwrap();
    assert_eq!(content(&conn.db()).unwrap(), model.last());
}

/// Where entries of the log are blobs of their own and heads are swapped.
#[test]
fn blobs_are_encoded_as_files_are() {
    for (name, encoding) in encodings() {
        let blobs = Blobs::default();
        let registry = || Registry::with_builtins().with_backend(blobs.clone());
        let config = support::with_small_nodes(Config::new().store(StoreConfig::new("blobs").with_encoding(encoding)));
        let mut model = Model::default();
        create_database_in(&registry(), &config).unwrap();
        let conn = connect_in(&registry(), &config).unwrap();
        write(&conn, &mut model, 0, 30);
        drop(conn);
        let conn = connect_in(&registry(), &config).unwrap();
        assert_eq!(content(&conn.db()).unwrap(), model.last(), "{name}");
        write(&conn, &mut model, 30, 35);
        conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        conn.release().unwrap();
        let conn = connect_in(&registry(), &config).unwrap();
        assert_eq!(content(&conn.db()).unwrap(), model.last(), "{name}");
        conn.release().unwrap();
        // The frame's header says what was done.
        let encrypts = config.store_config().encoding().encrypts();
        let all = blobs.all();
        let left_open = all.iter().filter(|(key, bytes)| key != "encryption" && bytes.get(6) == Some(&0));
        assert_eq!(left_open.count(), if encrypts { 0 } else { all.len() }, "{name}");
    }
}

#[cfg(feature = "encryption")]
mod encrypted {
    use std::fmt::Write;
    use std::sync::{Arc, Mutex};

    use treering::{
        BackupOptions, ErrorKind, RepairOptions, VerifyOptions, backup_in, database_exists_in, repair_in, restore_in,
        verify_in,
    };

    use super::*;

    /// All that was told, as text.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<String>>);

    impl tracing::field::Visit for Told {
        fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
            write!(self.0.lock().unwrap(), "{field}={value:?} ").unwrap();
        }
    }

    impl tracing::Subscriber for Told {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            span.record(&mut self.clone());
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
            values.record(&mut self.clone());
        }
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    const HEX: &str = "3f7a91c4d2e8b605174f9a3c5d7e1b2884f6a0c9e3b5d7f1a2c4e6f8091b3d5e";

    fn shows(bytes: &[u8], text: &str) -> bool {
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// Neither a key nor what it protects is in a file, a log, an error or a `Debug`.
    #[test]
    fn nothing_is_shown() {
        let home = tempfile::tempdir().unwrap();
        let told = Told::default();
        let raw: [u8; 32] = std::array::from_fn(|i| u8::from_str_radix(&HEX[2 * i..2 * i + 2], 16).unwrap());
        for (name, key) in [("raw", Key::raw(raw)), ("words", Key::passphrase(HEX))] {
            let path = home.path().join(name);
            let config = on(&path, lz4().encrypted_with(key));
            let mut shown = format!("{config:?} {:?} {:#?}", config.store_config(), config.store_config().encoding());
            tracing::subscriber::with_default(told.clone(), || {
                create_database_in(&registry(), &config).unwrap();
                let conn = connect_in(&registry(), &config).unwrap();
                conn.transact(SCHEMA).unwrap();
                for i in 0..40 {
                    conn.transact(
                        format!("[{{:name \"hidden-name-{i}\" :note \"hidden-note hidden-note hidden-note\"}}]")
                            .as_str(),
                    )
                    .unwrap();
                }
                conn.flush().unwrap();
                conn.transact("[{:name \"hidden-name-in-the-log\"}]").unwrap();
                shown += &format!("{conn:?} {:?}", conn.db());
                drop(conn);
                for wrong in [EncodingConfig::new(), lz4().encrypted_with(Key::raw([1; 32]))] {
                    let error = connect_in(&registry(), &on(&path, wrong)).unwrap_err();
                    shown += &format!("{error} {error:?}");
                }
            });
            let text = format!(
                "{{:store {{:backend :file :path \"x\" :config {{:encoding {{:encryptor {{:key \"{HEX}!\"}}}}}}}} :zebra 1}}"
            );
            shown += &format!("{:?}", Config::from_edn(&text).unwrap_err());
            let all = files(&path);
            assert!(all.len() > 4);
            for file in all {
                let bytes = std::fs::read(&file).unwrap();
                for secret in [&HEX[..12], "hidden-n", "friend", "keep-history"] {
                    assert!(!shows(&bytes, secret), "{} shows {secret:?}", file.display());
                }
                assert!(!bytes.windows(8).any(|part| part == &raw[..8]), "{}", file.display());
            }
            let told = told.0.lock().unwrap();
            assert!(!told.is_empty());
            for text in [&shown, &*told] {
                assert!(!text.contains(&HEX[..12]) && !text.contains(&format!("{:?}", &raw[..4])[1..10]), "{text}");
            }
        }
    }

    #[test]
    fn a_wrong_or_missing_key_is_said_at_once() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("db");
        let config = on(&path, lz4().encrypted_with(Key::raw([7; 32])));
        create_database_in(&registry(), &config).unwrap();
        let conn = connect_in(&registry(), &config).unwrap();
        let mut model = Model::default();
        write(&conn, &mut model, 0, 20);
        // Not closed: its end is in the log only, and must not be taken for torn.
        drop(conn);
        let before: Vec<_> = files(&path).iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect();
        for (encoding, code) in [
            (lz4(), "store/key-missing"),
            (EncodingConfig::new().encrypted(), "store/key-missing"),
            (lz4().encrypted_with(Key::raw([8; 32])), "store/wrong-key"),
            (lz4().encrypted_with(Key::passphrase("words")), "store/wrong-key"),
        ] {
            for read_only in [false, true] {
                let error = connect_in(&registry(), &on(&path, encoding.clone()).read_only(read_only)).unwrap_err();
                assert_eq!((error.kind(), error.code()), (ErrorKind::Config, code), "{error}");
                assert!(error.message().contains("db"), "it names the place: {error}");
            }
            if encoding.encrypts() {
                assert_eq!(create_database_in(&registry(), &on(&path, encoding)).unwrap_err().code(), code);
            }
        }
        for (file, bytes) in before {
            if !file.to_string_lossy().contains('~') {
                assert!(std::fs::read(&file).unwrap() == bytes, "{} was changed", file.display());
            }
        }
        assert!(database_exists_in(&registry(), &config).unwrap());
        let conn = connect_in(&registry(), &config).unwrap();
        assert_eq!(content(&conn.db()).unwrap(), model.last());
        conn.release().unwrap();
    }

    /// A database that was begun without encryption is not taken for one that is encrypted.
    #[test]
    fn encryption_that_comes_later_has_to_be_said() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("db");
        create_database_in(&registry(), &on(&path, EncodingConfig::new())).unwrap();
        let encoding = EncodingConfig::new().encrypted_with(Key::raw([7; 32]));
        let error = connect_in(&registry(), &on(&path, encoding.clone())).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Config, "store/not-encrypted"));
        let mixed = on(&path, encoding.mixed(true));
        let reader = connect_in(&registry(), &mixed.clone().read_only(true)).unwrap();
        reader.release().unwrap();
        let conn = connect_in(&registry(), &mixed).unwrap();
        conn.transact(SCHEMA).unwrap();
        conn.transact("[{:name \"hidden-name\"}]").unwrap();
        conn.release().unwrap();
        assert!(!files(&path).iter().any(|file| shows(&std::fs::read(file).unwrap(), "hidden-name")));
    }

    /// Each store has a key of its own, and nothing is in the open on the way from one to the other.
    #[test]
    fn encrypted_databases_are_backed_up_and_restored() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str, encoding| on(&home.path().join(name), encoding);
        let encrypted = |compressor, key| EncodingConfig::new().compressor(compressor).encrypted_with(key);
        let source = at("source", encrypted(Compressor::Lz4, Key::raw([7; 32])));
        let target = at("target", encrypted(Compressor::None, Key::passphrase("another one")));
        let restored = at("restored", encrypted(Compressor::Lz4, Key::raw([9; 32])));
        create_database_in(&registry(), &source).unwrap();
        let conn = connect_in(&registry(), &source).unwrap();
        let mut model = Model::default();
        let options = BackupOptions::new();
        for round in 0..3 {
            write(&conn, &mut model, round * 30, round * 30 + 25);
            conn.transact("[{:db/doc \"hidden-name\"}]").map(|report| model.apply(&report.tx_data)).unwrap();
            let report = backup_in(&registry(), &source, &target, &options).unwrap();
            assert_eq!(report.branches[0].1.0, model.last().basis);
            let more = backup_in(&registry(), &source, &target, &options).unwrap();
            assert_eq!((more.blobs, more.bytes, more.transactions), (0, 0, 0));
        }
        let cut = backup_in(&registry(), &source, &target, &options.clone().prune(Duration::ZERO)).unwrap();
        assert!(cut.deleted > 0);
        restore_in(&registry(), &target, &restored, &options).unwrap();
        for config in [&target, &restored] {
            let report = verify_in(&registry(), config, &VerifyOptions::new()).unwrap();
            assert!(report.is_sound(), "{:?}", report.problems);
            let conn = connect_in(&registry(), &config.clone().read_only(true)).unwrap();
            assert_eq!(content(&conn.db()).unwrap(), model.last());
            conn.release().unwrap();
            let path = config.store_config().path().unwrap();
            assert!(!files(&path).iter().any(|file| shows(&std::fs::read(file).unwrap(), "hidden-name")));
            let error = connect_in(&registry(), &on(&path, lz4().encrypted_with(Key::raw([7; 32])))).unwrap_err();
            assert_eq!(error.code(), "store/wrong-key", "the source's key opens the source alone");
        }
        conn.release().unwrap();
    }

    /// A node that is encrypted has another length, so it would have another address.
    #[test]
    fn both_stores_of_a_backup_are_encrypted_or_neither_is() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str, encoding| on(&home.path().join(name), encoding);
        let key = || EncodingConfig::new().encrypted_with(Key::raw([7; 32]));
        let (plain, mixed) = (at("db", EncodingConfig::new()), at("db", key().mixed(true)));
        create_database_in(&registry(), &plain).unwrap();
        let mut model = Model::default();
        let conn = connect_in(&registry(), &plain).unwrap();
        write(&conn, &mut model, 0, 25);
        conn.release().unwrap();
        let back_up = |source: &Config, target: &Config| backup_in(&registry(), source, target, &BackupOptions::new());
        let refused = |source: &Config, target: &Config| {
            let error = back_up(source, target).unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::Config, "backup/encrypted"));
        };
        refused(&plain, &at("encrypted", key()));
        // The other way to an encrypted copy.
        let encrypted = at("repaired", key());
        let report = repair_in(&registry(), &plain, &encrypted, &RepairOptions::new()).unwrap();
        assert_eq!(report.losses, []);
        refused(&encrypted, &at("plain", EncodingConfig::new()));
        back_up(&encrypted, &at("encrypted", key())).unwrap();
        // What was written before there was a key stays as it is, so the target has to be read in the same way.
        let conn = connect_in(&registry(), &mixed).unwrap();
        write(&conn, &mut model, 25, 50);
        conn.release().unwrap();
        refused(&mixed, &at("strict", key()));
        let copy = at("mixed", key().mixed(true));
        back_up(&mixed, &copy).unwrap();
        let conn = connect_in(&registry(), &copy.read_only(true)).unwrap();
        assert_eq!(content(&conn.db()).unwrap(), model.last());
        // Of a database in memory the nodes are written anew.
        let memory = Config::memory("encoding");
        let source = registry();
        create_database_in(&source, &memory).unwrap();
        backup_in(&source, &memory, &at("memory", key()), &BackupOptions::new()).unwrap();
        assert!(database_exists_in(&registry(), &at("memory", key())).unwrap());
    }
}
