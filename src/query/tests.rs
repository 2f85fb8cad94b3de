//! Queries and what they find.

use super::{Input, IntoInputs, explain, q};
use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::db::testing::db_of;
use crate::edn::{Keyword, read};

/// Four people: 1 Ivan 15, 2 Petr 22 (friend of 1), 3 Ivan 37 (friend of 2), 4 Oleg without age.
fn people() -> Db {
    let s = |text: &str| Value::from(text);
    let k = |text: &str| Value::Keyword(Keyword::new(text));
    let r = |id| Value::Ref(EntityId(id));
    db_of(
        &[
            "name string index",
            "age long",
            "sex keyword",
            "friend ref many",
            "email string identity",
            "tag string many",
            "score double",
        ],
        &[
            &[
                (1, "name", s("Ivan"), true),
                (1, "age", Value::Long(15), true),
                (1, "sex", k("male"), true),
                (1, "email", s("ivan@x"), true),
                (1, "tag", s("a"), true),
                (1, "tag", s("b"), true),
                (2, "name", s("Petr"), true),
                (2, "age", Value::Long(22), true),
                (2, "sex", k("male"), true),
                (2, "friend", r(1), true),
                (2, "tag", s("b"), true),
            ],
            &[
                (3, "name", s("Ivan"), true),
                (3, "age", Value::Long(37), true),
                (3, "sex", k("female"), true),
                (3, "friend", r(2), true),
                (3, "score", Value::Double(1.5), true),
                (4, "name", s("Oleg"), true),
                (4, "friend", r(3), true),
                (4, "friend", r(1), true),
            ],
        ],
    )
}

#[track_caller]
fn finds(query: &str, inputs: impl IntoInputs, expected: &str) {
    let found = match q(query, inputs) {
        Ok(output) => output.to_form(),
        Err(error) => panic!("{query}\n{error:?}"),
    };
    assert_eq!(found, read(expected).unwrap(), "{query}");
}

#[track_caller]
fn refuses(query: &str, inputs: impl IntoInputs, code: &str, position: Option<(u32, u32)>) {
    match q(query, inputs) {
        Ok(output) => panic!("{query} found {}", output.to_form()),
        Err(error) => {
            assert_eq!(error.code(), code, "{query}\n{error:?}");
            assert_eq!(error.position(), position, "{query}\n{error:?}");
        }
    }
}

#[test]
fn patterns() {
    let db = people();
    finds(r#"[:find ?e :where [?e :name "Ivan"]]"#, &db, "#{[1] [3]}");
    finds(r#"[:find ?e ?a :where [?e :age ?a] [?e :name "Ivan"]]"#, &db, "#{[1 15] [3 37]}");
    finds(r#"[:find ?a . :where [1 :age ?a]]"#, &db, "15");
    finds(
        r#"[:find ?n ?fn :where [?e :friend ?f] [?e :name ?n] [?f :name ?fn]]"#,
        &db,
        r#"#{["Petr" "Ivan"] ["Ivan" "Petr"] ["Oleg" "Ivan"]}"#,
    );
    finds(r#"[:find ?e :where [?e :age 22]]"#, &db, "#{[2]}");
    finds(r#"[:find ?e :where [?e :friend [:email "ivan@x"]]]"#, &db, "#{[2] [4]}");
    finds(r#"[:find ?n :where [[:email "ivan@x"] :name ?n]]"#, &db, r#"#{["Ivan"]}"#);
    finds(r#"[:find ?a :where [1 ?a _] [2 ?a]]"#, &db, "#{[:name] [:age] [:sex] [:tag]}");
    finds(r#"[:find ?v :where [1 ?a ?v] [2 ?a ?v]]"#, &db, r#"#{[:male] ["b"]}"#);
    finds(r#"[:find ?a ?v :in $ ?e :where [?e ?a ?v]]"#, (&db, 4), r#"#{[:name "Oleg"] [:friend 1] [:friend 3]}"#);
    finds(r#"[:find ?e ?tx :where [?e :age 37 ?tx]]"#, &db, "#{[3 536870914]}");
    finds(r#"[:find ?e ?op :where [?e :age 37 _ ?op]]"#, &db, "#{[3 true]}");
    finds(r#"[:find ?e :where [?e :nope _]]"#, &db, "#{}");
    finds(r#"[:find ?x :where [?x :friend ?y] [?y :friend ?x]]"#, &db, "#{}");
    finds(r#"[:find ?t :where [_ :tag ?t]]"#, &db, r#"#{["a"] ["b"]}"#);
    finds(r#"[:find ?e1 ?e2 :where [?e1 :tag ?t] [?e2 :tag ?t]]"#, &db, "#{[1 1] [1 2] [2 1] [2 2]}");
    finds(r#"[:find ?e1 ?e2 :where [?e1 :name ?t] [?e2 :name ?t] [(< ?e1 ?e2)]]"#, &db, "#{[1 3]}");
}

#[test]
fn inputs() {
    let db = people();
    finds("[:find ?e :in $ ?n :where [?e :name ?n]]", (&db, "Ivan"), "#{[1] [3]}");
    let value = |text: &str| Input::Form(read(text).unwrap());
    finds(
        "[:find ?e ?a :in $ [?n ...] :where [?e :name ?n] [?e :age ?a]]",
        (&db, value(r#"["Petr" "Oleg"]"#)),
        "#{[2 22]}",
    );
    finds("[:find ?e :in $ [?n ?a] :where [?e :name ?n] [?e :age ?a]]", (&db, value(r#"["Ivan" 37]"#)), "#{[3]}");
    finds(
        "[:find ?e ?x :in $ [[?n ?x]] :where [?e :name ?n]]",
        (&db, value(r#"[["Ivan" 1] ["Petr" 2]]"#)),
        "#{[1 1] [3 1] [2 2]}",
    );
    finds("[:find ?a ?b :in [[?a ?b]]]", (value("[[1 2] [1 2] [3 4]]"),), "#{[1 2] [3 4]}");
    finds("[:find ?a ?b :in [[?a _ [?b ...]]]]", (value("[[1 2 [3 4]]]"),), "#{[1 3] [1 4]}");
    finds("[:find ?a :in $a ?x :where [$a ?x ?a]]", (value("[[1 :a] [2 :b]]"), 2), "#{[:b]}");
    finds(
        "[:find ?e ?v :in $ [?e ...] :where [?e :age ?v]]",
        (&db, value(r#"[[:email "ivan@x"] 2]"#)),
        r#"#{[[:email "ivan@x"] 15] [2 22]}"#,
    );
    finds(
        "[:find ?e ?v :in $ ?e :where [?e :age ?v]]",
        (&db, value(r#"[:email "ivan@x"]"#)),
        r#"#{[[:email "ivan@x"] 15]}"#,
    );
    finds(
        "[:find ?n ?x :in $ $b :where [?e :name ?n] [$b ?e ?x]]",
        (&db, value("[[1 :one] [4 :four] [9 :nine]]")),
        r#"#{["Ivan" :one] ["Oleg" :four]}"#,
    );
}

#[test]
fn predicates_and_functions() {
    let db = people();
    finds("[:find ?e :where [?e :age ?a] [(> ?a 20)]]", &db, "#{[2] [3]}");
    finds("[:find ?e :where [?e :name ?n] [(> ?n \"J\")]]", &db, "#{[2] [4]}");
    finds("[:find ?e :in $ ?f :where [?e :age ?a] [(?f ?a 20)]]", (&db, crate::edn::Symbol::new(">")), "#{[2] [3]}");
    finds("[:find ?e ?b :where [?e :age ?a] [(+ ?a 1) ?b]]", &db, "#{[1 16] [2 23] [3 38]}");
    finds("[:find ?x :where [(ground [1 2 3]) [?x ...]] [(odd? ?x)]]", &db, "#{[1] [3]}");
    finds("[:find ?x ?y :where [(ground [[1 2] [3 4]]) [[?x ?y]]]]", &db, "#{[1 2] [3 4]}");
    finds("[:find ?e ?a :where [?e :name] [(get-else $ ?e :age 0) ?a]]", &db, "#{[1 15] [2 22] [3 37] [4 0]}");
    finds("[:find ?e :where [?e :name] [(missing? $ ?e :age)]]", &db, "#{[4]}");
    finds("[:find ?e :where [?e :age ?a] [(inc ?a) 16]]".replace(" 16", " ?b").as_str(), &db, "#{[1] [2] [3]}");
    // A function that fails for rows that another clause drops does not fail.
    finds(
        "[:find ?q :where [?e :score ?s] [?e :age ?a] [(- ?a 15) ?d] [(/ 1 ?d) ?q]]",
        &db,
        "#{[0]}".replace("0", "1/22").replace("1/22", "0.045454545454545456").as_str(),
    );
}

#[test]
fn not_and_or() {
    let db = people();
    finds("[:find ?e :where [?e :name] (not [?e :age])]", &db, "#{[4]}");
    finds("[:find ?e :where [?e :name] (not [?e :friend ?f] [?f :name \"Ivan\"])]", &db, "#{[1] [3]}");
    finds("[:find ?e :where [?e :name] (not-join [?e] [?e :friend ?f] [?f :age 15])]", &db, "#{[1] [3]}");
    finds("[:find ?e :where (or [?e :name \"Petr\"] [?e :name \"Oleg\"])]", &db, "#{[2] [4]}");
    finds(
        "[:find ?e ?a :where [?e :age ?a] (or [?e :name \"Petr\"] (and [?e :name \"Ivan\"] [?e :sex :female]))]",
        &db,
        "#{[2 22] [3 37]}",
    );
    finds("[:find ?e :where (or-join [?e] [?e :age 15] (and [?e :friend ?f] [?f :age 37]))]", &db, "#{[1] [4]}");
    finds("[:find ?e :where [?e :age ?a] (or [(< ?a 16)] [(> ?a 30)])]", &db, "#{[1] [3]}");
}

#[test]
fn shapes() {
    let db = people();
    finds("[:find (count ?e) . :where [?e :name]]", &db, "4");
    finds("[:find ?n (count ?e) :where [?e :name ?n]]", &db, r#"[["Ivan" 2] ["Oleg" 1] ["Petr" 1]]"#
        .replace(r#"["Oleg" 1] ["Petr" 1]"#, r#"["Petr" 1] ["Oleg" 1]"#).as_str());
    finds("[:find [?n ?a] :where [?e :name ?n] [?e :age ?a] [?e :sex :female]]", &db, r#"["Ivan" 37]"#);
    finds("[:find [?a ...] :where [_ :age ?a] [(> ?a 30)]]", &db, "[37]");
    finds(
        "[:find ?n ?a :order-by [?a :desc] :limit 2 :where [?e :name ?n] [?e :age ?a]]",
        &db,
        r#"[["Ivan" 37] ["Petr" 22]]"#,
    );
    finds(
        "[:find ?n ?a :keys name age :where [?e :name ?n] [?e :age ?a] [(> ?a 30)]]",
        &db,
        r#"[{:name "Ivan" :age 37}]"#,
    );
    finds("[:find (sum ?a) . :with ?e :where [?e :age ?a]]", &db, "74");
    finds("[:find ?x . :where [?e :nope ?x]]", &db, "nil");
}

#[test]
fn collections_of_rust_are_inputs() {
    let db = people();
    let by_name = "[:find ?e :in $ [?n ...] :where [?e :name ?n]]";
    finds(by_name, (&db, vec!["Petr", "Oleg"]), "#{[2] [4]}");
    finds(by_name, (&db, ["Petr", "Oleg"]), "#{[2] [4]}");
    let names = vec!["Petr".to_owned()];
    finds(by_name, (&db, &names), "#{[2]}");
    finds(by_name, (&db, names), "#{[2]}");
    finds(by_name, (&db, Vec::<String>::new()), "#{}");
    finds("[:find ?e :in $ [?a ...] :where [?e :age ?a]]", (&db, vec![15, 22]), "#{[1] [2]}");
    finds("[:find ?e :in $ [?a ...] :where [?e :age ?a]]", (&db, &[15_i64, 22][..]), "#{[1] [2]}");
    let (male, female) = (Keyword::new("male"), Keyword::new("female"));
    finds("[:find ?e :in $ [?s ...] :where [?e :sex ?s]]", (&db, vec![male, female]), "#{[1] [2] [3]}");
    finds("[:find ?n :in $ [?e ...] :where [?e :name ?n]]", (&db, vec![EntityId(2)]), "#{[\"Petr\"]}");
    finds("[:find ?e :in $ [?least ?most] :where [?e :age ?a] [(< ?least ?a ?most)]]", (&db, [20, 30]), "#{[2]}");
}

#[test]
fn rows_have_as_many_columns_as_their_type() {
    let output = q("[:find ?n ?a :where [?e :name ?n] [?e :age ?a] [(> ?a 30)]]", &people()).unwrap();
    assert_eq!(output.rows_as::<(String, i64)>().unwrap(), [("Ivan".to_owned(), 37)]);
    let error = output.rows_as::<(String,)>().unwrap_err();
    assert_eq!(error.code(), "typed/mismatch");
    assert_eq!(error.message(), "row 0 of the columns ?n, ?a: wanted 1 members, got 2");
    assert!(output.rows_as::<(String, i64, i64)>().is_err());
    assert!(Vec::<(String,)>::try_from(output).is_err());
}

#[test]
fn refusals() {
    let db = people();
    refuses("[:find ?x :where [?e :name ?n]]", &db, "query/unbound", Some((1, 8)));
    refuses("[:find ?e :where [?e :name ?n] [(foo ?n)]]", &db, "query/unknown-function", Some((1, 34)));
    refuses("[:find ?e :where [?e :name ?n] [(> ?x 1)]]", &db, "query/unbound", Some((1, 32)));
    refuses("[:find ?e :where [$b ?e :name ?n]]", &db, "query/unknown-source", Some((1, 19)));
    refuses("[:find ?e :where (rule ?e)]", &db, "query/rule-unknown", Some((1, 19)));
    refuses("[:fnd ?e]", &db, "query/syntax", Some((1, 2)));
}

#[test]
fn refusals_say_what_was_wanted() {
    let db = people();
    let message = |query: &str, inputs: Vec<Input>| q(query, inputs).unwrap_err().message().to_owned();
    assert_eq!(
        message("[:find ?x :in $ ?x [?y ...] [[?z _]] [?a ?b] % :where [?x :age]]", vec![Input::from(&db)]),
        "the query wants 6 inputs, :in $ ?x [?y ...] [[?z _]] [?a ?b] %, got 1"
    );
    let message = |query: &str| message(query, vec![Input::from(&db)]);
    assert_eq!(message("[:find ?e :in $a :where [$b ?e :name]]"), "the source $b is not in :in, which has $a");
    assert_eq!(
        message("[:find ?e :where [?e :age ?a] [(incc ?a)]]"),
        "there is no function incc, did you mean inc?; docs/functions.md lists them all"
    );
    assert_eq!(
        message("[:find (summ ?a) :where [_ :age ?a]]"),
        "there is no aggregate summ, did you mean sum?; docs/functions.md lists them all"
    );
    refuses("[:find (summ ?a) :where [_ :age ?a]]", &db, "query/unknown-function", Some((1, 9)));
    refuses("[:find (sum ?n) :where [_ :name ?n]]", &db, "query/type", Some((1, 8)));
    refuses("[:find ?e (avg ?s) :where [?e :sex ?s]]", &db, "query/type", Some((1, 11)));
    refuses("[:find (sample ?n) :where [_ :name ?n]]", &db, "query/aggregate", Some((1, 8)));
}

#[test]
fn a_vector_for_an_entity_is_a_lookup_ref() {
    let db = people();
    refuses("[:find ?e :where [[:name] :age ?e]]", &db, "query/syntax", Some((1, 18)));
    refuses("[:find ?e :where [?e :age] (not [[1 2] :age ?e])]", &db, "query/syntax", Some((1, 33)));
    finds(r#"[:find ?a :where [[:email "nobody"] :age ?a]]"#, &db, "#{}");
    let pairs = Input::Form(read("[[[1] :x]]").unwrap());
    finds("[:find ?x :in $a :where [$a [1] ?x]]", (pairs,), "#{[:x]}");
}

#[test]
fn plans_are_shown() {
    let db = people();
    let shown = explain("[:find ?e ?a :where [?e :age ?a] [?e :nme \"Ivan\"]]", &db).unwrap().to_string();
    assert!(shown.contains("did you mean :name?"), "{shown}");
}

/// A chain 1 → 2 → … → 6, a branch 3 → 10, and a circle 20 → 21 → 20.
fn graph() -> Db {
    let r = |id| Value::Ref(EntityId(id));
    let edges = [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (3, 10), (20, 21), (21, 20)];
    let sayings: Vec<_> = edges.iter().map(|(a, b)| (*a, "to", r(*b), true)).collect();
    db_of(&["to ref many"], &[&sayings])
}

#[test]
fn rules() {
    let db = graph();
    let right = "[[(path ?x ?y) [?x :to ?y]] [(path ?x ?y) [?x :to ?t] (path ?t ?y)]]";
    let left = "[[(path ?x ?y) [?x :to ?y]] [(path ?x ?y) (path ?x ?t) [?t :to ?y]]]";
    let both = "[[(path ?x ?y) [?x :to ?y]] [(path ?x ?y) (path ?x ?t) (path ?t ?y)]]";
    let nested =
        "[[(path ?x ?y) (or [?x :to ?y] (and [?x :to ?t] (path ?t ?y)))]]".replace("(or [", "(or-join [?x ?y] [");
    for rules in [right, left, both, &nested] {
        finds("[:find ?y :in $ % :where (path 3 ?y)]", (&db, rules), "#{[4] [5] [6] [10]}");
        finds("[:find ?x :in $ % :where (path ?x 4)]", (&db, rules), "#{[1] [2] [3]}");
        finds(
            "[:find ?x ?y :in $ % :where (path ?x ?y) [?x :to ?z] [(> ?x 19)]]",
            (&db, rules),
            "#{[20 20] [20 21] [21 20] [21 21]}",
        );
        finds("[:find (count ?x) . :in $ % :with ?y :where (path ?x ?y)]", (&db, rules), "22");
        finds("[:find ?x :in $ % :where (path ?x ?x)]", (&db, rules), "#{[20] [21]}");
        finds(
            "[:find ?x :in $ % [?x ...] :where (path ?x 6)]",
            (&db, rules, Input::Form(read("[1 4 20]").unwrap())),
            "#{[1] [4]}",
        );
        finds("[:find ?x :in $ % :where [?x :to] (not (path ?x 6))]", (&db, rules), "#{[20] [21]}");
    }
    let mutual =
        "[[(odd ?x ?y) [?x :to ?y]] [(odd ?x ?y) (even ?x ?t) [?t :to ?y]] [(even ?x ?y) (odd ?x ?t) [?t :to ?y]]]";
    finds("[:find ?y :in $ % :where (even 1 ?y)]", (&db, mutual), "#{[3] [5] [10]}".replace("[10]", "").as_str());
    finds("[:find ?y :in $ % :where (odd 1 ?y)]", (&db, mutual), "#{[2] [4] [6] [10]}");
    // Rules that do not recur are written out; a body may need what the caller binds.
    let plain = "[[(near ?x ?y) [?x :to ?y]] [(near ?x ?y) [?y :to ?x]] [(big ?x) [(> ?x 4)]] [(twice ?x ?z) (near ?x ?y) (near ?y ?z)]]";
    finds("[:find ?y :in $ % :where (near 3 ?y)]", (&db, plain), "#{[2] [4] [10]}");
    finds("[:find ?y :in $ % :where (twice 5 ?y) (big ?y)]", (&db, plain), "#{[5]}");
    // Negation of a recursive rule in another.
    let strata =
        format!("{}{}", right.trim_end_matches(']'), "] [(apart ?x ?y) [?x :to] [?y :to] (not (path ?x ?y))]]");
    let strata = strata.replace("(path ?t ?y)] [", "(path ?t ?y)]] [").replace("]]] [", "]] [");
    let strata = if read(&strata).is_ok() {
        strata
    } else {
        format!("{} [(apart ?x ?y) [?x :to] [?y :to] (not (path ?x ?y))]]", &right[..right.len() - 1])
    };
    finds("[:find ?y :in $ % :where (apart 4 ?y)]", (&db, strata.as_str()), "#{[1] [2] [3] [4] [20] [21]}");
    refuses(
        "[:find ?x :in $ % :where (p ?x)]",
        (&db, "[[(p ?x) [?x :to] (not (q ?x))] [(q ?x) [?x :to] (p ?x)]]"),
        "query/stratification",
        Some((1, 19)),
    );
    refuses("[:find ?x :in $ % :where (p ?x 1)]", (&db, "[[(p ?x) [?x :to]]]"), "query/arity", Some((1, 26)));
    finds(
        "[:find ?y :in $ $b % :where ($b path 1 ?y)]",
        (&db, Input::Form(read("[[1 :to 7] [7 :to 8]]").unwrap()), right),
        "#{[7] [8]}",
    );
    // A recursive call with an argument that grows.
    finds(
        "[:find ?n :in % :where (upto 5 ?n)]",
        ("[[(upto ?x ?n) [(identity ?x) ?n]] [(upto ?x ?n) [(> ?x 0)] [(dec ?x) ?y] (upto ?y ?n)]]",),
        "#{[0] [1] [2] [3] [4] [5]}",
    );
}

#[test]
fn order_of_clauses_does_not_matter() {
    let db = people();
    let clauses = [
        "[?e :name ?n]",
        "[?e :age ?a]",
        "[?f :friend ?e]",
        "(not [?f :sex :female])",
        "[(> ?a 10)]",
        "(or-join [?e ?f ?t] [?f :tag ?t] [?e :tag ?t])",
    ];
    let mut found = Vec::new();
    let mut order: Vec<usize> = (0..clauses.len()).collect();
    // Every rotation, forwards and backwards.
    for turn in 0..2 * clauses.len() {
        if turn == clauses.len() {
            order.reverse();
        }
        order.rotate_left(1);
        let body: Vec<&str> = order.iter().map(|i| clauses[*i]).collect();
        found.push(q(format!("[:find ?e ?f ?t :where {}]", body.join(" ")).as_str(), &db).unwrap().to_value());
    }
    assert!(found.iter().all(|value| *value == found[0]));
    assert_eq!(found[0].to_form(), read(r#"#{[1 2 "a"] [1 2 "b"] [1 4 "a"] [1 4 "b"]}"#).unwrap());
}

#[test]
fn pull_in_find() {
    let db = people();
    finds("[:find (pull ?e [:name :age]) :where [?e :age 22]]", &db, r#"[[{:name "Petr" :age 22}]]"#);
    finds("[:find (pull ?e ?p) . :in $ ?e ?p]", (&db, 3, Input::Form(read("[:age]").unwrap())), "{:age 37}");
}

#[test]
fn budgets_end_a_query() {
    use super::{QueryOptions, q_with};
    let db = graph();
    let pairs = "[:find ?a ?b ?c ?d :where [?a :to] [?b :to] [?c :to] [?d :to]]";
    let code = |options: QueryOptions| q_with(pairs, &db, &options).unwrap_err().code();
    assert_eq!(code(QueryOptions { max_rows: Some(100), ..QueryOptions::default() }), "query/limit");
    assert_eq!(code(QueryOptions { max_bytes: Some(100), ..QueryOptions::default() }), "query/limit");
    assert_eq!(
        code(QueryOptions { deadline: Some(std::time::Instant::now()), ..QueryOptions::default() }),
        "query/deadline"
    );
    let cancel = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    assert_eq!(code(QueryOptions { cancel: Some(cancel), ..QueryOptions::default() }), "query/cancelled");
    assert_eq!(q(pairs, &db).unwrap().len(), 7 * 7 * 7 * 7);
}

#[test]
fn calls_wait_for_rules_that_drop_the_rows_they_fail_for() {
    let rules = "[[(odd ?x ?y) [?x :friend ?y]] [(odd ?x ?y) [?x :friend ?z] (even ?z ?y)]
        [(even ?x ?y) [?x :friend ?z] (odd ?z ?y)]]";
    let given = Input::Form(read(r#"[[2 :a] [#inst "1970-01-01" :b] ["text" :c] [4 :d]]"#).unwrap());
    let query = "[:find ?w :in $ % $r :where (odd ?x ?v) [$r ?v ?l] [(dec ?v) ?w] [(!= ?v ?x)]]";
    finds(query, (&people(), rules, given), "#{[1]}");
}

#[test]
fn prepared_queries_follow_the_database() {
    let query = super::prepare("[:find ?n . :in $ ?e :where [?e :name ?n] [?e :age ?a]]").unwrap();
    let db = people();
    let ask = |db: &Db, e: i64| query.run((db, e)).unwrap().to_value();
    let name = |text: &str| Value::from(text);
    assert_eq!(ask(&db, 1), name("Ivan"));
    let before = db.as_of(EntityId(crate::datom::TX0 + 1)).unwrap();
    assert_eq!((ask(&before, 2), ask(&before, 3)), (name("Petr"), Value::Nil));
    assert_eq!(ask(&db.filter(|_, datom| datom.e.0 > 2), 1), Value::Nil);
    let more: Vec<(u64, &str, Value, bool)> =
        (10..200).flat_map(|e| [(e, "name", name("Bo"), true), (e, "age", Value::Long(1), true)]).collect();
    let grown = db_of(&["age long", "name string index"], &[&more]);
    assert_eq!((ask(&grown, 150), ask(&grown, 1), ask(&db, 3)), (name("Bo"), Value::Nil, name("Ivan")));
}

#[test]
fn nested_queries_and_views() {
    let db = people();
    finds(
        "[:find ?n ?m :where [(q [:find (max ?a) . :where [_ :age ?a]] $) ?m] [?e :age ?m] [?e :name ?n]]",
        &db,
        r#"#{["Ivan" 37]}"#,
    );
    let before = db.as_of(EntityId(crate::datom::TX0 + 1)).unwrap();
    finds("[:find ?e :where [?e :name]]", &before, "#{[1] [2]}");
    finds("[:find ?e :in $ $old :where [?e :name] (not [$old ?e :name])]", (&db, &before), "#{[3] [4]}");
    finds("[:find ?e :where [?e :age ?a ?t true] [(> ?a 30)]]", &db.history().unwrap(), "#{[3]}");
    refuses("[:find ?x :where [(* 4611686018427387904 4) ?x]]", &db, "query/overflow", Some((1, 18)));
}

#[test]
fn typed_rows() {
    let db = people();
    let rows: Vec<(String, i64)> =
        q("[:find ?n ?a :order-by [?a] :where [?e :name ?n] [?e :age ?a]]", &db).unwrap().try_into().unwrap();
    assert_eq!(rows, [("Ivan".to_owned(), 15), ("Petr".to_owned(), 22), ("Ivan".to_owned(), 37)]);
    let ages = super::prepare("[:find ?a . :in $ ?e :where [?e :age ?a]]").unwrap();
    assert_eq!(ages.run((&db, 2)).unwrap().value_as::<Option<i64>>().unwrap(), Some(22));
    assert_eq!(ages.run((&db, 4)).unwrap().value_as::<Option<i64>>().unwrap(), None);
}
