//! The transactor against a model of it that is written from `docs/transactions.md`: sequences of transactions by chance
//! must be made with the same datoms, tempids, schema and history, or refused with the same code and without a trace.
//!
//! `TREERING_MODEL_SEQUENCES` sets how many sequences are run, `TREERING_SEED` the first of their seeds. A sequence that
//! fails is made small and printed.

#[path = "transact_model/base.rs"]
mod base;
#[path = "transact_model/change.rs"]
mod change;
#[path = "transact_model/expand.rs"]
mod expand;
#[path = "transact_model/functions.rs"]
mod functions;
#[path = "transact_model/generate.rs"]
mod generate;
#[path = "transact_model/judge.rs"]
mod judge;
#[path = "transact_model/names.rs"]
mod names;
#[path = "transact_model/purge.rs"]
mod purge;
#[path = "transact_model/read.rs"]
mod read;
#[path = "transact_model/run.rs"]
mod run;
mod support;
#[path = "transact_model/unify.rs"]
mod unify;
#[path = "transact_model/values.rs"]
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};

use generate::Sequence;
use judge::Seen;
use support::env_number;
use treering::Registry;
use treering::edn::Keyword;

/// Every way to be refused must come up.
const CODES: [&str; 24] = [
    "attribute/unknown",
    "entity-id/missing",
    "entity-id/syntax",
    "lookup-ref/syntax",
    "lookup-ref/unique",
    "transact/attr-pred",
    "transact/attr-pred-unresolved",
    "transact/cas",
    "transact/depth",
    "transact/ensure",
    "transact/entity-id",
    "transact/fn",
    "transact/fn-unresolved",
    "transact/max-length",
    "transact/nil",
    "transact/purge",
    "transact/schema",
    "transact/syntax",
    "transact/system-entity",
    "transact/tx",
    "transact/tx-instant",
    "transact/tx-pred",
    "transact/unique",
    "transact/upsert",
];

fn failure(sequence: &Sequence, seen: &mut Seen) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| judge::judge(&functions::registry(), sequence, seen))) {
        Ok(outcome) => outcome.err(),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().cloned();
            Some(format!(
                "a panic: {}",
                message.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
            ))
        }
    }
}

/// Every second sequence, so that two threads share the work.
fn run_half(half: u64) {
    let indexes: Vec<Keyword> = Registry::with_builtins().index_keywords();
    let first = env_number("TREERING_SEED", 1);
    let count = env_number("TREERING_MODEL_SEQUENCES", 24_000);
    let (mut failures, mut seen) = (0, Seen::default());
    for seed in (first..first + count).filter(|seed| seed % 2 == half) {
        let sequence = generate::sequence(seed, &indexes);
        if failure(&sequence, &mut seen).is_some() {
            let (small, why) = judge::shrink(sequence, |sequence| failure(sequence, &mut Seen::default()));
            println!(
                "TREERING_SEED={seed} TREERING_MODEL_SEQUENCES=1, keep-history {}, write {}, refs {}, most datoms {:?}, index {:?}",
                small.keep_history, small.write, small.refs, small.most_datoms, small.index
            );
            for data in &small.transactions {
                println!("  {data}");
            }
            println!("  {why}");
            failures += 1;
            assert!(failures < env_number("TREERING_MODEL_FAILURES", 1), "the database and the model disagree");
        }
    }
    assert_eq!(failures, 0, "the database and the model disagree");
    println!("{seen:?}");
    if count >= 10_000 {
        // Sequences that are all refused, or never, would prove nothing.
        assert!(seen.changing * 2 > seen.transactions, "{seen:?}");
        let missed: Vec<_> = CODES.iter().filter(|code| !seen.refused.contains_key(**code)).collect();
        assert!(missed.is_empty(), "no transaction was refused with {missed:?}");
    }
}

#[test]
fn the_transactor_does_what_the_page_says() {
    run_half(0);
}

#[test]
fn the_transactor_does_what_the_page_says_too() {
    run_half(1);
}
