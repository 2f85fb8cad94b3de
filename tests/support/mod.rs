//! What the durability tests share: databases on a simulated file system, a workload, and a model of what each
//! transaction leaves.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use treering::edn::Keyword;
use treering::index::Direction;
use treering::store::testing::SimFs;
use treering::store::{Backend, BoxFuture, FileBackend};
use treering::{
    Access, AttrId, BackendKind, Config, Connection, Datom, Db, EntityId, Order, Registry, Result, StoreConfig, TX0,
    Value,
};

/// `:sim`: the file backend on a simulated file system.
#[derive(Debug)]
pub struct Sim(pub SimFs);

const ROOT: &str = "/db";

impl BackendKind for Sim {
    fn keyword(&self) -> Keyword {
        Keyword::new("sim")
    }

    fn validate(&self, _: &StoreConfig) -> Result<()> {
        Ok(())
    }

    fn identity(&self, _: &StoreConfig) -> Result<String> {
        Ok(ROOT.to_owned())
    }

    fn create<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async { Ok(Arc::new(FileBackend::create_with(Arc::new(self.0.clone()), ROOT)?) as Arc<dyn Backend>) })
    }

    fn exists<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        use treering::store::fs::Fs;
        Box::pin(async { Ok(matches!(self.0.is_dir(ROOT.as_ref()), Ok(Some(true)))) })
    }

    fn connect<'a>(&'a self, _: &'a StoreConfig, access: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async move {
            let fs = Arc::new(self.0.clone());
            Ok(Arc::new(match access {
                Access::ReadOnly => FileBackend::open_reader_with(fs, ROOT)?,
                Access::Writer => FileBackend::open_writer_with(fs, ROOT)?,
            }) as Arc<dyn Backend>)
        })
    }

    fn delete<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        unreachable!("these tests delete no store")
    }
}

/// A registry whose `:sim` is `fs`.
pub fn registry(fs: &SimFs) -> Registry {
    Registry::with_builtins().with_backend(Sim(fs.clone()))
}

pub fn sim_config() -> Config {
    of_wanted_kind(Config::from_edn("{:store {:backend :sim}}").unwrap())
}

/// The config with the index kind and settings of the environment (`TREERING_INDEX`, `TREERING_INDEX_CONFIG`), where
/// they are named: so the tests run on every kind.
pub fn of_wanted_kind(config: Config) -> Config {
    config.or_env().unwrap()
}

/// The config with small nodes, so that a small database has branches.
pub fn with_small_nodes(config: Config) -> Config {
    let config = of_wanted_kind(config);
    if !config.index_settings().is_nil() {
        return config;
    }
    let settings = match config.index_kind() {
        Some(kind) if kind.as_str().ends_with("/hitchhiker-tree") => {
            "{:index-b-factor 8 :index-data-node-size 16 :index-log-size 16}"
        }
        _ => "{:branching-factor 16}",
    };
    config.index_config(treering::edn::read(settings).unwrap())
}

/// Numbers by chance, the same for the same seed (splitmix64).
#[derive(Clone)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A number from the environment.
pub fn env_number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{name}={text:?}: {e}")))
}

pub const SCHEMA: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :tags :db/valueType :db.type/string :db/cardinality :db.cardinality/many}
  {:db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :note :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]";

/// The tx-data of the `i`th transaction of a workload after the schema: new people, changes, retractions, and now and
/// then a large one.
pub fn transaction(i: usize, who: &str) -> String {
    let mut chance = Chance(i as u64 * 7919 + who.len() as u64);
    let some = |chance: &mut Chance| format!("{who}{}", chance.below(i + 1));
    match i % 10 {
        3 => format!("[{{:name {:?} :age {i} :tags [\"a{i}\" \"b\"]}}]", some(&mut chance)),
        5 => {
            let (one, two) = (some(&mut chance), some(&mut chance));
            format!("[{{:db/id \"x\" :name {one:?}}} {{:name \"{two}-of\" :friend \"x\" :age -{i}}}]")
        }
        8 => format!("[{{:name \"{who}-gone{i}\" :age 1 :note \"to be retracted\"}}]"),
        9 => format!("[[:db/retractEntity [:name \"{who}-gone{}\"]]]", i - 1),
        _ if i % 60 == 50 => {
            let people = (0..150).map(|n| format!("{{:name \"{who}-{i}-{n}\" :age {n} :note \"{}\"}}", "n".repeat(n)));
            format!("[{}]", people.collect::<String>())
        }
        _ if i % 100 == 70 => format!("[{{:name \"{who}{i}\" :note {:?}}}]", "long ".repeat(30_000)),
        _ => format!("[{{:name \"{who}{i}\" :age {} :tags [\"t{}\"]}}]", chance.below(9), chance.below(3)),
    }
}

fn hash(e: u64, a: AttrId, v: &Value, tx: u64, added: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    (e, a.0, v.kind(), v, tx, added).hash(&mut hasher);
    hasher.finish()
}

/// All that a database holds, as sums of hashes over its datoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Content {
    pub basis: u64,
    /// All assertions and retractions.
    pub events: (u64, u64),
    /// What holds.
    pub current: (u64, u64),
}

fn add(sum: &mut (u64, u64), hash: u64) {
    *sum = (sum.0 + 1, sum.1.wrapping_add(hash));
}

fn subtract(sum: &mut (u64, u64), hash: u64) {
    *sum = (sum.0 - 1, sum.1.wrapping_sub(hash));
}

/// What the transactions so far must have left, by their reports alone.
#[derive(Debug, Clone)]
pub struct Model {
    now: Content,
    open: HashMap<(u64, AttrId, Value), u64>,
    /// By the number of transactions.
    pub after: Vec<Content>,
}

impl Default for Model {
    fn default() -> Model {
        let now = Content { basis: TX0, ..Content::default() };
        Model { now, open: HashMap::new(), after: vec![now] }
    }
}

impl Model {
    /// Takes in the next transaction.
    pub fn apply(&mut self, tx_data: &[Datom]) {
        self.apply_purging(&[], tx_data);
    }

    /// Takes in the next transaction, which purged some datoms of history before all else.
    pub fn apply_purging(&mut self, purged: &[Datom], tx_data: &[Datom]) {
        self.now.basis += 1;
        for Datom { e, a, v, tx, added } in purged {
            subtract(&mut self.now.events, hash(e.0, *a, v, tx.0, *added));
            let key = (e.0, *a, v.clone());
            if *added && self.open.get(&key) == Some(&tx.0) {
                self.open.remove(&key);
                subtract(&mut self.now.current, hash(e.0, *a, v, tx.0, true));
            }
        }
        for Datom { e, a, v, tx, added } in tx_data {
            assert_eq!(tx.0, self.now.basis, "a datom of another transaction");
            add(&mut self.now.events, hash(e.0, *a, v, tx.0, *added));
            let key = (e.0, *a, v.clone());
            if *added {
                assert!(self.open.insert(key, tx.0).is_none(), "asserted twice: {e} {a:?} {v:?}");
                add(&mut self.now.current, hash(e.0, *a, v, tx.0, true));
            } else {
                let began = self.open.remove(&key).expect("only what holds is retracted");
                subtract(&mut self.now.current, hash(e.0, *a, v, began, true));
            }
        }
        self.after.push(self.now);
    }

    pub fn last(&self) -> Content {
        self.now
    }
}

/// Reads everything: history, the state in all three orders, whether each is sorted and whether they agree.
pub fn content(db: &Db) -> Result<Content> {
    let mut content = Content { basis: db.basis_t().0, ..Content::default() };
    content.events = read(&db.history()?, Order::Eavt, |_| true)?.0;
    let in_avet = |a| db.schema().get(a).is_some_and(|attribute| attribute.in_avet());
    let (eavt, of_avet) = read(db, Order::Eavt, in_avet)?;
    let (aevt, _) = read(db, Order::Aevt, in_avet)?;
    let (avet, _) = read(db, Order::Avet, in_avet)?;
    assert_eq!(aevt, eavt, "AEVT and EAVT hold different datoms");
    assert_eq!(avet, of_avet, "AVET and EAVT hold different datoms");
    content.current = eavt;
    Ok(content)
}

type Sum = (u64, u64);

/// The sum over all datoms of an order, and over those with an attribute that `counts`.
fn read(db: &Db, order: Order, counts: impl Fn(AttrId) -> bool) -> Result<(Sum, Sum)> {
    let (mut all, mut some) = (Sum::default(), Sum::default());
    let mut last: Option<(Arc<treering::Columns>, usize)> = None;
    let mut cursor = db.cursor(order, None, None, Direction::Forward)?;
    while let Some(chunk) = cursor.next()? {
        for i in chunk.rows() {
            let row = chunk.columns.row(i);
            if let Some((columns, j)) = &last {
                assert_ne!(columns.compare(*j, &chunk.columns, i, order), std::cmp::Ordering::Greater, "{order:?}");
            }
            last = Some((Arc::clone(&chunk.columns), i));
            let datom = Db::datom(&row);
            let hash = hash(row.e, row.a, &row.v, row.tx, datom.added);
            add(&mut all, hash);
            if counts(row.a) {
                add(&mut some, hash);
            }
        }
    }
    Ok((all, some))
}

/// The directory of a database on the real file system.
pub fn files(root: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

pub fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
}

/// The number of transactions that `db` contains.
pub fn count(db: &Db) -> usize {
    (db.basis_t().0 - TX0) as usize
}

/// One more transaction, taken in by the model.
pub fn one_more(conn: &Connection, model: &mut Model, text: &str) -> Result<EntityId> {
    let report = conn.transact(text)?;
    model.apply_purging(&report.purged, &report.tx_data);
    Ok(report.db_after.basis_t())
}
