//! What users see with `:attribute-refs? true` and without: one table, asked of both, before and after the database is
//! opened again from its log and from its indexes.

use treering::edn::{Form, Keyword, read};
use treering::{
    Attr, Components, Config, Connection, Db, EntityId, Input, LoadIds, LoadOptions, Order, RawAttribute, RawDatom,
    SchemaFlexibility, TX0, Value, connect, create_database, load_onto, pull, q, with,
};

const SCHEMA: &str = "[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one
                        :db/unique :db.unique/identity}
                       {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
                       {:db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
                       {:db/ident :tag :db/valueType :db.type/keyword :db/cardinality :db.cardinality/one
                        :db/index true}]";
const PEOPLE: &str = r#"[{:db/id "a" :name "Ann" :age 30 :tag :x} {:db/id "b" :name "Ben" :age 40 :friend "a"}]"#;
const LATER: &str = r#"{:tx-data [[:db/add [:name "Ann"] :age 31]] :tx-meta {:db/doc "a birthday"}}"#;

/// How many ids the engine takes for itself.
fn taken(refs: bool) -> u64 {
    if refs { 54 } else { 0 }
}

fn filled(config: Config) -> Connection {
    create_database(&config).unwrap();
    let conn = connect(&config).unwrap();
    for data in [SCHEMA, PEOPLE, LATER] {
        conn.transact(data).unwrap();
    }
    conn
}

/// Query, what is given to it, the answer without attribute refs, and the answer with them.
const QUERIES: [(&str, &str, &str, &str); 26] = [
    ("[:find ?a . :where [?a :db/ident :age]]", "", "2", "56"),
    (
        r#"[:find ?a ?v :where [[:name "Ann"] ?a ?v]]"#,
        "",
        r#"#{[:name "Ann"] [:age 31] [:tag :x]}"#,
        r#"#{[55 "Ann"] [56 31] [58 :x]}"#,
    ),
    (r#"[:find ?v . :where [?e :name "Ann"] [?e :age ?v]]"#, "", "31", "31"),
    (r#"[:find ?v . :where [?e :name "Ann"] [?e AGE ?v]]"#, "", "31", "31"),
    (
        r#"[:find ?i ?v :where [?e :name "Ann"] [?e ?a ?v] [?a :db/ident ?i]]"#,
        "",
        r#"#{[:name "Ann"] [:age 31] [:tag :x]}"#,
        r#"#{[:name "Ann"] [:age 31] [:tag :x]}"#,
    ),
    (r#"[:find ?v :where [?a :db/ident :age] [_ ?a ?v]]"#, "", "#{[31] [40]}", "#{[31] [40]}"),
    ("[:find ?v :in $ ?a :where [_ ?a ?v]]", ":age", "#{[31] [40]}", "#{[31] [40]}"),
    ("[:find ?e ?v :in $ ?a :where [?e :name _] [?e ?a ?v]]", ":age", "#{[A 31] [B 40]}", "#{[A 31] [B 40]}"),
    ("[:find ?v :in $ [?a ...] :where [_ ?a ?v]]", "[:age :tag]", "#{[31] [40] [:x]}", "#{[31] [40] [:x]}"),
    ("[:find ?v :in $ ?a :where [_ ?a ?v]]", "AGE", "#{[31] [40]}", "#{[31] [40]}"),
    (
        "[:find ?e ?v :in $ [[?e ?a]] :where [?e ?a ?v]]",
        "[[A :age] [A :tag] [B :name]]",
        r#"#{[A 31] [A :x] [B "Ben"]}"#,
        r#"#{[A 31] [A :x] [B "Ben"]}"#,
    ),
    ("[:find ?t . :where [:age :db/valueType ?t]]", "", ":db.type/long", "24"),
    ("[:find ?i . :where [:age :db/valueType ?t] [?t :db/ident ?i]]", "", "nil", ":db.type/long"),
    (
        "[:find ?i :where [?a :db/valueType :db.type/string] [?a :db/ident ?i] [(= ?i :name)]]",
        "",
        "#{[:name]}",
        "#{[:name]}",
    ),
    (
        "[:find ?i :where [?a :db/unique :db.unique/identity] [?a :db/ident ?i]]",
        "",
        "#{[:name]}",
        "#{[:name] [:db/ident]}",
    ),
    ("[:find (count ?a) . :where [?a :db/ident]]", "", "4", "44"),
    ("[:find ?i :where [?e :db/index true] [?e :db/ident ?i]]", "", "#{[:tag]}", "#{[:tag] [:db/txInstant]}"),
    (r#"[:find ?x . :where [?e :name "Ann"] [(get-else $ ?e :age 0) ?x]]"#, "", "31", "31"),
    (r#"[:find ?x . :where [?e :name "Ann"] [(get-some $ ?e :zip :age) ?x]]"#, "", "[:age 31]", "[56 31]"),
    (
        r#"[:find ?n :where [?a :db/ident :tag] [?e :name ?n] (not [?e ?a])]"#,
        "",
        r#"#{["Ann"] ["Ben"]}"#,
        r#"#{["Ben"]}"#,
    ),
    (
        r#"[:find ?n :where [?e :name ?n] [?a :db/ident :friend] [?e ?a ?f] [?f :name "Ann"]]"#,
        "",
        r#"#{["Ben"]}"#,
        r#"#{["Ben"]}"#,
    ),
    (
        "[:find ?i :where [?tx :db/doc \"a birthday\"] [_ ?a _ ?tx] [?a :db/ident ?i]]",
        "",
        "#{[:age]}",
        "#{[:age] [:db/doc] [:db/txInstant]}",
    ),
    ("[:find ?a :where [_ ?a :x]]", "", "#{[:tag]}", "#{[58]}"),
    ("[:find ?e :where [?e :friend [:name \"Ann\"]]]", "", "#{[B]}", "#{[B]}"),
    ("[:find ?a ?b :where [?e ?a 31] [?f ?b 40] [(= ?a ?b)]]", "", "#{[:age :age]}", "#{[56 56]}"),
    (
        "[:find ?i :in $ % :where (has [:name \"Ann\"] ?i)]",
        "[[(has ?e ?i) [?e ?a] [?a :db/ident ?i]]]",
        "#{[:name] [:age] [:tag]}",
        "#{[:name] [:age] [:tag]}",
    ),
];

/// Names of the entities of the test replaced by their ids.
fn with_ids(text: &str, refs: bool) -> String {
    let id = |n: u64| (taken(refs) + n).to_string();
    text.replace("AGE", &id(2)).replace("[A ", &format!("[{} ", id(5))).replace("[B", &format!("[{}", id(6)))
}

fn check(db: &Db, refs: bool) {
    for (query, given, without, wanted) in QUERIES {
        let wanted = if refs { wanted } else { without };
        let mut inputs = vec![Input::from(db)];
        if !given.is_empty() {
            inputs.push(Input::from(read(&with_ids(given, refs)).unwrap()));
        }
        let answer = q(&*with_ids(query, refs), inputs).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(answer.to_form(), read(&with_ids(wanted, refs)).unwrap(), "{query} with attribute refs {refs}");
    }
    let name = |text: &str| Keyword::new(text);
    let id = |n: u64| EntityId(taken(refs) + n);
    let pulled = |pattern: &str, entity: &str| pull(db, pattern, name(entity)).unwrap().to_form();
    let ben = pull(db, "[*]", (name("name"), "Ben")).unwrap().to_form();
    let wanted = format!(r#"{{:db/id {} :age 40 :friend [{{:db/id {}}}] :name "Ben"}}"#, id(6), id(5));
    assert_eq!(ben, read(&wanted).unwrap());
    let wanted = if refs {
        "{:db/id 56 :db/ident :age :db/valueType {:db/id 24 :db/ident :db.type/long}
          :db/cardinality {:db/id 11 :db/ident :db.cardinality/one}}"
    } else {
        "{:db/id 2 :db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}"
    };
    assert_eq!(pulled("[*]", "age"), read(wanted).unwrap());

    // Entities.
    let age = db.entity(name("age")).unwrap().unwrap();
    match age.get(name("db/valueType")).unwrap().unwrap() {
        Attr::Entity(value_type) if refs => {
            assert_eq!(value_type.get(name("db/ident")).unwrap(), Some(Attr::Value(name("db.type/long").into())));
        }
        other => assert_eq!(other.to_value(), name("db.type/long").into()),
    }

    // Datoms: in the order of names or of entities.
    let shown = |datoms: treering::Datoms| -> Vec<Form> {
        datoms.map(|datom| db.shown_attribute(datom.unwrap().a).to_form()).collect()
    };
    let forms = |text: &str| match read(text).unwrap().items() {
        Some(items) => items.to_vec(),
        None => Vec::new(),
    };
    let ann = Components::default().e(id(5));
    let wanted = if refs { "[55 56 58]" } else { "[:age :name :tag]" };
    assert_eq!(shown(db.datoms(Order::Eavt, &ann).unwrap()), forms(wanted));
    let from_age = db.seek_datoms(Order::Eavt, &ann.clone().a(name("age"))).unwrap();
    let wanted = if refs { "[56 58]" } else { "[:age :name :tag]" };
    assert_eq!(shown(from_age)[..forms(wanted).len()], forms(wanted));
    let back = db.rseek_datoms(Order::Eavt, &ann.clone().a(name("age"))).unwrap();
    assert_eq!(shown(back)[0], if refs { Form::from(56) } else { name("age").into() });
    for attribute in [name("age").into(), treering::EntityRef::Id(id(2))] {
        let components = Components::default().a(attribute);
        let values: Vec<Value> = db.datoms(Order::Aevt, &components).unwrap().map(|datom| datom.unwrap().v).collect();
        assert_eq!(values, [31.into(), 40.into()]);
    }
    let components = Components::from_forms(Order::Avet, &forms(&with_ids("[:tag :x]", refs))).unwrap();
    assert_eq!(db.datoms(Order::Avet, &components).unwrap().count(), 1);
    assert_eq!(db.index_range(name("tag"), None, None).unwrap().count(), 1);
    assert_eq!(db.index_range(id(4), None, None).unwrap().count(), 1);
    let aevt: Vec<Form> = shown(db.seek_datoms(Order::Aevt, &Components::default().a(name("age"))).unwrap());
    let later = if refs { Form::from(57) } else { name("friend").into() };
    assert_eq!(aevt[2], later, "after the ages");

    // Time.
    let then = db.as_of(EntityId(TX0 + 2)).unwrap();
    let ages = |db: &Db| q("[:find ?v . :where [[:name \"Ann\"] :age ?v]]", (db,)).unwrap().to_form();
    assert_eq!((ages(&then), ages(db)), (Form::from(30), Form::from(31)));
    let events =
        q("[:find ?v ?added :where [[:name \"Ann\"] ?a ?v _ ?added] [?a :db/ident :age]]", (&db.history().unwrap(),));
    assert_eq!(events.unwrap().to_form(), read("#{[30 true] [30 false] [31 true]}").unwrap());
    let first = db.as_of(EntityId(TX0)).unwrap().datoms(Order::Eavt, &Components::default()).unwrap().count();
    assert_eq!(first > 0, refs, "what the engine says of itself was always there");
    assert_eq!(db.since(EntityId(TX0 + 2)).unwrap().datoms(Order::Eavt, &Components::default()).unwrap().count(), 3);
    assert_eq!(db.max_eid(), id(6));
}

#[test]
fn every_reader_sees_attributes_as_the_config_says() {
    for refs in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::file(dir.path().join("people.tr")).attribute_refs(refs);
        let conn = filled(config.clone());
        check(&conn.db(), refs);
        let logged: Vec<_> = conn.tx_range(EntityId(TX0), None).unwrap().map(Result::unwrap).collect();
        let last = logged.last().unwrap().datoms.iter();
        let shown: Vec<Form> = last.map(|datom| conn.db().shown_attribute(datom.a).to_form()).collect();
        let wanted = if refs { "[56 9 4 56]" } else { "[:age :db/txInstant :db/doc :age]" };
        assert_eq!(logged.len(), 3);
        assert_eq!(Form::from(shown), read(wanted).unwrap());
        // From the log.
        drop(conn);
        let conn = connect(&config).unwrap();
        check(&conn.db(), refs);
        conn.flush().unwrap();
        conn.release().unwrap();
        // From the indexes.
        let conn = connect(&config).unwrap();
        check(&conn.db(), refs);
        let report = conn.transact(r#"[{:db/id "c" :name "Cem" :age 9}]"#).unwrap();
        assert_eq!(report.resolve("c"), Some(EntityId(taken(refs) + 7)));
        conn.release().unwrap();
    }
    let mixed = Config::memory("mixed").attribute_refs(true).schema_flexibility(SchemaFlexibility::Read);
    assert_eq!(create_database(&mixed).unwrap_err().code(), "config/conflict");
}

#[test]
fn what_is_refused() {
    for refs in [false, true] {
        let db = filled(Config::memory(format!("refused-{refs}")).attribute_refs(refs)).db();
        for (data, without, wanted) in [
            ("[[:db/add :db/doc :db/doc \"x\"]]", "entity-id/missing", "transact/system-entity"),
            ("[{:db/ident :db.type/long :db/doc \"x\"}]", "transact/schema", "transact/schema"),
            ("[[:db/retractEntity :db.type/long]]", "", "transact/system-entity"),
            ("[[:db/retract 1 :db/ident]]", "transact/schema", "transact/system-entity"),
            ("[{:db/id 40 :age 1}]", "", "transact/system-entity"),
            ("[{:age 1 :friend 24}]", "", ""),
            ("[[:db/add 1 :db/ident :db/ident]]", "transact/schema", ""),
            ("{:tx-data [] :tx-meta {:nobody 1}}", "attribute/unknown", "attribute/unknown"),
            (
                "[{:db/ident :z :db/valueType :name :db/cardinality :db.cardinality/one}]",
                "transact/schema",
                "transact/schema",
            ),
            (
                "[{:db/ident :z :db/valueType 11 :db/cardinality :db.cardinality/one}]",
                "transact/schema",
                "transact/schema",
            ),
            ("[{:db/ident :z :db/valueType 24 :db/cardinality 11}]", "transact/schema", ""),
            ("[{:db/ident :z :db/valueType \"t\" :db/cardinality 11}]", "transact/schema", "transact/schema"),
            ("[[:db/add :age :db/valueType :db.type/string]]", "transact/schema", "transact/schema"),
            ("[{:db/ident :db.mine/x}]", "transact/schema", "transact/schema"),
        ] {
            let code = with(&db, data).err().map_or(String::new(), |error| error.code().to_owned());
            assert_eq!(code, if refs { wanted } else { without }, "{data} with attribute refs {refs}");
        }
    }
    let db = filled(Config::memory("refused-where").attribute_refs(true)).db();
    let error = with(&db, "[{:age 1}\n [:db/add :db.type/long :db/doc \"x\"]]").unwrap_err();
    assert_eq!(error.position(), Some((2, 2)));
    assert!(error.message().contains("the entity 24 (:db.type/long) cannot be changed"), "{error}");
}

#[test]
fn attributes_can_be_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::file(dir.path().join("people.tr")).attribute_refs(true);
    let conn = filled(config.clone());
    conn.transact(
        "[{:db/id :age :db/ident :years :db/doc \"since birth\" :db/index true :db/cardinality :db.cardinality/many}]",
    )
    .unwrap();
    // Names can be exchanged too.
    conn.transact("[[:db/add :name :db/ident :tag] [:db/add :tag :db/ident :name]]").unwrap();
    conn.transact("[{:db/ident :both :db/valueType :db.type/tuple :db/tupleAttrs [:tag :name] :db/cardinality :db.cardinality/one}]")
        .unwrap();
    let error = conn.transact("[[:db/add :tag :db/ident :label]]").unwrap_err();
    assert!(error.message().contains(":tag: it cannot be renamed while :both is made of it"), "{error}");
    let look = |db: &Db| {
        let rows = q("[:find ?n ?y :where [?e :tag ?n] [?e :years ?y]]", (db,)).unwrap().to_form();
        assert_eq!(rows, read(r#"#{["Ann" 31] ["Ben" 40]}"#).unwrap());
        assert_eq!(db.entid(&(Keyword::new("tag"), "Ann").into()).unwrap(), Some(EntityId(59)));
        assert_eq!(db.attribute(Keyword::new("age")).unwrap_err().code(), "attribute/unknown");
        assert_eq!(db.attribute(Keyword::new("years")).unwrap().entity, 56);
        assert_eq!(db.index_range(Keyword::new("years"), None, None).unwrap().count(), 2);
        let past = q("[:find ?y . :where [[:tag \"Ann\"] :years ?y]]", (&db.as_of(EntityId(TX0 + 2)).unwrap(),));
        assert_eq!(past.unwrap().to_form(), Form::from(30), "the past has the names of today");
    };
    look(&conn.db());
    drop(conn);
    let conn = connect(&config).unwrap();
    look(&conn.db());
    conn.flush().unwrap();
    conn.release().unwrap();
    let conn = connect(&config).unwrap();
    look(&conn.db());
    conn.release().unwrap();
    let plain = filled(Config::memory("not-renamed"));
    let error = plain.transact("[{:db/id :age :db/ident :years}]").unwrap_err();
    assert!(
        error.message().contains(":age: it cannot be renamed while there are facts")
            || error.message().contains(":years: it cannot be renamed"),
        "{error}"
    );
}

#[test]
fn the_schema_as_data() {
    for refs in [false, true] {
        let conn = filled(Config::memory(format!("schema-{refs}")).attribute_refs(refs));
        let wanted = format!(
            "{{:age {{:db/id {} :db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}}
               :friend {{:db/id {} :db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}}
               :name {{:db/id {} :db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one
                       :db/unique :db.unique/identity}}
               :tag {{:db/id {} :db/ident :tag :db/valueType :db.type/keyword :db/cardinality :db.cardinality/one
                      :db/index true}}}}",
            taken(refs) + 2,
            taken(refs) + 3,
            taken(refs) + 1,
            taken(refs) + 4
        );
        assert_eq!(conn.db().schema().to_map().to_form(), read(&wanted).unwrap());
        let reverse = "{:db/ident #{:age :friend :name :tag} :db/index #{:friend :name :tag} :db/unique #{:name}
                        :db.unique/identity #{:name} :db.cardinality/many #{:friend}
                        :db.cardinality/one #{:age :name :tag} :db.type/keyword #{:tag} :db.type/long #{:age}
                        :db.type/ref #{:friend} :db.type/string #{:name}}";
        assert_eq!(conn.db().schema().reverse().to_form(), read(reverse).unwrap());
    }
}

/// What a database says, in the past too, as another one can load it.
fn raw(db: &Db) -> Vec<treering::Result<RawDatom>> {
    let all = db.history().unwrap().datoms(Order::Eavt, &Components::default()).unwrap();
    let raw = |datom: treering::Datom| {
        let a = match db.shown_attribute(datom.a) {
            Value::Keyword(ident) => RawAttribute::Ident(ident),
            Value::Ref(id) => RawAttribute::Id(id),
            other => panic!("{other:?} is no attribute"),
        };
        RawDatom { e: datom.e, a, v: datom.v, tx: datom.tx, added: datom.added }
    };
    all.map(|datom| datom.map(raw)).collect()
}

#[test]
fn databases_with_and_without_load_each_other() {
    for (from, to) in [(true, true), (true, false), (false, true)] {
        let source = filled(Config::memory(format!("from-{from}-{to}")).attribute_refs(from)).db();
        let config = Config::memory(format!("to-{from}-{to}")).attribute_refs(to);
        create_database(&config).unwrap();
        let empty = connect(&config).unwrap().db();
        let ids = if from == to { LoadIds::Keep } else { LoadIds::Map };
        let (loaded, _) = load_onto(&empty, raw(&source), &LoadOptions { ids, in_order: false }).unwrap();
        if from == to {
            check(&loaded, to);
        }
        let rows = q("[:find ?n ?v ?t :where [?e :name ?n] [?e :age ?v] [:age :db/valueType ?t]]", (&loaded,)).unwrap();
        let long = if to { "24" } else { ":db.type/long" };
        let wanted = format!(r#"#{{["Ann" 31 {long}] ["Ben" 40 {long}]}}"#);
        assert_eq!(rows.to_form(), read(&wanted).unwrap(), "from {from} to {to}");
    }
}
