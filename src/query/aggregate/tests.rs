use std::sync::Arc;

use num_bigint::BigInt;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

use super::Aggregates;
use crate::datom::Value;
use crate::edn::{Symbol, read};
use crate::error::{Error, Result};

fn aggregate(name: &str, args: &[Value], values: &[Value]) -> Result<Value> {
    let aggregates = Aggregates::standard();
    let mut state = aggregates.get(Symbol::new(name)).expect("a built-in").state(args)?;
    values.iter().try_for_each(|value| state.add(&value.as_ref()))?;
    state.finish()
}

fn values(text: &str) -> Vec<Value> {
    let form = read(text).expect("is EDN");
    form.items().expect("is a vector").iter().map(|form| Value::from_form(form).expect("is a value")).collect()
}

/// The result of an aggregate over a vector of EDN, as EDN.
fn over(name: &str, args: &str, text: &str) -> String {
    aggregate(name, &values(args), &values(text)).unwrap().to_form().to_string()
}

fn error(name: &str, args: &str, text: &str) -> Error {
    aggregate(name, &values(args), &values(text)).unwrap_err()
}

#[test]
fn numbers_are_summed_in_their_types() {
    assert_eq!(over("sum", "[]", "[3 1 1 1]"), "6");
    assert_eq!(over("sum", "[]", "[1 2.5]"), "3.5");
    assert_eq!(over("sum", "[]", "[1.10M 2]"), "3.10M");
    assert_eq!(over("sum", "[]", "[1 2N]"), "3N");
    assert_eq!(over("sum", "[]", "[]"), "0");
    assert_eq!(over("sum", "[]", "[1e100 1.0 -1e100]"), "1.0");
    assert_eq!(over("sum", "[]", "[9223372036854775807 5 -5]"), "9223372036854775807");
    assert_eq!(over("sum-distinct", "[]", "[3 1 1 1]"), "4");
    assert_eq!(over("avg", "[]", "[9223372036854775807 9223372036854775807]"), "9.223372036854776e18");
    assert_eq!(over("avg", "[]", "[1 2]"), "1.5");
    assert_eq!(over("avg", "[]", "[1 2.0 3.0M 4N]"), "2.5");
    let overflow = error("sum", "[]", "[9223372036854775807 1]");
    assert_eq!(overflow.code(), "query/overflow");
    let text = error("sum", "[]", "[1 \"a\"]");
    assert_eq!((text.code(), text.message()), ("query/type", "sum: a number was wanted, got the string \"a\""));
}

#[test]
fn spread_and_middle() {
    assert_eq!(over("median", "[]", "[10 15 20 35 75]"), "20.0");
    assert_eq!(over("median", "[]", "[4 1 3 2]"), "2.5");
    assert_eq!(over("variance", "[]", "[10 15 20 35 75]"), "554.0");
    assert_eq!(over("stddev", "[]", "[1 3]"), "1.0");
    assert_eq!(over("variance", "[]", "[7]"), "0.0");
    assert_eq!(over("median", "[]", "[]"), "nil");
}

#[test]
fn extremes_follow_the_order_of_values() {
    assert_eq!(over("min", "[]", "[:a-/b :a/b]"), ":a/b");
    assert_eq!(over("max", "[]", "[:a-/b :a/b]"), ":a-/b");
    assert_eq!(over("min", "[2]", "[:a/b :a-/b :a/c]"), "[:a/b :a/c]");
    assert_eq!(over("max", "[2]", "[:a/b :a-/b :a/c]"), "[:a/c :a-/b]");
    assert_eq!(over("max", "[3]", "[1 2 3 4 5]"), "[3 4 5]");
    assert_eq!(over("min", "[3]", "[8 7]"), "[7 8]");
    assert_eq!(over("min", "[0]", "[8 7]"), "[]");
    assert_eq!(error("min", "[-1]", "[1]").code(), "query/aggregate");
    assert_eq!(error("count", "[2]", "[1]").code(), "query/aggregate");
    assert_eq!(error("sample", "[]", "[1]").code(), "query/aggregate");
}

#[test]
fn counts_and_sets() {
    assert_eq!(over("count", "[]", "[1 1 2]"), "3");
    assert_eq!(over("count-distinct", "[]", "[1 1 2 1.0]"), "3");
    assert_eq!(over("distinct", "[]", "[2 1 1]"), "#{1 2}");
}

#[test]
fn samples_come_from_the_values() {
    let all = values("[1 2 3 4 5]");
    let Value::Tuple(sample) = aggregate("sample", &[Value::Long(3)], &all).unwrap() else { panic!("is a vector") };
    let Value::Set(distinct) = Value::set(sample.to_vec()) else { panic!("is a set") };
    assert_eq!((sample.len(), distinct.len()), (3, 3));
    assert!(sample.iter().all(|v| all.contains(v)));
    let Value::Tuple(drawn) = aggregate("rand", &[Value::Long(20)], &all).unwrap() else { panic!("is a vector") };
    assert_eq!(drawn.len(), 20);
    assert!(drawn.iter().all(|v| all.contains(v)));
    assert!(all.contains(&aggregate("rand", &[], &all).unwrap()));
    let Value::Tuple(whole) = aggregate("sample", &[Value::Long(9)], &all).unwrap() else { panic!("is a vector") };
    assert_eq!(Value::set(whole.to_vec()), Value::set(all));
}

#[test]
fn unknown_names_have_a_neighbour() {
    let aggregates = Aggregates::standard();
    assert_eq!(aggregates.nearest(Symbol::new("cuont-distinct")), Some(Symbol::new("count-distinct")));
    assert!(aggregates.get(Symbol::new("clojure.core/count")).is_some());
    assert!(aggregates.get(Symbol::new("nothing")).is_none());
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Long),
        (-1000_i64..1000).prop_map(Value::Long),
        any::<i128>().prop_map(|n| Value::BigInt(Arc::new(BigInt::from(n)))),
        Just(Value::Double(0.5)),
    ]
}

proptest! {
    #[test]
    fn the_order_of_rows_does_not_matter(mut xs in prop::collection::vec(number(), 0..20)) {
        let before = ["sum", "avg", "min", "max", "median", "distinct"].map(|name| aggregate(name, &[], &xs).ok());
        let some = aggregate("max", &[Value::Long(3)], &xs).unwrap();
        xs.reverse();
        let after = ["sum", "avg", "min", "max", "median", "distinct"].map(|name| aggregate(name, &[], &xs).ok());
        assert_eq!(before, after);
        assert_eq!(some, aggregate("max", &[Value::Long(3)], &xs).unwrap());
        xs.sort();
        let greatest = xs[xs.len().saturating_sub(3)..].to_vec();
        assert_eq!(some, Value::from(greatest));
    }
}
