//! What is purged is nowhere any more: in no view, in no log, and after garbage collection in no byte of the store.
//!
//! Random transactions on data with marked secrets, on a directory, on blobs, and in memory, against a model of rows.
//! `TREERING_SEED` sets what they are chosen by.

#[path = "support/blobs.rs"]
mod blobs;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use blobs::Blobs;
use support::{Chance, content, env_number};
use treering::edn::Keyword;
use treering::index::Direction;
use treering::{
    Config, Connection, Datom, Db, EntityId, EntityMap, GcOptions, Given, Op, Order, Registry, TX0, TxReport, Value,
    connect_in, create_database_in, db_testing,
};

const SCHEMA: &str = "[
  {:db/ident :id :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :text :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :texts :db/valueType :db.type/string :db/cardinality :db.cardinality/many}
  {:db/ident :word :db/valueType :db.type/keyword :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :blob :db/valueType :db.type/bytes :db/cardinality :db.cardinality/one}
  {:db/ident :key :db/valueType :db.type/uuid :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :quiet :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true :db/noHistory true}
  {:db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :part :db/valueType :db.type/ref :db/cardinality :db.cardinality/one :db/isComponent true}
  {:db/ident :text+id :db/valueType :db.type/tuple :db/tupleAttrs [:text :id] :db/cardinality :db.cardinality/one
   :db/index true}]";

/// A fact as the model keeps it.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    e: u64,
    a: Keyword,
    v: Value,
    tx: u64,
    until: Option<u64>,
}

#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    /// Values that were purged.
    purged: Vec<Value>,
    /// `:db/txInstant` of each transaction.
    instants: Vec<(u64, i64)>,
}

fn kw(name: &str) -> Keyword {
    Keyword::new(name)
}

fn secret_in(row: &Row) -> bool {
    ["text", "texts", "word", "blob", "key", "quiet"].contains(&row.a.as_str())
}

impl Model {
    /// Takes in what a transaction asserted and retracted.
    fn take(&mut self, report: &TxReport) {
        let db = &report.db_after;
        for Datom { e, a, v, tx, added } in &report.tx_data {
            let a = db.ident(*a).or_else(|| report.db_before.ident(*a)).unwrap();
            if *added {
                self.rows.push(Row { e: e.0, a, v: v.clone(), tx: tx.0, until: None });
                if let (true, Value::Instant(at)) = (a == kw("db/txInstant"), v) {
                    self.instants.push((tx.0, *at));
                }
                continue;
            }
            let is_it = |row: &Row| (row.e, row.a, row.until) == (e.0, a, None) && row.v == *v;
            let place = self.rows.iter().position(is_it).expect("only what holds is retracted");
            self.rows[place].until = Some(tx.0);
            if a == kw("quiet") {
                self.rows.remove(place);
            }
        }
    }

    fn remove(&mut self, goes: impl Fn(&Row) -> bool) {
        let (gone, stay): (Vec<Row>, Vec<Row>) = std::mem::take(&mut self.rows).into_iter().partition(goes);
        self.rows = stay;
        // What was made of a purged text goes with it.
        for row in gone.iter().filter(|row| row.a == kw("text") || row.a == kw("id")) {
            let holds = |other: &Row| {
                let members = if let Value::Tuple(members) = &other.v { members.to_vec() } else { Vec::new() };
                other.e == row.e && other.a == kw("text+id") && members.contains(&row.v)
            };
            self.rows.retain(|other| !holds(other));
        }
        self.purged.extend(gone.into_iter().filter(secret_in).map(|row| row.v));
    }

    fn purge_entity(&mut self, e: u64) {
        let mut pending = vec![e];
        let mut seen = BTreeSet::new();
        while let Some(e) = pending.pop() {
            if seen.insert(e) {
                pending.extend(self.parts(e, kw("part")));
                self.remove(|row| row.e == e || row.v == Value::Ref(EntityId(e)));
            }
        }
    }

    fn parts(&self, e: u64, a: Keyword) -> Vec<u64> {
        let of = self.rows.iter().filter(|row| row.e == e && row.a == a && a == kw("part"));
        of.filter_map(|row| if let Value::Ref(id) = row.v { Some(id.0) } else { None }).collect()
    }

    fn instant_of(&self, t: u64) -> i64 {
        self.instants.iter().find(|(tx, _)| *tx == t).map(|(_, at)| *at).unwrap()
    }

    /// The datoms of history.
    fn events(&self) -> Vec<String> {
        let mut all = Vec::new();
        for Row { e, a, v, tx, until } in &self.rows {
            all.push(format!("{e} {a} {v:?} {tx} true"));
            all.extend(until.map(|until| format!("{e} {a} {v:?} {until} false")));
        }
        all.sort();
        all
    }

    /// The datoms that hold after transaction `t`, of those since `since`.
    fn state(&self, since: u64, t: u64) -> Vec<String> {
        let holds = |row: &&Row| row.tx > since && row.tx <= t && row.until.is_none_or(|until| until > t);
        let mut all: Vec<_> =
            self.rows.iter().filter(holds).map(|r| format!("{} {} {:?} {} true", r.e, r.a, r.v, r.tx)).collect();
        all.sort();
        all
    }

    fn compare(&self, conn: &Connection, chance: &mut Chance) {
        let db = conn.db();
        db_testing::check_indexes(&db).unwrap();
        content(&db).unwrap();
        assert_eq!(datoms(&db.history().unwrap()), self.events(), "history");
        assert_eq!(datoms(&db), self.state(0, db.basis_t().0), "now");
        for _ in 0..3 {
            let t = TX0 + 1 + chance.below((db.basis_t().0 - TX0) as usize) as u64;
            let since = TX0 + chance.below((t - TX0) as usize) as u64;
            assert_eq!(datoms(&db.as_of(EntityId(t)).unwrap()), self.state(0, t), "as of {t}");
            let view = db.as_of(EntityId(t)).unwrap().since(EntityId(since)).unwrap();
            assert_eq!(datoms(&view), self.state(since, t), "since {since} as of {t}");
        }
        let mut logged = Vec::new();
        for made in conn.tx_range(EntityId(TX0), None).unwrap() {
            logged.extend(made.unwrap().datoms.iter().map(|datom| shown(&db, datom)));
        }
        // The log remembers what was said without history, until it is purged.
        let quiet = |line: &String| !line.contains(" :quiet ");
        logged.retain(quiet);
        logged.sort();
        let mut wanted = self.events();
        wanted.retain(quiet);
        assert_eq!(logged, wanted, "the transactions");
    }
}

fn shown(db: &Db, Datom { e, a, v, tx, added }: &Datom) -> String {
    let a = db.ident(*a).map_or_else(|| format!("{a:?}"), |a| a.to_string());
    format!("{e} {a} {v:?} {tx} {added}")
}

fn datoms(db: &Db) -> Vec<String> {
    let mut cursor = db.cursor(Order::Eavt, None, None, Direction::Forward).unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = cursor.next().unwrap() {
        all.extend(chunk.rows().map(|i| shown(db, &Db::datom(&chunk.columns.row(i)))));
    }
    all.sort();
    all
}

/// Where a database is, and how to see all of its bytes.
enum Place {
    Directory(tempfile::TempDir),
    Blobs(Blobs),
    /// Blobs, and indexes that buffer edits.
    Buffered(Blobs),
    Memory,
}

impl Place {
    fn config(&self) -> Config {
        // Small nodes, so that there are many separators.
        let index = treering::edn::read("{:branching-factor 16}").unwrap();
        match self {
            Place::Directory(dir) => Config::file(dir.path().join("db")).index_config(index),
            Place::Blobs(_) => Config::from_edn("{:store {:backend :blobs} :index :datahike.index/persistent-set}")
                .unwrap()
                .index_config(index),
            Place::Buffered(_) => {
                Config::from_edn("{:store {:backend :blobs} :index :datahike.index/hitchhiker-tree}").unwrap()
            }
            Place::Memory => Config::memory("purge-test"),
        }
    }

    fn bytes(&self) -> Vec<(String, Vec<u8>)> {
        match self {
            Place::Directory(dir) => support::files(dir.path())
                .into_iter()
                .map(|path| {
                    let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
                    (name, std::fs::read(&path).unwrap())
                })
                .collect(),
            Place::Blobs(blobs) | Place::Buffered(blobs) => blobs.all(),
            Place::Memory => Vec::new(),
        }
    }

    fn registry(&self) -> Registry {
        match self {
            Place::Blobs(blobs) | Place::Buffered(blobs) => Registry::with_builtins().with_backend(blobs.clone()),
            _ => Registry::with_builtins(),
        }
    }
}

/// What a value would look like in the store. Of a text the first eight characters after its mark are enough: they are
/// drawn by chance, so nothing else has them.
fn traces(v: &Value) -> Vec<Vec<u8>> {
    let text = |text: &str| {
        let start = text.find("sec").unwrap();
        vec![text.as_bytes()[start..start + 11].to_vec()]
    };
    match v {
        Value::Str(s) => text(s),
        Value::Keyword(k) => text(k.as_str()),
        Value::Bytes(bytes) => vec![bytes[..8].to_vec(), bytes[8..16].to_vec()],
        Value::Uuid(id) => {
            let (big, little) = (id.as_u128().to_be_bytes(), id.as_u128().to_le_bytes());
            vec![big[..8].to_vec(), big[8..].to_vec(), little[..8].to_vec(), little[8..].to_vec()]
        }
        other => panic!("{other:?} is no secret"),
    }
}

fn contains(bytes: &[u8], trace: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == trace[0]) {
        if rest[at..].starts_with(trace) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// The places where a trace of a value stands.
fn found(values: &[Value], bytes: &[(String, Vec<u8>)]) -> Vec<String> {
    // All traces have eight bytes or begin with eight known ones: a set of them is looked up at every offset.
    let mut by_start: std::collections::HashMap<[u8; 8], Vec<(Vec<u8>, &Value)>> = Default::default();
    for value in values {
        for trace in traces(value) {
            let start: [u8; 8] = trace[..8].try_into().unwrap();
            by_start.entry(start).or_default().push((trace, value));
        }
    }
    let mut hits = Vec::new();
    for (name, bytes) in bytes {
        for (at, window) in bytes.windows(8).enumerate() {
            for (trace, value) in by_start.get(window).into_iter().flatten() {
                if bytes[at..].starts_with(trace) {
                    let value = format!("{value:?}").chars().take(60).collect::<String>();
                    hits.push(format!("{value} in {name} at {at}"));
                }
            }
        }
    }
    hits
}

struct Run {
    place: Place,
    registry: Registry,
    conn: Connection,
    model: Model,
    chance: Chance,
    secrets: usize,
}

impl Run {
    fn new(place: Place, seed: u64) -> Run {
        let registry = place.registry();
        create_database_in(&registry, &place.config()).unwrap();
        let conn = connect_in(&registry, &place.config()).unwrap();
        let chance = Chance(seed);
        let mut run = Run { place, registry, conn, model: Model::default(), chance, secrets: 0 };
        run.transact_text(SCHEMA);
        run
    }

    fn transact_text(&mut self, text: &str) -> std::sync::Arc<TxReport> {
        let report = self.conn.transact(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        self.model.take(&report);
        report
    }

    fn marked(&mut self) -> String {
        self.secrets += 1;
        format!("sec{:016x}", self.chance.next())
    }

    /// A secret of a kind that the attribute takes.
    fn secret(&mut self, attribute: &str) -> Value {
        let marked = self.marked();
        match attribute {
            "word" => Value::Keyword(Keyword::new(&marked)),
            "blob" => {
                let all: Vec<u8> = (0..3).flat_map(|_| self.chance.next().to_le_bytes()).collect();
                Value::Bytes(all.into())
            }
            "key" => Value::Uuid(uuid::Uuid::from_u64_pair(self.chance.next(), self.chance.next())),
            // Some begin alike, some are long.
            _ => match self.chance.below(12) {
                0..3 => format!("alike-{marked}").into(),
                3 => format!("{marked}{}", "long".repeat(300 + self.chance.below(900))).into(),
                _ => marked.into(),
            },
        }
    }

    fn some_id(&mut self) -> i64 {
        self.chance.below(90) as i64
    }

    /// A transaction on a few of the people.
    fn change(&mut self) {
        let mut ops: Vec<Op> = Vec::new();
        let mut used = BTreeSet::new();
        for _ in 0..1 + self.chance.below(6) {
            let id = self.some_id();
            if !used.insert(id) {
                continue;
            }
            let mut entity = EntityMap::new().set(kw("id"), id);
            for attribute in ["text", "texts", "word", "blob", "key", "quiet"] {
                if self.chance.below(3) == 0 {
                    entity = entity.set(kw(attribute), Given::Value(self.secret(attribute)));
                }
            }
            if self.chance.below(4) == 0 {
                let secret = self.secret("text");
                entity = entity.set(kw("part"), EntityMap::new().set(kw("text"), Given::Value(secret)));
            }
            ops.push(entity.into());
        }
        let holders: Vec<u64> = self.people();
        if holders.len() > 4 {
            let one = |chance: &mut Chance| EntityId(holders[chance.below(holders.len())]);
            let (x, y, z) = (one(&mut self.chance), one(&mut self.chance), one(&mut self.chance));
            ops.push(Op::Add { e: x.into(), a: kw("friend"), v: Value::Ref(y).into() });
            match self.chance.below(5) {
                0 => ops.push(Op::RetractAttribute { e: z.into(), a: kw("texts") }),
                1 => ops.push(Op::Retract { e: z.into(), a: kw("text"), v: None }),
                2 => ops.push(Op::RetractAttribute { e: z.into(), a: kw("friend") }),
                _ => {}
            }
        }
        let report = self.conn.transact(ops).unwrap();
        self.model.take(&report);
    }

    fn people(&self) -> Vec<u64> {
        let of = self.model.rows.iter().filter(|row| row.a == kw("id") && row.until.is_none());
        of.map(|row| row.e).collect()
    }

    /// One purge of any kind, sometimes with other operations beside it.
    fn purge(&mut self, kind: usize) {
        let secrets: Vec<Row> = self.model.rows.iter().filter(|row| secret_in(row)).cloned().collect();
        let row = secrets[self.chance.below(secrets.len())].clone();
        let e = EntityId(row.e);
        let mut ops: Vec<Op> = Vec::new();
        match kind % 5 {
            0 => {
                // Several facts at once.
                for _ in 0..12 {
                    let row = secrets[self.chance.below(secrets.len())].clone();
                    let v = Given::Value(row.v.clone());
                    ops.push(Op::Purge { e: EntityId(row.e).into(), a: row.a, v });
                    self.model.remove(|r| r.e == row.e && r.a == row.a && r.v == row.v);
                }
            }
            1 => {
                ops.push(Op::PurgeAttribute { e: e.into(), a: row.a });
                self.model.remove(|r| r.e == row.e && r.a == row.a);
            }
            2 => {
                ops.push(Op::PurgeEntity { e: e.into() });
                self.model.purge_entity(row.e);
            }
            3 => {
                let people = self.people();
                let e = people[self.chance.below(people.len())];
                ops.push(Op::PurgeAttribute { e: EntityId(e).into(), a: kw("part") });
                let parts = self.model.parts(e, kw("part"));
                self.model.remove(|r| r.e == e && r.a == kw("part"));
                parts.into_iter().for_each(|part| self.model.purge_entity(part));
            }
            _ => {
                let basis = self.conn.db().basis_t().0;
                let t = TX0 + 1 + self.chance.below((basis - TX0) as usize) as u64;
                let instant = self.model.instant_of(t);
                ops.push(Op::PurgeHistoryBefore { instant });
                self.model.remove(|r| r.until.is_some_and(|until| until < t));
            }
        }
        if self.chance.below(2) == 0 {
            let secret = self.secret("text");
            let id = 1000 + self.secrets as i64;
            ops.push(EntityMap::new().set(kw("id"), id).set(kw("text"), Given::Value(secret)).into());
        }
        let before = datoms(&self.conn.db().history().unwrap());
        let report = self.conn.transact(ops.clone()).unwrap_or_else(|e| panic!("{ops:?}: {e:?}"));
        let told: Vec<String> = report.purged.iter().map(|datom| shown(&report.db_before, datom)).collect();
        self.model.take(&report);
        let after = datoms(&self.conn.db().history().unwrap());
        let mut gone: Vec<String> = before.into_iter().filter(|line| !after.contains(line)).collect();
        let mut told_gone = told.clone();
        told_gone.sort();
        gone.sort();
        assert_eq!(told_gone, gone, "the report tells what vanished");
        self.not_in_log();
    }

    /// What is gone for good: purged, and no value of a fact that stays.
    fn gone(&self) -> Vec<Value> {
        let stays = |v: &Value| self.model.rows.iter().any(|row| row.v == *v);
        self.model.purged.iter().filter(|v| !stays(v)).cloned().collect()
    }

    fn not_in_log(&self) {
        let logs: Vec<_> = self.place.bytes().into_iter().filter(|(name, _)| name.contains("log/")).collect();
        let hits = found(&self.gone(), &logs);
        assert!(hits.is_empty(), "{} traces in the log: {:#?}", hits.len(), &hits[..hits.len().min(5)]);
    }

    /// Collects garbage; nothing that was purged is left in any byte.
    fn collect(&mut self) {
        // Ages are counted in milliseconds: what was written in this one goes with the next.
        self.conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        let bytes = self.place.bytes();
        let hits = found(&self.gone(), &bytes);
        assert!(hits.is_empty(), "{} traces: {:#?}", hits.len(), &hits[..hits.len().min(8)]);
        if !matches!(self.place, Place::Memory) {
            // The search finds what is there.
            let rows = self.model.rows.iter().filter(|row| secret_in(row) && row.a != kw("quiet"));
            let live: Vec<Value> = rows.map(|row| row.v.clone()).take(40).collect();
            self.conn.flush().unwrap();
            assert!(found(&live, &self.place.bytes()).len() >= live.len());
        }
    }

    fn reopen(&mut self, cleanly: bool) {
        if cleanly || matches!(self.place, Place::Memory) {
            self.conn.release().unwrap();
        }
        let away = Registry::with_builtins();
        create_database_in(&away, &Config::memory("away")).unwrap();
        let away = connect_in(&away, &Config::memory("away")).unwrap();
        // Dropped before it is opened again.
        drop(std::mem::replace(&mut self.conn, away));
        self.conn = connect_in(&self.registry, &self.place.config()).unwrap();
    }

    fn compare(&mut self) {
        self.model.compare(&self.conn, &mut self.chance);
    }
}

fn run(place: Place, seed: u64) {
    println!("TREERING_SEED={seed}");
    let mut run = Run::new(place, seed);
    for round in 0..5 {
        for i in 0..24 {
            run.change();
            if i % 7 == 3 {
                run.conn.flush().unwrap();
            }
            if i == 15 && round % 2 == 1 {
                run.reopen(round == 1);
            }
        }
        run.compare();
        for kind in 0..5 {
            run.purge(kind + round);
            run.compare();
        }
        run.collect();
        run.compare();
        run.reopen(round % 2 == 0);
        run.compare();
        run.not_in_log();
    }
    run.collect();
    run.reopen(true);
    let hits = found(&run.gone(), &run.place.bytes());
    assert!(hits.is_empty(), "{hits:#?}");
    assert!(run.gone().len() > 50, "{} secrets were purged", run.gone().len());
    run.compare();
}

#[test]
fn nothing_of_a_purged_fact_stays_in_a_directory() {
    run(Place::Directory(tempfile::tempdir().unwrap()), env_number("TREERING_SEED", 1));
}

#[test]
fn nothing_of_a_purged_fact_stays_in_blobs() {
    run(Place::Blobs(Blobs::default()), env_number("TREERING_SEED", 2));
}

#[test]
fn nothing_of_a_purged_fact_stays_in_buffers() {
    run(Place::Buffered(Blobs::default()), env_number("TREERING_SEED", 4));
}

#[test]
fn views_agree_after_purges_in_memory() {
    run(Place::Memory, env_number("TREERING_SEED", 3));
}

fn in_memory(name: &str) -> (Registry, Connection) {
    let registry = Registry::with_builtins();
    create_database_in(&registry, &Config::memory(name)).unwrap();
    let conn = connect_in(&registry, &Config::memory(name)).unwrap();
    conn.transact(SCHEMA).unwrap();
    (registry, conn)
}

#[test]
fn a_purge_says_what_it_cannot_do() {
    let (_registry, conn) = in_memory("purge-errors");
    conn.transact("[{:id 1 :text \"x\"} {:id 2 :text \"y\"}]").unwrap();
    let code = |text: &str| conn.transact(text).unwrap_err().code().to_owned();
    assert_eq!(code("[[:db/purge 4711 :text \"x\"]]"), "transact/purge");
    assert_eq!(code("[[:db.purge/entity [:id 3]]]"), "transact/purge");
    assert_eq!(code("[[:db.purge/entity :no-such-ident]]"), "transact/purge");
    assert_eq!(code("[[:db.purge/entity \"tempid\"]]"), "transact/purge");
    assert_eq!(code("[[:db.purge/attribute [:id 1] :txet]]"), "attribute/unknown");
    assert_eq!(code("[[:db/purge [:id 1] :text]]"), "transact/syntax");
    assert_eq!(code("[[:db.history.purge/before 5]]"), "transact/syntax");
    assert_eq!(code("[[:db.purge/entity :db/current-tx]]"), "transact/purge");
    assert_eq!(code(&format!("[[:db.purge/entity {}]]", conn.db().basis_t())), "transact/tx-instant");
    assert_eq!(code("[[:db.purge/entity :text]]"), "transact/schema", "facts with the attribute stay");
    // What is not there need not be purged.
    assert!(conn.transact("[[:db/purge [:id 1] :text \"z\"]]").unwrap().purged.is_empty());

    let config = Config::memory("purge-no-history").keep_history(false);
    let registry = Registry::with_builtins();
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact("[{:db/id 1 :db/doc \"x\"}]").unwrap();
    assert_eq!(conn.transact("[[:db.purge/entity 1]]").unwrap_err().code(), "transact/purge");
}

#[test]
fn an_entity_of_the_past_is_found_by_what_it_was() {
    let (_registry, conn) = in_memory("purge-past");
    conn.transact("[{:id 1 :text \"x\"}]").unwrap();
    conn.transact("[[:db/retractEntity [:id 1]]]").unwrap();
    let report = conn.transact("[[:db.purge/entity [:id 1]]]").unwrap();
    // The id, the text and the tuple of both: asserted and retracted.
    assert_eq!(report.purged.len(), 6);
    assert!(conn.transact("[[:db.purge/entity [:id 1]]]").is_err());

    conn.transact("[{:id 2 :text \"a\"}]").unwrap();
    conn.transact("[[:db/retractEntity [:id 2]]]").unwrap();
    conn.transact("[{:id 2 :text \"b\"}]").unwrap();
    conn.transact("[[:db/retractEntity [:id 2]]]").unwrap();
    let error = conn.transact("[[:db.purge/entity [:id 2]]]").unwrap_err();
    assert!(error.message().contains("several entities"), "{error}");
}

/// A purge comes first: what the same transaction asserts is there afterwards, also the value that was purged.
#[test]
fn other_operations_see_the_database_without_what_is_purged() {
    let (_registry, conn) = in_memory("purge-beside");
    let made = conn.transact("[{:db/id \"x\" :id 1 :text \"old\"} {:id 2 :text \"two\"}]").unwrap();
    let x = made.resolve("x").unwrap();
    let report = conn
        .transact(format!("[[:db/add {x} :text \"new\"] [:db/cas {x} :id nil 7] [:db.purge/entity {x}]]").as_str())
        .unwrap();
    assert_eq!(report.purged.len(), 3);
    let told = datoms(&conn.db().history().unwrap());
    assert!(told.iter().any(|line| line.contains("\"new\"")) && !told.iter().any(|line| line.contains("\"old\"")));
    // A tuple is put together again of the members that stay.
    conn.transact(format!("[[:db/purge {x} :text \"new\"]]").as_str()).unwrap();
    let tuples: Vec<_> = datoms(&conn.db()).into_iter().filter(|line| line.contains(" :text+id [")).collect();
    assert_eq!(tuples.len(), 2, "{tuples:?}");
    assert!(tuples.iter().all(|line| !line.contains("new")), "{tuples:?}");
}

/// The name of an attribute goes with the entity that defines it, once no fact has it.
#[test]
fn the_name_of_a_purged_attribute_is_nowhere() {
    for place in [Place::Directory(tempfile::tempdir().unwrap()), Place::Blobs(Blobs::default())] {
        let mut run = Run::new(place, 5);
        run.transact_text(
            "[{:db/ident :secret-name/of-attribute :db/valueType :db.type/string :db/cardinality :db.cardinality/one
               :db/doc \"sec-doc\"}]",
        );
        run.transact_text("[{:id 1 :secret-name/of-attribute \"v\"} {:id 2 :text \"stays\"}]");
        run.conn.flush().unwrap();
        run.transact_text("[{:id 1 :secret-name/of-attribute \"w\"}]");
        let e = run.model.rows.iter().find(|row| row.a == kw("id")).unwrap().e;
        let purge = format!(
            "[[:db.purge/attribute {e} :secret-name/of-attribute] [:db.purge/entity :secret-name/of-attribute]]"
        );
        run.conn.transact(purge.as_str()).unwrap();
        run.conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        for round in 0..2 {
            for (name, bytes) in run.place.bytes() {
                for secret in ["secret-name", "of-attribute", "sec-doc"] {
                    assert!(!contains(&bytes, secret.as_bytes()), "{secret} in {name}, round {round}");
                }
            }
            run.reopen(true);
            assert!(run.conn.db().attribute(kw("secret-name/of-attribute")).is_err());
            assert!(datoms(&run.conn.db()).iter().any(|line| line.contains("stays")));
        }
    }
}

/// A reader in another process that was in the middle of the log goes on after the purge.
#[test]
fn readers_follow_past_a_purge() {
    for place in [Place::Directory(tempfile::tempdir().unwrap()), Place::Blobs(Blobs::default())] {
        let mut run = Run::new(place, 7);
        run.transact_text("[{:id 1 :text \"secret\"} {:id 2 :text \"two\"}]");
        let away = run.place.registry();
        let reader = connect_in(&away, &run.place.config().read_only(true)).unwrap();
        run.transact_text("[{:id 1 :text \"secret too\"} {:id 3 :text \"three\"}]");
        run.conn.transact("[[:db.purge/entity [:id 1]]]").unwrap();
        run.transact_text("[{:id 4 :text \"four\"}]");
        let db = reader.sync().unwrap();
        assert_eq!(datoms(&db.history().unwrap()), datoms(&run.conn.db().history().unwrap()));
        assert!(!datoms(&db.history().unwrap()).iter().any(|line| line.contains("secret")));
        run.transact_text("[{:id 5 :text \"five\"}]");
        assert_eq!(datoms(&reader.sync().unwrap()), datoms(&run.conn.db()));
        reader.release().unwrap();
    }
}
