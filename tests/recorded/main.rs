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

const SCHEMAS: &[&str] = &["empty-db", "create-conn", "init-db", "conn-from-datoms"];
const TRANSACTIONS: &[&str] = &["with", "db-with", "transact!"];
const ENTITIES: &[&str] = &["entity", "touch", "entity-get"];
const INDEXES: &[&str] = &["datoms", "seek-datoms", "rseek-datoms", "index-range", "find-datom"];
const PULLS: &[&str] = &["pull", "pull-many", "parse-pattern"];
const PARSES: &[&str] =
    &["parse-query", "parse-find", "parse-with", "parse-in", "parse-binding", "parse-clause", "parse-rules"];

/// Of those of transactions and entities; queries are counted with their answers.
#[test]
fn differences_are_few() {
    let Some(folder) = oracle::replay::folder() else { return };
    let all = cases::names(&folder, &[SCHEMAS, TRANSACTIONS, ENTITIES, INDEXES].concat());
    let meant = differences::meant(&all);
    println!("{meant} of {} records of transactions and entities differ", all.len());
    assert!(all.len() > 680 && meant * 50 < all.len(), "{meant} of {} records differ", all.len());
}

#[test]
fn recorded_schemas() {
    replay(SCHEMAS, 112, schemas::ask);
}

#[test]
fn recorded_transactions() {
    replay(TRANSACTIONS, 381, transactions::ask);
}

#[test]
fn recorded_entities() {
    replay(ENTITIES, 113, entities::ask);
}

#[test]
fn recorded_pulls() {
    replay(PULLS, 150, pulls::ask);
}

#[test]
fn recorded_parses() {
    replay(PARSES, 103, parsers::ask);
}

#[test]
fn recorded_index_lookups() {
    replay(INDEXES, 84, indexes::ask);
}
