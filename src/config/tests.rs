use super::*;
use crate::edn::read;

fn fails(text: &str) -> (&'static str, String) {
    let error = Config::from_edn(text).expect_err(text);
    (error.code(), error.to_string())
}

fn env(variables: &[(&str, &str)]) -> Result<Config> {
    env::config(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned()))
}

#[test]
fn defaults_are_datahikes() {
    let config = Config::new();
    assert!(config.keeps_history() && !config.has_attribute_refs() && !config.is_read_only());
    assert_eq!(config.flexibility(), SchemaFlexibility::Write);
    assert_eq!(config.branch_name().as_str(), "db");
    assert_eq!(config.store_config().backend().as_str(), "memory");
    assert_eq!(config.index_kind(), None);
}

#[test]
fn every_key_is_read() {
    let config = Config::from_edn(
        r#"{:store {:backend :file :path "x.tr" :id #uuid "00000000-0000-0000-0000-00000000000a" :extra 1}
            :initial-tx [{:name "Alice"}] :keep-history? false :attribute-refs? true :schema-flexibility :write
            :index :datahike.index/hitchhiker-tree :index-config {:b 3} :branch :dev :name "people"
            :cache-bytes 1024 :query-cache-bytes 4096
            :flush-after 4096 :read-only? true :writer {:backend :self :queue-size 7 :commit-wait-time 0}
            :allow-unsafe-config true :crypto-hash? false :search-cache-size 100 :online-gc {:enabled? false}}"#,
    )
    .unwrap();
    let id = Uuid::from_u128(10);
    let built = Config::file("x.tr")
        .store(StoreConfig::new("file").with_option("path", "x.tr").with_id(id).with_option("extra", 1))
        .initial_tx(read(r#"[{:name "Alice"}]"#).unwrap())
        .keep_history(false)
        .attribute_refs(true)
        .schema_flexibility(SchemaFlexibility::Write)
        .index("datahike.index/hitchhiker-tree")
        .index_config(read("{:b 3}").unwrap())
        .branch("dev")
        .name("people")
        .cache_bytes(1024)
        .query_cache_bytes(4096)
        .flush_after(4096)
        .read_only(true)
        .queue_size(7)
        .allow_unsafe_config(true);
    assert_eq!(config, built);
    assert_eq!(Config::from_edn("{:store-cache-size 2}").unwrap().node_cache_bytes(), 64 << 10);
    assert_eq!(Config::from_edn("{:cache-bytes 5 :store-cache-size 2}").unwrap().node_cache_bytes(), 5);
}

#[test]
fn old_names_are_read() {
    let old = Config::from_edn(
        "{:store {:backend :mem :id \"0a000000-0000-0000-0000-000000000000\"} :temporal-index false :schema-on-read true}",
    );
    let old = old.unwrap();
    assert_eq!(old.store_config().backend().as_str(), "memory");
    assert!(!old.keeps_history());
    assert_eq!(old.flexibility(), SchemaFlexibility::Read);
    assert_eq!(Config::from_edn("{:schema-on-read false}").unwrap().flexibility(), SchemaFlexibility::Write);
}

#[test]
fn nil_is_as_good_as_nothing() {
    assert_eq!(
        Config::from_edn("{:store {:backend nil :id nil} :index nil :keep-history? nil}").unwrap(),
        Config::new()
    );
}

#[test]
fn errors_name_the_key_what_was_wanted_and_what_was_got() {
    let (code, text) = fails("{:keep-histroy? false}");
    assert_eq!(code, "config/unknown-key");
    assert!(text.contains("no key :keep-histroy?; did you mean :keep-history??"), "{text}");
    let (code, text) = fails("{:keep-history? \"yes\"}");
    assert_eq!(code, "config/type");
    assert!(text.contains(":keep-history? wants true or false, got a string: \"yes\" (line 1, column 17)"), "{text}");
    for (text, code, part) in [
        ("[]", "config/type", "the config wants a map, got a vector"),
        ("{\"store\" 1}", "config/type", "keys of the config are keywords, got a string: \"store\""),
        ("{:store 1}", "config/type", ":store wants a map, got an integer: 1"),
        ("{:store {:backend \"file\"}}", "config/type", ":store :backend wants a keyword, got a string"),
        ("{:store {:id 7}}", "config/type", ":store :id wants a UUID"),
        ("{:store {:id \"x\"}}", "config/type", ":store :id wants a UUID"),
        ("{:store {:path :x}}", "config/type", ":store :path wants a string, got a keyword: :x"),
        ("{:schema-flexibility :strict}", "config/type", "wants :read or :write, got a keyword: :strict"),
        ("{:index-config 3}", "config/type", ":index-config wants a map"),
        ("{:cache-bytes -1}", "config/type", ":cache-bytes wants a number of bytes, 0 or more, got an integer: -1"),
        ("{:store-cache-size 0}", "config/type", "1 or more"),
        ("{:initial-tx 7}", "config/type", "tx-data or the path"),
        ("{:writer {:backend :kabel}}", "config/unsupported", ":kabel is not supported"),
        ("{:writer {:commit-wait-time 5}}", "config/unsupported", ":commit-wait-time"),
        ("{:writer {:streaming? false}}", "config/unsupported", "streaming"),
        ("{:writer {:queue-sise 1}}", "config/unknown-key", "did you mean :queue-size?"),
        ("{:crypto-hash? true}", "config/unsupported", ":crypto-hash? true is not supported: blobs"),
        ("{:online-gc {:enabled? true}}", "config/unsupported", ":online-gc"),
        ("{:max-string-length -1}", "config/type", ":max-string-length wants a length, 0 for no bound"),
        ("{:max-string-length 4294967296}", "config/type", "a length"),
        ("{:value-caps :huge}", "config/type", ":value-caps wants :default, got a keyword: :huge"),
        ("{:attribute-refs? true :schema-flexibility :read}", "config/conflict", ":attribute-refs?"),
        ("{:zebra 1}", "config/unknown-key", "the config has no key :zebra (its keys are :store"),
    ] {
        let (got, message) = fails(text);
        assert_eq!(got, code, "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
    }
    assert_eq!(fails("{:store ").0, "edn/eof");
}

#[test]
fn secrets_are_never_shown() {
    let text =
        r#"{:store {:backend :pg :password "hunter2" :url "pg://me:hunter2@host/db" :nested {:api-token "hunter2"}}}"#;
    let config = Config::from_edn(text).unwrap();
    for shown in [format!("{config:?}"), config.to_form().to_string(), format!("{:?}", config.store_config())] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(format!("{config:?}").contains("pg://…@host/db"));
    assert_eq!(config.store_config().text("password"), Some("hunter2"));
    for text in [
        r#"{:store {:secret-key "hunter2"} :keep-history? 1}"#,
        r#"{:store {:url "pg://me:hunter2@host/db"} :zebra 1}"#,
        r#"{:store {:password "hunter2" :id 1}}"#,
    ] {
        let (_, message) = fails(text);
        assert!(!message.contains("hunter2"), "{message}");
    }
    let error = env(&[("TREERING_STORE_CONFIG", "[:password \"hunter2\"]")]).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = env(&[("TREERING_STORE_CONFIG", "{:password \"hunter2\"")]).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn json_says_the_same() {
    let json = r#"{"store": {"backend": "file", "path": "x", "id": "00000000-0000-0000-0000-00000000000a", ":tag": ":k", "odd": "\\:k"},
                   "schema-flexibility": ":read", "index": "datahike.index/persistent-set", "index-config": {"b": 2},
                   "writer": {"queue-size": 9}, "initial-tx": null, "branch": "dev"}"#;
    let edn = r#"{:store {:backend :file :path "x" :id #uuid "00000000-0000-0000-0000-00000000000a" :tag :k :odd ":k"}
                  :schema-flexibility :read :index :datahike.index/persistent-set :index-config {:b 2}
                  :writer {:queue-size 9} :branch :dev}"#;
    let (json, edn) = (Config::from_json(json).unwrap(), Config::from_edn(edn).unwrap());
    assert_eq!(format!("{json:?}").len(), format!("{edn:?}").len());
    for key in ["path", "tag", "odd"] {
        assert_eq!(json.store_config().option(key), edn.store_config().option(key));
    }
    assert_eq!(json.index_settings(), edn.index_settings());
    assert_eq!(json.branch_name(), edn.branch_name());
    let error = Config::from_json("{\"store\": \n nonsense}").unwrap_err();
    assert_eq!((error.code(), error.position().map(|p| p.0)), ("config/json", Some(2)));
    assert_eq!(Config::from_json("{\"keep-history?\": 3}").unwrap_err().code(), "config/type");
}

#[test]
fn the_environment_lies_between_argument_and_default() {
    let given = env(&[
        ("DATAHIKE_STORE_BACKEND", "file"),
        ("TREERING_STORE_PATH", "/tmp/x"),
        ("DATAHIKE_KEEP_HISTORY", "false"),
        ("DATAHIKE_SCHEMA_FLEXIBILITY", "read"),
        ("DATAHIKE_INDEX", "hitchhiker-tree"),
        ("DATAHIKE_INDEX_CONFIG", "{:b 4}"),
        ("DATAHIKE_NAME", "old"),
        ("TREERING_NAME", "new"),
        ("DATAHIKE_STORE_CACHE_SIZE", "1"),
        ("DATAHIKE_INITIAL_TX", "tx.edn"),
    ])
    .unwrap();
    assert_eq!(given.store_config().backend().as_str(), "file");
    assert_eq!(given.label(), Some("new"));
    assert_eq!(given.index_kind().map(Keyword::as_str), Some("datahike.index/hitchhiker-tree"));
    let both = Config::from_edn("{:keep-history? true}").unwrap().or(given.clone());
    assert!(both.keeps_history());
    assert_eq!(both.flexibility(), SchemaFlexibility::Read);
    assert_eq!(both.node_cache_bytes(), 32 << 10);
    assert_eq!(both.store_config().text("path"), Some("/tmp/x"));
    // Options of another backend are not mixed in.
    assert_eq!(Config::memory("m").or(given).store_config().text("path"), None);

    let map = env(&[("DATAHIKE_STORE_CONFIG", "{:backend :s3 :bucket \"b\"}"), ("DATAHIKE_STORE_BACKEND", "file")]);
    let map = map.unwrap();
    assert_eq!(map.store_config().backend().as_str(), "file");
    assert_eq!(map.store_config().text("bucket"), Some("b"));
    assert_eq!(env(&[("DATAHIKE_KEEP_HISTORY", "")]).unwrap(), Config::new());

    for (name, text) in [("TREERING_KEEP_HISTORY", "maybe"), ("DATAHIKE_STORE_CACHE_SIZE", "many")] {
        let error = env(&[(name, text)]).unwrap_err();
        assert_eq!(error.code(), "config/type");
        assert!(error.message().contains(name) && error.message().contains(text), "{error}");
    }
    let both = env(&[("DATAHIKE_ATTRIBUTE_REFS", "true"), ("DATAHIKE_SCHEMA_FLEXIBILITY", "read")]);
    assert_eq!(both.unwrap_err().code(), "config/conflict");
}

#[test]
fn ids_are_derived_from_names_and_paths() {
    let id = |config: Config| config.store_config().id();
    assert_eq!(id(Config::memory("a")), id(Config::memory("a")));
    assert_ne!(id(Config::memory("a")), id(Config::memory("b")));
    assert_eq!(id(Config::file("nowhere/x")), id(Config::file("./nowhere/x")));
    assert_ne!(id(Config::file("nowhere/x")), id(Config::file("nowhere/y")));
    assert_eq!(id(Config::new()), None);
    let given = Uuid::from_u128(3);
    assert_eq!(id(Config::file("x").id(given)), Some(given));
}

#[test]
fn what_is_fixed_at_creation_must_match() {
    let created = Config::file("x").keep_history(false).index("datahike.index/persistent-set");
    let stored = Config::from_form(&created.to_form()).unwrap();
    // What is not given is adopted.
    let adopted = Config::file("elsewhere").matching(&stored).unwrap();
    assert!(!adopted.keeps_history());
    assert_eq!(adopted.store_config().id(), created.store_config().id());
    assert_eq!(adopted.index_kind(), created.index_kind());

    let code = |config: Config| config.matching(&stored).map(|_| ()).map_err(|error| error.code());
    assert_eq!(code(Config::file("x").keep_history(true)), Err("config-does-not-match-stored-db"));
    assert_eq!(code(Config::file("x").attribute_refs(true)), Err("config-does-not-match-stored-db"));
    let read = Config::file("x").schema_flexibility(SchemaFlexibility::Read);
    assert_eq!(code(read.clone()), Err("config-does-not-match-stored-db"));
    assert_eq!(code(read.allow_unsafe_config(true)), Ok(()));
    assert_eq!(code(Config::file("x").id(Uuid::from_u128(1))), Err("store-identity-mismatch"));
    assert_eq!(code(Config::file("x").index("datahike.index/hitchhiker-tree")), Ok(()));
    let settings = edn::read("{:b 1}").unwrap();
    let fixed = "create-time-fixed-index-config-mismatch";
    assert_eq!(code(Config::file("x").index_config(settings)), Err(fixed));
    assert_eq!(code(Config::file("x").index_config(Form::map(vec![]))), Ok(()));
}

#[test]
fn initial_tx_comes_from_a_form_or_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tx.edn");
    let tx = |config: &Config| config.initial_tx_data().map_err(|error| error.code());
    let config = Config::memory("x").initial_tx_file(&path);
    assert_eq!(tx(&config), Err("config/file"));
    std::fs::write(&path, "[{:a 1}]").unwrap();
    assert_eq!(tx(&config), Ok(Some(read("[{:a 1}]").unwrap())));
    std::fs::write(&path, "{:a 1} {:a 2}").unwrap();
    assert_eq!(tx(&config), Ok(Some(read("[{:a 1} {:a 2}]").unwrap())));
    std::fs::write(&path, "[{:a 1}").unwrap();
    assert_eq!(tx(&config), Err("edn/eof"));
    assert_eq!(tx(&Config::memory("x")), Ok(None));
}

#[test]
fn an_unknown_key_is_pointed_at() {
    let error = Config::from_edn("{:keep-histroy? true}").unwrap_err();
    assert_eq!((error.code(), error.position()), ("config/unknown-key", Some((1, 2))));
    let error = Config::from_edn("{:writer {:queu-size 2}}").unwrap_err();
    assert_eq!((error.code(), error.position()), ("config/unknown-key", Some((1, 11))));
}

#[test]
fn bounds_of_values() {
    let config = Config::from_edn("{:max-string-length 9 :value-caps :default :max-bytes-length 0}").unwrap();
    let wanted = ValueCaps { string: Some(9), bytes: Some(0), ..ValueCaps::PRESET };
    assert_eq!(config.caps(), wanted);
    assert_eq!(Config::from_form(&config.to_form()).unwrap().caps(), wanted);
    let other = Config::from_edn("{:max-string-length 3}").unwrap();
    assert_eq!(other.clone().or(config.clone()).caps().string, Some(3));
    assert_eq!(other.matching(&config).unwrap().caps(), wanted, "those of the creation hold");
}

#[test]
fn the_encoding_is_konserves_map() {
    use crate::store::{Compressor, EncodingConfig, Key, Serializer};
    let of = |encoding: &str| {
        let text =
            format!("{{:store {{:backend :file :path \"x\" :config {{:encoding {encoding} :sync-blob? true}}}}}}");
        Config::from_edn(&text).map(|config| config.store_config().encoding().clone())
    };
    let hex = "00".repeat(32);
    let zeros = EncodingConfig::new().encrypted_with(Key::raw([0; 32]));
    for (text, wanted) in [
        ("{}", EncodingConfig::new()),
        ("{:compressor {:type :lz4}}", EncodingConfig::new().compressor(Compressor::Lz4)),
        ("{:compressor :zstd}", EncodingConfig::new().compressor(Compressor::Zstd(3))),
        ("{:compressor {:type :zstd :level 19}}", EncodingConfig::new().compressor(Compressor::Zstd(19))),
        ("{:serializer :binary}", EncodingConfig::new().serializer(Serializer::Binary)),
        (&format!("{{:encryptor {{:key \"{hex}\"}}}}"), zeros.clone()),
        (&format!("{{:encryptor {{:type :xchacha20-poly1305 :key \"{hex}\" :mixed? true}}}}"), zeros.mixed(true)),
        ("{:encryptor {:passphrase \"w\"}}", EncodingConfig::new().encrypted_with(Key::passphrase("w"))),
        ("{:encryptor {}}", EncodingConfig::new().encrypted()),
    ] {
        assert_eq!(of(text).unwrap(), wanted, "{text}");
    }
    for (text, code) in [
        ("{:compressor :snappy}", "config/type"),
        ("{:compressor {:level 3}}", "config/type"),
        ("{:compressor {:type :lz4 :level 3}}", "config/unknown-key"),
        ("{:compressor {:type :zstd :level 23}}", "config/type"),
        ("{:serializer :FressianSerializer}", "config/type"),
        ("{:encryptor {:type :aes :key \"s3cr3t\"}}", "config/unsupported"),
        ("{:encryptor {:key \"s3cr3t\"}}", "config/value"),
        ("{:encryptor {:key 7}}", "config/type"),
        ("{:read-handlers {}}", "config/unsupported"),
        ("{:compresor :lz4}", "config/unknown-key"),
        ("7", "config/type"),
    ] {
        let error = of(text).unwrap_err();
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(!error.to_string().contains("s3cr3t") && error.message().contains(":store :config"), "{error}");
    }
    let error = Config::from_edn("{:store {:config {:sync-blob? false}}}").unwrap_err();
    assert_eq!(error.code(), "config/unsupported");
    let json = r#"{"store": {"config": {"encoding": {"compressor": {"type": "lz4"}}}}}"#;
    let json = Config::from_json(json).unwrap();
    assert_eq!(json.store_config().encoding().given_compressor(), Compressor::Lz4);
    // What is given of it wins, and the rest comes from beneath; none of it is remembered by the database.
    let both = json.or(Config::from_edn("{:store {:config {:encoding {:compressor :none :encryptor {}}}}}").unwrap());
    assert_eq!(both.store_config().encoding(), &EncodingConfig::new().compressor(Compressor::Lz4).encrypted());
    assert!(!both.to_form().to_string().contains("encod"));
}

#[test]
fn the_key_comes_from_the_environment_if_the_config_gives_none() {
    use crate::store::{EncodingConfig, Key};
    let with = |encoding: EncodingConfig, name: &'static str, text: &'static str| {
        let store = StoreConfig::new("file").with_encoding(encoding);
        let store = store.with_key_of(&move |asked| (asked == name).then(|| text.to_owned()));
        store.map(|store| store.encoding().clone())
    };
    let (asked, own) = (EncodingConfig::new().encrypted(), Key::raw([9; 32]));
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let key = with(asked.clone(), "TREERING_ENCRYPTION_KEY", zeros).unwrap();
    assert_eq!(key.key(), Some(&Key::raw([0; 32])));
    let words = with(asked.clone(), "TREERING_ENCRYPTION_PASSPHRASE", "a b").unwrap();
    assert_eq!(words.key(), Some(&Key::passphrase("a b")));
    let given = with(EncodingConfig::new().encrypted_with(own.clone()), "TREERING_ENCRYPTION_KEY", zeros).unwrap();
    assert_eq!(given.key(), Some(&own));
    assert!(!with(EncodingConfig::new(), "TREERING_ENCRYPTION_KEY", zeros).unwrap().encrypts(), "nobody asked");
    let error = with(asked, "TREERING_ENCRYPTION_KEY", "hunter2").unwrap_err();
    assert!(error.code() == "config/value" && error.message().contains("TREERING_ENCRYPTION_KEY"), "{error}");
    assert!(!error.to_string().contains("hunter2"));
}
