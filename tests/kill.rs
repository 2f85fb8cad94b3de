//! Writers that are killed, and processes beside a writer.

mod support;
#[path = "support/writers.rs"]
mod writers;

use std::collections::BTreeMap;
use std::path::Path;

use support::env_number;
use treering::{Registry, connect_in};
use writers::{Process, acknowledgement, connect, create, kill_round_by_round, written};

/// The other process.
#[test]
fn writer() {
    writers::child();
}

fn config(path: &Path) -> String {
    format!("{{:store {{:backend :file :path {:?}}}}}", path.display().to_string())
}

#[test]
fn a_writer_that_is_killed_loses_nothing_it_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let rounds = env_number("TREERING_KILLS", 200) as usize;
    kill_round_by_round(&config(&home.path().join("db")), rounds, env_number("TREERING_SEED", 1));
}

#[test]
fn readers_follow_a_writer_in_another_process_and_a_second_writer_is_told_its_id() {
    let home = tempfile::tempdir().unwrap();
    let text = config(&home.path().join("db"));
    let config = writers::config(&text);
    create(&config);
    let reader = connect_in(&Registry::with_builtins(), &config.clone().read_only(true)).unwrap();
    let mut writer = Process::start(&text, 2, false);
    let mut seen = 0;
    let mut told = BTreeMap::new();
    for n in 0..60 {
        let line = writer.told();
        if line == "connected" {
            let error = connect_in(&Registry::with_builtins(), &config).unwrap_err();
            assert_eq!(error.code(), "store/locked");
            assert!(error.message().contains(&format!(":pid {}", writer.id())), "{error}");
        }
        let Some((name, t)) = acknowledgement(&line) else { continue };
        told.insert(name, t);
        let follows = reader.sync().unwrap();
        let names = written(&follows);
        assert!(told.iter().all(|(name, t)| names.get(name) == Some(t)), "a reader misses what was acknowledged");
        assert!(follows.basis_t().0 >= seen, "a reader went back");
        seen = follows.basis_t().0;
        if n % 5 == 0 {
            // One that opens while the writer is at work.
            let opened = connect_in(&Registry::with_builtins(), &config.clone().read_only(true)).unwrap();
            assert!(written(&opened.db()).len() >= told.len());
            assert_eq!(opened.transact("[]").unwrap_err().code(), "connection/read-only");
        }
    }
    writer.kill();
    seen = seen.max(reader.sync().unwrap().basis_t().0);
    let conn = connect(&config);
    assert!(conn.db().basis_t().0 >= seen, "a reader saw what no writer recovers");
    assert_eq!(written(&reader.sync().unwrap()), written(&conn.db()));
    conn.release().unwrap();
}
