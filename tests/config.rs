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
fn both_names_of_an_index_are_known() {
    let names = Registry::standard().index_keywords();
    for name in ["datahike.index/persistent-set", "treering.index/persistent-set"] {
        assert!(names.contains(&Keyword::new(name)), "{name}");
        let config = Config::memory(name).index(name);
        create_database(&config).expect("a database");
        let conn = connect(&config).expect("a connection");
        conn.release().expect("released");
        delete_database(&config).expect("deleted");
    }
}
