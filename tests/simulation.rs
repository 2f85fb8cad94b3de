//! Two writers, readers, flushes, collections, branches and a faulty store on one scheduler: each operation of the store
//! and each wait for a lock is a step, after which chance picks who goes on. The same seed gives the same run.
//!
//! `TREERING_SIMULATION_SEEDS` sets the number of runs (1,000 when it is not set), `TREERING_SEED` the first seed.

#[path = "simulation/actors.rs"]
mod actors;
#[path = "simulation/medium.rs"]
mod medium;
#[path = "simulation/schedule.rs"]
mod schedule;
mod support;
#[path = "simulation/truth.rs"]
mod truth;

use std::sync::Arc;

use actors::Stage;
use medium::Medium;
use schedule::{Events, Outcome, Scheduler};
use support::env_number;

/// One run. What the seed decides beside who goes on: where the blobs lie, how many write and read, and how often an operation
/// fails.
fn run(seed: u64) -> Outcome {
    let scheduler = Scheduler::new(seed);
    let in_files = scheduler.below(3) == 0;
    let (writers, readers) = (1 + scheduler.below(2), 1 + scheduler.below(2));
    let faults = [0, 0, 400, 100][scheduler.below(4)];
    let medium = Medium::new(&scheduler, in_files, 0);
    let stage = Stage::new(&scheduler, &medium, writers);
    let add = |name: &str, work: fn(&Arc<Stage>)| {
        let stage = Arc::clone(&stage);
        scheduler.add(name, Arc::default(), move || work(&stage));
    };
    let phase = |outcome: Outcome| if outcome.failure.is_some() { Err(outcome) } else { Ok(outcome) };
    let phases = || {
        add("creator", |stage| stage.create());
        phase(scheduler.run())?;
        *medium.faults.lock() = faults;
        (0..writers).for_each(|i| add(&format!("writer {i}"), Stage::write));
        (0..readers).for_each(|i| add(&format!("reader {i}"), |stage| stage.read()));
        add("fate", |stage| stage.decide());
        phase(scheduler.run())?;
        add("judge", |stage| stage.judge());
        phase(scheduler.run())
    };
    phases().unwrap_or_else(|failed| failed)
}

#[test]
fn whatever_happens_nothing_acknowledged_is_lost_and_nothing_seen_changes() {
    let first = env_number("TREERING_SEED", 1);
    let runs = env_number("TREERING_SIMULATION_SEEDS", 1000);
    let (mut steps, mut events) = (0, Events::new());
    for seed in first..first + runs {
        let outcome = run(seed);
        if let Some(failure) = outcome.failure {
            panic!("{failure}\nTREERING_SEED={seed} TREERING_SIMULATION_SEEDS=1 repeats this");
        }
        steps += outcome.steps;
        outcome.events.into_iter().for_each(|(what, times)| *events.entry(what).or_default() += times);
    }
    println!("TREERING_SEED={first}: {runs} runs, {steps} steps, {events:?}");
    // A simulation in which these do not happen shows nothing.
    for what in [
        "blobs collected",
        "losses of power",
        "merges",
        "operations that failed",
        "processes killed",
        "snapshots expired",
        "writers fenced",
    ] {
        assert!(runs < 300 || events.contains_key(what), "no {what} in {runs} runs");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = env_number("TREERING_SEED", 1);
    for seed in first..first + 30 {
        let runs = [run(seed), run(seed)].map(|outcome| (outcome.failure, outcome.steps, outcome.hash));
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}
