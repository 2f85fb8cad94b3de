use std::collections::BTreeMap;

use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{from_value, json, to_value};
use crate::datom::{EntityId, Value};
use crate::edn::read;

fn value(text: &str) -> Value {
    Value::from_form(&read(text).unwrap()).unwrap()
}

fn of<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    from_value(value(text)).map_err(|error| error.message().to_owned())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    #[serde(rename = "shape/point")]
    Point,
    Circle(f64),
    Line(i64, i64),
    Named {
        name: String,
        next: Option<Box<Shape>>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    #[serde(rename = "record/flag")]
    flag: bool,
    small: i8,
    large: u64,
    wide: i128,
    single: f32,
    double: f64,
    letter: char,
    text: String,
    maybe: Option<i64>,
    list: Vec<Shape>,
    pair: (i64, String),
    map: BTreeMap<String, i64>,
    #[serde(with = "super::as_uuid")]
    id: Uuid,
    #[serde(with = "super::as_ref")]
    friends: Vec<u64>,
    #[serde(with = "super::as_instant")]
    at: i64,
    #[serde(with = "super::as_keyword")]
    state: String,
}

#[test]
fn types_are_read() {
    assert_eq!(of::<Vec<(i64, String)>>("[[1 \"a\"] [2 \"b\"]]").unwrap(), [(1, "a".to_owned()), (2, "b".to_owned())]);
    assert_eq!(of::<Option<i64>>("nil").unwrap(), None);
    assert_eq!(of::<String>(":person/name").unwrap(), "person/name");
    assert_eq!(of::<i64>("#inst \"1970-01-01T00:00:01Z\"").unwrap(), 1000);
    let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    assert_eq!(of::<Uuid>(&format!("#uuid \"{uuid}\"")).unwrap().to_string(), uuid);
    assert_eq!(from_value::<u64>(Value::Ref(EntityId(7))).unwrap(), 7);
    assert_eq!(of::<Vec<u8>>("#bytes \"01ff\"").unwrap(), [1, 255]);
    assert_eq!(from_value::<Vec<f32>>(Value::FloatArray([0.5, 1.5].into())).unwrap(), [0.5, 1.5]);
    assert_eq!(of::<Shape>(":shape/point").unwrap(), Shape::Point);
    assert_eq!(of::<Shape>("{:Circle 1.5}").unwrap(), Shape::Circle(1.5));
    assert_eq!(of::<Vec<i64>>("#{2 1}").unwrap(), [1, 2]);
    assert_eq!(of::<BTreeMap<String, i64>>("{:a 1 \"b\" 2}").unwrap().len(), 2);
    assert_eq!(of::<u128>("340282366920938463463374607431768211455").unwrap(), u128::MAX);
    assert_eq!(of::<String>("1.50M").unwrap(), "1.50");
}

#[test]
fn no_number_is_rounded() {
    assert_eq!(of::<f64>("0.1M").unwrap(), 0.1);
    assert_eq!(of::<f64>("3").unwrap(), 3.0);
    assert_eq!(of::<f32>("0.5").unwrap(), 0.5);
    assert!(of::<f64>("9007199254740993").is_err());
    assert!(of::<f64>("9223372036854775807").is_err());
    assert!(of::<f64>("0.10000000000000000000001M").is_err());
    assert!(of::<f32>("0.1").is_err());
    assert!(of::<i64>("1.0").is_err());
    assert!(of::<i64>("9223372036854775808").is_err());
    assert_eq!(of::<u8>("300").unwrap_err(), "wanted u8, got integer `300`");
}

#[test]
fn errors_name_the_path() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Person {
        name: String,
        ages: Vec<u8>,
    }
    let error = |text: &str| of::<Vec<Person>>(text).unwrap_err();
    assert_eq!(error("[{:name \"a\" :ages []} {:name 1 :ages []}]"), "[1].name: wanted a string, got integer `1`");
    assert_eq!(error("[{:name \"a\" :ages [1 :x]}]"), "[0].ages[1]: wanted u8, got string \"x\"");
    assert_eq!(error("[{:ages []}]"), "[0]: the key :name is missing");
    assert!(of::<Shape>("{:Circle 1.5 :Line 2}").is_err());
    assert!(of::<Shape>(":Circle").is_err());
    assert!(of::<Shape>("{:shape/point 1}").is_err());
    let wrong = Record { state: String::new(), ..record() };
    assert_eq!(to_value(&wrong).unwrap_err().code(), "typed/mismatch");
    assert!(to_value(&wrong).unwrap_err().message().starts_with("state: "));
}

#[test]
fn every_member_is_taken() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Pair {
        a: i64,
        b: i64,
    }
    assert_eq!(of::<(i64, i64)>("[1 2 3]").unwrap_err(), "wanted 2 members, got 3");
    assert_eq!(of::<(i64, i64)>("[1]").unwrap_err(), "wanted a tuple of size 2, got 1 members");
    assert_eq!(of::<[i64; 1]>("[1 2]").unwrap_err(), "wanted 1 members, got 2");
    assert_eq!(of::<Vec<Pair>>("[[1 2] [1 2 3]]").unwrap_err(), "[1]: wanted 2 members, got 3");
}

fn record() -> Record {
    Record {
        flag: true,
        small: -3,
        large: u64::MAX,
        wide: i128::MIN,
        single: 0.1,
        double: 0.1,
        letter: 'ä',
        text: "text".to_owned(),
        maybe: None,
        list: vec![Shape::Point, Shape::Line(1, 2)],
        pair: (1, "b".to_owned()),
        map: [("k".to_owned(), 1)].into(),
        id: Uuid::from_u128(5),
        friends: vec![1, 2],
        at: 1000,
        state: "state/on".to_owned(),
    }
}

#[test]
fn types_are_written() {
    let record = record();
    let value = to_value(&record).unwrap();
    let Value::Map(entries) = &value else { panic!("is a map") };
    let get = |name: &str| entries.iter().find(|(k, _)| k.to_form().to_string() == name).map(|(_, v)| v.clone());
    assert_eq!(get(":record/flag"), Some(Value::Bool(true)));
    assert_eq!(get(":maybe"), None);
    assert_eq!(get(":single"), Some(Value::Float(0.1)));
    assert_eq!(get(":id"), Some(Value::Uuid(Uuid::from_u128(5))));
    assert_eq!(get(":friends"), Some(vec![Value::Ref(EntityId(1)), Value::Ref(EntityId(2))].into()));
    assert_eq!(get(":at"), Some(Value::Instant(1000)));
    assert_eq!(get(":state").map(|v| v.to_form().to_string()), Some(":state/on".to_owned()));
    assert_eq!(get(":list").map(|v| v.to_form().to_string()), Some("[:shape/point {:Line [1 2]}]".to_owned()));
    assert_eq!(from_value::<Record>(value).unwrap(), record);
}

#[test]
fn depth_is_limited() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Chain(Vec<Chain>);
    let mut chain = Chain(Vec::new());
    let mut deep = Value::from(Vec::new());
    let mut text = serde_json::Value::Array(Vec::new());
    for _ in 0..1000 {
        chain = Chain(vec![chain]);
        deep = vec![deep].into();
        text = serde_json::Value::Array(vec![text]);
    }
    assert_eq!(to_value(&chain).unwrap_err().code(), "typed/depth");
    assert_eq!(from_value::<Chain>(deep.clone()).unwrap_err().code(), "typed/depth");
    assert_eq!(json::to_value(&deep).unwrap_err().code(), "typed/depth");
    assert_eq!(json::from_value(&text).unwrap_err().code(), "typed/depth");
}

#[test]
fn json_goes_both_ways() {
    let text = r#"{"a":[1,-2.5,null,true,"x"],"b/c":{"d":18446744073709551615}}"#;
    let parsed: serde_json::Value = serde_json::from_str(text).unwrap();
    let read = json::from_value(&parsed).unwrap();
    assert_eq!(read, value("{:a [1 -2.5 nil true \"x\"] :b/c {:d 18446744073709551615N}}"));
    let written = |text: &str| json::to_value(&value(text)).unwrap().to_string();
    assert_eq!(
        written("{:b/c #{1} \"k\" 1.50M 7 #inst \"1970-01-01\"}"),
        r#"{"7":"1970-01-01T00:00:00.000Z","b/c":[1],"k":"1.50"}"#
    );
    assert_eq!(
        written("[##NaN ##Inf ##-Inf :a/b 9223372036854775808]"),
        r#"["NaN","Infinity","-Infinity","a/b","9223372036854775808"]"#
    );
    assert_eq!(json::to_value(&Value::Float(0.1)).unwrap().to_string(), "0.1");
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        proptest::prelude::Just(Shape::Point),
        any::<i32>().prop_map(|n| Shape::Circle(f64::from(n) / 7.0)),
        any::<(i64, i64)>().prop_map(|(x, y)| Shape::Line(x, y)),
    ];
    leaf.prop_recursive(4, 8, 1, |inner| {
        (any::<String>(), prop::option::of(inner))
            .prop_map(|(name, next)| Shape::Named { name, next: next.map(Box::new) })
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        numbers in any::<(bool, i8, u64, i128, i64)>(),
        texts in any::<(String, String, char)>(),
        maybe in prop::option::of(any::<i64>()),
        list in prop::collection::vec(shape(), 0..4),
        map in prop::collection::btree_map(any::<String>(), any::<i64>(), 0..4),
        friends in prop::collection::vec(1..i64::MAX as u64, 0..4),
        floats in any::<(f32, f64)>(),
    ) {
        let (flag, small, large, wide, at) = numbers;
        let (text, other, letter) = texts;
        let record = Record {
            flag, small, large, wide, at, text, letter, maybe, list, map, friends,
            single: floats.0, double: floats.1, pair: (at, other), ..record()
        };
        let read: Record = from_value(to_value(&record).unwrap()).unwrap();
        assert_eq!(read, record);
    }
}

#[test]
fn nothing_is_told_as_nil() {
    assert_eq!(of::<i64>("nil"), Err("wanted i64, got nil".to_owned()));
}
