//! What holds on every backend.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use treering::edn::Keyword;
use treering::store::testing::conformance;
use treering::{
    Access, Config, ErrorKind, GcOptions, Registry, connect_in, create_database_in, database_exists_in,
    delete_database_in,
};

use crate::support::{Chance, SCHEMA, content, env_number};
use crate::writers::{self, Process, check, connect, kill_round_by_round, transaction};
use crate::{Place, calls, secrets};

pub fn all(place: &dyn Place) {
    conforms(place);
    lives(place);
    fences_threads(place);
    fences_a_stopped_process(place);
    calls::are_few(place);
    secrets::are_kept(place);
    kill_round_by_round(&whole(place, "killed"), place.kills(), env_number("TREERING_SEED", 1));
}

/// The config of a database.
fn whole(place: &dyn Place, name: &str) -> String {
    format!("{{:store {}}}", place.store(name))
}

pub fn config(place: &dyn Place, name: &str) -> Config {
    writers::config(&whole(place, name))
}

fn conforms(place: &dyn Place) {
    let registry = Registry::with_builtins();
    // A backend lives on the runtime of the store that opened it.
    let (opened, made) = (RefCell::new(Vec::new()), Cell::new(0));
    conformance(|| {
        made.set(made.get() + 1);
        let store = registry.create_store(&config(place, &format!("conforms{}", made.get()))).unwrap();
        opened.borrow_mut().push(store.clone());
        Arc::clone(store.backend())
    });
}

/// From creation to deletion, with a reader, garbage and a purge.
fn lives(place: &dyn Place) {
    let registry = Registry::with_builtins();
    let config = config(place, "lives");
    assert!(!database_exists_in(&registry, &config).unwrap());
    assert_eq!(connect_in(&registry, &config).map(|_| ()).unwrap_err().code(), "db-does-not-exist");
    create_database_in(&registry, &config).unwrap();
    assert!(database_exists_in(&registry, &config).unwrap());
    assert_eq!(create_database_in(&registry, &config).unwrap_err().code(), "db-already-exists");

    let conn = connect_in(&registry, &config).unwrap();
    let other = Registry::with_builtins();
    let reader = connect_in(&other, &config.clone().read_only(true)).unwrap();
    conn.transact(SCHEMA).unwrap();
    for i in 0..60 {
        conn.transact(format!("[{{:name \"p{}\" :age {i} :note \"remember {i}\"}}]", i % 20).as_str()).unwrap();
        if i % 15 == 14 {
            conn.flush().unwrap();
            assert_eq!(content(&reader.sync().unwrap()).unwrap(), content(&conn.db()).unwrap());
        }
    }
    conn.transact("[[:db.purge/entity [:name \"p3\"]]]").unwrap();
    conn.gc(GcOptions::default()).unwrap();
    let left = content(&conn.db()).unwrap();
    assert_eq!(content(&reader.sync().unwrap()).unwrap(), left);
    conn.release().unwrap();
    assert_eq!(content(&reader.sync().unwrap()).unwrap(), left);
    reader.release().unwrap();

    let store = other.connect_store(&config, Access::ReadOnly).unwrap();
    for key in store.list("").unwrap() {
        let bytes = store.get(&key, None).unwrap().unwrap_or_default();
        assert_eq!(store.size(&key).unwrap(), Some(bytes.len() as u64), "{key}");
        let found = bytes.windows(11).any(|text| text == b"remember 43");
        assert!(!found || !key.starts_with("log/"), "{key} holds what was purged");
    }
    store.close().unwrap();
    let conn = connect_in(&other, &config).unwrap();
    assert_eq!(content(&conn.db()).unwrap(), left);
    conn.release().unwrap();
    delete_database_in(&registry, &config).unwrap();
    assert!(!database_exists_in(&registry, &config).unwrap());
    delete_database_in(&registry, &config).unwrap();
    create_database_in(&registry, &config).unwrap();
}

/// Two writers in one process, each with several threads: whoever came last writes, the other is told and comes again.
fn fences_threads(place: &dyn Place) {
    let config = config(place, "threads");
    writers::create(&config);
    let mut acknowledged = BTreeMap::new();
    for round in 0..4 {
        let [one, two] = [0, 1].map(|_| Registry::with_builtins());
        let first = connect_in(&one, &config).unwrap();
        let written = std::thread::scope(|scope| {
            let work = |thread: usize| {
                let first = &first;
                move || {
                    let (writer, mut told) = (format!("{round} {thread}"), Vec::new());
                    let mut chance = Chance(round * 10 + thread as u64);
                    for i in 0.. {
                        match first.transact(transaction(&writer, i).as_str()) {
                            // A writer who never pauses can only be taken over from by luck, where a server is slow.
                            Ok(report) => {
                                told.push((format!("{writer} {i}"), report.db_after.basis_t().0));
                                let pause = 10 + chance.below(20) as u64;
                                std::thread::sleep(std::time::Duration::from_millis(pause));
                            }
                            Err(error) => return (told, error),
                        }
                    }
                    unreachable!("it writes until it is refused")
                }
            };
            let threads: Vec<_> = (0..3).map(|thread| scope.spawn(work(thread))).collect();
            while first.db().basis_t().0 < treering::TX0 + 5 + round * 20 {
                std::thread::yield_now();
            }
            let second = connect_in(&two, &config).unwrap();
            let writer = format!("{round} 9");
            for i in 0..10 {
                let report = second.transact(transaction(&writer, i).as_str()).unwrap();
                acknowledged.insert(format!("{writer} {i}"), report.db_after.basis_t().0);
                if i == 4 {
                    second.flush().unwrap();
                }
            }
            let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            let refused = ends.iter().filter(|(_, error)| error.kind() == ErrorKind::Fenced).count();
            assert!(refused >= 1, "nobody was told of the other writer: {ends:?}");
            let stopped =
                |error: &treering::Error| error.kind() == ErrorKind::Fenced || error.code() == "writer-shut-down";
            assert!(ends.iter().all(|(_, error)| stopped(error)), "{ends:?}");
            check(&second.db(), &acknowledged, "after the take-over");
            // Half of the time the loser goes first.
            if round % 2 == 0 {
                let _ = first.release();
                second.release().unwrap();
            } else {
                second.release().unwrap();
                let _ = first.release();
            }
            ends
        });
        acknowledged.extend(written.into_iter().flat_map(|(told, _)| told));
        let conn = connect(&config);
        check(&conn.db(), &acknowledged, "after both");
        conn.release().unwrap();
    }
}

/// A process is stopped, another writes meanwhile, the first goes on: it is told, comes again and fences the other.
fn fences_a_stopped_process(place: &dyn Place) {
    let text = whole(place, "stopped");
    let config = writers::config(&text);
    writers::create(&config);
    let mut acknowledged = BTreeMap::new();
    for round in 0..3 {
        let mut child = Process::start(&text, round, true);
        acknowledged.extend(child.acknowledged(3 + round * 4));
        if place.stops_anywhere() {
            child.signal("STOP");
        }
        let mut conn = connect(&config);
        let writer = format!("{round} 9");
        let write = |conn: &treering::Connection, i: usize| conn.transact(transaction(&writer, i).as_str());
        for i in 0..5 {
            let report = loop {
                match write(&conn, i) {
                    Ok(report) => break report,
                    // The other was not stopped and has come again.
                    Err(error) if !place.stops_anywhere() && error.kind() == ErrorKind::Fenced => {
                        let _ = conn.release();
                        conn = connect(&config);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            };
            acknowledged.insert(format!("{writer} {i}"), report.db_after.basis_t().0);
        }
        if round == 1 && place.stops_anywhere() {
            conn.flush().unwrap();
        }
        if place.stops_anywhere() {
            child.signal("CONT");
        }
        loop {
            let line = child.told();
            if let Some(refused) = line.strip_prefix("refused ") {
                assert_eq!(refused, "writer/fenced");
                break;
            }
            acknowledged.extend(writers::acknowledgement(&line));
        }
        while child.told() != "connected" {}
        acknowledged.extend(child.acknowledged(2));
        // It is the writer now, or was once; one that was not stopped may have to come again.
        let mut next = 5;
        let error = loop {
            match write(&conn, next) {
                Ok(report) => acknowledged.insert(format!("{writer} {next}"), report.db_after.basis_t().0),
                Err(error) => break error,
            };
            next += 1;
        };
        assert!(next == 5 || !place.stops_anywhere(), "the writer before was not fenced");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "writer/fenced"), "{error}");
        assert_eq!(write(&conn, next).unwrap_err().code(), "writer-shut-down");
        let _ = conn.release();
        child.kill();
        acknowledged.extend(child.rest());
        let conn = connect(&config);
        check(&conn.db(), &acknowledged, "after it was fenced");
        let report = write(&conn, next).unwrap();
        acknowledged.insert(format!("{writer} {next}"), report.db_after.basis_t().0);
        check(&conn.db(), &acknowledged, "after both");
        conn.release().unwrap();
    }
}

/// The keyword of a backend in a `:store` map.
pub fn backend(config: &Config) -> Keyword {
    config.store_config().backend()
}
