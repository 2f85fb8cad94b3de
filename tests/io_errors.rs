//! Input and output that fails: each operation in turn, once and for good, in every way.

mod support;

use std::sync::{Arc, Mutex};

use support::{Content, Model, SCHEMA, Sim, content, registry, sim_config, transaction};
use treering::edn::Keyword;
use treering::store::testing::{Crash, Failure, Fault, FaultBackend, SimFs};
use treering::store::{Backend, BoxFuture};
use treering::{
    Access, BackendKind, Connection, EntityId, EntityRef, ErrorKind, Registry, Result, StoreConfig, TX0, connect_in,
    create_database_in, database_exists_in,
};

const FAILURES: [Failure; 4] = [Failure::Io, Failure::Full, Failure::ShortWrite, Failure::Sync];

fn created() -> SimFs {
    let fs = SimFs::new();
    create_database_in(&registry(&fs), &sim_config()).unwrap();
    fs
}

/// What was acknowledged, and whether anything failed.
#[derive(Default)]
struct Run {
    model: Model,
    failed: bool,
}

impl Run {
    /// A transaction; after the first failure none may succeed.
    fn transact(&mut self, conn: &Connection, text: &str) {
        match conn.transact(text) {
            Ok(report) => {
                assert!(!self.failed, "a transaction was acknowledged after a failure");
                self.model.apply(&report.tx_data);
            }
            Err(error) => {
                let wanted = if self.failed { ErrorKind::Closed } else { error.kind() };
                assert!(matches!(error.kind(), ErrorKind::Storage | ErrorKind::Closed), "{error:?}");
                assert_eq!(error.kind(), wanted, "{error:?}");
                self.failed = true;
            }
        }
    }
}

/// Connects, writes, flushes, writes and releases.
fn work(fs: &SimFs) -> Run {
    let mut run = Run::default();
    let conn = match connect_in(&registry(fs), &sim_config()) {
        Ok(conn) => conn,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Storage | ErrorKind::Closed), "{error:?}");
            run.failed = true;
            return run;
        }
    };
    run.transact(&conn, SCHEMA);
    for i in 1..6 {
        run.transact(&conn, &transaction(i, "p"));
        if i == 3 {
            run.failed |= conn.flush().is_err();
        }
    }
    // Large enough that the log grows.
    run.transact(&conn, &format!("[{{:name \"large\" :note {:?}}}]", "x".repeat(100_000)));
    run.transact(&conn, &transaction(7, "p"));
    let released = conn.release();
    assert!(released.is_ok() || !released.unwrap_err().to_string().is_empty());
    run
}

/// What the database held after the transactions that were acknowledged: nothing of them may be lost, and there is at
/// most one more, of which nobody heard whether it was made.
fn check(fs: &SimFs, run: &Run, what: &str) -> Connection {
    let conn = connect_in(&registry(fs), &sim_config()).unwrap_or_else(|e| panic!("{what}: does not open: {e:?}"));
    let db = conn.db();
    let wanted = run.model.last();
    let count = db.basis_t().0 - wanted.basis;
    assert!(db.basis_t().0 >= wanted.basis, "{what}: {} were acknowledged, {} there", wanted.basis, db.basis_t());
    assert!(count <= 1, "{what}: {count} more than were acknowledged");
    assert!(count == 0 || run.failed, "{what}");
    let then = db.as_of(EntityId(wanted.basis)).unwrap();
    assert_eq!(Content { basis: wanted.basis, ..content(&then).unwrap() }, wanted, "{what}");
    content(&db).unwrap();
    conn
}

#[test]
fn each_operation_fails_in_turn() {
    let whole = created();
    whole.set_fault(None);
    let run = work(&whole);
    let operations = whole.operations();
    assert!(!run.failed && operations > 50, "{operations}");
    let (mut failed, mut harmless) = (0, 0);
    for at in 0..operations {
        for failure in FAILURES {
            for sticky in [false, true] {
                let fs = created();
                let fault = Fault { at, failure, sticky };
                fs.set_fault(Some(fault));
                let run = work(&fs);
                if run.failed {
                    failed += 1
                } else {
                    harmless += 1
                }
                fs.set_fault(None);
                let what = format!("{fault:?}");
                // The power is lost while the fault stands, or the process goes and another opens what is there.
                for crash in [Crash::Lost, Crash::Kept, Crash::Subset(at)] {
                    check(&fs.crash_image(fs.ops_len(), crash), &run, &format!("{what} {crash:?}"));
                }
                let conn = check(&fs, &run, &what);
                let found = content(&conn.db()).unwrap();
                let report = conn.transact("[{:db/doc \"after the fault\"}]").unwrap();
                let after = content(&report.db_after).unwrap();
                assert_eq!(after.basis, found.basis + 1);
                if at % 2 == 0 {
                    conn.release().unwrap();
                }
                drop(conn);
                // What the second writer acknowledged survives a loss of power, and all that it builds on.
                for crash in [Crash::Lost, Crash::Torn { sector: 512, seed: at }] {
                    let image = fs.crash_image(fs.ops_len(), crash);
                    let conn = connect_in(&registry(&image), &sim_config())
                        .unwrap_or_else(|e| panic!("{what} {crash:?}: does not open after the next writer: {e:?}"));
                    assert_eq!(content(&conn.db()).unwrap(), after, "{what} {crash:?}");
                }
            }
        }
    }
    println!("{operations} operations, {failed} runs failed, {harmless} did not need what failed");
    assert!(failed > 300, "{failed}");
}

#[test]
fn a_creation_that_fails_can_be_done_again() {
    let fs = SimFs::new();
    fs.set_fault(None);
    create_database_in(&registry(&fs), &sim_config()).unwrap();
    for at in 0..fs.operations() {
        for failure in FAILURES {
            let fs = SimFs::new();
            fs.set_fault(Some(Fault { at, failure, sticky: true }));
            let created = create_database_in(&registry(&fs), &sim_config());
            fs.set_fault(None);
            if !database_exists_in(&registry(&fs), &sim_config()).unwrap() {
                assert!(created.is_err());
                create_database_in(&registry(&fs), &sim_config()).unwrap();
            }
            let conn = connect_in(&registry(&fs), &sim_config()).unwrap();
            assert_eq!(conn.db().basis_t(), EntityId(TX0));
            conn.transact(SCHEMA).unwrap();
            conn.release().unwrap();
        }
    }
}

#[test]
fn an_import_that_fills_the_disk_leaves_a_database_that_opens() {
    for at in [3, 20, 57, 100, 161] {
        let fs = created();
        let registry = registry(&fs);
        let conn = connect_in(&registry, &sim_config()).unwrap();
        let mut run = Run::default();
        run.transact(&conn, SCHEMA);
        fs.set_fault(Some(Fault { at, failure: Failure::Full, sticky: true }));
        for i in 0..80 {
            let people = (0..100).map(|n| format!("{{:name \"{i}-{n}\" :age {n} :note \"{}\"}}", "n".repeat(40)));
            run.transact(&conn, &format!("[{}]", people.collect::<String>()));
            if i % 20 == 19 {
                run.failed |= conn.flush().is_err();
            }
        }
        assert!(run.failed, "the disk was full");
        let error = conn.transact("[]").unwrap_err();
        assert!(error.message().contains("no space left"), "{error}");
        assert!(conn.release().is_ok(), "what was acknowledged is in the log, so release has nothing to lose");
        drop(conn);
        // On the full disk it can still be read.
        let reader = connect_in(&support::registry(&fs), &sim_config().read_only(true)).unwrap();
        assert!(reader.db().basis_t().0 >= run.model.last().basis);
        fs.set_fault(None);
        let conn = check(&fs, &run, "after the disk was full");
        conn.transact("[{:name \"again\"}]").unwrap();
        conn.release().unwrap();
    }
}

/// Reads what is there without writing anything.
fn seen(reader: &Connection) -> Result<u64> {
    Ok(reader.sync()?.basis_t().0 - TX0)
}

#[test]
fn a_reader_does_not_see_what_was_not_acknowledged() {
    let fs = created();
    let writer = connect_in(&registry(&fs), &sim_config()).unwrap();
    writer.transact(SCHEMA).unwrap();
    let beside = |fs: &SimFs| connect_in(&registry(fs), &sim_config().read_only(true)).unwrap();
    let reader = beside(&fs);
    assert_eq!(seen(&reader).unwrap(), 1);
    writer.transact("[{:name \"two\"}]").unwrap();
    assert_eq!(seen(&reader).unwrap(), 2);

    // The write of the entry, then its sync, which fails: it can be read, and may be lost.
    fs.set_fault(Some(Fault { at: 1, failure: Failure::Sync, sticky: false }));
    assert!(writer.transact("[{:name \"three\"}]").is_err());
    fs.set_fault(None);
    assert_eq!((seen(&reader).unwrap(), seen(&beside(&fs)).unwrap()), (2, 2));
    drop(writer);
    assert_eq!(seen(&reader).unwrap(), 2);

    // After a loss of power the note of the last writer says nothing: what is there is what a writer recovers.
    let image = fs.crash_image(fs.ops_len(), Crash::Lost);
    assert_eq!(seen(&beside(&image)).unwrap(), 2);
    let image = fs.crash_image(fs.ops_len(), Crash::NamesOnly);
    assert_eq!(seen(&beside(&image)).unwrap(), 2);

    // The next writer recovers it, and so do readers from then on.
    let writer = connect_in(&registry(&fs), &sim_config()).unwrap();
    assert_eq!(writer.db().basis_t().0 - TX0, 3);
    assert_eq!((seen(&reader).unwrap(), seen(&beside(&fs)).unwrap()), (3, 3));
    writer.transact("[{:name \"four\"}]").unwrap();
    drop(writer);
    // Nothing of a note survives, and everything of the log.
    let image = fs.crash_image(fs.ops_len(), Crash::Lost);
    assert_eq!(seen(&beside(&image)).unwrap(), 4);
}

/// Transactions that share an entry of the log fail together: of those that were told of success none is lost, and those
/// that were told of a failure are a whole or not there at all.
#[test]
fn threads_that_share_a_failed_write_are_all_told() {
    let mut failures = 0;
    for at in 0..40 {
        for failure in [Failure::Io, Failure::Sync] {
            let fs = created();
            let conn = connect_in(&registry(&fs), &sim_config()).unwrap();
            conn.transact(SCHEMA).unwrap();
            fs.set_fault(Some(Fault { at, failure, sticky: false }));
            let told: Vec<(String, Option<u64>)> = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..6)
                    .map(|thread| {
                        let conn = &conn;
                        scope.spawn(move || {
                            let one = |i| {
                                let name = format!("{thread}-{i}");
                                let report = conn.transact(format!("[{{:name {name:?} :age {i}}}]").as_str());
                                (name, report.ok().map(|report| report.db_after.basis_t().0))
                            };
                            (0..20).map(one).collect::<Vec<_>>()
                        })
                    })
                    .collect();
                writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
            });
            // A failure may also fall on what is not needed, or come after the last transaction.
            let failed = told.iter().any(|(_, t)| t.is_none());
            failures += u32::from(failed);
            fs.set_fault(None);
            assert_eq!(conn.transact("[]").is_err(), failed, "no transaction is made after a failure");
            let last = told.iter().filter_map(|(_, t)| *t).max().unwrap_or(TX0 + 1);
            assert_eq!(conn.db().basis_t().0, last + u64::from(!failed), "what failed must not be seen");
            drop(conn);
            for fs in [fs.crash_image(fs.ops_len(), Crash::Lost), fs] {
                let conn = connect_in(&registry(&fs), &sim_config()).unwrap();
                let db = conn.db();
                content(&db).unwrap();
                let mut there = 0;
                for (name, t) in &told {
                    let reference = EntityRef::from((Keyword::new("name"), name.as_str()));
                    let found = db.entid(&reference).unwrap();
                    assert!(found.is_some() || t.is_none(), "{name} was acknowledged and is lost");
                    there += u64::from(found.is_some());
                }
                assert_eq!(TX0 + 1 + there + u64::from(!failed), db.basis_t().0);
            }
        }
    }
    assert!(failures > 10, "{failures} runs failed");
}

/// `:sim`, of which each opened backend can be made to fail.
#[derive(Debug)]
struct Flaky(Sim, Arc<Mutex<Vec<Arc<FaultBackend>>>>);

impl BackendKind for Flaky {
    fn keyword(&self) -> Keyword {
        self.0.keyword()
    }

    fn validate(&self, store: &StoreConfig) -> Result<()> {
        self.0.validate(store)
    }

    fn identity(&self, store: &StoreConfig) -> Result<String> {
        self.0.identity(store)
    }

    fn create<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        self.0.create(store)
    }

    fn exists<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        self.0.exists(store)
    }

    fn connect<'a>(&'a self, store: &'a StoreConfig, access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let backend = Arc::new(FaultBackend::new(self.0.connect(store, access).await?));
            self.1.lock().unwrap().push(Arc::clone(&backend));
            Ok(backend as Arc<dyn Backend>)
        })
    }

    fn delete<'a>(&'a self, store: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        self.0.delete(store)
    }
}

/// Reads that fail are errors for who asked, and the same question has its answer when reading works again.
#[test]
fn a_reader_whose_reads_fail_goes_on_where_it_was() {
    let fs = SimFs::new();
    create_database_in(&registry(&fs), &support::with_small_nodes(sim_config())).unwrap();
    let writer = connect_in(&registry(&fs), &sim_config()).unwrap();
    let mut model = Model::default();
    support::one_more(&writer, &mut model, SCHEMA).unwrap();
    let people: String = (0..3000).map(|n| format!("{{:name \"person {n}\" :age {n}}}")).collect();
    support::one_more(&writer, &mut model, &format!("[{people}]")).unwrap();
    writer.flush().unwrap();
    let mut errors = 0;
    for at in 0..16 {
        let opened = Arc::default();
        let registry = Registry::with_builtins().with_backend(Flaky(Sim(fs.clone()), Arc::clone(&opened)));
        // Without a cache, so that following has to read nodes.
        let reader = connect_in(&registry, &sim_config().read_only(true).cache_bytes(0)).unwrap();
        for n in 0..3 {
            let old = at * 180 + n * 60;
            let text = format!("[{{:name \"person {old}\" :age -{}}} {{:name \"new {at} {n}\"}}]", at + 1);
            support::one_more(&writer, &mut model, &text).unwrap();
        }
        let backend = opened.lock().unwrap().last().cloned().unwrap();
        backend.set_fault(Some(Fault { at, failure: Failure::Io, sticky: false }));
        if let Err(error) = reader.sync() {
            assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
            errors += 1;
        }
        backend.set_fault(None);
        assert_eq!(content(&reader.sync().unwrap()).unwrap(), model.last(), "read {at} failed");
        reader.release().unwrap();
    }
    // With buffers in the branches, following reads fewer nodes.
    assert!(errors > 4, "{errors} reads failed");
}
