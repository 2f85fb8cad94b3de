//! Who waits for whom: transactions for the log, and none for a flush.

#[path = "support/gated.rs"]
mod gated;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use gated::Gated;
use parking_lot::{Condvar, Mutex};
use support::{Model, SCHEMA, content, count, of_wanted_kind, one_more, transaction};
use treering::{Config, Connection, ErrorKind, Registry, connect_in, create_database_in, db_testing};

/// Counts, and lets others wait for a number.
#[derive(Default)]
struct Counter(Mutex<usize>, Condvar);

impl Counter {
    fn add(&self) {
        *self.0.lock() += 1;
        self.1.notify_all();
    }

    fn wait_for(&self, n: usize) {
        self.1.wait_while(&mut self.0.lock(), |count| *count < n);
    }
}

/// A database on `store` whose transactions can call `[:count]`, counted while they are applied.
fn open(store: &Gated, flush_after: u64) -> (Config, Registry, Connection, Arc<Counter>) {
    let registry = Registry::with_builtins().with_backend(store.clone());
    let counter = Arc::new(Counter::default());
    let counted = Arc::clone(&counter);
    registry.register_tx_function("count", move |_, _| {
        counted.add();
        Ok("[]")
    });
    let config = of_wanted_kind(Config::from_edn("{:store {:backend :gated}}").unwrap()).flush_after(flush_after);
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    (config, registry, conn, counter)
}

fn entries(store: &Gated) -> usize {
    store.written().iter().filter(|key| key.starts_with("log/")).count()
}

fn packs(store: &Gated) -> usize {
    store.written().iter().filter(|key| key.starts_with("pack/")).count()
}

/// While an entry of the log is being written, the next transactions are applied, and one entry takes them all.
#[test]
fn all_who_wait_for_the_log_share_its_next_entry() {
    const OTHERS: usize = 30;
    let store = Gated::default();
    let (_, _, conn, counter) = open(&store, 1 << 30);
    conn.transact(SCHEMA).unwrap();
    let (before, basis) = (entries(&store), count(&conn.db()));
    let told = Arc::new(AtomicUsize::new(0));
    let listened = Arc::clone(&told);
    conn.listen(move |_| {
        listened.fetch_add(1, Ordering::SeqCst);
    });
    store.hold("log/");
    thread::scope(|scope| {
        let first = scope.spawn(|| conn.transact("[[count]]").map(drop));
        store.wait_for_one();
        let others: Vec<_> = (0..OTHERS)
            .map(|i| {
                scope.spawn({
                    let conn = &conn;
                    move || conn.transact(format!("[[count] {{:name \"{i}\"}}]")).map(drop)
                })
            })
            .collect();
        counter.wait_for(1 + OTHERS);
        assert_eq!((count(&conn.db()), told.load(Ordering::SeqCst)), (basis, 0), "nothing is durable yet");
        store.release(false);
        first.join().unwrap().unwrap();
        others.into_iter().for_each(|other| other.join().unwrap().unwrap());
    });
    // The last of them may still have been on its way when the next entry began.
    let written = entries(&store) - before;
    assert!(written <= 3, "{written} entries for {} transactions", 1 + OTHERS);
    assert_eq!((count(&conn.db()), told.load(Ordering::SeqCst)), (basis + 1 + OTHERS, 1 + OTHERS));
    conn.release().unwrap();
}

/// Each caller of a group hears that its transaction is not durable.
#[test]
fn a_failed_entry_is_told_to_all_who_share_it() {
    const OTHERS: usize = 10;
    let store = Gated::default();
    let (config, registry, conn, counter) = open(&store, 1 << 30);
    conn.transact(SCHEMA).unwrap();
    let basis = count(&conn.db());
    store.hold("log/");
    thread::scope(|scope| {
        let all: Vec<_> = (0..OTHERS).map(|_| scope.spawn(|| conn.transact("[[count]]").map(drop))).collect();
        counter.wait_for(OTHERS);
        store.wait_for_one();
        store.release(true);
        for one in all {
            let error = one.join().unwrap().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Storage | ErrorKind::Closed), "{error:?}");
        }
    });
    assert_eq!(count(&conn.db()), basis);
    assert_eq!(conn.transact("[]").unwrap_err().code(), "writer-shut-down");
    conn.release().unwrap();
    store.release(false);
    let conn = connect_in(&registry, &config).unwrap();
    assert_eq!(count(&conn.db()), basis);
    conn.release().unwrap();
}

/// Transactions are made while a flush that is due stands still, until the log has grown too much.
#[test]
fn transactions_go_on_beside_a_flush() {
    const FLUSH_AFTER: u64 = 60_000;
    let store = Gated::default();
    let (config, registry, conn, counter) = open(&store, FLUSH_AFTER);
    let mut model = Model::default();
    let mut made = 0;
    let mut next = |model: &mut Model| {
        made += 1;
        one_more(&conn, model, &transaction(made, "p")).unwrap();
    };
    one_more(&conn, &mut model, SCHEMA).unwrap();
    store.hold("pack/");
    let large = |bytes: u64| format!("[{{:name \"large\" :note {:?}}}]", "x".repeat(bytes as usize));
    one_more(&conn, &mut model, &large(FLUSH_AFTER)).unwrap();
    store.wait_for_one();
    // None of these waits, or the test would not end.
    (0..49).for_each(|_| next(&mut model));
    one_more(&conn, &mut model, &large(3 * FLUSH_AFTER)).unwrap();
    assert_eq!((count(&conn.db()), packs(&store)), (52, 0));
    db_testing::check_indexes(&conn.db()).unwrap();

    // The log is as long as it may be: the next one is applied and waits for the flush.
    thread::scope(|scope| {
        let one_too_many = scope.spawn(|| conn.transact("[[count]]"));
        counter.wait_for(1);
        store.release(false);
        let report = one_too_many.join().unwrap().unwrap();
        model.apply(&report.tx_data);
    });
    let written = store.written();
    let pack = written.iter().position(|key| key.starts_with("pack/")).unwrap();
    let head = written.iter().skip(pack).position(|key| key.starts_with("head/")).unwrap();
    let entry = written.iter().rposition(|key| key.starts_with("log/")).unwrap();
    assert!(pack + head < entry, "the head at {head} after {pack}, the last entry at {entry}");

    (0..20).for_each(|_| next(&mut model));
    conn.flush().unwrap();
    assert_eq!(content(&conn.db()).unwrap(), model.last());
    db_testing::check_indexes(&conn.db()).unwrap();
    next(&mut model);
    drop(conn);
    let conn = connect_in(&registry, &config).unwrap();
    assert_eq!(content(&conn.db()).unwrap(), model.last());
    conn.release().unwrap();
}

/// Who asks for a flush waits for it, and nobody else does.
#[test]
fn transactions_go_on_beside_a_flush_that_was_asked_for() {
    let store = Gated::default();
    let (_, _, conn, _) = open(&store, 1 << 30);
    let mut model = Model::default();
    one_more(&conn, &mut model, SCHEMA).unwrap();
    store.hold("pack/");
    thread::scope(|scope| {
        let asked = scope.spawn(|| conn.flush());
        store.wait_for_one();
        for i in 1..50 {
            one_more(&conn, &mut model, &transaction(i, "p")).unwrap();
        }
        assert_eq!((count(&conn.db()), packs(&store)), (50, 0));
        store.release(false);
        asked.join().unwrap().unwrap();
    });
    assert_eq!(packs(&store), 1);
    conn.release().unwrap();
    assert_eq!(packs(&store), 2);
}

#[test]
fn a_flush_that_fails_stops_the_writer() {
    const FLUSH_AFTER: u64 = 20_000;
    let store = Gated::default();
    let (config, registry, conn, _) = open(&store, FLUSH_AFTER);
    let mut model = Model::default();
    one_more(&conn, &mut model, SCHEMA).unwrap();
    store.hold("pack/");
    let large = format!("[{{:name \"large\" :note {:?}}}]", "x".repeat(FLUSH_AFTER as usize));
    one_more(&conn, &mut model, &large).unwrap();
    store.wait_for_one();
    one_more(&conn, &mut model, &transaction(1, "p")).unwrap();
    store.release(true);
    // Until the flush is over; who asks for one waits for that.
    let error = conn.flush().unwrap_err();
    assert!(error.message().contains("the indexes could not be flushed"), "{error}");
    let error = conn.transact("[]").unwrap_err();
    assert!(error.message().contains("the indexes could not be flushed"), "{error}");
    assert_eq!(conn.transact("[]").unwrap_err().code(), "writer-shut-down");
    assert_eq!(content(&conn.db()).unwrap(), model.last());
    conn.release().unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    assert_eq!(content(&conn.db()).unwrap(), model.last());
    conn.release().unwrap();
}
