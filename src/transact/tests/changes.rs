//! Random changes of a definition, with facts and without, against the table of `docs/transactions.md`. Each transaction
//! is made in two orders, which must come to the same; and each is replayed from its record, as when a database is opened.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, prop_assert, prop_assert_eq, proptest};

use super::{rows, run};
use crate::datom::{Order, Row, Value};
use crate::db::Db;
use crate::db::testing::empty_db_with_refs;
use crate::schema::{Attribute, Cardinality, Unique, ValueType};

#[derive(Debug, Clone, Copy)]
enum Change {
    Type(bool),
    Many(bool),
    Unique(Option<bool>),
    Index(bool),
    NoHistory(bool),
    Rename(u8),
    Gone,
}

#[derive(Debug, Clone, Copy)]
enum Fact {
    Add(u64, u8),
    Retract(u64, u8),
}

type Step = (Vec<Change>, Vec<Fact>);

/// What the table looks at.
#[derive(Debug, Clone, PartialEq)]
struct Definition {
    text: bool,
    many: bool,
    unique: Option<bool>,
    index: bool,
    no_history: bool,
    name: u8,
}

#[derive(Debug, Clone)]
struct Model {
    entity: u64,
    definition: Option<Definition>,
    facts: BTreeSet<(u64, Value)>,
    /// Whether history holds facts of the attribute.
    past: bool,
    keeps: bool,
    refs: bool,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<bool>().prop_map(Change::Type),
        any::<bool>().prop_map(Change::Many),
        any::<Option<bool>>().prop_map(Change::Unique),
        any::<bool>().prop_map(Change::Index),
        any::<bool>().prop_map(Change::NoHistory),
        (0..2u8).prop_map(Change::Rename),
        Just(Change::Gone),
    ]
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        (0..3u64, 0..3u8).prop_map(|(e, v)| Fact::Add(200 + e, v)),
        (0..3u64, 0..3u8).prop_map(|(e, v)| Fact::Retract(200 + e, v)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    collection::vec((collection::vec(change(), 0..3), collection::vec(fact(), 0..3)), 1..12)
}

fn value(definition: &Definition, v: u8) -> Value {
    if definition.text { Value::from(format!("v{v}")) } else { Value::Long(i64::from(v)) }
}

impl Definition {
    fn changed(&self, changes: &[Change]) -> Option<Definition> {
        let mut new = self.clone();
        for change in changes {
            match *change {
                Change::Type(text) => new.text = text,
                Change::Many(many) => new.many = many,
                Change::Unique(unique) => new.unique = unique,
                Change::Index(index) => new.index = index,
                Change::NoHistory(no_history) => new.no_history = no_history,
                Change::Rename(name) => new.name = name,
                Change::Gone => return None,
            }
        }
        Some(new)
    }

    fn map(&self) -> String {
        let (t, c) = (if self.text { "string" } else { "long" }, if self.many { "many" } else { "one" });
        let unique = match self.unique {
            None => "",
            Some(true) => ":db/unique :db.unique/identity",
            Some(false) => ":db/unique :db.unique/value",
        };
        let name = self.name;
        format!(
            ":db/ident :x{name} :db/valueType :db.type/{t} :db/cardinality :db.cardinality/{c} {unique} \
             :db/index {} :db/noHistory {}",
            self.index, self.no_history
        )
    }
}

impl Model {
    /// The model after a step; `None` where the table refuses it.
    fn after(&self, changes: &[Change], said: &[Fact]) -> Option<Model> {
        let Some(old) = &self.definition else {
            // Facts wait until the attribute is there.
            let fresh = Definition { text: false, many: false, unique: None, index: false, no_history: false, name: 0 };
            let definition = Some(fresh.changed(changes).unwrap_or(fresh));
            return Some(Model { definition, entity: self.entity + 1, ..self.clone() });
        };
        let mut facts = self.facts.clone();
        for fact in said {
            match *fact {
                Fact::Add(e, v) => {
                    if !old.many {
                        facts.retain(|(other, _)| *other != e);
                    }
                    facts.insert((e, value(old, v)));
                }
                Fact::Retract(e, v) => {
                    facts.remove(&(e, value(old, v)));
                }
            }
        }
        let new = old.changed(changes);
        let closes = self.facts.difference(&facts).next().is_some();
        // What ends is kept as the schema at the end wants it.
        let forgets = new.as_ref().is_some_and(|new| new.no_history);
        let past = self.past || (closes && self.keeps && !forgets);
        let mut by_value: BTreeMap<&Value, u64> = BTreeMap::new();
        let mut by_entity: BTreeMap<u64, u64> = BTreeMap::new();
        for (e, v) in &facts {
            *by_value.entry(v).or_default() += 1;
            *by_entity.entry(*e).or_default() += 1;
        }
        let distinct = by_value.values().all(|n| *n == 1);
        let single = by_entity.values().all(|n| *n == 1);
        let none = facts.is_empty() && !past;
        let fine = match &new {
            None => none && (old.unique.is_none() || distinct),
            Some(new) => {
                (new.text == old.text || none)
                    && (new.name == old.name || none || self.refs)
                    && (old.many || !new.many || new.unique.is_none())
                    && (!old.many || new.many || single)
                    && (!old.index || new.index)
                    && (old.unique.is_none() || new.unique.is_some())
                    && (new.unique.is_none() || distinct)
            }
        };
        fine.then_some(Model { definition: new, facts, past, ..self.clone() })
    }

    /// The operations of a step: those about the definition, and those about facts.
    fn operations(&self, changes: &[Change], said: &[Fact]) -> (Vec<String>, Vec<String>) {
        let a = self.entity;
        let Some(old) = &self.definition else {
            let after = self.after(changes, &[]).and_then(|model| Some((model.entity, model.definition?)));
            let (entity, definition) = after.expect("an attribute can be defined");
            return (vec![format!("{{:db/id {entity} {}}}", definition.map())], Vec::new());
        };
        let gone = changes.iter().any(|change| matches!(change, Change::Gone));
        let about = |change: &Change| match *change {
            Change::Type(text) => {
                format!("[:db/add {a} :db/valueType :db.type/{}]", if text { "string" } else { "long" })
            }
            Change::Many(many) => {
                format!("[:db/add {a} :db/cardinality :db.cardinality/{}]", if many { "many" } else { "one" })
            }
            Change::Unique(None) => format!("[:db/retract {a} :db/unique]"),
            Change::Unique(Some(true)) => format!("[:db/add {a} :db/unique :db.unique/identity]"),
            Change::Unique(Some(false)) => format!("[:db/add {a} :db/unique :db.unique/value]"),
            Change::Index(index) => format!("[:db/add {a} :db/index {index}]"),
            Change::NoHistory(no_history) => format!("[:db/add {a} :db/noHistory {no_history}]"),
            Change::Rename(name) => format!("[:db/add {a} :db/ident :x{name}]"),
            Change::Gone => String::new(),
        };
        let definition =
            if gone { vec![format!("[:db/retractEntity {a}]")] } else { changes.iter().map(about).collect() };
        let name = old.name;
        let facts = said.iter().map(|fact| match *fact {
            Fact::Add(e, v) => format!("[:db/add {e} :x{name} {}]", value(old, v).to_form()),
            Fact::Retract(e, v) => format!("[:db/retract {e} :x{name} {}]", value(old, v).to_form()),
        });
        (definition, facts.collect())
    }
}

fn of(db: &Db, attribute: &Attribute, order: Order) -> Vec<Row> {
    let mut rows: Vec<Row> = rows(db.snapshot(), order).into_iter().filter(|row| row.a == attribute.id).collect();
    rows.sort_by(|x, y| (x.e, &x.v, x.tx).cmp(&(y.e, &y.v, y.tx)));
    rows
}

proptest! {
    #[test]
    fn definitions_change_as_the_table_says(steps in steps(), keeps in any::<bool>(), refs in any::<bool>()) {
        let mut db = empty_db_with_refs(keeps, refs);
        let mut model =
            Model { entity: 99, definition: None, facts: BTreeSet::new(), past: false, keeps, refs };
        for (changes, said) in steps {
            let (about, facts) = model.operations(&changes, &said);
            let orders = [[about.clone(), facts.clone()].concat(), [facts, about].concat()];
            let [made, other] = orders.map(|operations| run(&db, &*format!("[{}]", operations.join(" "))));
            let wanted = model.after(&changes, &said);
            prop_assert_eq!(made.is_ok(), wanted.is_some(), "{:?} {:?} {:?}: {:?}", &model, &changes, &said, made.err());
            prop_assert_eq!(other.is_ok(), wanted.is_some(), "in the other order");
            let (Ok(made), Ok(other), Some(wanted)) = (made, other, wanted) else {
                continue;
            };
            let after = made.report.db_after;
            prop_assert_eq!(
                after.schema().attributes(),
                other.report.db_after.schema().attributes()
            );
            for order in Order::ALL {
                prop_assert_eq!(rows(after.snapshot(), order), rows(other.report.db_after.snapshot(), order));
            }
            let found = after.schema().of_entity(wanted.entity);
            prop_assert_eq!(found.is_some(), wanted.definition.is_some());
            if let (Some(attribute), Some(definition)) = (found, &wanted.definition) {
                prop_assert_eq!(attribute.ident.as_str(), format!("x{}", definition.name));
                prop_assert_eq!(attribute.value_type == Some(ValueType::String), definition.text);
                prop_assert_eq!(attribute.cardinality == Cardinality::Many, definition.many);
                prop_assert_eq!(attribute.unique.map(|unique| unique == Unique::Identity), definition.unique);
                prop_assert_eq!((attribute.indexed, attribute.no_history), (definition.index, definition.no_history));
                let current = of(&after, attribute, Order::Aevt);
                let held: BTreeSet<_> = current.iter().map(|row| (row.e, row.v.clone())).collect();
                prop_assert_eq!(&held, &wanted.facts);
                prop_assert_eq!(of(&after, attribute, Order::HistoryAevt).is_empty(), !wanted.past);
                for order in [Order::Aevt, Order::HistoryAevt] {
                    let avet = if order == Order::Aevt { Order::Avet } else { Order::HistoryAvet };
                    let filled = if attribute.in_avet() { of(&after, attribute, order) } else { Vec::new() };
                    prop_assert_eq!(of(&after, attribute, avet), filled);
                }
            }
            prop_assert!(after.schema().attributes().len() <= db.schema().attributes().len() + 1);
            db = after;
            model = wanted;
        }
    }
}
