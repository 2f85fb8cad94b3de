//! What DataScript answered in its own tests, asked again. `TREERING_CASES_DIR` names the folder of recordings, or it lies
//! beside the crate; without one nothing is asked. `docs/differences.md` tells of the differences that are meant.

#[path = "../oracle/mod.rs"]
mod oracle;

mod cases;
mod databases;
mod differences;
mod entities;
mod indexes;
mod parsers;
mod pulls;
mod queries;
mod schemas;
mod transactions;

use differences::Tally;

/// Asks all records of one family and compares.
fn replay(ops: &[&str], least: usize, ask: impl Fn(&cases::Case) -> Result<(), String>) {
    let Some(folder) = oracle::replay::folder() else {
        println!("skipped: no recorded cases (TREERING_CASES_DIR)");
        return;
    };
    let mut tally = Tally::default();
    for case in cases::read(&folder, ops) {
        let outcome = case.check().and_then(|()| ask(&case));
        tally.add(&case.name, outcome);
    }
    tally.finish(ops, least);
}

#[test]
fn differences_are_few() {
    let Some(folder) = oracle::replay::folder() else { return };
    let all = cases::count(&folder);
    let meant = differences::meant();
    assert!(all > 1000 && meant * 50 < all, "{meant} of {all} records differ");
}

#[test]
fn recorded_schemas() {
    replay(&["empty-db", "create-conn", "init-db", "conn-from-datoms"], 110, schemas::ask);
}

#[test]
fn recorded_transactions() {
    replay(&["with", "db-with", "transact!"], 370, transactions::ask);
}

#[test]
fn recorded_entities() {
    replay(&["entity", "touch", "entity-get"], 110, entities::ask);
}

#[test]
fn recorded_pulls() {
    replay(&["pull", "pull-many", "parse-pattern"], 140, pulls::ask);
}

#[test]
fn recorded_parses() {
    let ops = ["query", "find", "with", "in", "binding", "clause", "rules"].map(|what| format!("parse-{what}"));
    replay(&ops.each_ref().map(String::as_str), 100, parsers::ask);
}

#[test]
fn recorded_index_lookups() {
    replay(&["datoms", "seek-datoms", "rseek-datoms", "index-range", "find-datom"], 80, indexes::ask);
}
