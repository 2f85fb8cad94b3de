//! Random sequences of transactions against a plain model: a set of facts, each with its transaction.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, prop_assert_eq, proptest};

use super::super::{EntityMap, Op, Subject};
use super::{FIRST, after, people, rows, run};
use crate::datom::{EntityId, Order, TX0, Value};
use crate::db::Db;
use crate::edn::Keyword;

/// Attributes that the sequences use; the flag says whether an attribute takes many values.
const ATTRIBUTES: [(&str, bool); 5] =
    [("age", false), ("aka", true), ("boss", false), ("friend", true), ("part", true)];

const ENTITIES: u64 = 5;

#[derive(Debug, Clone)]
enum Step {
    Add(u64, usize, u8),
    Retract(u64, usize, u8),
    RetractAll(u64, usize),
    RetractEntity(u64),
    Cas(u64, usize, Option<u8>, u8),
    /// An entity map with this e-mail address and age.
    Upsert(u8, u8),
}

/// Facts of entities, and the transaction of each.
type Facts = BTreeMap<(u64, String, Value), u64>;

#[derive(Debug, Clone, Default)]
struct Model {
    facts: Facts,
    /// Facts that ended: (fact, began, ended).
    closed: BTreeSet<(u64, String, Value, u64, u64)>,
    max_eid: u64,
}

fn value(a: usize, n: u8) -> Value {
    match ATTRIBUTES[a].0 {
        "age" => Value::Long(i64::from(n)),
        "aka" => Value::from(format!("v{n}")),
        _ => Value::Ref(EntityId(entity(u64::from(n)))),
    }
}

fn entity(n: u64) -> u64 {
    FIRST + n % ENTITIES
}

impl Model {
    /// What the steps lead to; `None` when a compare-and-set fails.
    fn after(&self, steps: &[Step], t: u64) -> Option<Model> {
        let mut facts = self.facts.clone();
        let mut max_eid = self.max_eid;
        let mut emails: BTreeMap<u8, u64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add(e, a, n) => add(&mut facts, entity(*e), *a, *n, t),
                Step::Retract(e, a, n) => {
                    facts.remove(&(entity(*e), ATTRIBUTES[*a].0.to_owned(), value(*a, *n)));
                }
                Step::RetractAll(e, a) => facts.retain(|k, _| (k.0, &*k.1) != (entity(*e), ATTRIBUTES[*a].0)),
                Step::RetractEntity(e) => retract_entity(&mut facts, entity(*e)),
                Step::Cas(e, a, old, new) => {
                    let mut held = facts.keys().filter(|k| (k.0, &*k.1) == (entity(*e), ATTRIBUTES[*a].0));
                    let holds = match old {
                        None => held.next().is_none(),
                        Some(old) => held.any(|k| k.2 == value(*a, *old)),
                    };
                    if !holds {
                        return None;
                    }
                    add(&mut facts, entity(*e), *a, *new, t);
                }
                Step::Upsert(email, age) => {
                    let v = Value::from(format!("{email}@x"));
                    // Whom an address means is settled before anything else happens.
                    let known = self.facts.keys().find(|k| k.1 == "email" && k.2 == v).map(|k| k.0);
                    let e = known.unwrap_or_else(|| {
                        *emails.entry(*email).or_insert_with(|| {
                            max_eid += 1;
                            max_eid
                        })
                    });
                    facts.entry((e, "email".to_owned(), v)).or_insert(t);
                    add(&mut facts, e, 0, *age, t);
                }
            }
        }
        let mut closed = self.closed.clone();
        for (fact, began) in &self.facts {
            match facts.get_mut(fact) {
                // The net effect counts: what is there before and after was never gone.
                Some(tx) => *tx = *began,
                None => {
                    closed.insert((fact.0, fact.1.clone(), fact.2.clone(), *began, t));
                }
            }
        }
        Some(Model { facts, closed, max_eid })
    }
}

fn add(facts: &mut Facts, e: u64, a: usize, n: u8, t: u64) {
    let (name, many) = ATTRIBUTES[a];
    let v = value(a, n);
    if !many {
        facts.retain(|k, _| (k.0, &*k.1) != (e, name) || k.2 == v);
    }
    facts.entry((e, name.to_owned(), v)).or_insert(t);
}

fn retract_entity(facts: &mut Facts, e: u64) {
    let mut seen = BTreeSet::new();
    let mut todo = vec![e];
    while let Some(e) = todo.pop() {
        if seen.insert(e) {
            let parts = facts.keys().filter(|k| k.0 == e && k.1 == "part");
            todo.extend(parts.filter_map(|k| if let Value::Ref(id) = k.2 { Some(id.0) } else { None }));
            facts.retain(|k, _| k.0 != e && k.2 != Value::Ref(EntityId(e)));
        }
    }
}

fn op(step: &Step) -> Op {
    let subject = |e: &u64| Subject::from(EntityId(entity(*e)));
    let keyword = |a: &usize| Keyword::new(ATTRIBUTES[*a].0);
    match step {
        Step::Add(e, a, n) => Op::Add { e: subject(e), a: keyword(a), v: value(*a, *n).into() },
        Step::Retract(e, a, n) => Op::Retract { e: subject(e), a: keyword(a), v: Some(value(*a, *n).into()) },
        Step::RetractAll(e, a) => Op::Retract { e: subject(e), a: keyword(a), v: None },
        Step::RetractEntity(e) => Op::RetractEntity { e: subject(e) },
        Step::Cas(e, a, old, new) => {
            let old = old.map(|n| value(*a, n).into());
            Op::Cas { e: subject(e), a: keyword(a), old, new: value(*a, *new).into() }
        }
        Step::Upsert(email, age) => {
            let entity = EntityMap::new().set(Keyword::new("email"), format!("{email}@x"));
            entity.set(Keyword::new("age"), value(0, *age)).into()
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let (e, a, n) = (0..ENTITIES, 0..ATTRIBUTES.len(), 0_u8..4);
    prop_oneof![
        6 => (e.clone(), a.clone(), n.clone()).prop_map(|(e, a, n)| Step::Add(e, a, n)),
        3 => (e.clone(), a.clone(), n.clone()).prop_map(|(e, a, n)| Step::Retract(e, a, n)),
        1 => (e.clone(), a.clone()).prop_map(|(e, a)| Step::RetractAll(e, a)),
        1 => e.clone().prop_map(Step::RetractEntity),
        1 => (e, a, prop_oneof![Just(None), n.clone().prop_map(Some)], n.clone())
            .prop_map(|(e, a, old, new)| Step::Cas(e, a, old, new)),
        2 => (any::<u8>().prop_map(|x| x % 3), n).prop_map(|(email, age)| Step::Upsert(email, age)),
    ]
}

fn model_of(db: &Db, closed: bool) -> BTreeSet<(u64, String, Value, u64, u64)> {
    let order = if closed { Order::HistoryEavt } else { Order::Eavt };
    let users = rows(db.snapshot(), order).into_iter().filter(|row| row.e >= FIRST && row.e < TX0);
    users.map(|row| (row.e, db.ident(row.a).unwrap().as_str().to_owned(), row.v, row.tx, row.until)).collect()
}

/// Every order holds the same rows, each where it belongs.
fn check_orders(db: &Db) {
    for (base, orders) in
        [(Order::Eavt, [Order::Aevt, Order::Avet]), (Order::HistoryEavt, [Order::HistoryAevt, Order::HistoryAvet])]
    {
        for order in orders {
            let in_avet = |a| db.schema().get(a).is_some_and(|attribute| attribute.in_avet());
            let mut expected = rows(db.snapshot(), base);
            expected.retain(|row| !matches!(order, Order::Avet | Order::HistoryAvet) || in_avet(row.a));
            expected.sort_by(|x, y| order.compare(x, y));
            assert_eq!(rows(db.snapshot(), order), expected, "{order:?}");
        }
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 256, ..Default::default() })]

    #[test]
    fn transactions_do_what_the_model_does(sequence in collection::vec(collection::vec(step(), 0..8), 1..8)) {
        let last = FIRST + ENTITIES - 1;
        let mut db = after(&people(), &format!("[{{:db/id {last} :name \"last\"}}]"));
        let named = ((last, "name".to_owned(), Value::from("last")), db.basis_t().0);
        let mut model = Model { max_eid: last, facts: Facts::from([named]), ..Model::default() };
        for steps in &sequence {
            let t = db.basis_t().0 + 1;
            let ops: Vec<Op> = steps.iter().map(op).collect();
            match (model.after(steps, t), run(&db, ops)) {
                (Some(next), Ok(made)) => {
                    model = next;
                    db = made.report.db_after;
                }
                (None, Err(error)) => prop_assert_eq!(error.code(), "transact/cas"),
                (expected, got) => panic!("{steps:?}: expected {expected:?}, got {:?}", got.map(|_| ())),
            }
            let current: BTreeSet<_> =
                model.facts.iter().map(|(k, tx)| (k.0, k.1.clone(), k.2.clone(), *tx, crate::datom::OPEN)).collect();
            prop_assert_eq!(model_of(&db, false), current);
            prop_assert_eq!(&model_of(&db, true), &model.closed);
            check_orders(&db);
        }
    }
}
