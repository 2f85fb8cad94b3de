//! Functions and predicates of a registry, through connections.

use std::sync::{Arc, OnceLock};

use treering::edn::Keyword;
use treering::{
    Argument, Config, Connection, Db, EntityMap, Error, ErrorKind, Function, Op, QueryOptions, Registry, TxData, Value,
    connect_in, create_database_in, prepare_with, q, with,
};

const SCHEMA: &str = "[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one
                       :db/unique :db.unique/identity}
                      {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one
                       :db.attr/preds [my.app/age?]}]";

fn registry() -> Registry {
    let registry = Registry::with_builtins();
    registry.register_attribute_predicate("my.app/age?", |v| Ok(matches!(v, Value::Long(0..150))));
    registry.register_tx_function("my.app/inc-age", |db, args| {
        let [name] = args else { return Err(Error::new(ErrorKind::Argument, "my.app/args", "one name is wanted")) };
        let found = q("[:find ?a . :in $ ?n :where [?p :name ?n] [?p :age ?a]]", (db, name.clone()))?;
        let age = found.to_form().as_int().unwrap_or(0);
        Ok([EntityMap::new().set(Keyword::new("name"), name.clone()).set(Keyword::new("age"), age + 1)])
    });
    registry
}

fn config(dir: &tempfile::TempDir) -> Config {
    Config::file(dir.path().join("db"))
}

fn age(db: &Db) -> String {
    q("[:find ?a . :where [_ :age ?a]]", db).unwrap().to_form().to_string()
}

#[test]
fn connections_and_their_databases_know_the_functions_of_the_registry() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, config) = (registry(), config(&dir));
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact(SCHEMA).unwrap();
    conn.transact("[{:name \"A\" :age 30} {:db/ident :older :db/fn :my.app/inc-age}]").unwrap();
    conn.transact("[[:db.fn/call my.app/inc-age \"A\"]]").unwrap();
    conn.transact("[[:older \"A\"]]").unwrap();
    assert_eq!(age(&conn.db()), "32");
    let report = with(&conn.db(), "[[:older \"A\"]]").unwrap();
    assert_eq!(age(&report.db_after), "33");
    let report = with(&report.db_after, [Op::call(Keyword::new("older"), ["A"])]).unwrap();
    assert_eq!(age(&report.db_after), "34");
    let error = conn.transact("[{:name \"B\" :age 200}]").unwrap_err();
    assert_eq!(error.code(), "transact/attr-pred");
    // What is registered while the database is open is found too.
    registry.register_tx_function("late", |_, _| Ok("[{:name \"late\"}]"));
    conn.transact("[[late]]").unwrap();
    conn.release().unwrap();
    // Names are stored, functions are not.
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact("[[:older \"A\"]]").unwrap();
    assert_eq!(age(&conn.db()), "33");
    conn.flush().unwrap();
    conn.transact("[[:older \"A\"]]").unwrap();
    conn.release().unwrap();
    let other = Registry::with_builtins();
    let conn = connect_in(&other, &config).unwrap();
    assert_eq!(age(&conn.db()), "34");
    assert_eq!(conn.transact("[[:older \"A\"]]").unwrap_err().code(), "transact/fn-unresolved");
    assert_eq!(conn.transact("[{:name \"B\" :age 1}]").unwrap_err().code(), "transact/attr-pred-unresolved");
    conn.release().unwrap();
}

#[test]
fn a_function_cannot_call_the_writer_that_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, config) = (registry(), config(&dir));
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact(SCHEMA).unwrap();
    let inner: Arc<OnceLock<Connection>> = Arc::default();
    assert!(inner.set(conn.clone()).is_ok());
    let of_function = Arc::clone(&inner);
    registry.register_tx_function("again", move |_, args| {
        let conn = of_function.get().unwrap();
        let outcome = match args {
            [Value::Long(1)] => conn.transact("[]").map(drop),
            [Value::Long(2)] => conn.flush(),
            [Value::Long(3)] => conn.release(),
            [Value::Long(4)] => wait(conn.transact_async("[]")).map(drop),
            [Value::Long(5)] => wait(conn.flush_async()),
            [Value::Long(6)] => wait(conn.release_async()),
            // Reading is allowed, and so is supposing.
            _ => with(&conn.db(), "[{:name \"supposed\"}]").map(drop),
        };
        outcome.map(|()| TxData::default())
    });
    for n in 1..=6 {
        let error = conn.transact(format!("[[again {n}]]")).unwrap_err();
        assert_eq!(error.code(), "transact/fn", "{n}");
        let cause = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Error>()).unwrap();
        assert_eq!(cause.code(), "transact/in-function", "{n}");
    }
    conn.transact("[[again 7]]").unwrap();
    let panicking = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        registry.register_tx_function("panics", |_, args| if args.len() < 9 { panic!("on purpose") } else { Ok("[]") });
        conn.transact("[[panics]]")
    }));
    assert!(panicking.is_err());
    conn.transact("[{:name \"after a panic\"}]").unwrap();
    conn.release().unwrap();
}

/// A function runs on the thread of whichever caller applies at that moment: what it does wrong is still its own caller's.
#[test]
fn a_function_that_goes_wrong_is_its_own_callers_affair() {
    let dir = tempfile::tempdir().unwrap();
    for (registry, config) in [(registry(), config(&dir)), (registry(), Config::memory("gone-wrong"))] {
        create_database_in(&registry, &config).unwrap();
        let conn = connect_in(&registry, &config).unwrap();
        conn.transact(SCHEMA).unwrap();
        let before = conn.db().basis_t().0;
        let inner = conn.clone();
        registry.register_tx_function("goes", move |_, args| match args {
            [Value::Long(0)] => panic!("on purpose"),
            [Value::Long(1)] => inner.transact("[]").map(|_| "[]"),
            [Value::Long(2)] => Err(Error::new(ErrorKind::Argument, "test/refused", "no")),
            _ => Ok("[{:name \"right\"}]"),
        });
        let made: usize = std::thread::scope(|scope| {
            let one = |thread: usize| {
                let conn = &conn;
                scope.spawn(move || {
                    let call = |i: usize| conn.transact(format!("[[goes {}]]", (thread + i) % 4));
                    let outcome = |i: usize| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(i)));
                    let mut made = 0;
                    for i in 0..40 {
                        match ((thread + i) % 4, outcome(i)) {
                            (0, Err(panic)) => assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose")),
                            (1, Ok(Err(error))) => {
                                let cause = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<Error>());
                                assert_eq!(cause.map(Error::code), Some("transact/in-function"));
                            }
                            (2, Ok(Err(error))) => {
                                let cause = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<Error>());
                                assert_eq!(cause.map(Error::code), Some("test/refused"));
                            }
                            (3, Ok(Ok(_))) => made += 1,
                            (n, other) => panic!("{n}: {other:?}"),
                        }
                    }
                    made
                })
            };
            let threads: Vec<_> = (0..8).map(one).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((made, conn.db().basis_t().0 - before), (80, 80));
        conn.release().unwrap();
    }
}

/// Polls on this thread; the futures wake by unparking it.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => return done,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_tx_predicate_sees_every_report_of_its_database() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, config, other) = (registry(), config(&dir), Config::memory("unguarded"));
    registry
        .register_tx_predicate(&config, |report| match report.tx_data.len() {
            0..=20 => Ok(()),
            n => Err(Error::new(ErrorKind::Limit, "my.app/too-many", format!("{n} datoms are too many"))),
        })
        .unwrap();
    let many = format!("[{}]", (0..30).map(|n| format!("{{:name \"{n}\"}}")).collect::<String>());
    for (config, guarded) in [(&config, true), (&other, false)] {
        create_database_in(&registry, config).unwrap();
        let conn = connect_in(&registry, config).unwrap();
        conn.transact(SCHEMA).unwrap();
        let before = conn.db().basis_t();
        match conn.transact(&many) {
            Ok(_) => assert!(!guarded),
            Err(error) => {
                assert!(guarded && error.code() == "transact/tx-pred", "{error:?}");
                assert_eq!(conn.db().basis_t(), before);
                assert_eq!(with(&conn.db(), &many).unwrap_err().code(), "transact/tx-pred");
                registry.remove_tx_predicate(config).unwrap();
                conn.transact(&many).unwrap();
            }
        }
        conn.release().unwrap();
    }
}

#[test]
fn queries_know_the_functions_of_the_registry() {
    let (registry, config) = (registry(), Config::memory("queries-of-a-registry"));
    registry.register_function(Function::new("my.app/double", 1..=1, |args| match args {
        [Argument::Value(Value::Long(n))] => Ok(n.checked_mul(2).map(Value::Long)),
        _ => Ok(None),
    }));
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact(SCHEMA).unwrap();
    conn.transact("[{:name \"A\" :age 4}]").unwrap();
    let query = "[:find ?d . :where [_ :age ?a] [(my.app/double ?a) ?d]]";
    assert_eq!(q(query, &conn.db()).unwrap().to_form().to_string(), "8");
    let prepared = prepare_with(query, &QueryOptions::of(&conn.db())).unwrap();
    assert_eq!(prepared.run(&conn.db()).unwrap().to_form().to_string(), "8");
    let nested = "[:find ?d . :where [_ :age ?a] [(q \"[:find ?d . :in ?a :where [(my.app/double ?a) ?d]]\" ?a) ?d]]";
    assert_eq!(q(nested, &conn.db()).unwrap().to_form().to_string(), "8");
    let unknown = "[:find ?d . :in ?a :where [(my.app/double ?a) ?d]]";
    assert_eq!(q(unknown, treering::inputs![4]).unwrap_err().code(), "query/unknown-function");
    conn.release().unwrap();
}
