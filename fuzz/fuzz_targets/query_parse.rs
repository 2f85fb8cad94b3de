//! Any text as a query, and as rules, over a small database: it is answered, refused, or ended by its bounds, and never
//! panics. A query that was answered is answered by its plan, and prepared as well.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use treering::{
    Config, Db, Input, QueryOptions, Registry, connect_in, create_database_in, explain, inputs, prepare, q_with,
};

static DB: LazyLock<Db> = LazyLock::new(|| {
    let (registry, config) = (Registry::with_builtins(), Config::memory("queries"));
    create_database_in(&registry, &config).expect("created");
    let conn = connect_in(&registry, &config).expect("connected");
    let schema = "[{:db/ident :n :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
        {:db/ident :a :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
        {:db/ident :r :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]";
    conn.transact(schema).expect("a schema");
    for i in 1..9 {
        let text = format!("[{{:db/id {i} :n \"n{i}\" :a {} :r [{}]}}]", i % 3, 1 + i * 5 % 8);
        conn.transact(text.as_str()).expect("made");
    }
    conn.db()
});

const RULES: &str = "[[(reach ?x ?y) [?x :r ?y]] [(reach ?x ?y) [?x :r ?z] (reach ?z ?y)]]";

fn bounds() -> QueryOptions {
    QueryOptions {
        deadline: Some(Instant::now() + Duration::from_millis(200)),
        max_rows: Some(20_000),
        max_bytes: Some(16 << 20),
        ..QueryOptions::default()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let db = &*DB;
    let asked: [Vec<Input>; 3] = [inputs![db], inputs![db, RULES], inputs![db, 1]];
    for inputs in asked {
        match q_with(text, inputs.clone(), &bounds()) {
            Ok(output) => {
                let _ = output.to_value();
                let _ = explain(text, inputs.clone()).expect("a query that was answered has a plan").to_string();
                let prepared = prepare(text).expect("a query that was answered can be prepared");
                let _ = prepared.run_with(inputs, &bounds());
            }
            Err(error) => {
                let _ = error.to_string();
            }
        }
    }
    let _ = q_with("[:find ?x ?y :in $ % :where (reach ?x ?y)]", inputs![db, text], &bounds());
});
