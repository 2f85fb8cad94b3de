//! The query language as users meet it: every form of a query, its modifiers, its inputs, its errors.

use std::sync::Arc;
use std::time::Instant;

use treering::edn::{Keyword, read};
use treering::{
    Config, Cursor, Db, EntityId, EntityMap, Function, Functions, IndexPull, Input, IntoInputs, Order, QueryOptions,
    Registry, Value, connect, connect_in, create_database, explain, explain_analyze, index_pull, inputs, prepare_with,
    q, q_iter, q_with,
};

/// Four people: 1 Ann 15, 2 Bob 22 (friend of 1), 3 Ann 37 (friend of 2), 4 Oleg without age.
fn people() -> Db {
    let s = |text: &str| Value::from(text);
    let r = |id| Value::Ref(EntityId(id));
    treering::db_testing::db_of(
        &["name string index", "age long", "friend ref many", "email string identity", "tag string many"],
        &[
            &[
                (1, "name", s("Ann"), true),
                (1, "age", Value::Long(15), true),
                (1, "email", s("ann@x"), true),
                (1, "tag", s("a"), true),
                (1, "tag", s("b"), true),
                (2, "name", s("Bob"), true),
                (2, "age", Value::Long(22), true),
                (2, "friend", r(1), true),
                (2, "tag", s("b"), true),
            ],
            &[
                (3, "name", s("Ann"), true),
                (3, "age", Value::Long(37), true),
                (3, "friend", r(2), true),
                (4, "name", s("Oleg"), true),
                (4, "friend", r(3), true),
                (4, "friend", r(1), true),
            ],
        ],
    )
}

#[track_caller]
fn finds(query: &str, inputs: impl IntoInputs, expected: &str) {
    let found = q(query, inputs).unwrap_or_else(|error| panic!("{query}\n{error:?}")).to_form();
    assert_eq!(found, read(expected).unwrap(), "{query} found {found}");
}

#[track_caller]
fn refuses(query: &str, inputs: impl IntoInputs, code: &str, says: &str) {
    match q(query, inputs) {
        Ok(output) => panic!("{query} found {}", output.to_form()),
        Err(error) => {
            assert_eq!(error.code(), code, "{query}\n{error:?}");
            assert!(error.message().contains(says), "{query}\n{error:?}");
        }
    }
}

#[test]
fn queries_as_vector_map_text_and_call() {
    let db = people();
    finds("[:find ?n :in $ ?a :where [?e :age ?a] [?e :name ?n]]", (&db, 22), r#"#{["Bob"]}"#);
    finds("{:find [?n] :in [$ ?a] :where [[?e :age ?a] [?e :name ?n]]}", (&db, 22), r#"#{["Bob"]}"#);
    finds("{:query [:find ?n :in $ ?a :where [?e :age ?a] [?e :name ?n]] :args [$ 22]}", &db, r#"#{["Bob"]}"#);
    finds(r#"{:query "[:find ?n :in $ ?a :where [?e :age ?a] [?e :name ?n]]" :args [$ 22]}"#, &db, r#"#{["Bob"]}"#);
    finds("{:query {:find [?x] :in [[?x ...]]} :args [[1 2]]}", (), "#{[1] [2]}");
    finds("{:find [?x] :in [[?x ...]] :args [[3 1 2]] :order-by ?x :limit 2 :offset 1}", (), "[[2] [3]]");
    // What stands beside :query outranks what stands in it.
    finds("{:query [:find ?x :in [?x ...] :limit 9] :args [[3 1 2]] :order-by [?x :desc] :limit 1}", (), "[[3]]");
    refuses("{:query [:find ?x :in ?x] :args [$]}", (), "query/arity", "none left");
    refuses("{:query [:find ?x :in ?x] :args [1]}", (2,), "query/arity", "handed over");
    refuses("{:query [:find ?x :in ?x] :arg [1]}", (), "query/syntax", ":arg cannot stand beside :query");
    refuses("{:query {:query [:find ?x :in ?x]}}", (), "query/syntax", "no section");
    refuses("[:find ?x :in ?x :limits 1]", (1,), "query/syntax", "variable");
    refuses("{:find [?x] :in [?x] :limits 1}", (1,), "query/syntax", ":limits is no section");
}

#[test]
fn without_in_a_query_takes_a_database_or_nothing() {
    finds("[:find ?x . :where [(identity 1) ?x]]", (), "1");
    finds("[:find ?x . :where [(identity 1) ?x]]", &people(), "1");
    refuses("[:find ?e :where [?e :name]]", (), "query/arity", "1 inputs");
    refuses("[:find ?n :with ?e ?e :where [?e :name ?n]]", &people(), "query/syntax", "?e stands twice in :with");
    refuses("[:find ?e :in % $ % :where [?e :name]]", (), "query/syntax", "% stands twice");
    refuses("[:find ?e :where [?e :name] (not [_])]", &people(), "query/syntax", "a variable or a value inside");
    refuses("[:find (count ?e 1) :where [?e :name]]", &people(), "query/syntax", "last argument");
    refuses("[:find ?e :where [?e :name $x]]", &people(), "query/syntax", "the source $x");
}

#[test]
fn stats_wrap_the_answer() {
    let found = q("{:query [:find ?n :where [?e :name ?n]] :args [$] :stats? true}", &people()).unwrap().to_value();
    let form = found.to_form();
    assert_eq!(form.get(Keyword::new("ret")), Some(&read(r#"#{["Ann"] ["Bob"] ["Oleg"]}"#).unwrap()));
    let stats = form.get(Keyword::new("stats")).unwrap();
    assert_eq!(stats.get(Keyword::new("rows")), Some(&read("3").unwrap()), "{stats}");
    let step = &stats.get(Keyword::new("plan")).unwrap().items().unwrap()[0];
    assert_eq!(step.get(Keyword::new("rows-out")), Some(&read("4").unwrap()), "{stats}");
}

#[test]
fn orders() {
    let db = people();
    let by = |order: &str, expected: &str| {
        finds(&format!("[:find ?n ?a :where [?e :name ?n] [?e :age ?a] :order-by {order}]"), &db, expected);
    };
    let up = r#"[["Ann" 15] ["Bob" 22] ["Ann" 37]]"#;
    let down = r#"[["Ann" 37] ["Bob" 22] ["Ann" 15]]"#;
    for order in ["?a", "[?a]", "?a :asc", "[?a :asc]", "[[?a :asc]]", "1", "[1]", "[1 :asc]"] {
        by(order, up);
    }
    for order in ["?a :desc", "[?a :desc]", "[[?a :desc]]", "[1 :desc]", "1 :desc", "((?a :desc))"] {
        by(order, down);
    }
    for order in ["?n :desc ?a", "[?n :desc ?a :asc]", "[[?n :desc] ?a]", "[0 :desc 1]", "[[0 :desc] [?a :asc]]"] {
        by(order, r#"[["Bob" 22] ["Ann" 15] ["Ann" 37]]"#);
    }
    finds(
        "[:find ?n (count ?e) :where [?e :name ?n] :order-by (count ?e) :desc ?n :limit 2]",
        &db,
        r#"[["Ann" 2] ["Bob" 1]]"#,
    );
    finds(
        "[:find ?n (count ?e) :where [?e :name ?n] :order-by [[(count ?e) :desc] [?n :desc]] :limit 2]",
        &db,
        r#"[["Ann" 2] ["Oleg" 1]]"#,
    );
    refuses("[:find ?n :where [_ :name ?n] :order-by ?m]", &db, "query/unbound", "?m");
    refuses("[:find ?n :where [_ :name ?n] :order-by 1]", &db, "query/syntax", "columns 0 to 0");
    refuses("[:find ?n :where [_ :name ?n] :order-by (count ?n)]", &db, "query/unbound", "(count ?n)");
    refuses("[:find [?n ...] :where [_ :name ?n] :order-by ?n]", &db, "query/syntax", "relation");
}

#[test]
fn limits_and_offsets() {
    let numbers: Vec<i64> = (0..10).collect();
    let ask = |end: &str, expected: &str| {
        finds(&format!("[:find ?x :in [?x ...] :order-by ?x {end}]"), inputs![numbers.clone()], expected);
    };
    ask(":limit 2", "[[0] [1]]");
    ask(":limit 0", "[]");
    ask(":limit 2 :offset 9", "[[9]]");
    ask(":limit 2 :offset 99", "[]");
    ask(":offset 8", "[[8] [9]]");
    ask(":limit nil :offset 8", "[[8] [9]]");
    ask(":limit -1 :offset 8", "[[8] [9]]");
    ask(":limit 9223372036854775807 :offset 8", "[[8] [9]]");
    assert_eq!(q("[:find ?x :in [?x ...] :limit 3]", inputs![numbers.clone()]).unwrap().len(), 3);
    assert_eq!(q("[:find [?x ...] :in [?x ...] :limit 3 :offset 8]", inputs![numbers]).unwrap().len(), 2);
    refuses("[:find ?x :in ?x :limit 1.5]", (1,), "query/syntax", "a number after :limit");
}

#[test]
fn having_looks_at_groups() {
    let db = people();
    let tags = "[:find ?n (count ?t) :with ?e :where [?e :name ?n] [?e :tag ?t] :having ";
    finds(&format!("{tags} [(< 1 (count ?t))]]"), &db, r#"[["Ann" 2]]"#);
    finds(&format!("{tags} [(= ?n \"Bob\")]]"), &db, r#"[["Bob" 1]]"#);
    finds(&format!("{tags} [(< 0 (count ?t))] [(not= ?n \"Bob\")]]"), &db, r#"[["Ann" 2]]"#);
    // Of aggregates that :find does not have, and of scalars of :in.
    finds("[:find ?n :in $ ?least :where [?e :name ?n] :having [(<= ?least (count ?e))]]", (&db, 2), r#"#{["Ann"]}"#);
    finds(
        "{:find [?n] :in [$ ?f] :where [[?e :name ?n]] :having [[(?f 2 (count ?e))]] :order-by ?n :limit 1}",
        (&db, ">"),
        r#"[["Bob"]]"#,
    );
    finds("[:find [?n ...] :where [_ :name ?n] :having [(< \"B\" ?n)] [(< ?n \"C\")]]", &db, r#"["Bob"]"#);
    finds("[:find (sum ?a) . :where [_ :age ?a] :having [(< 100 (sum ?a))]]", &db, "nil");
    finds(
        "[:find ?n (max ?a) :keys name oldest :where [?e :name ?n] [?e :age ?a] :having [(< 30 (max ?a))]]",
        &db,
        r#"[{:name "Ann" :oldest 37}]"#,
    );
    refuses("[:find ?n :where [?e :name ?n] :having [(< 1 ?e)]]", &db, "query/unbound", "?e stands in :having");
    refuses("[:find ?n :where [?e :name ?n] :having [?e :name]]", &db, "query/syntax", "predicate over :find");
    refuses(
        "[:find ?n :where [?e :name ?n] :having [(< 1 (cuont ?e))]]",
        &db,
        "query/unknown-function",
        "did you mean count",
    );
    refuses("[:find ?n :where [?e :name ?n] :having [(even? (count ?e) 1)]]", &db, "query/arity", "even?");
}

#[test]
fn timeouts_end_queries() {
    let many: Vec<i64> = (0..3000).collect();
    let query = "[:find (count ?x) . :in [?x ...] [?y ...] [?z ...] :where [(< ?x ?y)] [(< ?y ?z)] :timeout 20]";
    let three = || inputs![many.clone(), many.clone(), many.clone()];
    refuses(query, three(), "query/deadline", "not done by its deadline");
    let nested =
        format!("[:find ?r :in ?xs :where [(q {} ?xs ?xs ?xs) ?r] :timeout 20]", query.replace(" :timeout 20", ""));
    refuses(&nested, (many.clone(),), "query/deadline", "not done by its deadline");
    finds("[:find ?x . :in ?x :timeout 60000]", (1,), "1");
    finds("{:query [:find ?x . :in ?x] :args [1] :timeout nil}", (), "1");
    refuses("[:find ?x . :in ?x :timeout -1]", (1,), "query/syntax", "milliseconds");
    // An option that ends earlier wins.
    let options = QueryOptions { deadline: Some(Instant::now()), ..QueryOptions::default() };
    let error = q_with(query.replace("20]", "600000]").as_str(), three(), &options).unwrap_err();
    assert_eq!(error.code(), "query/deadline");
}

#[test]
fn budgets_name_the_clause_that_grew() {
    let options = QueryOptions { max_rows: Some(5_000), ..QueryOptions::default() };
    let many: Vec<i64> = (0..1000).collect();
    let query = "[:find (count ?x) . :in [?x ...] [?y ...] :where [(range ?x) [?z ...]] [(< ?z ?y)]]";
    let error = q_with(query, inputs![many.clone(), many], &options).unwrap_err();
    assert_eq!(error.code(), "query/limit");
    assert!(error.message().contains("5000 rows") && error.message().contains("came out of"), "{error:?}");
}

#[test]
fn pages_are_of_one_state() {
    let config = treering::Config::memory("pages");
    let registry = treering::Registry::with_builtins();
    treering::create_database_in(&registry, &config).unwrap();
    let conn = treering::connect_in(&registry, &config).unwrap();
    conn.transact(
        "[{:db/ident :n :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
          {:db/ident :of :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}]",
    )
    .unwrap();
    let all: String = (0..50).map(|n| format!("{{:db/id \"{n}\" :n {} :of \"{}\"}}", n / 5, n / 2)).collect();
    conn.transact(format!("[{all}]").as_str()).unwrap();
    let query = "[:find ?n ?e ?of :where [?e :n ?n] [?e :of ?of] :order-by [?n :desc] :limit 7]";
    let whole: Vec<Vec<Value>> = {
        let all = q(query.replace(":limit 7", "").as_str(), &conn.db()).unwrap();
        all.rows().collect()
    };
    let mut after = Cursor::start();
    let mut seen = Vec::new();
    loop {
        let options = QueryOptions { after: Some(after), ..QueryOptions::default() };
        let page = q_with(query, &conn.db(), &options).unwrap();
        assert!(page.len() <= 7);
        seen.extend(page.rows());
        conn.transact("[{:n 4 :of 1001} [:db/add 1001 :n 9]]").unwrap();
        let Some(next) = page.cursor() else { break };
        // A cursor survives as text.
        after = next.to_string().parse().unwrap();
        assert_eq!(after, *next);
        let said = query.replace(":limit 7", &format!(":limit 7 :after {:?}", next.to_string()));
        let once_more = q(said.as_str(), &conn.db()).unwrap();
        assert!(once_more.len() <= 7);
    }
    assert_eq!(seen.len(), 50);
    let descends = |rows: &[Vec<Value>]| rows.is_sorted_by(|a, b| a[0] >= b[0]);
    assert!(descends(&seen) && descends(&whole));
    let sorted = |mut rows: Vec<Vec<Value>>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(seen), sorted(whole));
    let first = q("{:find [?n] :where [[_ :n ?n]] :order-by ?n :limit 2 :after nil}", &conn.db()).unwrap();
    let cursor = first.cursor().unwrap().to_string();
    let with = |query: &str| q(query.replace("CURSOR", &format!("{cursor:?}")).as_str(), &conn.db());
    assert_eq!(
        with("{:find [?n] :where [[_ :n ?n]] :order-by ?n :limit 2 :after CURSOR}").unwrap().to_form().to_string(),
        "[[2] [3]]"
    );
    for other in [
        "{:find [?n] :where [[_ :n ?n]] :order-by [?n :desc] :limit 2 :after CURSOR}",
        "{:find [?e ?n] :where [[?e :n ?n]] :order-by ?n :limit 2 :after CURSOR}",
        "{:find [?n] :where [[_ :n ?n]] :limit 2 :after CURSOR}",
        "{:find [?n] :where [[_ :n ?n]] :order-by ?n :limit 2 :after \"[1 2\"}",
        "{:find [?n] :where [[_ :n ?n]] :order-by ?n :limit 2 :after \"[[0 false] [1] [2] 0 0]\"}",
    ] {
        assert_eq!(with(other).unwrap_err().code(), "query/cursor", "{other}");
    }
}

#[test]
fn pages_keep_rows_that_are_equal() {
    let rows = vec![
        vec![Value::Long(1), Value::Long(1)],
        vec![Value::Long(1), Value::Long(2)],
        vec![Value::Long(1), Value::Long(3)],
        vec![Value::Long(2), Value::Long(1)],
    ];
    let query = "[:find ?x :with ?y :in [[?x ?y]] :order-by ?x :limit 1]";
    let mut after = Some(Cursor::start());
    let mut found = Vec::new();
    while after.is_some() {
        let page = q_with(query, inputs![rows.clone()], &QueryOptions { after, ..QueryOptions::default() }).unwrap();
        found.extend(page.rows().flatten());
        after = page.cursor().cloned();
    }
    assert_eq!(found, [1, 1, 1, 2].map(Value::Long));
}

#[test]
fn many_databases_and_collections_in_one_query() {
    let (one, two) = (people(), people().filter(|_, datom| datom.e.0 != 1));
    finds("[:find [?n ...] :in $a $b :where [$a ?e :name ?n] (not [$b ?e :name ?n])]", (&one, &two), r#"["Ann"]"#);
    finds(
        "[:find ?n ?what :in $ $seen :where [?e :name ?n] [$seen ?n ?what]]",
        inputs![&one, vec![vec![Value::from("Bob"), Value::from("met")], vec![Value::from("Zoe"), Value::from("x")]]],
        r#"#{["Bob" "met"]}"#,
    );
    let map = Input::from(read("{:a 1 :b 2}").unwrap());
    finds("[:find ?k :in $m :where [$m ?k 2]]", inputs![map], "#{[:b]}");
    let datoms = Input::from(read(r#"[[1 :name "X" 7] [2 :age 5 8]]"#).unwrap());
    finds("[:find ?e ?t :where [?e :age _ ?t]]", inputs![datoms], "#{[2 8]}");
    finds(
        "[:find ?n :in $a $b % :where ($a r ?e ?n) ($b r ?e ?n)]",
        inputs![&one, &two, read("[[(r ?e ?n) [?e :name ?n] [?e :friend]]]").unwrap()],
        r#"#{["Bob"] ["Ann"] ["Oleg"]}"#,
    );
}

#[test]
fn queries_in_queries() {
    let db = people();
    finds(
        "[:find ?n ?a :where [(q [:find (max ?a) . :where [_ :age ?a]] $) ?a] [?e :age ?a] [?e :name ?n]]",
        &db,
        r#"#{["Ann" 37]}"#,
    );
    finds(
        r#"[:find ?n ?fs :where [?e :name ?n] [(q "[:find (count ?f) . :in $ ?e :where [?e :friend ?f]]" $ ?e) ?fs]]"#,
        &db,
        r#"#{["Bob" 1] ["Ann" 1] ["Oleg" 2]}"#,
    );
    finds("[:find ?x :in ?q :where [(q ?q 5) ?x]]", ("[:find ?y . :in ?y]",), "#{[5]}");
}

#[test]
fn pull_patterns_come_from_inputs_and_name_functions() {
    let db = people();
    let pattern = Input::from(read("[:name {:friend [:name]}]").unwrap());
    finds(
        "[:find [(pull ?e pattern) ...] :in $ pattern :where [?e :age 22]]",
        inputs![&db, pattern.clone()],
        r#"[{:name "Bob" :friend [{:name "Ann"}]}]"#,
    );
    finds(
        "[:find (pull ?e ?p) . :in $ ?p :where [?e :age 22]]",
        inputs![&db, pattern],
        r#"{:name "Bob" :friend [{:name "Ann"}]}"#,
    );
    finds("[:find (pull ?e [[:name :xform str/upper-case :as :n]]) . :where [?e :age 22]]", &db, r#"{:n "BOB"}"#);
    let text = "[[:name :xform str/reverse]]";
    assert_eq!(treering::pull(&db, text, EntityId(2)).unwrap().to_form(), read(r#"{:name "boB"}"#).unwrap());
    let own = Function::new("shout", 1..=1, |args| match args {
        [treering::Argument::Value(Value::Str(text))] => Ok(Some(Value::from(format!("{text}!")))),
        _ => Ok(None),
    });
    let options = QueryOptions { functions: Some(Functions::standard().with(own)), ..QueryOptions::default() };
    let query = "[:find (pull ?e [[:name :xform shout]]) . :where [?e :age 22]]";
    assert_eq!(q_with(query, &db, &options).unwrap().to_form(), read(r#"{:name "Bob!"}"#).unwrap());
    assert_eq!(q(query, &db).unwrap_err().code(), "pull/syntax");
    let shouting = prepare_with("[:find [?s ...] :where [_ :name ?n] [(shout ?n) ?s]]", &options).unwrap();
    assert_eq!(shouting.run_with(&db, &options).unwrap().len(), 3);
}

#[test]
fn functions_as_inputs() {
    let db = people();
    for even in [Value::from("even?"), Value::Keyword(Keyword::new("even?"))] {
        finds("[:find [?a ...] :in $ ?p :where [_ :age ?a] [(?p ?a)]]", inputs![&db, even], "[22]");
    }
    finds(
        "[:find ?n (aggregate ?f ?a) :in $ ?f :where [?e :name ?n] [?e :age ?a]]",
        (&db, "max"),
        r#"[["Ann" 37] ["Bob" 22]]"#,
    );
    refuses("[:find ?a :in $ ?p :where [_ :age ?a] [(?p ?a)]]", (&db, "evn?"), "query/unknown-function", "evn?");
}

#[test]
fn unknown_attributes_warn_and_strictly_fail() {
    let db = people();
    let strict = QueryOptions { strict: true, ..QueryOptions::default() };
    for query in [
        "[:find ?e :where [?e :nmae ?n]]",
        "[:find ?e :where [?e :name] (not [?e :nmae ?n])]",
        "[:find ?e :in $ % :where (r ?e)]",
        "[:find ?x :where [?e :name] [(get-else $ ?e :nmae 1) ?x]]",
        "[:find (pull ?e [{:friend [:nmae]}]) :where [?e :name]]",
    ] {
        let rules = read("[[(r ?e) [?e :friend ?f] (r ?f)] [(r ?e) [?e :nmae]]]").unwrap();
        let inputs = if query.contains('%') { inputs![&db, rules] } else { inputs![&db] };
        let output = q(query, inputs.clone()).unwrap();
        let warns = output.warnings().iter().any(|w| w.contains(":nmae") && w.contains("did you mean :name?"));
        assert!(warns || query.contains("get-else"), "{query} {:?}", output.warnings());
        let error = q_with(query, inputs, &strict).unwrap_err();
        assert_eq!(error.code(), "attribute/unknown", "{query}");
        assert!(
            error.message().contains("did you mean :name?") && error.position().is_some() != query.contains('%'),
            "{error:?}"
        );
    }
    assert!(q_with("[:find ?e :where [?e :name ?n] [(missing? $ ?e :_friend)]]", &db, &strict).is_ok());
}

#[test]
fn rules_that_nothing_calls_are_told() {
    let rules = read("[[(a ?x) [?x :name] (b ?x)] [(b ?x) [?x :age]] [(c ?x) (b ?x)]]").unwrap();
    let output = q("[:find ?x :in $ % :where (a ?x)]", inputs![&people(), rules]).unwrap();
    assert_eq!(output.warnings(), ["nothing calls the rule c"]);
}

#[test]
fn rows_one_after_another() {
    let db = people();
    let all = |query: &str, inputs: Vec<Input>| {
        let mut rows =
            q_iter(query, inputs, &QueryOptions::default(), |rows| rows.collect::<Result<Vec<_>, _>>()).unwrap();
        rows.sort();
        rows
    };
    for query in [
        "[:find ?n :where [?e :name ?n]]",
        "[:find ?e ?n :where [?e :name ?n]]",
        "[:find ?n ?e :where [?e :name ?n] [?e :age ?a] [(< 20 ?a)]]",
        "[:find (pull ?e [:name]) :where [?e :name]]",
        "[:find ?n (count ?e) :where [?e :name ?n]]",
        "[:find ?n :where [?e :name ?n] :order-by ?n :limit 2]",
        "[:find ?n :where [?e :name ?n] :having [(< \"B\" ?n)]]",
    ] {
        let mut expected: Vec<Vec<Value>> = q(query, &db).unwrap().rows().collect();
        expected.sort();
        assert_eq!(all(query, inputs![&db]), expected, "{query}");
    }
    let numbers: Vec<i64> = (0..10_000).collect();
    assert_eq!(all("[:find ?x :in [?x ...] :limit 9000 :offset 5000]", inputs![numbers.clone()]).len(), 5000);
    assert_eq!(all("[:find [?x ...] :in [?x ...] :limit 3]", inputs![numbers.clone()]).len(), 3);
    assert_eq!(all("[:find ?x . :in [?x ...]]", inputs![numbers.clone()]).len(), 1);
    // What is not asked for is not looked for.
    let few = QueryOptions { max_rows: Some(1_000_000), ..QueryOptions::default() };
    let pairs = "[:find ?x ?y :in [?x ...] [?y ...]]";
    let two = || inputs![numbers.clone(), numbers.clone()];
    let first = q_iter(pairs, two(), &few, |rows| rows.take(3).collect::<Result<Vec<_>, _>>()).unwrap();
    assert_eq!(first.len(), 3);
    let last = q_iter(pairs, two(), &few, |rows| rows.last().transpose());
    assert_eq!(last.unwrap_err().code(), "query/limit");
    let error = q_iter("[:find ?y :in [?x ...] :where [(/ 1 ?x) ?y]]", inputs![vec![0, 1]], &few, |rows| {
        let failed = rows.find_map(Result::err);
        assert!(rows.next().is_none(), "nothing comes after an error");
        failed.map_or(Ok(()), Err)
    });
    assert_eq!(error.unwrap_err().code(), "query/division-by-zero");
    // A row that another clause drops does not fail.
    let guarded = "[:find ?y :in [?x ...] :where [(/ 1 ?x) ?y] [(not= ?x 0)]]";
    assert_eq!(all(guarded, inputs![vec![0, 1, 2]]).len(), 2);
}

#[test]
fn plans_as_text_json_and_edn() {
    let db = people();
    let query = "[:find ?n :where [?e :name ?n] (or [?e :age 22] [?e :age 15])]";
    let plan = explain(query, &db).unwrap();
    let text = plan.to_string();
    assert!(text.contains("[?e :name ?n]") && text.contains("branch"), "{text}");
    assert!(!text.contains(" in, "), "nothing was run: {text}");
    let form = plan.to_form();
    assert_eq!(read(&form.to_string()).unwrap(), form);
    let json: serde_json::Value = serde_json::from_str(&plan.to_json()).unwrap();
    assert_eq!(json["plan"].as_array().unwrap().len(), form.get(Keyword::new("plan")).unwrap().items().unwrap().len());
    let (output, told) = explain_analyze(query, &db, &QueryOptions::default()).unwrap();
    assert_eq!(output.to_form(), q(query, &db).unwrap().to_form());
    let json: serde_json::Value = serde_json::from_str(&told.to_json()).unwrap();
    let steps = json["plan"].as_array().unwrap();
    assert_eq!(steps.last().unwrap()["rows-out"], 2, "{told}");
    assert_eq!(json["rows"], 2);
    for pair in steps.windows(2) {
        assert_eq!(pair[0]["rows-out"], pair[1]["rows-in"], "{told}");
    }
    assert!(steps.iter().any(|step| step["inner"][0]["steps"][0]["rows-out"].is_u64()), "{told}");
}

#[test]
fn analysis_warns_of_wrong_estimates_and_products() {
    let many: Vec<i64> = (0..2000).collect();
    let query = "[:find (count ?x) . :in [?x ...] [?y ...] :where [(= 0 ?x)] [(= ?y ?y)]]";
    let (_, told) = explain_analyze(query, inputs![many.clone(), many], &QueryOptions::default()).unwrap();
    let says = |what: &str| told.warnings().iter().any(|warning| warning.contains(what));
    assert!(says("were expected from"), "{told}");
    let unknown = explain("[:find ?e ?f :where [?e :nmae] [?f :name ?n] [?g :age ?a]]", &people()).unwrap();
    assert!(unknown.warnings().iter().any(|w| w.contains("did you mean :name?")), "{unknown}");
}

#[test]
fn a_run_tells_what_it_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::file(dir.path().join("numbers.tr"));
    create_database(&config).unwrap();
    let conn = connect(&config).unwrap();
    conn.transact("[{:db/ident :n :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]").unwrap();
    let numbers = (1..=10_000_u64).map(|e| EntityMap::new().id(EntityId(e)).set(Keyword::new("n"), e as i64));
    conn.transact(numbers.collect::<Vec<_>>()).unwrap();
    conn.release().unwrap();
    // Another registry has a cache of its own, which is empty.
    let conn = connect_in(&Arc::new(Registry::with_builtins()), &config).unwrap();
    let db = conn.db();
    let reads = |query: &str| -> (i64, i64) {
        let (_, told) =
            explain_analyze(query, &db, &QueryOptions { threads: Some(1), ..QueryOptions::default() }).unwrap();
        let told = told.to_form();
        let steps = told.get(Keyword::new("plan")).and_then(|plan| plan.items()).unwrap();
        let sum = |key: &str| steps.iter().filter_map(|step| step.get(Keyword::new(key))?.as_int()).sum::<i64>();
        let planning = told.get(Keyword::new("planning-bytes-read")).and_then(|bytes| bytes.as_int()).unwrap();
        (sum("nodes"), sum("bytes-read") + planning)
    };
    let point = "[:find ?n . :where [5000 :n ?n]]";
    let (nodes, cold) = reads(point);
    assert!((1..=4).contains(&nodes) && cold > 0, "{nodes} nodes, {cold} bytes");
    assert_eq!(reads(point), (nodes, 0), "the nodes are at hand now");
    let (nodes, cold) = reads("[:find (sum ?n) . :where [_ :n ?n]]");
    assert!((10..=60).contains(&nodes) && cold > 0, "{nodes} nodes, {cold} bytes");
    conn.release().unwrap();
}

#[test]
fn pulls_along_an_index() {
    let db = people();
    let along = |pull: &IndexPull| {
        let found: treering::Result<Vec<Value>> = index_pull(&db, "[:db/id]", pull).unwrap().collect();
        let ids = |value: Value| value.to_form().get(Keyword::new("db/id")).unwrap().as_int().unwrap();
        found.unwrap().into_iter().map(ids).collect::<Vec<_>>()
    };
    let names = IndexPull::avet(Keyword::new("name"));
    assert_eq!(along(&names), [1, 3, 2, 4]);
    assert_eq!(along(&IndexPull { reverse: true, ..names.clone() }), [4, 2, 3, 1]);
    assert_eq!(along(&IndexPull { start: Some("B".into()), ..names.clone() }), [2, 4]);
    assert_eq!(along(&IndexPull { start: Some("Bob".into()), reverse: true, ..names.clone() }), [2, 3, 1]);
    let tags = IndexPull { index: Order::Aevt, ..IndexPull::avet(Keyword::new("tag")) };
    assert_eq!(along(&tags), [1, 1, 2], "one for each datom");
    assert_eq!(along(&IndexPull { start: Some(Value::Long(2)), ..tags }), [2]);
    let code = |pull: &IndexPull| index_pull(&db, "[:db/id]", pull).unwrap_err().code();
    assert_eq!(code(&IndexPull::avet(Keyword::new("age"))), "attribute/not-indexed");
    assert_eq!(code(&IndexPull::avet(Keyword::new("nmae"))), "attribute/unknown");
    assert!(index_pull(&db, "[", &names).unwrap_err().position().is_some());
}

#[test]
fn a_failing_function_ends_the_query_only_for_rows_that_pass_everything_else() {
    let rows = || inputs![vec![vec![Value::Long(0), Value::from("x")], vec![Value::Long(5), Value::from("7")]]];
    let ask = |clauses: &[&str]| -> Vec<String> {
        let mut orders = vec![Vec::new()];
        for clause in clauses {
            orders = orders
                .iter()
                .flat_map(|known: &Vec<&str>| {
                    (0..=known.len()).map(|at| {
                        let mut longer = known.clone();
                        longer.insert(at, *clause);
                        longer
                    })
                })
                .collect();
        }
        let answer = |clauses: &Vec<&str>| {
            let query = format!("[:find ?n ?s :in [[?n ?s]] :where {}]", clauses.join(" "));
            match q(&query, rows()) {
                Ok(found) => format!("{} rows", found.len()),
                Err(error) => error.code().to_owned(),
            }
        };
        let mut answers: Vec<String> = orders.iter().map(answer).collect();
        answers.dedup();
        answers
    };
    // 0 divides nothing, and "x" is no number: both of the same row.
    assert_eq!(ask(&["[(quot 10 ?n) ?m]"]), ["query/division-by-zero"]);
    assert_eq!(ask(&["[(quot 10 ?n) ?m]", "[(= ?s \"7\")]"]), ["1 rows"]);
    assert_eq!(ask(&["[(quot 10 ?n) ?m]", "[(< ?m 3)]", "[(< 2 ?n)]"]), ["1 rows"]);
    // What drops the row depends on another call, which may fail as well.
    assert_eq!(ask(&["[(quot 10 ?n) ?m]", "[(quot 10 ?n) ?k]", "[(count ?s) ?c]", "[(< ?c 1)]"]), ["0 rows"]);
    assert_eq!(ask(&["[(quot 10 ?n) ?m]", "[(inc ?n) ?k]", "[(quot 4 ?k) ?l]", "[(< ?l 3)]"]), ["1 rows"]);
    assert_eq!(
        ask(&["[(quot 10 ?n) ?m]", "[(inc ?n) ?k]", "[(quot 4 ?k) ?l]", "[(< ?l 9)]"]),
        ["query/division-by-zero"]
    );
    // A row that fails twice still fails, and one whose failures are dropped does not.
    assert_eq!(ask(&["[(quot 10 ?n) ?m]", "[(rem 10 ?n) ?k]"]), ["query/division-by-zero"]);
    assert_eq!(ask(&["[(quot 10 ?n) ?m]", "[(rem 10 ?n) ?k]", "[(inc ?n) ?i]", "[(< 1 ?i)]"]), ["1 rows"]);
    // Overflow is an error like others.
    let most = format!("[(+ ?n {}) ?m]", i64::MAX);
    assert_eq!(ask(&[&most]), ["query/overflow"]);
    assert_eq!(ask(&[&most, "[(< ?n 1)]"]), ["1 rows"]);
    assert_eq!(ask(&["[(* ?n 4611686018427387904) ?m]"]), ["query/overflow"]);
}

#[test]
fn overflow_fails_only_rows_that_patterns_keep() {
    let db = people();
    // Only the one who is 15 has an address.
    let nearly = i64::MAX - 15;
    let all = format!("[:find ?n ?b :where [?e :age ?a] [(+ ?a {nearly}) ?b] [?e :name ?n]]");
    refuses(&all, &db, "query/overflow", "");
    let one = format!("[:find ?n ?b :where [?e :age ?a] [(+ ?a {nearly}) ?b] [?e :name ?n] [?e :email _]]");
    finds(&one, &db, &format!("#{{[\"Ann\" {}]}}", i64::MAX));
}
