//! The engine against the oracle on generated schemas, histories and queries. `TREERING_SEED` and `TREERING_CASES` choose
//! which; a failure prints what is needed to see it again.

mod oracle;

use std::sync::atomic::{AtomicU64, Ordering};

use oracle::{engine, judge};

/// Cases that one thread takes at a time.
const PIECE: u64 = 50;

const STACK: usize = 256 << 20;

#[test]
fn the_engine_answers_as_the_oracle_does() {
    let (seed, cases) = judge::wanted(0, 10_000);
    println!("seeds {seed} .. {}", seed + cases);
    let next = AtomicU64::new(0);
    let work = || {
        let mut tally = judge::Tally::default();
        loop {
            let from = next.fetch_add(PIECE, Ordering::Relaxed);
            if from >= cases {
                return Ok(tally);
            }
            let piece = (seed + from, PIECE.min(cases - from));
            match judge::judge(piece, engine::FIRST_TX, engine::load, engine::run) {
                Ok(more) => tally.add(&more),
                Err(what) => {
                    // Nobody needs to look for a second one.
                    next.store(cases, Ordering::Relaxed);
                    return Err(what);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tally = judge::Tally::default();
    std::thread::scope(|scope| {
        // The oracle calls itself for each goal of a rule.
        let thread = |_| std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).expect("a thread");
        let running: Vec<_> = (0..threads).map(thread).collect();
        for thread in running {
            let outcome: Result<_, String> = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            tally.add(&outcome.unwrap_or_else(|what| panic!("{what}")));
        }
    });
    println!("{tally:?}");
    assert!(cases < 100 || tally.judged * 10 > cases * 9, "too few queries could be judged: {tally:?}");
}
