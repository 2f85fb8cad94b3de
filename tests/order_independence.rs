//! The order in which clauses are written has no say in the plan: every permutation of generated queries of several joins
//! gets the same plan, gives the same rows, and goes through about as many.
//!
//! `TREERING_SEED`, `TREERING_CASES` and `TREERING_PEOPLE` choose which queries, how many, and how large the database is;
//! 130,000 people make a million datoms.

use std::collections::BTreeSet;

use treering::db_testing::empty_db;
use treering::edn::Keyword;
use treering::edn::{Form, FormKind};
use treering::{Db, EntityId, EntityMap, QueryOptions, SchemaFlexibility, Value, explain, explain_analyze, q, with};

/// Random numbers: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

fn wanted(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Person,
    Dept,
    City,
    Project,
}

#[derive(Clone, Copy)]
enum Range {
    Ref(Kind),
    /// So many different ones.
    Text(u64),
    Long(u64),
}

const ATTRIBUTES: [(&str, Kind, Range); 12] = [
    ("person/name", Kind::Person, Range::Text(200)),
    ("person/age", Kind::Person, Range::Long(80)),
    ("person/salary", Kind::Person, Range::Long(100_000)),
    ("person/dept", Kind::Person, Range::Ref(Kind::Dept)),
    ("person/friend", Kind::Person, Range::Ref(Kind::Person)),
    ("dept/name", Kind::Dept, Range::Text(1_000_000)),
    ("dept/city", Kind::Dept, Range::Ref(Kind::City)),
    ("dept/head", Kind::Dept, Range::Ref(Kind::Person)),
    ("city/size", Kind::City, Range::Long(5)),
    ("project/lead", Kind::Project, Range::Ref(Kind::Person)),
    ("project/member", Kind::Project, Range::Ref(Kind::Person)),
    ("project/tag", Kind::Project, Range::Text(10)),
];

const SCHEMA: &str = "[
  {:db/ident :person/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :person/age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :person/salary :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :person/dept :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
  {:db/ident :person/friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :dept/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :dept/city :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
  {:db/ident :dept/head :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
  {:db/ident :city/size :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :project/lead :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
  {:db/ident :project/member :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :project/tag :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}]";

/// People have the ids from 1 on, then come departments, cities and projects.
struct World {
    people: u64,
}

impl World {
    fn ids(&self, kind: Kind) -> std::ops::Range<u64> {
        let depts = self.people + 1 + self.people / 100;
        match kind {
            Kind::Person => 1..self.people + 1,
            Kind::Dept => self.people + 1..depts,
            Kind::City => depts..depts + 20,
            Kind::Project => depts + 20..depts + 20 + self.people / 10,
        }
    }

    fn some(&self, kind: Kind, r: &mut Random) -> EntityId {
        let ids = self.ids(kind);
        EntityId(ids.start + r.below(ids.end - ids.start))
    }

    fn db(&self, r: &mut Random) -> Db {
        let empty = with(&empty_db(true, SchemaFlexibility::Write), SCHEMA).expect("the schema is right").db_after;
        let mut all = Vec::new();
        for kind in [Kind::Person, Kind::Dept, Kind::City, Kind::Project] {
            for id in self.ids(kind) {
                let mut entity = EntityMap::new().id(EntityId(id));
                for (name, _, range) in ATTRIBUTES.iter().filter(|(_, of, _)| *of == kind) {
                    let many = matches!(*name, "person/friend" | "project/member");
                    let value = match range {
                        Range::Ref(to) if many => {
                            // Some are named far more often than others.
                            let most = |r: &mut Random| {
                                let ids = self.ids(*to);
                                let span = ids.end - ids.start;
                                let far = r.below(span) + 1;
                                Value::Ref(EntityId(ids.start + r.below(far)))
                            };
                            let found: BTreeSet<u64> = (0..1 + r.below(4))
                                .filter_map(|_| if let Value::Ref(id) = most(r) { Some(id.0) } else { None })
                                .collect();
                            Value::from(found.into_iter().map(|id| Value::Ref(EntityId(id))).collect::<Vec<_>>())
                        }
                        Range::Ref(to) => Value::Ref(self.some(*to, r)),
                        Range::Text(1_000_000) => Value::from(format!("unique {id}")),
                        Range::Text(n) => Value::from(format!("text {}", r.below(*n))),
                        Range::Long(n) => Value::Long(r.below(*n) as i64),
                    };
                    entity = entity.set(Keyword::new(name), value);
                }
                all.push(entity);
            }
        }
        all.chunks(20_000).fold(empty, |db, part| with(&db, part.to_vec()).expect("the data is right").db_after)
    }
}

/// A query in the making.
#[derive(Default)]
struct Made {
    clauses: Vec<String>,
    entities: Vec<Kind>,
    scalars: Vec<usize>,
}

impl Made {
    fn entity(&mut self, kind: Kind) -> String {
        self.entities.push(kind);
        format!("?e{}", self.entities.len() - 1)
    }

    fn known(&self, kind: Kind, r: &mut Random) -> Option<String> {
        let known: Vec<usize> = (0..self.entities.len()).filter(|i| self.entities[*i] == kind).collect();
        (!known.is_empty()).then(|| format!("?e{}", known[r.below(known.len() as u64) as usize]))
    }

    /// A clause more, about an entity that is there.
    fn grow(&mut self, world: &World, r: &mut Random) {
        let at = r.below(self.entities.len() as u64) as usize;
        let (kind, var, known) = (self.entities[at], format!("?e{at}"), self.entities.len());
        let touches =
            |(_, of, range): &(&str, Kind, Range)| *of == kind || matches!(range, Range::Ref(to) if *to == kind);
        let choices: Vec<usize> = (0..ATTRIBUTES.len()).filter(|i| touches(&ATTRIBUTES[*i])).collect();
        let chosen = choices[r.below(choices.len() as u64) as usize];
        let (name, of, range) = ATTRIBUTES[chosen];
        let clause = match range {
            Range::Ref(to) if of == kind => {
                let value = match self.known(to, r).filter(|known| *known != var && r.one_in(3)) {
                    Some(known) => known,
                    None => self.entity(to),
                };
                format!("[{var} :{name} {value}]")
            }
            Range::Ref(_) => format!("[{} :{name} {var}]", self.entity(of)),
            Range::Text(1_000_000) => {
                let ids = world.ids(kind);
                format!("[{var} :{name} \"unique {}\"]", ids.start + r.below(ids.end - ids.start))
            }
            Range::Text(n) if r.one_in(2) => format!("[{var} :{name} \"text {}\"]", r.below(n)),
            Range::Long(n) if r.one_in(3) => format!("[{var} :{name} {}]", r.below(n)),
            Range::Long(n) => {
                self.scalars.push(chosen);
                let scalar = self.scalars.len() - 1;
                if r.one_in(2) {
                    self.clauses.push(format!("[(< ?s{scalar} {})]", r.below(n) + 1));
                }
                format!("[{var} :{name} ?s{scalar}]")
            }
            Range::Text(_) => {
                self.scalars.push(chosen);
                format!("[{var} :{name} ?s{}]", self.scalars.len() - 1)
            }
        };
        self.clauses.push(if r.one_in(8) && !clause.contains("?s") && self.entities.len() == known {
            clause.replace('[', "(not [").replace(']', "])")
        } else {
            clause
        });
    }
}

fn made(world: &World, r: &mut Random) -> (String, Vec<String>) {
    loop {
        let kinds = [Kind::Person, Kind::Dept, Kind::City, Kind::Project];
        let mut made = Made::default();
        made.entity(kinds[r.below(4) as usize]);
        for _ in 0..3 + r.below(5) {
            made.grow(world, r);
        }
        // What only a `not` has is bound by nothing.
        let positive: Vec<&String> = made.clauses.iter().filter(|clause| clause.starts_with('[')).collect();
        let has = |var: &str| {
            positive.iter().any(|c| c.split([' ', '[', ']']).any(|part| part == var) && !c.starts_with("[("))
        };
        let all =
            (0..made.entities.len()).map(|i| format!("?e{i}")).chain((0..made.scalars.len()).map(|i| format!("?s{i}")));
        let vars: Vec<String> = all.filter(|var| has(var)).collect();
        let is_bound = (0..made.entities.len()).all(|i| vars.contains(&format!("?e{i}")));
        let joins = positive.iter().filter(|clause| !clause.starts_with("[(")).count();
        if joins < 3 || !is_bound {
            continue;
        }
        let find: Vec<&str> = vars.iter().map(String::as_str).take(1 + r.below(3) as usize).collect();
        return (find.join(" "), made.clauses);
    }
}

/// All permutations of up to five clauses, some of more.
fn permutations(clauses: &[String], r: &mut Random) -> Vec<Vec<String>> {
    if clauses.len() > 5 {
        let mut some = vec![clauses.to_vec(), clauses.iter().rev().cloned().collect()];
        for _ in 0..30 {
            let mut other = clauses.to_vec();
            r.shuffle(&mut other);
            some.push(other);
        }
        return some;
    }
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for clause in clauses {
        all = all
            .iter()
            .flat_map(|known| {
                (0..=known.len()).map(|at| {
                    let mut longer = known.clone();
                    longer.insert(at, clause.clone());
                    longer
                })
            })
            .collect();
    }
    all
}

/// The rows that all steps took in and put out.
fn work(steps: &Form) -> i64 {
    let FormKind::Vector(steps) = &steps.kind else { return 0 };
    let of = |step: &Form| {
        let FormKind::Map(pairs) = &step.kind else { return 0 };
        let pair = |(key, value): &(Form, Form)| match key.as_keyword().map(|key| key.as_str()) {
            Some("rows-in" | "rows-out") => value.as_int().unwrap_or(0),
            Some("inner") => inner(value),
            _ => 0,
        };
        pairs.iter().map(pair).sum()
    };
    steps.iter().map(of).sum()
}

fn inner(plans: &Form) -> i64 {
    let FormKind::Vector(plans) = &plans.kind else { return 0 };
    plans.iter().map(|plan| plan_of(plan, "steps")).sum()
}

fn plan_of(form: &Form, name: &str) -> i64 {
    let FormKind::Map(pairs) = &form.kind else { return 0 };
    let found = pairs.iter().find(|(key, _)| key.as_keyword().is_some_and(|key| key.as_str() == name));
    found.map_or(0, |(_, steps)| work(steps))
}

/// A time of the run, in milliseconds.
fn time(told: &Form, name: &str) -> f64 {
    let FormKind::Map(pairs) = &told.kind else { return 0.0 };
    let found = pairs.iter().find(|(key, _)| key.as_keyword().is_some_and(|key| key.as_str() == name));
    found.map_or(0.0, |(_, value)| if let FormKind::Float(ms) = value.kind { ms } else { 0.0 })
}

#[test]
fn every_order_of_the_clauses_gets_the_same_plan() {
    let (seed, cases) = (wanted("TREERING_SEED", 1), wanted("TREERING_CASES", 200));
    let world = World { people: wanted("TREERING_PEOPLE", 3_000) };
    println!("TREERING_SEED={seed} TREERING_CASES={cases} TREERING_PEOPLE={}", world.people);
    let db = world.db(&mut Random(seed));
    let few = QueryOptions { max_rows: Some(20_000_000), ..QueryOptions::default() };
    let (mut ran, mut planned) = (0, 0);
    // The milliseconds that planning took: told, not judged.
    let mut times: Vec<f64> = Vec::new();
    for case in 0..cases {
        let mut r = Random(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let (find, clauses) = made(&world, &mut r);
        let texts: Vec<String> = permutations(&clauses, &mut r)
            .iter()
            .map(|clauses| format!("[:find {find} :where {}]", clauses.join(" ")))
            .collect();
        // Each different plan with one of the queries that got it.
        let mut plans: Vec<(String, &String)> = Vec::new();
        for text in &texts {
            let plan = explain(text, &db).unwrap_or_else(|error| panic!("case {case}: {text}: {error:?}")).to_string();
            planned += 1;
            if !plans.iter().any(|(known, _)| *known == plan) {
                plans.push((plan, text));
            }
        }
        assert!(
            plans.len() == 1,
            "case {case}: {} plans, such as\n{}\n{}\n{}\n{}",
            plans.len(),
            plans[0].1,
            plans[0].0,
            plans[1].1,
            plans[1].0
        );
        // The work, and the rows, of some.
        let mut least_most: Option<(i64, i64)> = None;
        let mut rows: Option<BTreeSet<Vec<Value>>> = None;
        for text in [&texts[0], &texts[texts.len() / 2], &texts[texts.len() - 1]] {
            let Ok((output, told)) = explain_analyze(text, &db, &few) else { continue };
            let told = told.to_form();
            times.push(time(&told, "planning-ms"));
            let work = plan_of(&told, "plan");
            let (least, most) = least_most.unwrap_or((work, work));
            least_most = Some((least.min(work), most.max(work)));
            let found: BTreeSet<Vec<Value>> = output.rows().collect();
            assert!(rows.as_ref().is_none_or(|known| *known == found), "case {case}: {text}");
            rows = Some(found);
            ran += 1;
        }
        let (least, most) = least_most.unwrap_or((0, 0));
        assert!(most <= 2 * least + 100, "case {case}: {least} to {most} rows: {}", texts[0]);
        if let Some(rows) = rows {
            assert_eq!(q(&texts[0], &db).expect("it ran before").len(), rows.len(), "case {case}");
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(0.0);
    println!("{planned} plans, {ran} runs, planned in {:.3} ms, one in ten in more than {:.3} ms", at(0.5), at(0.9));
    assert!(ran > cases * 2, "too few queries could be run: {ran}");
}
