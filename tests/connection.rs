//! The life of databases and connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use treering::{
    Config, Connection, EntityRef, ErrorKind, TX0, Value, connect, create_database, database_exists, delete_database,
};
use treering::{EntityId, edn::Keyword};

const SCHEMA: &str = "[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one
                        :db/unique :db.unique/identity}
                       {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]";

fn named(name: &str) -> EntityRef {
    EntityRef::from((Keyword::new("name"), name))
}

fn people(conn: &Connection) -> Vec<bool> {
    ["Alice", "Bob", "Carol"].map(|name| conn.db().entid(&named(name)).unwrap().is_some()).to_vec()
}

#[test]
fn a_database_in_memory_lives_until_it_is_deleted() {
    let config = Config::memory("lives");
    assert!(!database_exists(&config).unwrap());
    assert_eq!(connect(&config).unwrap_err().code(), "db-does-not-exist");
    create_database(&config).unwrap();
    assert_eq!(create_database(&config).unwrap_err().code(), "db-already-exists");
    let conn = connect(&config).unwrap();
    conn.transact(SCHEMA).unwrap();
    let report = conn.transact(r#"[{:name "Alice" :age 30}]"#).unwrap();
    assert_eq!(report.db_after.basis_t(), EntityId(TX0 + 2));
    assert_eq!(delete_database(&config).unwrap_err().code(), "connection-not-released");
    conn.release().unwrap();
    assert_eq!(conn.transact("[]").unwrap_err().kind(), ErrorKind::Closed);
    let again = connect(&config).unwrap();
    assert_eq!(people(&again), [true, false, false]);
    again.release().unwrap();
    delete_database(&config).unwrap();
    assert!(!database_exists(&config).unwrap());
}

#[test]
fn a_database_in_a_directory_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::file(dir.path().join("people.tr"));
    assert!(!database_exists(&config).unwrap());
    create_database(&config).unwrap();
    assert!(database_exists(&config).unwrap());
    let conn = connect(&config).unwrap();
    conn.transact(SCHEMA).unwrap();
    conn.transact(r#"[{:name "Alice" :age 30}]"#).unwrap();
    conn.release().unwrap();

    // Closed cleanly: from the indexes. Dropped: from the log.
    let conn = connect(&config).unwrap();
    assert_eq!(people(&conn), [true, false, false]);
    conn.transact(r#"[{:name "Bob" :age 31} [:db/add [:name "Alice"] :age 33]]"#).unwrap();
    drop(conn);
    let conn = connect(&config).unwrap();
    assert_eq!(people(&conn), [true, true, false]);
    let before = conn.db().as_of(EntityId(TX0 + 2)).unwrap();
    assert!(before.entid(&named("Bob")).unwrap().is_none());
    conn.flush().unwrap();
    conn.transact(r#"[{:name "Carol"}]"#).unwrap();
    assert_eq!(people(&conn), [true, true, true]);

    let reader = Config::file(dir.path().join("people.tr")).read_only(true);
    let registry = treering::Registry::with_builtins();
    let reading = treering::connect_in(&registry, &reader).unwrap();
    assert_eq!(people(&reading), [true, true, true]);
    assert_eq!(reading.transact("[]").unwrap_err().code(), "connection/read-only");
    conn.transact(r#"[[:db/retractEntity [:name "Carol"]]]"#).unwrap();
    reading.sync().unwrap();
    assert_eq!(people(&reading), [true, true, false]);
    assert_eq!(
        treering::connect_in(&registry, &config).unwrap_err().code(),
        "config-does-not-match-existing-connections"
    );
    let other = treering::Registry::with_builtins();
    assert_eq!(treering::connect_in(&other, &config).unwrap_err().code(), "store/locked");
    reading.release().unwrap();
    conn.release().unwrap();
    delete_database(&config).unwrap();
    assert!(!database_exists(&config).unwrap());
}

#[test]
fn listeners_are_told_in_order_and_may_not_block() {
    let config = Config::memory("listeners");
    create_database(&config).unwrap();
    let conn = connect(&config).unwrap();
    conn.transact(SCHEMA).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (told, inside) = (Arc::clone(&seen), conn.clone());
    let listener = conn.listen(move |report| {
        assert_eq!(inside.db().basis_t(), report.db_after.basis_t());
        assert_eq!(inside.transact("[]").unwrap_err().code(), "transact/in-listener");
        told.lock().unwrap().push(report.db_after.basis_t().0 - TX0);
    });
    for i in 0..5 {
        conn.transact(format!("[{{:name \"n{i}\"}}]").as_str()).unwrap();
    }
    assert!(conn.unlisten(listener));
    conn.transact("[{:name \"late\"}]").unwrap();
    assert_eq!(*seen.lock().unwrap(), [2, 3, 4, 5, 6]);
    conn.release().unwrap();
    delete_database(&config).unwrap();
}

#[test]
fn many_threads_write_and_each_sees_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::file(dir.path().join("many.tr"));
    create_database(&config).unwrap();
    let conn = connect(&config).unwrap();
    conn.transact(SCHEMA).unwrap();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (conn, done) = (conn.clone(), &done);
            scope.spawn(move || {
                for i in 0..25 {
                    let name = format!("{thread}-{i}");
                    conn.transact(format!("[{{:name {name:?}}}]").as_str()).unwrap();
                    assert!(conn.db().entid(&named(&name)).unwrap().is_some());
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.load(Ordering::Relaxed), 200);
    assert_eq!(conn.db().basis_t(), EntityId(TX0 + 201));
    drop(conn);
    let conn = connect(&config).unwrap();
    assert_eq!(conn.db().basis_t(), EntityId(TX0 + 201));
    conn.release().unwrap();
}

#[test]
fn async_twins_run_on_any_executor() {
    let config = Config::memory("async");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        treering::create_database_async(&config).await.unwrap();
        let conn = treering::connect_async(&config).await.unwrap();
        assert!(treering::database_exists_async(&config).await.unwrap());
        conn.transact_async(SCHEMA).await.unwrap();
        conn.flush_async().await.unwrap();
        let report = conn.transact_async(r#"[{:db/id "a" :name "Alice"}]"#).await.unwrap();
        let alice = conn.db().entid(&named("Alice")).unwrap();
        assert_eq!(report.resolve("a"), alice);
        let found = treering::q_async("[:find [?n ...] :where [_ :name ?n]]", &conn.db()).await.unwrap();
        assert_eq!(found.rows_as::<String>().unwrap(), ["Alice"]);
        assert_eq!(treering::q_async("[:fnd ?n]", ()).await.unwrap_err().code(), "query/syntax");
        assert_eq!(conn.sync_async().await.unwrap().basis_t(), conn.db().basis_t());
        assert_eq!(conn.transact_async("[{:nam \"x\"}]").await.unwrap_err().kind(), ErrorKind::Transact);
        assert_eq!(report.tx_data.last().map(|datom| datom.v.clone()), Some(Value::from("Alice")));
        assert_eq!(treering::delete_database_async(&config).await.unwrap_err().code(), "connection-not-released");
        conn.release_async().await.unwrap();
        assert_eq!(conn.transact_async("[]").await.unwrap_err().kind(), ErrorKind::Closed);
        treering::delete_database_async(&config).await.unwrap();
    });
    assert!(!database_exists(&config).unwrap());
}

#[test]
fn transactions_are_read_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let configs = [Config::memory("tx-range"), Config::file(dir.path().join("tx-range.tr"))];
    let told = configs.map(|config| {
        create_database(&config).unwrap();
        let conn = connect(&config).unwrap();
        conn.transact(SCHEMA).unwrap();
        let first = conn.transact(r#"[{:name "Alice" :age 30}]"#).unwrap().db_after.basis_t();
        conn.transact(r#"[[:db/add [:name "Alice"] :age 31] {:name "Bob"}]"#).unwrap();
        conn.flush().unwrap();
        conn.transact(r#"[[:db/retractEntity [:name "Bob"]]]"#).unwrap();
        let db = conn.db();
        let all: Vec<_> = conn.tx_range(EntityId(TX0), None).unwrap().map(Result::unwrap).collect();
        assert_eq!(all.len(), 4);
        let some: Vec<_> = conn.tx_range(first, Some(EntityId(first.0 + 1))).unwrap().map(Result::unwrap).collect();
        let show = |datom: &treering::Datom| format!("{} {:?} {}", db.ident(datom.a).unwrap(), datom.v, datom.added);
        let mut shown: Vec<String> = some.iter().flat_map(|made| &made.datoms).map(show).collect();
        shown.retain(|text| !text.starts_with(":db/txInstant"));
        shown.sort();
        conn.release().unwrap();
        delete_database(&config).unwrap();
        shown
    });
    let expected = [r#":age 30 false"#, r#":age 31 true"#, r#":name "Bob" true"#];
    assert_eq!(told[0], expected);
    assert_eq!(told[1], expected);
}

#[test]
fn who_connects_while_the_last_releases_gets_a_connection_that_works() {
    let dir = tempfile::tempdir().unwrap();
    for config in [Config::memory("release-and-connect"), Config::file(dir.path().join("release.tr"))] {
        create_database(&config).unwrap();
        connect(&config).unwrap().transact(SCHEMA).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let config = &config;
                scope.spawn(move || {
                    for i in 0..25 {
                        let conn = connect(config).unwrap();
                        conn.transact(format!("[{{:name \"{thread}-{i}\"}}]").as_str()).unwrap();
                        conn.release().unwrap();
                    }
                });
            }
        });
        let conn = connect(&config).unwrap();
        assert_eq!(conn.db().basis_t(), EntityId(TX0 + 101));
        conn.release().unwrap();
        delete_database(&config).unwrap();
    }
}

#[test]
fn a_reader_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::file(dir.path().join("follow.tr"));
    create_database(&config).unwrap();
    let conn = connect(&config).unwrap();
    let registry = treering::Registry::with_builtins();
    let reading = treering::connect_in(&registry, &config.clone().read_only(true)).unwrap();
    let written = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while written.load(Ordering::Acquire) < 200 {
                    let before = written.load(Ordering::Acquire);
                    let synced = reading.sync().unwrap().basis_t().0 - TX0;
                    assert!(synced >= before as u64, "{synced} after {before}");
                }
            });
        }
        for i in 1..=200 {
            conn.transact("[]").unwrap();
            written.store(i, Ordering::Release);
        }
    });
    reading.release().unwrap();
    conn.release().unwrap();
}

#[test]
fn any_size_of_the_queue_lets_async_transactions_through() {
    for size in [0, 1, u64::MAX] {
        let config = Config::memory(format!("queue-{size}")).queue_size(size);
        create_database(&config).unwrap();
        let conn = connect(&config).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { conn.transact_async(SCHEMA).await.unwrap() });
        conn.release().unwrap();
        delete_database(&config).unwrap();
    }
}

#[test]
fn a_listener_cannot_wait_for_what_waits_for_it() {
    let config = Config::memory("connect-in-listener");
    create_database(&config).unwrap();
    let conn = connect(&config).unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let (inside, counted) = (config.clone(), Arc::clone(&told));
    conn.listen(move |_| {
        assert_eq!(connect(&inside).unwrap_err().code(), "transact/in-listener");
        counted.fetch_add(1, Ordering::Relaxed);
    });
    conn.listen(|_| panic!("a listener panics"));
    conn.transact(SCHEMA).unwrap();
    conn.transact(SCHEMA).unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 2);
    conn.release().unwrap();
    delete_database(&config).unwrap();
}
