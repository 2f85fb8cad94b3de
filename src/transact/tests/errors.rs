//! What is refused, and how it is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{EntityMap, TxData, TxFunction};
use super::{after, did, fails, people, rows, run};
use crate::datom::{EntityId, Order, TX0, Value};
use crate::db::Db;
use crate::edn::{Keyword, Symbol};
use crate::error::{Error, ErrorKind};
use crate::library::AttributePredicate;

#[test]
fn every_code() {
    let db = after(&people(), r#"[{:db/id 20 :email "a" :login "l" :age 1 :aka "x"}]"#);
    for (data, code) in [
        ("5", "transact/syntax"),
        ("{:tx-meta {}}", "transact/syntax"),
        ("{:tx-data [] :other 1}", "transact/syntax"),
        ("{:tx-data [] :tx-meta {:db/id 5}}", "transact/syntax"),
        ("[5]", "transact/syntax"),
        ("[[]]", "transact/syntax"),
        ("[[:db/added 1 :age 2]]", "transact/syntax"),
        ("[[:db/add 1 :age]]", "transact/syntax"),
        ("[[:db/add 1 \"age\" 5]]", "transact/syntax"),
        ("[{\"age\" 5}]", "transact/syntax"),
        ("[[:db/add 20 :age #unknown 5]]", "transact/syntax"),
        ("[[:db/retract -1 :age 5]]", "transact/syntax"),
        ("[[:db/retractEntity \"x\"]]", "transact/syntax"),
        ("[[:db/cas -1 :age nil 5]]", "transact/syntax"),
        ("[[:db/cas 20 :boss nil \"new\"]]", "transact/syntax"),
        ("[{:_age 20}]", "transact/syntax"),
        ("[[:db/add 1.5 :age 1]]", "entity-id/syntax"),
        ("[[:db/add [:email] :age 1]]", "lookup-ref/syntax"),
        ("[[:db/add [:badge \"x\"] :age 1]]", "lookup-ref/syntax"),
        ("[[:db/add [:age 1] :age 1]]", "lookup-ref/unique"),
        ("[[:db/add [:email \"z\"] :age 1]]", "entity-id/missing"),
        ("[[:db/add :nobody :age 1]]", "entity-id/missing"),
        ("[[:db/cas [:email \"z\"] :age nil 1]]", "entity-id/missing"),
        ("[[:db/add 20 :agee 1]]", "attribute/unknown"),
        ("[[:db/add 20 :age \"1\"]]", "transact/schema"),
        ("[[:db/add 20 :age 9223372036854775808]]", "transact/schema"),
        ("[[:db/add 20 :score 9007199254740993]]", "transact/schema"),
        ("[[:db/add 20 :boss 1.0]]", "transact/schema"),
        ("[[:db/add 20 :name {:a 1}]]", "transact/schema"),
        ("[{:db/id 20 :name [\"a\" {:name 1}]}]", "transact/schema"),
        ("[[:db/add 20 :point [1 2.0 3]]]", "transact/schema"),
        ("[[:db/add 20 :point [1 :x]]]", "transact/schema"),
        ("[[:db/add 20 :path []]]", "transact/schema"),
        ("[[:db/add 20 :path [:a :b :c :d :e :f :g :h :i]]]", "transact/schema"),
        ("[[:db/add 20 :code \"abcd\"]]", "transact/max-length"),
        ("[[:db/add 20 :name nil]]", "transact/nil"),
        ("[{:db/id 20 :boss nil}]", "transact/nil"),
        ("[[:db/add 21 :login \"l\"]]", "transact/unique"),
        ("[{:db/id 21 :email \"a\"}]", "transact/upsert"),
        ("[[:db/cas 20 :age 2 3]]", "transact/cas"),
        ("[[:db/cas 20 :age nil 3]]", "transact/cas"),
        ("[[:db/cas 20 :aka \"y\" \"z\"]]", "transact/cas"),
        ("[[:db/add 8589934592 :age 1]]", "transact/entity-id"),
        ("[[:db/add 536870912 :age 1]]", "transact/entity-id"),
        ("[[:db/add 20 :boss 536870999]]", "transact/entity-id"),
        ("[[:db/add 20 :db/txInstant #inst \"2030\"]]", "transact/tx-instant"),
        ("[[:db/add :db/current-tx :db/txInstant #inst \"1960\"]]", "transact/tx-instant"),
        ("[[:db/retractEntity 536870913]]", "transact/tx-instant"),
    ] {
        fails(&db, data, code);
    }
    let late = EntityMap::new().tempid(":db/current-tx").set(Keyword::new("db/txInstant"), Value::Instant(i64::MAX));
    assert_eq!(run(&db, late).unwrap_err().code(), "transact/tx-instant");
    let id = EntityId(0);
    let error = run(&db, EntityMap::new().id(id).set(Keyword::new("age"), 1)).unwrap_err();
    assert_eq!(error.code(), "transact/entity-id");
}

#[test]
fn an_error_names_the_operation_and_its_place() {
    let db = people();
    let error = fails(&db, "[{:name \"A\"}\n nil\n [:db/add 20 :agee 5]]", "attribute/unknown");
    assert_eq!(error.position(), Some((3, 14)), "the attribute");
    assert!(error.message().starts_with("operation 2 of the tx-data: "), "{error}");
    assert!(error.message().ends_with("did you mean :age?"), "{error}");
    let error = fails(&db, "[[:db/add 20 :age \"five\"]]", "transact/schema");
    assert_eq!(
        error.message(),
        "operation 0 of the tx-data: :age: a value of :db.type/long was wanted, got a string: \"five\""
    );
    let error = fails(&db, "{:tx-data [] :tx-meta {:agee 1}}", "attribute/unknown");
    assert!(error.message().starts_with(":tx-meta: "), "{error}");
    let error = fails(&db, "[{:name \"A\"}\n [:db/add 20 :name]]", "transact/syntax");
    assert_eq!(error.position(), Some((2, 2)));
}

#[test]
fn deep_nesting_is_refused() {
    let db = people();
    let text = format!("[{}{}]", "{:boss ".repeat(200), "{}".to_owned() + &"}".repeat(200));
    assert!(matches!(run(&db, &*text).unwrap_err().code(), "transact/depth" | "edn/depth"));
    let deep = (0..200).fold(EntityMap::new(), |child, _| EntityMap::new().set(Keyword::new("boss"), child));
    assert_eq!(run(&db, deep).unwrap_err().code(), "transact/depth");
    let lookup = (0..50).fold(Value::Long(1), |v, _| vec![Value::Keyword(Keyword::new("badge")), v].into());
    let entity = EntityMap::new().id((Keyword::new("badge"), lookup)).set(Keyword::new("age"), 1);
    assert_eq!(run(&db, entity).unwrap_err().code(), "lookup-ref/syntax");
}

#[test]
fn what_is_refused_changes_nothing() {
    let db = after(&people(), r#"[{:db/id 20 :email "a" :age 1}]"#);
    let before = Order::ALL.map(|order| rows(db.snapshot(), order));
    fails(&db, r#"[{:name "A"} [:db/add 20 :age 2] [:db/cas 20 :age 1 5]]"#, "transact/cas");
    assert_eq!(Order::ALL.map(|order| rows(db.snapshot(), order)), before);
    let view = db.as_of(EntityId(TX0 + 1)).unwrap();
    fails(&view, "[]", "transact/view");
    fails(&db.filter(|_, _| true), "[]", "transact/view");
}

/// The ids of transactions are not counted when an explicit id is measured against the largest so far.
#[test]
fn an_explicit_id_may_lie_beyond_the_transactions() {
    let db = people();
    let beyond = 1_u64 << 40;
    after(&db, &format!("[{{:db/id {beyond} :name \"far\"}}]"));
    fails(&db, &format!("[{{:db/id {} :name \"farther\"}}]", beyond + (1 << 33)), "transact/entity-id");
}

/// The text that the carets stand under.
fn underlined(error: &Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines().rev();
    let (carets, line) = (lines.next().unwrap(), lines.next().unwrap());
    let (from, to) = (carets.find('^').unwrap(), carets.rfind('^').unwrap());
    line.chars().skip(from).take(to - from + 1).collect()
}

#[test]
fn the_part_that_is_wrong_is_underlined() {
    let db = after(&people(), r#"[{:db/id 20 :email "a" :login "l" :age 1 :aka "x"} {:db/id 21 :email "b"}]"#);
    for (data, part) in [
        (r#"[{:name "A"} [:db/add 20 :age "five"]]"#, r#""five""#),
        (r#"[[:db/add 20 :agee 5]]"#, ":agee"),
        (r#"[{:db/id 20 :agee 5}]"#, ":agee"),
        (r#"[{:db/id 20 :name "A" :age "five" :score 1.5}]"#, r#""five""#),
        (r#"[{:db/id 20 :aka ["y" 5 "z"]}]"#, "5"),
        (r#"[{:db/id 20 :boss {:name "B" :friend [{:age "six"}]}}]"#, r#""six""#),
        (r#"[[:db/add [:email "z"] :age 1]]"#, r#"[:email "z"]"#),
        (r#"[{:db/id :nobody :age 1}]"#, ":nobody"),
        (r#"[[:db/add 20 :boss [:email "z"]]]"#, r#"[:email "z"]"#),
        (r#"[[:db/add 21 :login "l"]]"#, r#""l""#),
        (r#"[{:db/id 21 :name "A" :email "a"}]"#, r#""a""#),
        (r#"[{:db/id "t" :email "a"} [:db/add "t" :email "b"]]"#, r#""b""#),
        (r#"[[:db/cas 20 :age 2 3]]"#, "2"),
        (r#"[[:db/cas 20 :age 1 "3"]]"#, r#""3""#),
        (r#"[[:db/retract 20 :agee]]"#, ":agee"),
        (r#"[[:db/ad 20 :age 5]]"#, ":db/ad"),
        (r#"[[:db/add 20 :code "abcd"]]"#, r#""abcd""#),
        (r#"[[:db/add 20 :point [1 :x]]]"#, "[1 :x]"),
    ] {
        let error = run(&db, data).map(|made| did(&made)).expect_err(data);
        assert_eq!(underlined(&error), part, "{error}");
    }
    let call = "{:tx-data [[:db/add 20 :name \"A\"]] :tx-meta {:agee 1}}";
    assert_eq!(run(&db, call).unwrap_err().position(), None);
}

/// What the examples of the page are made on.
fn db_of_the_page() -> Db {
    let db = after(&people(), r#"[{:db/id 20 :email "a" :login "l" :age 1}]"#);
    db.snapshot().library.change(|tables| {
        let small: AttributePredicate = Arc::new(|v| Ok(matches!(v, Value::Long(0..=999))));
        tables.attribute = tables.attribute.with(Symbol::new("small?"), small);
        let fails = TxFunction::new(|_, _| Err::<TxData, _>(Error::new(ErrorKind::Argument, "test/fails", "no")));
        let endless = TxFunction::new(|_, _| Ok("[[endless]]"));
        let named = [(Symbol::new("fails"), fails), (Symbol::new("endless"), endless)];
        tables.transaction = named.into_iter().collect();
    });
    after(
        &db,
        "[{:db/ident :small :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db.attr/preds [small?]}
          {:db/ident :odd :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db.attr/preds [odd-one?]}]",
    )
}

#[test]
fn the_page_lists_every_code_with_an_example() {
    let page = include_str!("../../../docs/transactions.md");
    let rows = page.lines().filter(|line| line.starts_with("| `:")).filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect();
        let code = cells[0].strip_prefix(':')?;
        (cells.len() == 3 && code.contains('/')).then(|| (code.to_owned(), cells[2].to_owned()))
    });
    let listed: BTreeMap<String, String> = rows.filter(|(code, _)| is_code(code)).collect();
    let db = db_of_the_page();
    for (code, example) in listed.iter().filter(|(_, example)| *example != "–") {
        assert_eq!(run(&db, &**example).map(|made| did(&made)).expect_err(example).code(), code, "{example}");
    }
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/transact")).unwrap();
    for path in sources.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&path).unwrap();
        for code in text.split('"').filter(|text| is_code(text)) {
            assert!(listed.contains_key(code), "{code} of {} is not in the table of errors", path.display());
        }
    }
}

fn is_code(text: &str) -> bool {
    let (group, name) = text.split_once('/').unwrap_or_default();
    let is_group = matches!(group, "transact" | "attribute" | "entity-id" | "lookup-ref");
    is_group && !name.is_empty() && name.bytes().all(|b| b == b'-' || b.is_ascii_lowercase())
}
