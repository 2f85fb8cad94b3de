//! Transaction functions and predicates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{EntityMap, Op, TxData, TxFunction};
use super::{after, did, does, facts, fails, people, run};
use crate::datom::{EntityId, Value};
use crate::db::{Db, EntityRef};
use crate::edn::{Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::transact::IntoTxData;

fn define<D: IntoTxData>(db: &Db, name: &str, function: impl Fn(&Db, &[Value]) -> Result<D> + Send + Sync + 'static) {
    let (name, function) = (Symbol::new(name), TxFunction::new(function));
    db.snapshot().library.change(|tables| tables.transaction = tables.transaction.with(name, function));
}

fn predicate(db: &Db, name: &str, predicate: impl Fn(&Value) -> Result<bool> + Send + Sync + 'static) {
    let name = Symbol::new(name);
    db.snapshot().library.change(|tables| tables.attribute = tables.attribute.with(name, Arc::new(predicate)));
}

fn entity_predicate(db: &Db, name: &str, predicate: impl Fn(&Db, EntityId) -> Result<bool> + Send + Sync + 'static) {
    let name = Symbol::new(name);
    db.snapshot().library.change(|tables| tables.entity = tables.entity.with(name, Arc::new(predicate)));
}

fn own(code: &'static str) -> Error {
    Error::new(ErrorKind::Argument, code, "no such thing")
}

/// The age of an entity.
fn age(db: &Db, e: &Value) -> Result<i64> {
    let e = match e {
        Value::Long(n) => EntityId(*n as u64),
        _ => return Err(own("test/argument")),
    };
    let entity = db.entity(EntityRef::Id(e))?.ok_or_else(|| own("test/nobody"))?;
    match entity.get(Keyword::new("age"))? {
        Some(crate::db::Attr::Value(Value::Long(age))) => Ok(age),
        _ => Err(own("test/no-age")),
    }
}

fn with_inc_age() -> Db {
    let db = after(&people(), "[{:db/id 20 :age 1 :name \"A\"}]");
    define(&db, "my.app/inc-age", |db, args| {
        let (e, by) = match args {
            [e] => (e, 1),
            [e, Value::Long(by)] => (e, *by),
            _ => return Err(own("test/arguments")),
        };
        Ok(format!("[[:db/add {e:?} :age {}]]", age(db, e)? + by))
    });
    db
}

#[test]
fn a_call_stands_for_what_its_function_gives() {
    let db = with_inc_age();
    for call in ["[:db.fn/call my.app/inc-age 20]", "[:db.fn/call :my.app/inc-age 20 1]", "[my.app/inc-age 20]"] {
        assert_eq!(does(&db, &format!("[{call}]")), ["- 20 :age 1", "+ 20 :age 2"]);
    }
    let made = run(&db, [Op::call("my.app/inc-age", [20, 5])]).unwrap();
    assert_eq!(did(&made), ["- 20 :age 1", "+ 20 :age 6"]);
    let data = "[[:db/add 20 :age 7] [my.app/inc-age 20] [my.app/inc-age 20 10] {:db/id 20 :name \"B\"}]";
    let expected = ["- 20 :age 1", "+ 20 :age 11", "- 20 :name \"A\"", "+ 20 :name \"B\""];
    assert_eq!(does(&db, data), expected, "functions see the database before, their results stand in their place");
}

#[test]
fn an_installed_function_is_called_by_its_ident() {
    let db = with_inc_age();
    let db = after(&db, "[{:db/ident :older :db/fn my.app/inc-age} {:db/ident :older/too :db/fn :my.app/inc-age}]");
    for call in ["[:older 20]", "[:older/too 20]"] {
        assert_eq!(does(&db, &format!("[{call}]")), ["- 20 :age 1", "+ 20 :age 2"]);
    }
    let made = run(&db, [Op::call(Keyword::new("older"), [20])]).unwrap();
    assert_eq!(did(&made), ["- 20 :age 1", "+ 20 :age 2"]);
    let error = fails(&db, "[[:oldest 20]]", "transact/syntax");
    assert!(error.message().contains("no entity has this ident"), "{error}");
    let error = fails(&db, "[[:name 20]]", "transact/syntax");
    assert!(error.message().contains("has no :db/fn"), "{error}");
    let error = fails(&db, "[[:db/ad 20 :age 1]]", "transact/syntax");
    assert!(error.message().contains("did you mean :db/add?"), "{error}");
    let db = after(&db, "[{:db/ident :lost :db/fn my.app/inc-ag}]");
    let error = fails(&db, "[[:lost 20]]", "transact/fn-unresolved");
    assert!(error.message().ends_with("did you mean my.app/inc-age?"), "{error}");
    let later = "[{:db/ident :later :db/fn my.app/inc-age} [:later 20]]";
    fails(&db, later, "transact/syntax");
}

#[test]
fn functions_are_values_too_and_share_tempids() {
    let db = people();
    let friend = TxFunction::new(|_, args| {
        let [name] = args else { return Err(own("test/arguments")) };
        Ok([EntityMap::new().set(Keyword::new("name"), name.clone()).set(Keyword::new("_friend"), "me")])
    });
    let ops = [
        EntityMap::new().tempid("me").set(Keyword::new("name"), "Me").into(),
        Op::call(friend.clone(), ["A"]),
        Op::call(friend, ["B"]),
    ];
    let made = run(&db, ops).unwrap();
    let expected =
        ["+ 15 :name \"Me\"", "+ 16 :name \"A\"", "+ 15 :friend #16", "+ 17 :name \"B\"", "+ 15 :friend #17"];
    assert_eq!(did(&made), expected);
    let said = TxFunction::new(|_, _| {
        Ok(TxData::new(vec![]).with_meta(EntityMap::new().set(Keyword::new("db/doc"), "by a function")))
    });
    let made = run(&db, [Op::call(said, [0; 0])]).unwrap();
    assert_eq!(made.report.tx_meta[1].1, Value::from("by a function"));
}

#[test]
fn functions_call_functions_to_a_bound() {
    let db = people();
    define(&db, "count-down", |_, args| match args {
        [Value::Long(0)] => Ok("[{:name \"zero\"}]".to_owned()),
        [Value::Long(n)] => Ok(format!("[[count-down {}] {{:name \"{n}\"}}]", n - 1)),
        _ => Err(own("test/arguments")),
    });
    let names = facts(&after(&db, "[[count-down 3] {:name \"after\"}]"));
    let names: Vec<_> = names.iter().map(|fact| fact.split('"').nth(1).unwrap()).collect();
    assert_eq!(names, ["zero", "1", "2", "3", "after"]);
    after(&db, "[[count-down 63]]");
    let error = fails(&db, "[[count-down 64]]", "transact/depth");
    assert_eq!(error.kind(), ErrorKind::Limit);
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    define(&db, "twice", move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok("[[twice-again] [twice-again] [twice-again]]")
    });
    define(&db, "twice-again", |_, args| match args.len() {
        0..60 => Ok(format!("[{0} {0}]", "[twice 1]")),
        _ => Ok("[]".to_owned()),
    });
    fails(&db, "[[twice]]", "transact/depth");
    assert!(calls.load(Ordering::Relaxed) < 1 << 16);
}

#[test]
fn what_a_function_fails_with_is_the_cause() {
    let db = with_inc_age();
    let error = fails(&db, "[{:name \"B\"}\n [my.app/inc-age 21]]", "transact/fn");
    assert_eq!(error.position(), Some((2, 2)));
    assert!(error.message().contains("operation 1 of the tx-data: the transaction function my.app/inc-age failed"));
    let cause = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Error>()).unwrap();
    assert!(cause.code().starts_with("test/"), "{cause:?}");
    define(&db, "nonsense", |_, _| Ok("[[:db/add 1"));
    fails(&db, "[[nonsense]]", "transact/fn");
    define(&db, "wrong", |_, _| Ok("[[:db/add 20 :agee 5]]"));
    let error = fails(&db, "[[wrong]]", "attribute/unknown");
    assert!(error.message().starts_with("operation 0 of the tx-data: in what wrong gave: "), "{error}");
    define(&db, "torn", |_, _| Err::<TxData, _>(Error::new(ErrorKind::Storage, "test/disk", "the disk is gone")));
    let error = fails(&db, "[[torn]]", "test/disk");
    assert!(error.is_retryable() && error.message().contains("torn"), "{error}");
    fails(&db, "[[unheard-of 1]]", "transact/fn-unresolved");
    fails(&db, "[[:db.fn/call]]", "transact/syntax");
    fails(&db, "[[:db.fn/call 5]]", "transact/syntax");
    fails(&db, "[[my.app/inc-age #unknown 5]]", "transact/syntax");
}

const PREDS: &str = "[{:db/ident :adult :db/valueType :db.type/long :db/cardinality :db.cardinality/one
                      :db.attr/preds my.app/adult?}
                     {:db/ident :tags :db/valueType :db.type/keyword :db/cardinality :db.cardinality/many
                      :db.attr/preds [:my.app/tag? some?]}
                     {:db/ident :left :db/valueType :db.type/long :db/cardinality :db.cardinality/one
                      :db.attr/preds [pos?]}
                     {:db/ident :ends :db/valueType :db.type/tuple :db/tupleAttrs [:left :age]
                      :db/cardinality :db.cardinality/one :db.attr/preds [my.app/ends?]}
                     {:db/ident :lost :db/valueType :db.type/long :db/cardinality :db.cardinality/one
                      :db.attr/preds [my.app/adlt?]}]";

fn with_preds() -> Db {
    let db = people();
    predicate(&db, "my.app/adult?", |v| match v {
        Value::Long(666) => Err(own("test/beast")),
        Value::Long(n) => Ok(*n >= 18),
        _ => Ok(false),
    });
    predicate(&db, "my.app/tag?", |v| Ok(matches!(v, Value::Keyword(k) if k.namespace() == Some("tag"))));
    predicate(&db, "my.app/ends?", |v| {
        Ok(matches!(v, Value::Tuple(ends) if ends[1] == Value::Nil || ends[0] <= ends[1]))
    });
    db
}

#[test]
fn predicates_of_attributes_are_asked_for_every_value() {
    let empty = with_preds();
    fails(&empty, &format!("{} {{:adult 17}}]", PREDS.trim_end_matches(']')), "transact/attr-pred");
    let db = after(&empty, PREDS);
    let db = after(&db, "[{:db/id 30 :adult 18 :tags [:tag/a :tag/b] :left 1}]");
    let error = fails(&db, "[{:name \"x\"}\n {:adult 17}]", "transact/attr-pred");
    assert!(error.message().ends_with(":adult: the predicate my.app/adult? refuses the value 17"), "{error}");
    let error = fails(&db, "[{:adult 666}]", "transact/attr-pred");
    let cause = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Error>()).unwrap();
    assert_eq!(cause.code(), "test/beast");
    fails(&db, "[[:db/add 30 :tags :b]]", "transact/attr-pred");
    fails(&db, "[{:db/id 30 :tags [:tag/c :c]}]", "transact/attr-pred");
    fails(&db, "[[:db/cas 30 :adult 18 3]]", "transact/attr-pred");
    fails(&db, "[[:db/add 30 :adult 3] [:db/add 30 :adult 33]]", "transact/attr-pred");
    fails(&db, "[[:db/add 30 :left 0]]", "transact/attr-pred");
    fails(&db, "[[:db/add 30 :left 5] [:db/add 30 :age 4]]", "transact/attr-pred");
    after(&db, "[[:db/add 30 :left 5] [:db/add 30 :age 6]]");
    let error = fails(&db, "[{:lost 5}]", "transact/attr-pred-unresolved");
    assert!(error.message().contains("did you mean my.app/adult?"), "{error}");
    after(&db, "[[:db/retract 30 :adult 17] [:db/retract 30 :adult]]");
    let lax = after(&db, "[[:db/retract :adult :db.attr/preds]]");
    after(&lax, "[{:adult 1}]");
}

/// What a transaction says of a definition counts from the next one on, whatever else it defines.
#[test]
fn predicates_that_a_transaction_adds_are_not_asked_in_it() {
    let db = with_preds();
    let pair = |name: &str| {
        format!(
            "{{:db/ident {name} :db/valueType :db.type/tuple :db/tupleAttrs [:age :score]
               :db/cardinality :db.cardinality/one}}"
        )
    };
    let db = after(&db, &format!("[{} {{:db/id 30 :age 1}}]", pair(":pair")));
    let data = "[:db/add :pair :db.attr/preds my.app/adult?] [:db/add 30 :age 2]";
    let expected = ["+ 31 :db.attr/preds my.app/adult?", "- 30 :age 1", "+ 30 :age 2"];
    assert_eq!(does(&db, &format!("[{data}]"))[..3], expected);
    assert_eq!(does(&db, &format!("[{data} {}]", pair(":again")))[..3], expected);
    let refused =
        format!("[{{:db/id \"t\" :db.attr/preds my.app/adult?}} [:db/add \"t\" :db/ident :again] {}]", pair(":again"));
    fails(&db, &refused, "transact/attr-pred");
}

const SPECS: &str = "[{:db/ident :spec/named :db.entity/attrs [:name :email]}
                     {:db/ident :spec/grown :db.entity/attrs :age :db.entity/preds [my.app/grown?]}
                     {:db/ident :spec/lost :db.entity/preds :my.app/lost?}]";

#[test]
fn specs_are_ensured_of_the_entity_after_the_transaction() {
    let db = people();
    entity_predicate(&db, "my.app/grown?", |db, e| match age(db, &Value::Long(e.0 as i64))? {
        666 => Err(own("test/beast")),
        age => Ok(age >= 18),
    });
    let db = after(&db, SPECS);
    let error = fails(&db, "[{:name \"x\"}\n {:age 3 :db/ensure :spec/named}]", "transact/ensure");
    assert!(error.message().contains("has no :email, :name, which :spec/named wants"), "{error}");
    assert_eq!(error.position(), Some((2, 2)));
    let made = does(&db, "[{:name \"x\" :email \"e\" :db/ensure :spec/named}]");
    assert_eq!(made, ["+ 18 :name \"x\"", "+ 18 :email \"e\""], "the spec is not stored");
    let db = after(&db, "[{:db/id 30 :name \"x\" :email \"e\" :age 18}]");
    after(&db, "[{:db/id 30 :db/ensure [:spec/named :spec/grown]}]");
    after(&db, "[{:email \"e\" :db/ensure [:db/ident :spec/named]}]");
    after(&db, "[[:db/add 30 :db/ensure :spec/grown]]");
    fails(&db, "[{:db/id 30 :age 17 :db/ensure :spec/grown}]", "transact/ensure");
    fails(&db, "[[:db/add 30 :db/ensure :spec/grown] [:db/add 30 :age 17]]", "transact/ensure");
    fails(&db, "[{:db/id 30 :db/ensure :spec/named} [:db/retract 30 :name]]", "transact/ensure");
    let error = fails(&db, "[{:db/id 30 :age 666 :db/ensure :spec/grown}]", "transact/ensure");
    assert!(std::error::Error::source(&error).is_some());
    let error = fails(&db, "[{:db/id 30 :db/ensure :spec/lost}]", "transact/ensure");
    assert!(error.message().contains("no entity predicate is registered as my.app/lost?"), "{error}");
    let error = fails(&db, "[{:db/id 30 :db/ensure :name}]", "transact/ensure");
    assert!(error.message().ends_with(":name has none"), "{error}");
    fails(&db, "[{:db/id 30 :db/ensure :spec/nothing}]", "entity-id/missing");
    after(&db, "[{:db/id \"s\" :db.entity/attrs [:age]} {:db/id 30 :db/ensure \"s\"}]");
    fails(&db, "[{:name \"y\" :db/ensure {:db.entity/attrs [:age]}}]", "transact/ensure");
    fails(&db, "[{:name \"y\" :db/ensure {:db.entity/attrs [:unheard-of]}}]", "transact/ensure");
    fails(&db, "[[:db/retract 30 :db/ensure :spec/grown]]", "attribute/unknown");
    fails(&db, "[[:db/cas 30 :db/ensure nil :spec/grown]]", "attribute/unknown");
}
