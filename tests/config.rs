//! Configs through the public API: what databases are created with, and what they are opened with later.

use treering::edn::Keyword;
use treering::{
    Config, ErrorKind, Registry, SchemaFlexibility, StoreConfig, connect, create_database, database_exists,
    delete_database,
};
use uuid::Uuid;

fn refused(config: &Config) -> (&'static str, String) {
    let error = connect(config).map(|_| ()).expect_err("the config is refused");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    (error.code(), error.to_string())
}

#[test]
fn a_path_is_enough_to_open_what_was_created_with_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("p.tr");
    let created = Config::file(&path)
        .id(Uuid::from_u128(7))
        .schema_flexibility(SchemaFlexibility::Read)
        .keep_history(false)
        .name("people")
        .initial_tx(treering::edn::read(r#"[{:any 1} {:any 2}]"#).expect("EDN"));
    create_database(&created).expect("a database");
    assert!(database_exists(&created).expect("an answer"));

    let conn = connect(&Config::file(&path)).expect("a connection");
    conn.transact("[{:undeclared 3}]").expect("the stored flexibility holds");
    assert_eq!(conn.db().history().expect_err("no history is kept").code(), "db/no-history");
    conn.release().expect("released");

    let (code, text) = refused(&Config::file(&path).keep_history(true));
    assert_eq!(code, "config-does-not-match-stored-db");
    assert!(text.contains(":keep-history? false") && text.contains("true"), "{text}");
    let (code, _) = refused(&Config::file(&path).schema_flexibility(SchemaFlexibility::Write));
    assert_eq!(code, "config-does-not-match-stored-db");
    assert_eq!(refused(&Config::file(&path).id(Uuid::from_u128(8))).0, "store-identity-mismatch");
    let conn = connect(&Config::file(&path).keep_history(true).allow_unsafe_config(true)).expect("a connection");
    conn.release().expect("released");

    // The id is the database's, wherever its folder goes.
    let moved = dir.path().join("moved.tr");
    std::fs::rename(&path, &moved).expect("moved");
    let conn = connect(&Config::file(&moved).id(Uuid::from_u128(7))).expect("a connection");
    conn.release().expect("released");
    delete_database(&Config::file(&moved)).expect("deleted");
    assert!(!database_exists(&Config::file(&moved)).expect("an answer"));
}

#[test]
fn an_initial_tx_that_fails_leaves_no_database() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config::file(dir.path().join("p.tr")).initial_tx_file(dir.path().join("missing.edn"));
    assert_eq!(create_database(&config).expect_err("no file").code(), "config/file");
    assert!(!database_exists(&config).expect("an answer"));
    std::fs::write(dir.path().join("missing.edn"), "[{:undeclared 1}]").expect("a file");
    let error = create_database(&config).expect_err("the attribute is not declared");
    assert!(error.message().starts_with(":initial-tx: "), "{error}");
    assert!(!database_exists(&config).expect("an answer"));
}

#[test]
fn unknown_keywords_are_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("p.tr");
    let error = create_database(&Config::file(&path).index("datahike.index/b-tree")).expect_err("no such index");
    assert_eq!(error.code(), "unknown-index-type");
    assert!(error.message().contains(":datahike.index/persistent-set"), "{error}");
    assert!(!path.exists());
    let error = create_database(&Config::new().store(StoreConfig::new("redsi"))).expect_err("no such backend");
    assert_eq!(error.code(), "backend-does-not-exist");
    let error = create_database(&Config::new()).expect_err("nothing to find it by");
    assert_eq!(error.code(), "config/missing");
}

#[test]
fn both_names_of_each_index_are_known() {
    let names = Registry::standard().index_keywords();
    for name in [
        "datahike.index/persistent-set",
        "treering.index/persistent-set",
        "datahike.index/hitchhiker-tree",
        "treering.index/hitchhiker-tree",
    ] {
        assert!(names.contains(&Keyword::new(name)), "{name}");
        let config = Config::memory(name).index(name);
        create_database(&config).expect("a database");
        let conn = connect(&config).expect("a connection");
        conn.release().expect("released");
        delete_database(&config).expect("deleted");
    }
}

#[test]
fn the_index_and_its_settings_are_kept_with_the_database() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("p.tr");
    let settings = |text: &str| treering::edn::read(text).expect("edn");
    let hitchhiker = || Config::file(&path).index("datahike.index/hitchhiker-tree");
    let small = "{:index-b-factor 4 :index-data-node-size 8 :index-log-size 6}";
    let (code, text) = {
        let wrong = hitchhiker().index_config(settings("{:branching-factor 64}"));
        let error = create_database(&wrong).expect_err("a setting of the other kind");
        (error.code().to_owned(), error.to_string())
    };
    assert_eq!(code, "config/index-config");
    assert!(text.contains(":index-log-size") && text.contains(":branching-factor"), "{text}");
    create_database(&hitchhiker().index_config(settings(small))).expect("a database");
    let documented =
        |conn: &treering::Connection| treering::q("[:find ?e :where [?e :db/doc]]", &conn.db()).expect("answers").len();
    let mut expected = None;
    for i in 0..3 {
        // Nothing about the index is said when connecting, or what is said is of another one and does not count.
        let other = Config::file(&path).index("datahike.index/persistent-set");
        let conn = connect(&if i == 0 { Config::file(&path) } else { other }).expect("a connection");
        let before = documented(&conn);
        assert_eq!(before, expected.unwrap_or(before), "{i}");
        let names: String = (0..200).map(|n| format!("[:db/add \"{n}\" :db/doc \"{i} {n}\"]")).collect();
        conn.transact(format!("[{names}]").as_str()).expect("transacts");
        expected = Some(before + 200);
        conn.release().expect("released");
    }
    let error = connect(&hitchhiker().index_config(settings("{:index-log-size 7}"))).expect_err("other settings");
    assert_eq!(error.code(), "create-time-fixed-index-config-mismatch");
    assert!(error.message().contains(":index-log-size 6"), "{error}");
}
