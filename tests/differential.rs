//! The engine against the oracle on generated schemas, histories and queries. `TREERING_SEED` and `TREERING_CASES` choose
//! which; a failure prints what is needed to see it again.

mod oracle;

use oracle::{engine, judge};

#[test]
fn the_engine_answers_as_the_oracle_does() {
    let (seed, cases) = judge::wanted(0, 2000);
    println!("seeds {seed} .. {}", seed + cases);
    let tally = judge::judge((seed, cases), engine::FIRST_TX, engine::load, engine::run);
    let tally = tally.unwrap_or_else(|what| panic!("{what}"));
    println!("{tally:?}");
    assert!(cases < 100 || tally.judged * 10 > cases * 9, "too few queries could be judged: {tally:?}");
}
