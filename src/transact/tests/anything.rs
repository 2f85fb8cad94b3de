//! Tx-data put together at random: it is refused or made, never a panic, and what is made holds together.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::{collection, prop_assert, proptest};

use super::{after, people, rows, run};
use crate::datom::{Order, TX0};
use crate::db::Db;
use crate::db::testing::empty_db;
use crate::edn::{Form, FormKind, Keyword};
use crate::schema::SchemaFlexibility;

const OPERATIONS: [&str; 8] =
    ["db/add", "db/add", "db/retract", "db/retractEntity", "db/retractAttribute", "db/cas", "db.fn/cas", "db/unknown"];

const ATTRIBUTES: [&str; 26] = [
    "name",
    "email",
    "login",
    "age",
    "score",
    "aka",
    "friend",
    "boss",
    "part",
    "badge",
    "code",
    "note",
    "point",
    "path",
    "_friend",
    "_boss",
    "db/ident",
    "db/valueType",
    "db/cardinality",
    "db/unique",
    "db/index",
    "db/isComponent",
    "db/txInstant",
    "db/doc",
    "db/tupleAttrs",
    "new",
];

const NAMES: [&str; 14] = [
    "db.type/string",
    "db.type/long",
    "db.type/ref",
    "db.type/tuple",
    "db.cardinality/one",
    "db.cardinality/many",
    "db.unique/identity",
    "db.unique/value",
    "db/current-tx",
    "email",
    "age",
    "new",
    "db/id",
    "other",
];

fn keyword(names: &'static [&'static str]) -> impl Strategy<Value = Form> {
    select(names).prop_map(|name| Keyword::new(name).into())
}

fn value() -> impl Strategy<Value = Form> {
    let leaf = prop_oneof![
        4 => select(vec![-2_i64, -1, 0, 1, 2, 5, 15, 20, 21, 22, TX0 as i64 + 1, TX0 as i64 + 4, i64::MAX, i64::MIN])
            .prop_map(|n| FormKind::Int(n).into()),
        3 => select(vec!["", "a", "x", "datomic.tx", "long text"]).prop_map(|s| FormKind::Str(s.into()).into()),
        3 => keyword(&NAMES),
        1 => any::<bool>().prop_map(|b| FormKind::Bool(b).into()),
        1 => any::<f64>().prop_map(|x| FormKind::Float(x).into()),
        1 => any::<i64>().prop_map(|x| FormKind::Inst(x).into()),
        1 => Just(Form::nil()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let entry = (prop_oneof![3 => keyword(&ATTRIBUTES), 1 => keyword(&NAMES)], inner.clone());
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(|items| FormKind::Vector(items).into()),
            collection::vec(inner.clone(), 0..3).prop_map(Form::set),
            (keyword(&ATTRIBUTES), inner).prop_map(|(a, v)| FormKind::Vector(vec![a, v]).into()),
            collection::vec(entry, 0..3).prop_map(Form::map),
        ]
    })
}

fn operation() -> impl Strategy<Value = Form> {
    let vector = (keyword(&OPERATIONS), value(), keyword(&ATTRIBUTES), collection::vec(value(), 0..3)).prop_map(
        |(operation, e, a, rest)| {
            let mut items = vec![operation, e, a];
            items.extend(rest);
            FormKind::Vector(items).into()
        },
    );
    let map = (proptest::option::of(value()), collection::vec((keyword(&ATTRIBUTES), value()), 0..4)).prop_map(
        |(id, mut pairs)| {
            pairs.extend(id.map(|id| (Keyword::new("db/id").into(), id)));
            Form::map(pairs)
        },
    );
    prop_oneof![4 => vector, 4 => map, 1 => value()]
}

/// What holds of every database.
fn check(db: &Db) {
    let current = rows(db.snapshot(), Order::Eavt);
    for pair in current.windows(2) {
        let single = db.schema().get(pair[0].a).is_none_or(|attribute| !attribute.is_many());
        assert!(!single || (pair[0].e, pair[0].a) != (pair[1].e, pair[1].a), "two values: {pair:?}");
    }
    for pair in rows(db.snapshot(), Order::Avet).windows(2) {
        let unique = db.schema().get(pair[0].a).is_some_and(|attribute| attribute.unique.is_some());
        assert!(!unique || (pair[0].a, &pair[0].v) != (pair[1].a, &pair[1].v), "two entities: {pair:?}");
    }
    for row in &current {
        let attribute = db.schema().get(row.a).expect("every fact has an attribute");
        let kind = attribute.value_type.and_then(crate::schema::ValueType::kind);
        assert!(kind.is_none_or(|kind| kind == row.v.kind()), "{row:?} is not of {kind:?}");
        assert!(row.e <= db.max_eid().0 || row.e <= db.basis_t().0, "{row:?} has an id that was never given");
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 512, ..Default::default() })]

    #[test]
    fn anything_is_refused_or_made(
        batches in collection::vec(collection::vec(operation(), 1..4), 1..6),
        write in any::<bool>(),
    ) {
        let mut db = if write {
            after(&people(), r#"[{:db/id 20 :name "A" :email "x" :friend 21} {:db/id 21 :part 22 :age 1} {:db/id 22 :code "c"}]"#)
        } else {
            after(&empty_db(true, SchemaFlexibility::Read), "[{:db/ident :email :db/unique :db.unique/identity} {:email 1 :age 2}]")
        };
        for batch in batches {
            match run(&db, Form::from(FormKind::Vector(batch))) {
                Ok(made) => {
                    db = made.report.db_after;
                    check(&db);
                }
                Err(error) => prop_assert!(!error.message().is_empty() && !error.code().is_empty()),
            }
        }
    }
}
