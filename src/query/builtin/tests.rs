use std::collections::BTreeSet;

use num_traits::ToPrimitive;
use proptest::prelude::{any, prop, proptest};

use super::{Argument, Functions};
use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::db::testing::db_of;
use crate::edn::{Symbol, read};
use crate::error::Result;
use crate::query::aggregate::Aggregates;

fn invoke(name: &str, args: &[Value]) -> Result<Option<Value>> {
    let args: Vec<Argument<'_>> = args.iter().map(Argument::Value).collect();
    Functions::standard().get(Symbol::new(name)).unwrap_or_else(|| panic!("no function {name}")).invoke(&args)
}

/// Calls a function that is written as a list; the result as EDN.
fn run(text: &str) -> Result<String> {
    let form = read(text).unwrap();
    let [function, args @ ..] = form.items().unwrap() else { panic!("a call has a function") };
    let args: Vec<Value> = args.iter().map(|form| Value::from_form(form).unwrap()).collect();
    let result = invoke(function.as_symbol().unwrap().as_str(), &args)?;
    Ok(result.map_or_else(|| "nil".to_owned(), |value| value.to_form().to_string()))
}

/// Every line is a call, an arrow, and the result or the code of the error.
fn check(lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (call, wanted) = line.split_once(" => ").expect("a line has an arrow");
        let got = run(call).unwrap_or_else(|e| format!("!{}", e.code()));
        assert_eq!(got, wanted, "{call}");
    }
}

#[test]
fn equality_and_order() {
    check(
        r#"
        (= 1) => true
        (= 1 1.0 1.00M 1N) => true
        (= 1 1 2) => false
        (= "a" :a) => false
        (= nil nil) => true
        (= [1 [2]] [1.0 [2N]]) => true
        (= ##NaN ##NaN) => true
        (not= 1 2) => true
        (!= 1 1.0) => false
        (identical? 1 1.0) => false
        (< 1 2.5 3N) => true
        (< 1 1) => false
        (<= 1 1.0) => true
        (> 9007199254740993 9007199254740992.0) => true
        (>= 3 2 2) => true
        (< "a" "b" "c") => true
        (< #inst "2020" #inst "2021") => true
        (< :a/b :a/c) => true
        (< [1 2] [1 3]) => true
        (< 1 "a") => true
        (< "a" 1) => false
        (< nil 1) => true
        (< 1 #inst "2020") => true
        (compare 1 1.0) => 0
        (compare "a" "b") => -1
        (compare nil 1) => -1
        (before? #inst "2020" #inst "2021") => true
        (after? #inst "2020" #inst "2021") => false
        (before? 1 2) => !query/type
        (max 1 2.5 2) => 2.5
        (min "b" "a") => "a"
        (max 1 "a") => "a"
        (max) => !query/arity
        (-differ? 1 2 1 2) => false
        (-differ? 1 2 1 3) => true
        "#,
    );
}

#[test]
fn truth() {
    check(
        r"
        (true? true) => true
        (true? 1) => false
        (false? false) => true
        (nil? nil) => true
        (some? nil) => false
        (not nil) => true
        (not 0) => false
        (and 1 2) => 2
        (and) => true
        (and 1 nil 2) => nil
        (and false 1) => false
        (or nil false 3) => 3
        (or nil) => nil
        (or) => nil
        (identity nil) => nil
        ",
    );
}

#[test]
fn arithmetic() {
    check(
        r#"
        (+) => 0
        (+ 1 2 3) => 6
        (+ 1 2.5) => 3.5
        (+ 1 2N) => 3N
        (+ 1 2.50M) => 3.50M
        (+ 9223372036854775807 1) => !query/overflow
        (+ 9223372036854775807 1N) => 9223372036854775808N
        (- 5) => -5
        (- 0.0) => -0.0
        (- -9223372036854775808) => !query/overflow
        (- 10 1 2) => 7
        (* 2 3.0) => 6.0
        (* 9223372036854775807 2) => !query/overflow
        (/ 6 3) => 2
        (/ 1 4) => 0.25
        (/ 2) => 0.5
        (/ 1M 3M) => 0.3333333333333333333333333333333333M
        (/ 1 4M) => 0.25M
        (/ 1 0) => !query/division-by-zero
        (/ 1.0 0) => !query/division-by-zero
        (/ 1 0.0M) => !query/division-by-zero
        (/ -9223372036854775808 -1) => !query/overflow
        (quot 7 2) => 3
        (quot -7 2) => -3
        (quot 7.5 2) => 3.0
        (quot 7.5M 2) => 3M
        (quot -9223372036854775808 -1) => !query/overflow
        (rem -9223372036854775808 -1) => 0
        (rem -7 2) => -1
        (rem 7.5M 2) => 1.5M
        (mod -7 2) => 1
        (mod 7 -2) => -1
        (mod -7N 2) => 1N
        (mod -7.5 2) => 0.5
        (mod 5 0) => !query/division-by-zero
        (inc 1) => 2
        (inc 9223372036854775807) => !query/overflow
        (dec 1.5) => 0.5
        (abs -3) => 3
        (abs -3.5M) => 3.5M
        (abs -9223372036854775808) => !query/overflow
        (+ 1 "a") => !query/type
        (+ nil 1) => !query/type
        (zero? 0.0) => true
        (zero? 0N) => true
        (pos? ##NaN) => false
        (neg? -1M) => true
        (even? 4) => true
        (even? 3N) => false
        (odd? -3) => true
        (odd? 1.5) => !query/type
        (long 3.9) => 3
        (long ##Inf) => !query/overflow
        (double 3) => 3.0
        (bigint 3.9) => 3N
        (bigdec 1.5) => 1.5M
        (rand-int 1) => 0
        (rand-int 0) => !query/argument
        "#,
    );
    let error = run("(+ 1 \"a\")").unwrap_err();
    assert_eq!(error.message(), "+: argument 2 should be a number, got the string \"a\"");
}

#[test]
fn numbers_cannot_grow_without_end() {
    let mut x = invoke("bigint", &[Value::Long(3)]).unwrap().unwrap();
    let error = (0..64).find_map(|_| match invoke("*", &[x.clone(), x.clone()]) {
        Ok(square) => {
            x = square.unwrap();
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(error.expect("a limit is met").code(), "query/number-limit");
    assert_eq!(run("(* 1e10000M 1e10000M 1e10000M)").unwrap_err().code(), "query/number-limit");
    assert_eq!(run("(range 2000000)").unwrap_err().code(), "query/range-limit");
}

#[test]
fn strings() {
    check(
        r#"
        (str) => ""
        (str "a" :b/c 1 1.5 nil \x) => "a:b/c11.5x"
        (pr-str "a" nil) => "\"a\" nil"
        (print-str "a" :b) => "a :b"
        (println-str 1) => "1\n"
        (subs "häuser" 1) => "äuser"
        (subs "häuser" 1 3) => "äu"
        (subs "abc" 3) => ""
        (subs "abc" 2 1) => !query/argument
        (subs "abc" 4) => !query/argument
        (subs "abc" -1) => !query/argument
        (str/starts-with? "abc" "ab") => true
        (clojure.string/ends-with? "abc" "bc") => true
        (str/includes? "abc" "b") => true
        (str/index-of "äbc" "c") => 2
        (str/index-of "abc" "x") => nil
        (str/last-index-of "abab" "b") => 3
        (str/upper-case "straße") => "STRASSE"
        (str/lower-case "ABC") => "abc"
        (str/capitalize "ABC") => "Abc"
        (str/reverse "abc") => "cba"
        (str/trim " a ") => "a"
        (str/blank? " ") => true
        (str/blank? nil) => true
        (str/join ", " [1 :a "b"]) => "1, :a, b"
        (str/join ["a" "b"]) => "ab"
        (str/split "a,b,,c,," ",") => ["a" "b" "" "c"]
        (str/split "a,b,c" "," 2) => ["a" "b,c"]
        (str/replace "aXbX" "X" "-") => "a-b-"
        (str/replace-first "aXbX" "X" "-") => "a-bX"
        (str/upper-case 1) => !query/type
        "#,
    );
}

#[test]
fn regular_expressions() {
    check(
        r#"
        (re-find "b+" "abbc") => "bb"
        (re-find "(a)(x)?" "ab") => ["a" "a" nil]
        (re-find "x" "ab") => nil
        (re-matches "a|ab" "ab") => "ab"
        (re-matches "a" "ab") => nil
        (re-seq "[0-9]+" "1 22 333") => ["1" "22" "333"]
        (re-seq "x" "abc") => nil
        (re-replace "(" "a12b3" "-") => !query/regex
        (re-replace "[0-9]+" "a12b3" "-") => "a-b-"
        (re-pattern "a+") => "a+"
        (re-pattern "(") => !query/regex
        (re-find 1 "a") => !query/type
        (re-find "(?:a{1000}){1000}" "a") => !query/regex
        "#,
    );
    let deep = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(invoke("re-find", &[deep.into(), "a".into()]).unwrap_err().code(), "query/regex-limit");
    let nested = format!("{}a{}", "(".repeat(2000), ")".repeat(2000));
    assert_eq!(invoke("re-find", &[nested.into(), "a".into()]).unwrap_err().code(), "query/regex");
    let hard = Value::from("a".repeat(200));
    assert_eq!(invoke("re-matches", &["(a*)*b".into(), hard]).unwrap(), None);
}

#[test]
fn collections_names_and_types() {
    check(
        r#"
        (vector 1 2) => [1 2]
        (tuple) => []
        (vec #{2 1}) => [1 2]
        (set [2 1 2]) => #{1 2}
        (hash-map :a 1 :b 2 :a 3) => {:a 3, :b 2}
        (hash-map :a) => !query/argument
        (count "häuser") => 6
        (count [1 2]) => 2
        (count nil) => 0
        (count 1) => !query/type
        (empty? []) => true
        (empty? "a") => false
        (not-empty []) => nil
        (not-empty [1]) => [1]
        (contains? #{1} 1) => true
        (contains? {:a nil} :a) => true
        (contains? [5] 0) => true
        (contains? [5] 5) => false
        (get {:a 1} :a) => 1
        (get {:a 1} :b) => nil
        (get {:a 1} :b 7) => 7
        (get [5] 0) => 5
        (first [1 2]) => 1
        (second [1 2]) => 2
        (last []) => nil
        (nth [1 2] 1) => 2
        (nth [1 2] 2) => !query/argument
        (nth [1 2] 2 :no) => :no
        (keys {:a 1}) => [:a]
        (vals {:a 1}) => [1]
        (range 3) => [0 1 2]
        (range 1 3) => [1 2]
        (range 5 0 -2) => [5 3 1]
        (range 0 3 0) => !query/argument
        (range 9223372036854775806 9223372036854775807 2) => [9223372036854775806]
        (range -9223372036854775808 9223372036854775807) => !query/range-limit
        (name :a/b) => "b"
        (namespace :a/b) => "a"
        (namespace :b) => nil
        (keyword "a" "b") => :a/b
        (keyword "x") => :x
        (symbol "a" "b") => a/b
        (keyword "") => !query/argument
        (type 1) => :db.type/long
        (type "a") => :db.type/string
        (type #{}) => :set
        (type nil) => nil
        (ground [1 2]) => [1 2]
        (inst-ms #inst "1970-01-01T00:00:01Z") => 1000
        (parse-long "12") => 12
        (parse-long "x") => nil
        (parse-double "1.5") => 1.5
        "#,
    );
}

fn people() -> Db {
    db_of(
        &["name string identity", "age long", "friend ref many", "nick string many"],
        &[&[
            (1, "name", "Ann".into(), true),
            (1, "age", Value::Long(30), true),
            (2, "name", "Bob".into(), true),
            (2, "friend", Value::Ref(EntityId(1)), true),
            (2, "nick", "b".into(), true),
            (2, "nick", "a".into(), true),
        ]],
    )
}

fn in_db(text: &str) -> Result<String> {
    let db = people();
    let form = read(text).unwrap();
    let [function, args @ ..] = form.items().unwrap() else { panic!("a call has a function") };
    let args: Vec<Value> = args.iter().map(|form| Value::from_form(form).unwrap()).collect();
    let args: Vec<Argument<'_>> = [Argument::Db(&db)].into_iter().chain(args.iter().map(Argument::Value)).collect();
    let result = Functions::standard().get(function.as_symbol().unwrap()).unwrap().invoke(&args)?;
    Ok(result.map_or_else(|| "nil".to_owned(), |value| value.to_form().to_string()))
}

#[test]
fn functions_look_into_databases() {
    assert_eq!(in_db("(get-else 1 :age 0)").unwrap(), "30");
    assert_eq!(in_db("(get-else 2 :age 0)").unwrap(), "0");
    assert_eq!(in_db("(get-else [:name \"Ann\"] :age 0)").unwrap(), "30");
    assert_eq!(in_db("(get-else [:name \"Zoe\"] :age 0)").unwrap(), "0");
    assert_eq!(in_db("(get-else 1 :unknown 0)").unwrap(), "0");
    assert_eq!(in_db("(get-else 1 :age nil)").unwrap_err().code(), "query/nil-default");
    assert_eq!(in_db("(get-some 2 :age :nick)").unwrap(), "[:nick \"a\"]");
    assert_eq!(in_db("(get-some 2 :age)").unwrap(), "nil");
    assert_eq!(in_db("(missing? 2 :age)").unwrap(), "true");
    assert_eq!(in_db("(missing? 1 :_friend)").unwrap(), "false");
    assert_eq!(in_db("(missing? 2 :_friend)").unwrap(), "true");
    assert_eq!(in_db("(missing? \"x\" :age)").unwrap_err().code(), "query/type");
    assert_eq!(run("(missing? 1 1 :age)").unwrap_err().code(), "query/type");
}

#[test]
fn pull_patterns_can_name_functions() {
    let (db, functions) = (people(), Functions::standard());
    let pattern = read("[[:name :xform str/upper-case] [:nick :xform count]]").unwrap();
    let pattern = crate::pull::parse_with(&pattern, &db, &|name| functions.xform(name)).unwrap();
    let pulled = crate::pull::pull_pattern(&db, &pattern, EntityId(2)).unwrap();
    assert_eq!(pulled.to_form(), read("{:name \"BOB\" :nick 2}").unwrap());
}

#[test]
fn unknown_names_have_a_neighbour() {
    let functions = Functions::standard();
    assert_eq!(functions.nearest(Symbol::new("starts-wiht?")), None);
    assert_eq!(functions.nearest(Symbol::new("str/starts-wiht?")), Some(Symbol::new("str/starts-with?")));
    assert_eq!(functions.nearest(Symbol::new("coutn")), Some(Symbol::new("count")));
    assert!(functions.get(Symbol::new("clojure.core/inc")).is_some());
    assert!(functions.get(Symbol::new("my/inc")).is_none());
}

/// The names in the first column of a table of the page.
fn documented(page: &str, heading: &str) -> BTreeSet<String> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the page has the section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|line| line.split('|').nth(1));
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn the_page_lists_what_there_is() {
    let page = include_str!("../../../docs/functions.md");
    let names = |symbols: Vec<Symbol>| symbols.iter().map(|s| s.as_str().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(documented(page, "Functions"), names(Functions::standard().names()));
    assert_eq!(documented(page, "Aggregates"), names(Aggregates::standard().names()));
}

proptest! {
    #[test]
    fn division_fits_together(x in any::<i64>(), y in any::<i64>()) {
        if y != 0 && !(x == i64::MIN && y == -1) {
            let get = |name| match invoke(name, &[Value::Long(x), Value::Long(y)]).unwrap() {
                Some(Value::Long(n)) => i128::from(n),
                other => panic!("{other:?}"),
            };
            assert_eq!(get("quot") * i128::from(y) + get("rem"), i128::from(x));
            assert_eq!(get("mod"), i128::from(x).rem_euclid(i128::from(y).abs()) + if y < 0 && x.rem_euclid(y) != 0 { i128::from(y) } else { 0 });
        }
    }

    #[test]
    fn longs_agree_with_bigints(x in any::<i64>(), y in any::<i64>()) {
        for name in ["+", "-", "*"] {
            let wide = invoke(name, &[Value::from(num_bigint::BigInt::from(x)), Value::Long(y)]).unwrap();
            let Some(Value::BigInt(wide)) = wide else { panic!("is a bigint") };
            match (invoke(name, &[Value::Long(x), Value::Long(y)]), wide.to_i64()) {
                (Ok(Some(Value::Long(n))), Some(m)) => assert_eq!(n, m),
                (Err(e), None) => assert_eq!(e.code(), "query/overflow"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn no_call_panics(
        name in prop::sample::select(Functions::standard().names()),
        picks in prop::collection::vec(0_usize..14, 0..5),
    ) {
        let pool = [
            Value::Nil, Value::Bool(true), Value::Long(0), Value::Long(i64::MIN), Value::Double(f64::NAN),
            Value::Double(-0.0), Value::Float(1.5), Value::from(num_bigint::BigInt::from(-7)),
            Value::from(bigdecimal::BigDecimal::new(5.into(), 9000)), Value::Ref(EntityId(3)), "äb".into(),
            Value::from(vec![Value::Long(1)]), Value::set(vec![Value::Long(1)]), Value::Instant(i64::MAX),
        ];
        let args: Vec<Value> = picks.iter().map(|i| pool[*i].clone()).collect();
        let _ = invoke(name.as_str(), &args);
    }
}
