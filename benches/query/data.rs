//! Generated data, the same on every machine: people, an organisation, graphs.

use std::collections::HashSet;

use treering::db_testing::empty_db;
use treering::edn::Keyword;
use treering::{Db, EntityId, EntityMap, SchemaFlexibility, Value, with};

pub const NAMES: [&str; 8] = ["Ivan", "Petr", "Sergei", "Oleg", "Yuri", "Dmitry", "Fedor", "Denis"];
pub const LASTS: [&str; 6] = ["Ivanov", "Petrov", "Sidorov", "Kovalev", "Kuznetsov", "Voronoi"];
pub const SEXES: [&str; 2] = ["male", "female"];

/// Random numbers: splitmix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Clone, Copy)]
pub struct Person {
    pub name: u8,
    pub last: u8,
    pub sex: u8,
    pub age: u8,
    pub salary: u32,
    /// 0 for nobody.
    pub follows: u32,
}

/// Person `i` has the id `i + 1`.
pub fn people(n: u64) -> Vec<Person> {
    let mut r = Random(if n == 20_000 { 1 } else { 2 });
    let person = |_| {
        let (name, last, sex) = (r.below(8) as u8, r.below(6) as u8, r.below(2) as u8);
        let (age, salary) = (r.below(100) as u8, r.below(100_000) as u32);
        let (has, follows) = (r.below(2) == 0, 1 + r.below(n) as u32);
        Person { name, last, sex, age, salary, follows: if has { follows } else { 0 } }
    };
    (0..n).map(person).collect()
}

const PEOPLE_SCHEMA: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :last-name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :sex :db/valueType :db.type/keyword :db/cardinality :db.cardinality/one}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :salary :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :follows :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]";

fn empty(schema: &str) -> Db {
    with(&empty_db(true, SchemaFlexibility::Write), schema).expect("the schema is right").db_after
}

/// People as a database in memory, put in 20,000 at a time; refs to people that come later are put in last.
pub fn people_db(people: &[Person]) -> Db {
    let keyword = Keyword::new;
    let mut db = empty(PEOPLE_SCHEMA);
    for (part, first) in people.chunks(20_000).zip((1_u64..).step_by(20_000)) {
        let maps = part.iter().zip(first..).map(|(p, id)| {
            EntityMap::new()
                .id(EntityId(id))
                .set(keyword("name"), NAMES[p.name as usize])
                .set(keyword("last-name"), LASTS[p.last as usize])
                .set(keyword("sex"), keyword(SEXES[p.sex as usize]))
                .set(keyword("age"), i64::from(p.age))
                .set(keyword("salary"), i64::from(p.salary))
        });
        db = with(&db, maps.collect::<Vec<_>>()).expect("the people are right").db_after;
    }
    let followers: Vec<(u64, u32)> = (1_u64..).zip(people.iter().map(|p| p.follows)).filter(|(_, f)| *f > 0).collect();
    for part in followers.chunks(50_000) {
        let map = |(id, follows): &(u64, u32)| {
            let followed = Value::Ref(EntityId(u64::from(*follows)));
            EntityMap::new().id(EntityId(*id)).set(keyword("follows"), followed)
        };
        db = with(&db, part.iter().map(map).collect::<Vec<_>>()).expect("the refs are right").db_after;
    }
    db
}

/// Changes in ten rounds, in each of which so many people get new values of all attributes, and after them one of ten
/// people. Tells of the last transaction of the fifth round, too.
pub fn changed(mut db: Db, people: &[Person], of: u64) -> (Db, EntityId) {
    let (mut r, mut middle) = (Random(7), db.basis_t());
    let mut follows: Vec<u32> = people.iter().map(|p| p.follows).collect();
    let n = people.len() as u64;
    for round in 0..=10 {
        let of = if round == 10 { 10 } else { of };
        let mut refs = String::from("[");
        let mut maps = Vec::new();
        for i in 0..of {
            let id = 1 + i * (n / of) + r.below(n / of);
            let map = EntityMap::new()
                .id(EntityId(id))
                .set(Keyword::new("name"), NAMES[r.below(8) as usize])
                .set(Keyword::new("last-name"), LASTS[r.below(6) as usize])
                .set(Keyword::new("sex"), Keyword::new(SEXES[r.below(2) as usize]))
                .set(Keyword::new("age"), r.below(100) as i64)
                .set(Keyword::new("salary"), r.below(100_000) as i64);
            maps.push(map);
            let (followed, next) = (&mut follows[id as usize - 1], 1 + r.below(n) as u32);
            if *followed != 0 && *followed != next {
                refs += &format!("[:db/retract {id} :follows {followed}] [:db/add {id} :follows {next}]");
                *followed = next;
            }
        }
        db = with(&db, (refs + "]").as_str()).expect("the refs are right").db_after;
        db = with(&db, maps).expect("the changes are right").db_after;
        if round == 4 {
            middle = db.basis_t();
        }
    }
    (db, middle)
}

/// 20,000 people with a name and a department, 100 departments with a division each.
pub struct Org {
    pub people: Vec<(u8, u32)>,
    pub divisions: Vec<u32>,
}

pub fn org() -> (Org, Db) {
    let mut r = Random(0x0126);
    let budgets: Vec<u64> = (0..100).map(|_| 10_000 + r.below(990_000)).collect();
    let people: Vec<(u8, u32)> = (0..20_000).map(|_| (r.below(8) as u8, r.below(100) as u32)).collect();
    let schema = "[
      {:db/ident :division/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
      {:db/ident :dept/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
      {:db/ident :dept/budget :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
      {:db/ident :dept/division :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
      {:db/ident :person/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
      {:db/ident :person/dept :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}]";
    let keyword = Keyword::new;
    let entity = |id: u64| EntityMap::new().id(EntityId(id));
    let at = |id: u64| Value::Ref(EntityId(id));
    let divisions = (0..10).map(|i| entity(200_001 + i).set(keyword("division/name"), format!("Division-{i}")));
    let depts = (0..100).map(|i| {
        let named = entity(100_001 + i).set(keyword("dept/name"), format!("Dept-{i}"));
        let paid = named.set(keyword("dept/budget"), budgets[i as usize] as i64);
        paid.set(keyword("dept/division"), at(200_001 + i % 10))
    });
    let persons = people.iter().zip(1_u64..).map(|((name, dept), id)| {
        let named = entity(id).set(keyword("person/name"), NAMES[*name as usize]);
        named.set(keyword("person/dept"), at(100_001 + u64::from(*dept)))
    });
    let all: Vec<EntityMap> = divisions.chain(depts).chain(persons).collect();
    let db = with(&empty(schema), all).expect("the organisation is right").db_after;
    (Org { people, divisions: (0..100).map(|i| i % 10).collect() }, db)
}

/// A tree of fan 3 and depth 7, 5 chains of 30 edges, a random graph without circles.
pub fn graphs() -> [(&'static str, Vec<(u32, u32)>); 3] {
    let inner: u32 = (3_u32.pow(7) - 1) / 2;
    let tree = (1..=inner).flat_map(|i| (0..3).map(move |k| (i, 3 * i - 1 + k))).collect();
    let chain = (0..5).flat_map(|c| (0..30).map(move |i| (c * 31 + i + 1, c * 31 + i + 2))).collect();
    let (mut r, mut seen, mut dag) = (Random(77), HashSet::new(), Vec::new());
    while dag.len() < 6000 {
        let (x, y) = (1 + r.below(2000) as u32, 1 + r.below(2000) as u32);
        let edge = (x.min(y), x.max(y));
        if x != y && seen.insert(edge) {
            dag.push(edge);
        }
    }
    [("tree", tree), ("chain", chain), ("dag2k", dag)]
}

/// 20,000 edges over 3,000 nodes, both ends skewed (Zipf, 0.8).
pub fn skewed_graph() -> Vec<(u32, u32)> {
    let (mut cumulated, mut total) = (Vec::new(), 0.0);
    for i in 1..=3000 {
        total += 1.0 / f64::from(i).powf(0.8);
        cumulated.push(total);
    }
    let mut r = Random(99);
    let mut node = || {
        let u = r.unit() * total;
        cumulated.partition_point(|c| *c < u) as u32 + 1
    };
    let (mut seen, mut edges) = (HashSet::new(), Vec::new());
    while edges.len() < 20_000 {
        let edge = (node(), node());
        if edge.0 != edge.1 && seen.insert(edge) {
            edges.push(edge);
        }
    }
    edges
}

/// A graph as a database: nodes are entities, `:edge` has many values.
pub fn graph_db(edges: &[(u32, u32)]) -> Db {
    let schema = "[{:db/ident :edge :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
                   {:db/ident :node :db/valueType :db.type/boolean :db/cardinality :db.cardinality/one}]";
    let most = edges.iter().map(|(a, b)| (*a).max(*b)).max().unwrap_or(0);
    let node = |id: u32| EntityMap::new().id(EntityId(u64::from(id)));
    let nodes: Vec<EntityMap> = (1..=most).map(|id| node(id).set(Keyword::new("node"), true)).collect();
    let edge = |(a, b): &(u32, u32)| node(*a).set(Keyword::new("edge"), Value::Ref(EntityId(u64::from(*b))));
    let db = with(&empty(schema), nodes).expect("the nodes are right").db_after;
    with(&db, edges.iter().map(edge).collect::<Vec<_>>()).expect("the edges are right").db_after
}
