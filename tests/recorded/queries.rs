//! Queries, asked of the engine.

use std::collections::BTreeMap;

use crate::oracle::{self, Fact, Input as Recorded, SchemaFacts, canon, replay};
use treering::edn::{Keyword, Symbol};
use treering::{
    Aggregate, Aggregates, Db, EntityId, Function, Functions, Input, Output, QueryOptions, Shape, State, TX0, Value,
    ValueKind, ValueRef, q, q_with,
};

/// The word by which hand-made databases declare values like this one.
fn type_of(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Str => "string",
        ValueKind::Keyword => "keyword",
        ValueKind::Double => "double",
        ValueKind::Bool => "boolean",
        _ => "long",
    }
}

/// A database of exactly these facts, besides those about its transactions, which are filtered out.
fn database(facts: &[Fact], schema: &SchemaFacts) -> Db {
    let mut kinds: BTreeMap<String, &'static str> = BTreeMap::new();
    for fact in facts {
        kinds.entry(fact.a.as_str().to_owned()).or_insert_with(|| type_of(&fact.v));
    }
    for a in schema.refs.iter().chain(&schema.many).chain(&schema.unique).chain(&schema.components) {
        kinds.entry(a.as_str().to_owned()).or_insert("string");
    }
    kinds.remove("db/ident");
    let declared: Vec<String> = kinds.iter().map(|(name, kind)| declaration(name, kind, schema)).collect();
    let declared: Vec<&str> = declared.iter().map(String::as_str).collect();
    let mut sayings: BTreeMap<u64, Vec<(u64, &str, Value, bool)>> = BTreeMap::new();
    for fact in facts {
        let v = match &fact.v {
            Value::Long(id) if schema.refs.contains(&fact.a) => Value::Ref(EntityId(*id as u64)),
            v => v.clone(),
        };
        sayings.entry(fact.tx.max(TX0 + 1)).or_default().push((fact.e, fact.a.as_str(), v, true));
    }
    let last = sayings.keys().next_back().copied().unwrap_or(TX0);
    let transactions: Vec<_> = (TX0 + 1..=last).map(|t| sayings.remove(&t).unwrap_or_default()).collect();
    let transactions: Vec<_> = transactions.iter().map(Vec::as_slice).collect();
    treering::db_testing::db_of(&declared, &transactions)
        .filter(|db, datom| db.ident(datom.a) != Some(Keyword::new("db/txInstant")))
}

fn declaration(name: &str, kind: &str, schema: &SchemaFacts) -> String {
    let a = Keyword::new(name);
    let kind = if schema.refs.contains(&a) { "ref" } else { kind };
    let mut text = format!("{name} {kind}");
    for (set, flag) in [(&schema.many, " many"), (&schema.unique, " identity"), (&schema.components, " component")] {
        if set.contains(&a) {
            text.push_str(flag);
        }
    }
    text
}

fn ask(record: &replay::Record) -> treering::Result<Output> {
    let input = |(i, input): (usize, &Recorded)| match (record.databases.get(&i), input) {
        (Some((facts, schema)), _) => Input::from(database(facts, schema)),
        (None, Recorded::Form(form)) => Input::Form(form.clone()),
        (None, Recorded::Source(_)) => panic!("{}: a source that is no database", record.name),
    };
    q_with(&record.query, record.inputs.iter().enumerate().map(input).collect::<Vec<_>>(), &options())
}

/// The functions that the tests there define themselves, registered as users would.
fn options() -> QueryOptions {
    let sample = Function::new("datascript.test.query-fns/sample-query-fn", 0..=0, |_| Ok(Some(Value::Long(42))));
    let reverse = Symbol::new("datascript.test.query-aggregates/sort-reverse");
    QueryOptions {
        functions: Some(Functions::standard().with(sample)),
        aggregates: Some(Aggregates::standard().with(reverse, SortReverse(Vec::new()))),
        ..QueryOptions::default()
    }
}

/// All values, the greatest first.
struct SortReverse(Vec<Value>);

impl Aggregate for SortReverse {
    fn state(&self, _: &[Value]) -> treering::Result<Box<dyn State>> {
        Ok(Box::new(SortReverse(Vec::new())))
    }
}

impl State for SortReverse {
    fn add(&mut self, value: &ValueRef<'_>) -> treering::Result<()> {
        self.0.push(value.to_value());
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> treering::Result<Value> {
        self.0.sort_by(|x, y| y.cmp(x));
        Ok(Value::from(self.0))
    }
}

/// Whether the engine found what was recorded; any row will do where one of many is asked for.
fn agrees(record: &replay::Record, output: &Output, recorded: &Value) -> bool {
    let found = canon(&output.to_value());
    let members = |value: &Value| oracle::eval::members(value).unwrap_or_default();
    match output.shape() {
        shape @ (Shape::Scalar | Shape::Tuple) => {
            let rows = oracle::answer(&record.query, &record.inputs).map(|answer| answer.rows).unwrap_or_default();
            let row = |row: &Vec<Value>| match shape {
                Shape::Scalar => row.first().cloned().unwrap_or(Value::Nil),
                _ => Value::Tuple(row.clone().into()),
            };
            replay::same(&found, recorded) || rows.iter().any(|r| replay::same(&row(r), &found))
        }
        _ => replay::same_bag(&members(&found), &members(recorded)),
    }
}

/// Records that the engine answers in another way on purpose: what the query holds, and why.
const MEANT: &[(&str, &str)] = &[
    ("(not [?e :name \"Ivan\"]) [?e :name]", "a clause may stand before those that bind its variables"),
    ("(not [1 :age ?a]) [?e :age ?a]", "a clause may stand before those that bind its variables"),
    ("[(inc 1) ?e]", "a database may be given whether it is used or not"),
    ("[[:name \"Valery\"] :friend ?e]", "a lookup ref that names nothing matches nothing"),
    ("[_ :pred ?pred]", "the name of a function comes from :in, never from the database"),
    ("[?e :s b]", "a bare symbol is no constant"),
];

#[test]
fn recorded_queries() {
    let Some(folder) = replay::folder() else {
        println!("skipped: no recorded cases (TREERING_CASES_DIR)");
        return;
    };
    let (mut equal, mut meant, mut differ) = (0, Vec::new(), Vec::new());
    for record in replay::records(&folder) {
        let text = record.query.to_string();
        let got = ask(&record);
        let ok = match (&got, &record.result) {
            (Ok(output), Some(recorded)) => agrees(&record, output, recorded),
            (Err(_), None) => true,
            _ => false,
        };
        if ok {
            equal += 1;
        } else if MEANT.iter().any(|(part, _)| text.contains(part)) {
            meant.push(record.name);
        } else {
            let got = got.map(|output| output.to_value());
            differ.push(format!("{}\n  {text}\n  recorded {:?}\n  got {got:?}", record.name, record.result));
        }
    }
    println!("{equal} records answered equally, {meant:?} differ on purpose, {} others", differ.len());
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(equal > 200, "{equal} records were found");
    let others = crate::cases::names(&folder, &[crate::PULLS, crate::PARSES].concat());
    let (all, meant) = (equal + meant.len() + others.len(), meant.len() + crate::differences::meant(&others));
    println!("{meant} of {all} records of queries, pulls and parsers differ");
    assert!(meant * 50 < all, "{meant} of {all} records of queries, pulls and parsers differ");
}

/// Two of the recorded answers that are known without the recordings.
#[test]
fn inputs_name_entities_and_are_constants() {
    let schema = SchemaFacts {
        refs: [Keyword::new("friend")].into(),
        unique: [Keyword::new("name")].into(),
        ..SchemaFacts::default()
    };
    let fact = |e, a: &str, v| Fact { e, a: Keyword::new(a), v, tx: TX0 + 1, added: true };
    let facts = [
        fact(1, "name", Value::from("Ann")),
        fact(2, "name", Value::from("Bob")),
        fact(1, "friend", Value::Long(2)),
        fact(2, "age", Value::Long(7)),
    ];
    let db = database(&facts, &schema);
    let form = |text: &str| Input::Form(treering::edn::read(text).expect("edn"));
    let names = r#"[[:name "Ann"] [:name "Bob"]]"#;
    let found = q("[:find ?e ?v :in $ [?e ...] [?v ...] :where [?e :friend ?v]]", (&db, form(names), form(names)));
    let expected = treering::edn::read(r#"#{[[:name "Ann"] [:name "Bob"]]}"#).expect("edn");
    assert_eq!(found.expect("an answer").to_form(), expected);
    let either = r#"[:find [?e ...] :in $ ?a :where (or [?e :age ?a] [?e :name "Ann"])]"#;
    assert_eq!(q(either, (&db, 7)).expect("an answer").len(), 2);
}
