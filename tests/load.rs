//! Loads of raw datoms: what was transacted in one database is the same in another after its datoms were loaded, and what
//! no database would hold is folded into what one would.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use support::{Chance, Model, SCHEMA, content, env_number, registry, sim_config, transaction};
use treering::edn::{Keyword, read_all};
use treering::store::testing::{Crash, SimFs};
use treering::{
    Config, Connection, Datom, Db, EntityId, EntityRef, LoadIds, LoadOptions, LoadReport, RawAttribute, RawDatom,
    Result, TX0, Value, connect, connect_in, create_database, create_database_in, delete_database, load_onto, q,
};

/// A new database in memory.
fn memory(name: &str) -> Connection {
    let config = Config::memory(name);
    create_database(&config).unwrap();
    connect(&config).unwrap()
}

fn end(conn: &Connection, name: &str) {
    conn.release().unwrap();
    delete_database(&Config::memory(name)).unwrap();
}

fn raw(db: &Db, datom: &Datom) -> RawDatom {
    let a = RawAttribute::Ident(db.ident(datom.a).expect("a known attribute"));
    RawDatom { e: datom.e, a, v: datom.v.clone(), tx: datom.tx, added: datom.added }
}

/// Everything that was ever said in a database.
fn dump(conn: &Connection) -> Vec<RawDatom> {
    let db = conn.db();
    let made = conn.tx_range(EntityId(TX0), None).unwrap();
    made.flat_map(|made| made.unwrap().datoms).map(|datom| raw(&db, &datom)).collect()
}

fn load(conn: &Connection, datoms: &[RawDatom], options: &LoadOptions) -> Result<LoadReport> {
    conn.load(datoms.iter().cloned().map(Ok), options)
}

/// Datoms by attribute name, which numbers differ between databases.
fn shown(db: &Db) -> Vec<RawDatom> {
    let mut cursor = db.cursor(treering::Order::Eavt, None, None, treering::index::Direction::Forward).unwrap();
    let mut datoms = Vec::new();
    while let Some(chunk) = cursor.next().unwrap() {
        datoms.extend(chunk.rows().map(|i| raw(db, &Db::datom(&chunk.columns.row(i)))));
    }
    let name = |a: RawAttribute| match a {
        RawAttribute::Ident(ident) => ident.to_string(),
        RawAttribute::Id(id) => id.to_string(),
    };
    datoms.sort_by(|x, y| (x.e, name(x.a), &x.v, x.tx, x.added).cmp(&(y.e, name(y.a), &y.v, y.tx, y.added)));
    datoms
}

/// All views of both databases are equal.
fn assert_same(source: &Db, copy: &Db) {
    assert_eq!((source.basis_t(), source.max_eid()), (copy.basis_t(), copy.max_eid()));
    assert_eq!(shown(source), shown(copy));
    assert_eq!(shown(&source.history().unwrap()), shown(&copy.history().unwrap()));
    for t in (TX0 + 1..=source.basis_t().0).map(EntityId) {
        assert_eq!(shown(&source.as_of(t).unwrap()), shown(&copy.as_of(t).unwrap()), "as of {t}");
        assert_eq!(shown(&source.since(t).unwrap()), shown(&copy.since(t).unwrap()), "since {t}");
    }
    let query = "[:find ?n ?m ?t :where [?a :friend ?b ?t] [?a :name ?n] [?b :name ?m]]";
    assert_eq!(q(query, source).unwrap().to_form(), q(query, copy).unwrap().to_form());
    let query = "[:find ?e ?v ?t ?op :where [?e :age ?v ?t ?op]]";
    let histories = [source, copy].map(|db| q(query, &db.history().unwrap()).unwrap().to_form());
    assert_eq!(histories[0], histories[1]);
    for attribute in source.schema().attributes() {
        let other = copy.schema().attribute(attribute.ident).expect("the attribute came with the datoms");
        assert_eq!(
            (attribute.value_type, attribute.unique, attribute.entity),
            (other.value_type, other.unique, other.entity)
        );
    }
}

fn shuffle(datoms: &mut [RawDatom], chance: &mut Chance) {
    for i in (1..datoms.len()).rev() {
        datoms.swap(i, chance.below(i + 1));
    }
}

/// A source with history, made by ordinary transactions.
fn source(name: &str, transactions: usize) -> Connection {
    let conn = memory(name);
    conn.transact(SCHEMA).unwrap();
    for i in 1..transactions {
        conn.transact(transaction(i, "p").as_str()).unwrap();
    }
    conn.transact("{:tx-data [[:db/add [:name \"p1\"] :age 99]] :tx-meta {:db/doc \"why\"}}").unwrap();
    // Attributes that change, and facts that come back.
    conn.transact("[{:db/ident :tags :db/index true} [:db/retract [:name \"p1\"] :age 99]]").unwrap();
    conn.transact("[[:db/add [:name \"p1\"] :age 99] {:name \"p2\" :tags [\"new\"]}]").unwrap();
    conn
}

#[test]
fn a_dump_with_history_makes_the_same_database() {
    let seed = env_number("TREERING_SEED", 1);
    println!("TREERING_SEED={seed}");
    let conn = source("load-source", 80);
    let mut datoms = dump(&conn);
    let in_order = datoms.clone();
    shuffle(&mut datoms, &mut Chance(seed));
    let (db, report) =
        load_onto(&empty("load-empty"), datoms.iter().cloned().map(Ok), &LoadOptions::default()).unwrap();
    assert_same(&conn.db(), &db);
    assert_eq!(report.transactions, db.basis_t().0 - TX0);
    assert_eq!((report.repeated, report.orphans, report.replaced, report.instants), (0, 0, 0, 0));
    assert_eq!(report.resolve(EntityId(7)), Some(EntityId(7)));

    let dir = tempfile::tempdir().unwrap();
    let config = Config::file(dir.path().join("copy.tr"));
    create_database(&config).unwrap();
    let copy = connect(&config).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    copy.listen(move |report| listener.lock().unwrap().push(report.db_after.basis_t()));
    load(&copy, &in_order, &LoadOptions { in_order: true, ..LoadOptions::default() }).unwrap();
    assert_eq!(*told.lock().unwrap(), (TX0 + 1..=conn.db().basis_t().0).map(EntityId).collect::<Vec<_>>());
    // Without a release: from the log. Then from the indexes.
    drop(copy);
    for _ in 0..2 {
        let copy = connect(&config).unwrap();
        assert_same(&conn.db(), &copy.db());
        assert_eq!(dump(&copy).len(), in_order.len());
        copy.release().unwrap();
    }
    end(&conn, "load-source");
}

/// A database without facts.
fn empty(name: &str) -> Db {
    let conn = memory(name);
    let db = conn.db();
    end(&conn, name);
    db
}

#[test]
fn mapped_ids_keep_what_refers_to_what() {
    let source = source("load-mapped-source", 60);
    let conn = memory("load-mapped");
    // The same schema, in other ids, and people of its own.
    conn.transact("[{:name \"x\"}]").unwrap_err();
    conn.transact("[{:db/ident :other :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]").unwrap();
    conn.transact(SCHEMA).unwrap();
    conn.transact("[{:name \"own\" :age 1}]").unwrap();
    let (before, own) = (conn.db(), conn.db().entid(&EntityRef::from((Keyword::new("name"), "own"))).unwrap());
    let options = LoadOptions { ids: LoadIds::Map, ..LoadOptions::default() };
    let report = load(&conn, &dump(&source), &options).unwrap();
    let db = conn.db();
    assert_eq!(db.basis_t().0 - before.basis_t().0, source.db().basis_t().0 - TX0);
    let id = |e: EntityId| report.resolve(e).expect("every id of the dump has become one");
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    let (history, basis) = (source.db().history().unwrap(), before.basis_t());
    let instant = RawAttribute::Ident(Keyword::new("db/txInstant"));
    for datom in shown(&history).iter().filter(|datom| datom.a != instant) {
        let v = match datom.v {
            Value::Ref(target) => Value::Ref(id(target)),
            ref v => v.clone(),
        };
        let mapped = RawDatom { e: id(datom.e), v, tx: id(datom.tx), ..datom.clone() };
        *expected.entry(format!("{mapped:?}")).or_default() += 1;
    }
    for datom in shown(&db.history().unwrap().since(basis).unwrap()).iter().filter(|datom| datom.a != instant) {
        let left = expected.get_mut(&format!("{datom:?}")).unwrap_or_else(|| panic!("{datom:?} is not in the dump"));
        *left -= 1;
    }
    // What is left is what the database had: its definitions.
    let left: usize = expected.values().sum();
    assert_eq!(left as u64, report.repeated, "{expected:?}");
    assert_eq!(db.entid(&EntityRef::from((Keyword::new("name"), "own"))).unwrap(), own);
    // The dump's instants come before those of the transactions that stood there.
    assert!(report.instants > 0);
    let count = "[:find (count ?i) . :where [_ :db/txInstant ?i]]";
    assert_eq!(q(count, &db).unwrap().to_form().to_string(), (db.basis_t().0 - TX0).to_string());
    end(&source, "load-mapped-source");
    end(&conn, "load-mapped");
}

fn datoms(text: &str) -> Vec<RawDatom> {
    read_all(text).unwrap().iter().map(|form| RawDatom::from_form(form).unwrap()).collect()
}

const AGE: &str = "[1 :db/ident :age 536870913 true] [1 :db/valueType :db.type/long 536870913 true]
    [1 :db/cardinality :db.cardinality/one 536870913 true]";

#[test]
fn what_no_database_would_hold_is_folded() {
    let text = format!(
        "{AGE} [5 :age 1 536870915 true] [5 :age 1 536870916 true] [5 :age 2 536870918 true] [5 :age 7 536870920 false]
         [536870918 :db/txInstant #inst \"2020-01-01\" 536870918 true]
         [536870920 :db/txInstant #inst \"2019-01-01\" 536870920 true] [9 :age 3 536870920 false]
         [5 :age 2 536870921 false] [5 :age 4 536870921 true]"
    );
    let (db, report) =
        load_onto(&empty("load-fold"), datoms(&text).into_iter().map(Ok), &LoadOptions::default()).unwrap();
    assert_eq!((report.repeated, report.orphans, report.replaced), (1, 2, 1));
    assert_eq!((report.asserted, report.retracted, report.transactions), (6, 2, 6));
    // Transactions without an instant, and the one that was not later than the one before.
    assert_eq!(report.instants, 5);
    let ages = |db: &Db| q("[:find [?v ...] :where [5 :age ?v]]", db).unwrap().to_form().to_string();
    let at = |n: u64| ages(&db.as_of(EntityId(n)).unwrap());
    let steps =
        [(536_870_914, "[]"), (536_870_915, "[1]"), (536_870_917, "[1]"), (536_870_918, "[2]"), (536_870_921, "[4]")];
    for (t, expected) in steps {
        assert_eq!(at(t), expected, "as of {t}");
    }
    assert_eq!(db.max_eid(), EntityId(9), "an id that was named is never given out");
    let instant = |t: u64| db.as_of(EntityId(t)).unwrap();
    assert_eq!(ages(&db.as_of_instant(1_577_836_800_000).unwrap()), ages(&instant(536_870_918)));
    // A gap is no transaction, and the next one comes after all.
    assert_eq!(db.basis_t(), EntityId(536_870_921));
    let next = treering::with(&db, "[[:db/add 5 :age 5]]").unwrap();
    assert_eq!(next.db_after.basis_t(), EntityId(536_870_922));
}

#[test]
fn a_database_with_attributes_as_entities_is_read_by_its_idents() {
    let text =
        "[10 10 :db/ident 536870912 true] [11 10 :db/valueType 536870912 true] [12 10 :db/cardinality 536870912 true]
        [20 10 :db.type/string 536870912 true] [21 10 :db.cardinality/many 536870912 true]
        [13 10 :db/txInstant 536870912 true] [536870912 13 #inst \"1970-01-01\" 536870912 true]
        [100 10 :tags 536870913 true] [100 11 20 536870913 true] [100 12 21 536870913 true]
        [536870913 13 #inst \"2020-01-01\" 536870913 true]
        [101 100 \"a\" 536870914 true] [101 100 \"b\" 536870914 true] [101 100 \"a\" 536870915 false]";
    for ids in [LoadIds::Keep, LoadIds::Map] {
        let options = LoadOptions { ids, ..LoadOptions::default() };
        let (db, report) = load_onto(&empty("load-refs"), datoms(text).into_iter().map(Ok), &options).unwrap();
        assert_eq!(report.reserved, 6, "{ids:?}");
        assert_eq!(q("[:find [?v ...] :where [_ :tags ?v]]", &db).unwrap().to_form().to_string(), "[\"b\"]");
        let history = db.history().unwrap();
        assert_eq!(q("[:find ?v ?op :where [_ :tags ?v _ ?op]]", &history).unwrap().len(), 3);
    }
    let unknown = "[101 100 \"a\" 536870914 true]";
    let error = load_onto(&empty("load-refs-unknown"), datoms(unknown).into_iter().map(Ok), &LoadOptions::default());
    assert_eq!(error.unwrap_err().code(), "attribute/unknown");
}

#[test]
fn a_load_ends_at_the_transaction_that_breaks_a_rule() {
    let conn = memory("load-errors");
    conn.transact(SCHEMA).unwrap();
    let text = "[50 :name \"a\" 536870914 true] [51 :name \"b\" 536870915 true] [52 :name \"b\" 536870916 true]";
    let error = load(&conn, &datoms(text), &LoadOptions::default()).unwrap_err();
    assert_eq!(error.code(), "transact/unique");
    assert!(error.message().contains("transaction 536870916 of the load"), "{error}");
    assert_eq!(conn.db().basis_t(), EntityId(536_870_915), "what came before is loaded");
    let refused = |text: &str, options: &LoadOptions| load(&conn, &datoms(text), options).unwrap_err().code();
    let keep = LoadOptions::default();
    let ordered = LoadOptions { in_order: true, ..LoadOptions::default() };
    assert_eq!(refused("[60 :age 1 536870915 true]", &keep), "load/transaction-id");
    assert_eq!(refused("[60 :age 1 13194139534312 true]", &keep), "load/transaction-id");
    assert_eq!(refused("[60 :age \"x\" 536870916 true]", &keep), "transact/schema");
    assert_eq!(refused("[60 :agee 1 536870916 true]", &keep), "attribute/unknown");
    assert_eq!(refused("[536870999 :age 1 536870916 true]", &keep), "transact/entity-id");
    assert_eq!(refused("[0 :age 1 536870916 true]", &keep), "transact/entity-id");
    assert_eq!(refused("[60 :db/txInstant #inst \"2030\" 536870916 true]", &keep), "transact/tx-instant");
    assert_eq!(refused("[60 :age 1 536870917 true] [60 :age 2 536870916 true]", &ordered), "load/order");
    assert_eq!(RawDatom::from_form(&treering::edn::read("[1 :a 2 3]").unwrap()).unwrap_err().code(), "load/syntax");
    // The last one had made its first transaction.
    assert_eq!(conn.db().basis_t(), EntityId(536_870_917));
    // The source of the datoms cannot write while the writer waits for it.
    let (inner, mut asked) = (conn.clone(), None);
    let datoms = datoms("[70 :age 1 536870918 true]");
    let datoms = datoms.into_iter().map(|datom| {
        asked = Some(inner.transact("[]").unwrap_err().code());
        Ok(datom)
    });
    conn.load(datoms, &ordered).unwrap();
    assert_eq!(asked, Some("transact/in-listener"));
    conn.transact("[{:name \"after\"}]").unwrap();
    end(&conn, "load-errors");
}

#[test]
fn without_history_only_what_holds_is_kept() {
    let config = Config::memory("load-forgets").keep_history(false);
    create_database(&config).unwrap();
    let conn = connect(&config).unwrap();
    let source = source("load-forgets-source", 40);
    load(&conn, &dump(&source), &LoadOptions::default()).unwrap();
    assert_eq!(conn.db().basis_t(), source.db().basis_t());
    let instants = RawAttribute::Ident(Keyword::new("db/txInstant"));
    let mut expected = shown(&source.db());
    // What was said of transactions is a fact like others; when they were is forgotten with them.
    expected.retain(|datom| datom.a != instants);
    assert!(expected.iter().any(|datom| datom.e.is_transaction()));
    assert_eq!(shown(&conn.db()), expected);
    end(&source, "load-forgets-source");
    end(&conn, "load-forgets");
}

/// Loss of power anywhere in a load: some of its first transactions are there, each whole, at least those that were told;
/// loading what is left completes it.
#[test]
fn a_load_that_is_cut_off_can_go_on() {
    let seed = env_number("TREERING_SEED", 1);
    println!("TREERING_SEED={seed}");
    let source = source("load-crash-source", 40);
    let datoms = dump(&source);
    let fs = SimFs::new();
    create_database_in(&registry(&fs), &sim_config()).unwrap();
    let conn = connect_in(&registry(&fs), &sim_config()).unwrap();
    let told = Arc::new(Mutex::new((Model::default(), Vec::new())));
    let (listener, at) = (Arc::clone(&told), fs.clone());
    conn.listen(move |report| {
        let mut told = listener.lock().unwrap();
        told.0.apply(&report.tx_data);
        told.1.push(at.ops_len());
    });
    let created = fs.ops_len();
    // In three loads, so that there is something before and after.
    let cut = |n: usize| datoms.iter().position(|datom| datom.tx.0 > TX0 + n as u64).unwrap_or(datoms.len());
    for (from, to) in [(0, cut(10)), (cut(10), cut(11)), (cut(11), datoms.len())] {
        load(&conn, &datoms[from..to], &LoadOptions::default()).unwrap();
    }
    conn.release().unwrap();
    let (model, acknowledged) = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(content(&conn.db()).unwrap(), model.last());
    let mut replay = fs.replay();
    let (mut partial, mut chance) = (0, Chance(seed));
    for prefix in created..=fs.ops_len() {
        replay.advance(prefix);
        let crash = [Crash::Lost, Crash::Kept, Crash::Subset(chance.next()), Crash::NamesOnly][chance.below(4)];
        let image = replay.image(crash);
        let conn = connect_in(&registry(&image), &sim_config()).unwrap();
        let count = support::count(&conn.db());
        let least = acknowledged.iter().filter(|at| **at <= prefix).count();
        assert!(count >= least, "{crash:?} after {prefix}: {count} of {least}");
        assert_eq!(content(&conn.db()).unwrap(), model.after[count], "{crash:?} after {prefix}");
        partial += usize::from(count > 0 && count < acknowledged.len());
        let basis = conn.db().basis_t();
        let rest: Vec<_> = datoms.iter().filter(|datom| datom.tx > basis).cloned().collect();
        load(&conn, &rest, &LoadOptions::default()).unwrap();
        assert_eq!(content(&conn.db()).unwrap(), model.last(), "{crash:?} after {prefix}");
        conn.release().unwrap();
    }
    assert!(partial > 5, "{partial} images held part of the load");
    end(&source, "load-crash-source");
}
