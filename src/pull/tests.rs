use std::sync::Arc;

use proptest::prelude::{prop, proptest};

use super::walk::MAX_DEPTH;
use super::{Xform, parse, parse_with, pull, pull_as, pull_many, pull_pattern};
use crate::datom::{EntityId, Key, Order, TX0, Value};
use crate::db::Db;
use crate::db::testing::{Saying, db_of};
use crate::edn::{Form, FormKind, Keyword, Symbol, read};
use crate::error::Result;

const SCHEMA: [&str; 12] = [
    "name string identity",
    "aka string many",
    "child ref many",
    "father ref",
    "friend ref many",
    "enemy ref many",
    "part ref many component",
    "spec ref component",
    "org/boss ref",
    "age long",
    "limit long",
    "number long many",
];

fn refer(e: u64) -> Value {
    Value::Ref(EntityId(e))
}

fn family() -> Db {
    db_of(
        &SCHEMA,
        &[&[
            (1, "name", "Petr".into(), true),
            (1, "aka", "Devil".into(), true),
            (1, "aka", "Tupen".into(), true),
            (1, "child", refer(2), true),
            (1, "child", refer(3), true),
            (2, "name", "David".into(), true),
            (2, "father", refer(1), true),
            (3, "name", "Thomas".into(), true),
            (3, "father", refer(1), true),
            (6, "name", "Matthew".into(), true),
            (6, "father", refer(3), true),
            (6, "org/boss", refer(1), true),
        ]],
    )
}

fn parts() -> Db {
    let mut sayings: Vec<Saying<'_>> = Vec::new();
    let names = [(10, "A"), (11, "A.A"), (12, "A.A.A"), (13, "A.A.A.A"), (14, "A.A.A.B"), (15, "A.B"), (16, "A.B.A")];
    sayings.extend(names.map(|(e, name)| (e, "name", name.into(), true)));
    let edges = [(10, 11), (10, 15), (11, 12), (12, 13), (12, 14), (15, 16)];
    sayings.extend(edges.map(|(e, part)| (e, "part", refer(part), true)));
    db_of(&SCHEMA, &[&sayings])
}

/// Pulls and compares with EDN, in which the order of keys does not count.
fn check(db: &Db, pattern: &str, e: u64, wanted: &str) {
    let got = pull(db, pattern, EntityId(e)).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    assert_eq!(got.to_form(), read(wanted).unwrap(), "{pattern} gives {}", got.to_form());
}

fn refused(db: &Db, pattern: &str) -> (&'static str, Option<(u32, u32)>) {
    let error = pull(db, pattern, EntityId(1)).expect_err(pattern);
    (error.code(), error.position())
}

#[test]
fn attributes_and_wildcards() {
    let db = family();
    check(&db, "[:name :aka]", 1, r#"{:name "Petr" :aka ["Devil" "Tupen"]}"#);
    check(&db, r#"["name"]"#, 1, r#"{:name "Petr"}"#);
    check(&db, "[:foo]", 1, "nil");
    check(&db, "[:name :father :db/id]", 6, r#"{:name "Matthew" :father {:db/id 3} :db/id 6}"#);
    let all = r#"{:db/id 1 :aka ["Devil" "Tupen"] :child [{:db/id 2} {:db/id 3}] :name "Petr"}"#;
    for pattern in ["[*]", "[:*]", r#"["*"]"#, "[:name *]", "[:aka :child :name *]"] {
        check(&db, pattern, 1, all);
    }
    check(&db, "[* :_child]", 2, r#"{:db/id 2 :father {:db/id 1} :name "David" :_child [{:db/id 1}]}"#);
    let renamed = r#"{:alias ["Devil" "Tupen"] :child [{:db/id 2} {:db/id 3}] :first-name "Petr" :db/id 1}"#;
    check(&db, "[[:aka :as :alias] [:name :as :first-name] *]", 1, renamed);
    check(&db, "[*]", 99, "nil");
    check(&db, "[:db/id]", 99, "nil");
    check(&db, "[[:db/id :as :id]]", 1, "{:id 1}");
    let keys = pull(&db, "[*]", EntityId(1)).unwrap().to_form().to_string();
    assert_eq!(keys, r#"{:db/id 1, :aka ["Devil" "Tupen"], :child [{:db/id 2} {:db/id 3}], :name "Petr"}"#);
}

#[test]
fn entities_are_named_in_every_way() {
    let db = family();
    let name = Keyword::new("name");
    let david = pull(&db, "[:db/id]", (name, "David")).unwrap();
    assert_eq!(david.to_form(), read("{:db/id 2}").unwrap());
    assert_eq!(pull(&db, "[:db/id]", (name, "Nobody")).unwrap(), Value::Nil);
    assert_eq!(pull(&db, "[:db/id]", (Keyword::new("age"), 1_i64)).unwrap_err().code(), "lookup-ref/unique");
}

#[test]
fn references_forward_and_back() {
    let db = family();
    check(&db, "[:name :_child]", 2, r#"{:name "David" :_child [{:db/id 1}]}"#);
    check(&db, "[:name {:_child [:name]}]", 2, r#"{:name "David" :_child [{:name "Petr"}]}"#);
    check(&db, "[:name :_father]", 1, r#"{:name "Petr" :_father [{:db/id 2} {:db/id 3}]}"#);
    check(&db, "[:name {:father [:name]}]", 6, r#"{:name "Matthew" :father {:name "Thomas"}}"#);
    check(&db, "[:name {:child [:name]}]", 1, r#"{:name "Petr" :child [{:name "David"} {:name "Thomas"}]}"#);
    check(&db, "[:name {:father [:name]}]", 1, r#"{:name "Petr"}"#);
    check(&db, "[:name {:child [:foo]}]", 1, r#"{:name "Petr"}"#);
    check(&db, "[:org/_boss]", 1, "{:org/_boss [{:db/id 6}]}");
    check(&db, "[{(:_father :limit 1) [:name]}]", 1, r#"{:_father [{:name "David"}]}"#);
    check(
        &db,
        "[{:child [:name] :_father [:db/id]}]",
        1,
        r#"{:child [{:name "David"} {:name "Thomas"}] :_father [{:db/id 2} {:db/id 3}]}"#,
    );
}

#[test]
fn options() {
    let db = family();
    check(&db, r#"[[:name :as "Name"] [:aka :as :alias]]"#, 1, r#"{"Name" "Petr" :alias ["Devil" "Tupen"]}"#);
    check(&db, r#"[(default :foo "bar")]"#, 1, r#"{:foo "bar"}"#);
    check(&db, r#"[("default" :foo "bar")]"#, 1, r#"{:foo "bar"}"#);
    check(&db, "[[:foo :as :bar :default false]]", 1, "{:bar false}");
    check(&db, "[:db/id [:child :default 1]]", 2, "{:child 1 :db/id 2}");
    check(&db, "[:db/id [:_child :default 2]]", 1, "{:db/id 1 :_child 2}");
    check(&db, r#"[[:x :as "Name" :default "Nothing"]]"#, 99, r#"{"Name" "Nothing"}"#);
    check(&db, "[(limit :aka 1)]", 1, r#"{:aka ["Devil"]}"#);
    check(&db, "[[limit :aka 1]]", 1, r#"{:aka ["Devil"]}"#);
    check(&db, "[((:aka :limit 1) :default :none)]", 1, r#"{:aka ["Devil"]}"#);
    check(&db, "[(limit (default :aka :none) 1)]", 2, "{:aka :none}");
    check(&db, "[:aka [:aka :limit 1]]", 1, r#"{:aka ["Devil"]}"#);
    check(&db, "[[:limit :default 7]]", 1, "{:limit 7}");
}

#[test]
fn many_values_are_limited() {
    let sayings: Vec<Saying<'_>> = (0..1500).map(|n| (1, "number", Value::Long(n), true)).collect();
    let db = db_of(&SCHEMA, &[&sayings]);
    let count = |pattern| match pull(&db, pattern, EntityId(1)).unwrap() {
        Value::Map(entries) => entries.iter().find_map(|(_, v)| match v {
            Value::Tuple(xs) => Some(xs.len()),
            _ => None,
        }),
        _ => None,
    };
    assert_eq!(count("[:number]"), Some(1000));
    assert_eq!(count("[*]"), Some(1000));
    assert_eq!(count("[(:number :limit 1200)]"), Some(1200));
    assert_eq!(count("[(:number :limit nil)]"), Some(1500));
    assert_eq!(count("[[:number :limit nil] *]"), Some(1500));
}

#[test]
fn components_are_expanded() {
    let db = parts();
    let below = r#"{:db/id 12 :name "A.A.A" :part [{:db/id 13 :name "A.A.A.A"} {:db/id 14 :name "A.A.A.B"}]}"#;
    check(&db, "[:part]", 11, &format!("{{:part [{below}]}}"));
    check(&db, "[*]", 11, &format!(r#"{{:db/id 11 :name "A.A" :part [{below}]}}"#));
    check(&db, "[:name :_part]", 11, r#"{:name "A.A" :_part {:db/id 10}}"#);
    check(&db, "[:name {:_part [:name]}]", 11, r#"{:name "A.A" :_part {:name "A"}}"#);
    check(&db, "[:name {:part [:name]}]", 10, r#"{:name "A" :part [{:name "A.A"} {:name "A.B"}]}"#);
}

#[test]
fn recursion_has_levels() {
    let db = parts();
    check(&db, "[:name {:part 1}]", 10, r#"{:name "A" :part [{:name "A.A"} {:name "A.B"}]}"#);
    check(&db, "[:name {:_part 2}]", 14, r#"{:name "A.A.A.B" :_part {:name "A.A.A" :_part {:name "A.A"}}}"#);
    let up = r#"{:name "A.A.A.B" :_part {:name "A.A.A" :_part {:name "A.A" :_part {:name "A"}}}}"#;
    check(&db, "[:name {:_part ...}]", 14, up);
    check(&db, r#"[:name {:_part "..."}]"#, 14, up);
}

#[test]
fn cycles_end() {
    let edges = |attribute: &'static str, pairs: &[(u64, u64)]| -> Vec<Saying<'static>> {
        pairs.iter().map(|(x, y)| (*x, attribute, refer(*y), true)).collect()
    };
    let ring = db_of(&SCHEMA, &[&edges("friend", &[(4, 5), (5, 6), (6, 4)])]);
    let round = "{:db/id 4 :friend [{:db/id 5 :friend [{:db/id 6 :friend [{:db/id 4 :friend [{:db/id 5}]}]}]}]}";
    check(&ring, "[:db/id {:friend ...}]", 4, round);
    // Levels that are used up leave what was passed, with all attributes asked for, too.
    let used = "{:db/id 4 :friend [{:db/id 5 :friend [{:db/id 6 :friend [{:db/id 4 :friend [{:db/id 5}]}]}]}]}";
    check(&ring, "[:db/id {:friend 3}]", 4, used);
    check(&ring, "[* {:friend 3}]", 4, used);
    let short = "{:db/id 4 :friend [{:db/id 5 :friend [{:db/id 6}]}]}";
    check(&ring, "[:db/id {:friend 2}]", 4, short);
    check(&ring, "[* {:friend 2}]", 4, short);
    let mut both = edges("part", &[(1, 2), (2, 3), (3, 1)]);
    both.extend(edges("spec", &[(1, 2), (2, 1)]));
    let both = db_of(&SCHEMA, &[&both]);
    check(
        &both,
        "[:db/id {:part ...} {:spec ...}]",
        1,
        "{:part [{:part [{:part [{:part [{:db/id 2}], :spec {:db/id 2}, :db/id 1}], :db/id 3}],
                  :spec {:part [{:db/id 2}], :spec {:db/id 2}, :db/id 1}, :db/id 2}],
          :spec {:part [{:part [{:part [{:db/id 2}], :spec {:db/id 2}, :db/id 1}], :db/id 3}],
                 :spec {:part [{:db/id 2}], :spec {:db/id 2}, :db/id 1}, :db/id 2}, :db/id 1}",
    );
    let mixed: Vec<_> = [edges("friend", &[(1, 2), (3, 4)]), edges("enemy", &[(2, 3), (4, 5)])].concat();
    let mixed = db_of(&SCHEMA, &[&mixed, &[(5, "name", "five".into(), true)]]);
    let nested = "{:db/id 1 :friend [{:db/id 2 :enemy [{:db/id 3}]}]}";
    check(&mixed, "[:db/id {:friend 1 :enemy 1}]", 1, nested);
    let deeper = "{:db/id 1 :friend [{:db/id 2 :enemy [{:db/id 3 :friend [{:db/id 4 :enemy [{:db/id 5}]}]}]}]}";
    check(&mixed, "[:db/id {:friend 2 :enemy 2}]", 1, deeper);
    let itself = db_of(&SCHEMA, &[&edges("part", &[(1, 1)])]);
    check(&itself, "[:part]", 1, "{:part [{:db/id 1 :part [{:db/id 1}]}]}");
}

fn chain(length: u64) -> Db {
    let sayings: Vec<Saying<'_>> = (1..length).map(|n| (n, "friend", refer(n + 1), true)).collect();
    db_of(&SCHEMA, &[&sayings])
}

#[test]
fn deep_data_does_not_overflow_the_stack() {
    let levels = u64::from(MAX_DEPTH);
    let pattern = "[:db/id {:friend ...}]";
    let deep = chain(levels + 1);
    let (tree, same) = (pull(&deep, pattern, EntityId(1)).unwrap(), pull(&deep, pattern, EntityId(1)).unwrap());
    assert!(tree == same);
    let text = tree.to_form().to_string();
    // The last entity of the chain has no datoms, so nothing stands for it.
    assert_eq!(text.matches(":friend").count() as u64, levels - 1);
    let deeper = chain(levels + 3);
    assert_eq!(pull(&deeper, pattern, EntityId(1)).unwrap_err().code(), "pull/depth");
    assert!(pull(&deeper, "[:db/id {:friend 100}]", EntityId(1)).is_ok());
}

#[test]
fn patterns_that_are_none_are_refused() {
    let db = family();
    for pattern in [
        "[]",
        ":name",
        "[1]",
        "[[]]",
        "[{:name [:aka]}]",
        "[{:child :name}]",
        "[{:child 0}]",
        "[{:child []}]",
        "[(:name :limit 1)]",
        "[(limit :father 1)]",
        "[(:aka :limit)]",
        "[(limit :aka)]",
        "[(:aka :limit :abc)]",
        "[(:aka :limit -1)]",
        "[(default :name)]",
        "[(default :name 1 2)]",
        "[[:name :xform unknown]]",
        "[[:name :other 1]]",
        "[:_name]",
        "[{:db/id [:name]}]",
    ] {
        assert_eq!(refused(&db, pattern).0, "pull/syntax", "{pattern}");
    }
    assert_eq!(refused(&db, "[:name\n {:child :aka}]").1, Some((2, 10)));
    let mut deep = read("[:name]").unwrap();
    for _ in 0..1000 {
        deep =
            FormKind::Vector(vec![FormKind::Map(vec![(FormKind::Keyword(Keyword::new("child")).into(), deep)]).into()])
                .into();
    }
    assert_eq!(parse(&deep, &db).unwrap_err().code(), "pull/depth");
    let mut options = read(":aka").unwrap();
    for _ in 0..1000 {
        options = FormKind::List(vec![options]).into();
    }
    assert_eq!(parse(&Form::from(FormKind::Vector(vec![options])), &db).unwrap_err().code(), "pull/depth");
}

#[test]
fn functions_are_applied() {
    let db = family();
    let vector: Xform = Arc::new(|value| Ok(vec![value.clone()].into()));
    let xforms = |name: Symbol| (name.as_str() == "vector").then(|| Arc::clone(&vector));
    let run = |pattern: &str, e| -> Result<Form> {
        let pattern = parse_with(&read(pattern).unwrap(), &db, &xforms)?;
        Ok(pull_pattern(&db, &pattern, EntityId(e))?.to_form())
    };
    let nested = r#"{:db/id [1] :aka [["Devil" "Tupen"]] :child [[{:aka [nil] :db/id [2] :child [nil]} {:aka [nil] :db/id [3] :child [nil]}]]}"#;
    let pattern = "[[:db/id :xform vector] [:aka :xform vector] {[:child :xform vector] ...}]";
    assert_eq!(run(pattern, 1).unwrap(), read(nested).unwrap());
    assert_eq!(run("[[:foo :default 1 :xform vector]]", 1).unwrap(), read("{:foo 1}").unwrap());
    assert_eq!(run("[[:aka :xform none]]", 1).unwrap_err().code(), "pull/syntax");
}

#[test]
fn results_become_rust_types() {
    #[derive(serde::Deserialize, Debug, PartialEq)]
    struct Person {
        name: String,
        #[serde(default)]
        child: Vec<Person>,
    }
    let db = family();
    let person = |name: &str, child| Person { name: name.to_owned(), child };
    let children = vec![person("David", Vec::new()), person("Thomas", Vec::new())];
    let petr: Person = pull_as(&db, "[:name {:child ...}]", EntityId(1)).unwrap();
    assert_eq!(petr, person("Petr", children));
    assert_eq!(pull_as::<Option<Person>>(&db, "[:name]", EntityId(99)).unwrap(), None);
    assert_eq!(pull_as::<Person>(&db, "[:aka]", EntityId(1)).unwrap_err().code(), "typed/mismatch");
}

#[test]
fn many_entities_keep_their_order() {
    let db = family();
    let pattern = parse(&read("[:name {:father [:name]}]").unwrap(), &db).unwrap();
    let ids = [6, 99, 1, 6, 2].map(EntityId);
    let one_by_one: Vec<Value> = ids.iter().map(|e| pull_pattern(&db, &pattern, *e).unwrap()).collect();
    assert_eq!(pull_many(&db, &pattern, &ids).unwrap(), one_by_one);
    assert_eq!(one_by_one[1], Value::Nil);
    assert_eq!(one_by_one[0], one_by_one[3]);
}

#[test]
fn views_are_pulled() {
    let then = (1, "name", Value::from("then"), true);
    let now = (1, "name", Value::from("now"), true);
    let db = db_of(&SCHEMA, &[&[then, (1, "friend", refer(2), true)], &[now, (1, "friend", refer(2), false)]]);
    let past = db.as_of(EntityId(TX0 + 1)).unwrap();
    check(&past, "[*]", 1, r#"{:db/id 1 :name "then" :friend [{:db/id 2}]}"#);
    check(&past, "[:_friend]", 2, "{:_friend [{:db/id 1}]}");
    check(&db, "[:name :friend]", 1, r#"{:name "now"}"#);
    check(&db, "[:_friend]", 2, "nil");
    check(&db.filter(|_, datom| datom.v != Value::from("now")), "[:name]", 1, "nil");
    assert_eq!(pull(&db.history().unwrap(), "[*]", EntityId(1)).unwrap_err().code(), "pull/history");
}

/// What `[:db/id :number {:friend n} {:_enemy [:db/id]}]` is, by reading one attribute after the other.
fn naive(db: &Db, e: u64, levels: usize, seen: &[u64]) -> Vec<(Form, Form)> {
    let values = |order, a: &str, e: Option<u64>, v: Option<Value>| -> Vec<crate::datom::Row> {
        let a = Some(db.attribute(Keyword::new(a)).unwrap().id);
        let key = Key { e, a, v, ..Key::default() };
        let (from, to) = (crate::datom::Cut::before(key.clone()), crate::datom::Cut::after(key));
        let mut cursor = db.cursor(order, Some(&from), Some(&to), crate::index::Direction::Forward).unwrap();
        let mut rows = Vec::new();
        while let Some(chunk) = cursor.next().unwrap() {
            rows.extend(chunk.rows().map(|i| chunk.columns.row(i)));
        }
        rows
    };
    let keyword = |text: &str| Form::from(FormKind::Keyword(Keyword::new(text)));
    let id = |e: u64| (keyword("db/id"), Form::from(FormKind::Int(e as i64)));
    let mut map = Vec::new();
    if db.first(Order::Eavt, Key { e: Some(e), ..Key::default() }).unwrap().is_some() {
        map.push(id(e));
    }
    let vector = |forms: Vec<Form>| Form::from(FormKind::Vector(forms));
    let numbers: Vec<Form> = values(Order::Eavt, "number", Some(e), None).iter().map(|r| r.v.to_form()).collect();
    if !numbers.is_empty() {
        map.push((keyword("number"), vector(numbers)));
    }
    let mut friends = Vec::new();
    for row in values(Order::Eavt, "friend", Some(e), None) {
        let Value::Ref(friend) = row.v else { continue };
        let inner = match seen.contains(&friend.0) {
            true => vec![id(friend.0)],
            false if levels == 0 => Vec::new(),
            false => naive(db, friend.0, levels - 1, &[seen, &[friend.0]].concat()),
        };
        if !inner.is_empty() {
            friends.push(Form::map(inner));
        }
    }
    if !friends.is_empty() {
        map.push((keyword("friend"), vector(friends)));
    }
    let enemies = values(Order::Avet, "enemy", None, Some(refer(e)));
    if !enemies.is_empty() {
        map.push((keyword("_enemy"), vector(enemies.iter().map(|row| Form::map(vec![id(row.e)])).collect())));
    }
    map
}

proptest! {
    #[test]
    fn pulls_agree_with_a_naive_walk(
        facts in prop::collection::vec((1_u64..8, 0_usize..3, 1_u64..8), 0..40),
        roots in prop::collection::vec(1_u64..10, 1..6),
        levels in 1_usize..5,
        past in prop::bool::ANY,
    ) {
        let attributes = ["friend", "enemy", "number"];
        let said: Vec<Saying<'_>> = facts.iter().map(|(e, a, v)| {
            let value = if *a == 2 { Value::Long(*v as i64) } else { refer(*v) };
            (*e, attributes[*a], value, true)
        }).collect();
        let (first, second) = said.split_at(said.len() / 2);
        let distinct = |sayings: &[Saying<'static>]| {
            let mut kept: Vec<Saying<'static>> = Vec::new();
            for saying in sayings {
                if !kept.contains(saying) {
                    kept.push(saying.clone());
                }
            }
            kept
        };
        let mut db = db_of(&SCHEMA, &[&distinct(first), &distinct(second)]);
        if past {
            db = db.as_of(EntityId(TX0 + 1)).unwrap();
        }
        let pattern = read(&format!("[:db/id :number {{:friend {levels}}} {{:_enemy [:db/id]}}]")).unwrap();
        let pattern = parse(&pattern, &db).unwrap();
        let ids: Vec<EntityId> = roots.iter().map(|e| EntityId(*e)).collect();
        let pulled = pull_many(&db, &pattern, &ids).unwrap();
        for (e, got) in roots.iter().zip(pulled) {
            let map = naive(&db, *e, levels, &[]);
            let wanted = if map.is_empty() { Form::nil() } else { Form::map(map) };
            assert_eq!(got.to_form(), wanted);
        }
    }
}
