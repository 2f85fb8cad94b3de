//! Writers that are killed, and processes beside a writer.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use support::{Chance, SCHEMA, content, env_number};
use treering::index::Direction;
use treering::{Config, Connection, Db, Order, Registry, TX0, Value, connect_in, create_database_in};

const PATH: &str = "TREERING_TEST_KILL_PATH";
const ROUND: &str = "TREERING_TEST_KILL_ROUND";

fn note(i: usize) -> String {
    "n".repeat(i * 37 % 3000)
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent reads");
}

/// The other process: this test binary, run again with a path in its environment. Writes until it is killed.
#[test]
fn writer() {
    let Ok(path) = std::env::var(PATH) else { return };
    let round = env_number(ROUND, 0) as usize;
    let mut chance = Chance(round as u64);
    let (threads, flush) = (1 + chance.below(4), chance.below(2) == 0);
    say(format_args!("started"));
    let config = config(Path::new(&path)).flush_after([3_000, 100_000, 1 << 24][chance.below(3)]);
    let conn = connect_in(&Registry::with_builtins(), &config).unwrap();
    say(format_args!("connected"));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let conn = &conn;
            scope.spawn(move || {
                for i in 0..3000 {
                    let name = format!("{round} {thread} {i}");
                    let tx = format!(
                        "[{{:name {name:?} :age {i} :note {:?}}} {{:name \"last\" :age {}}}]",
                        note(i),
                        round * 10_000 + i
                    );
                    let report = conn.transact(tx.as_str()).unwrap();
                    say(format_args!("acknowledged {} {name}", report.db_after.basis_t()));
                    if flush && i % 7 == thread {
                        conn.flush().unwrap();
                    }
                }
            });
        }
    });
    // A parent that does not kill wants the connection held.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn start(path: &Path, round: usize) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture"])
        .env(PATH, path)
        .env(ROUND, round.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

/// The next whole line that the writer means for its parent; the harness prints others, and may begin the line.
fn line(lines: &mut impl BufRead) -> Option<String> {
    loop {
        let mut text = String::new();
        lines.read_line(&mut text).unwrap();
        let text = text.strip_suffix('\n')?;
        for word in ["started", "connected", "acknowledged"] {
            if let Some(at) = text.find(word) {
                return Some(text[at..].to_owned());
            }
        }
    }
}

/// The transaction and the name of an acknowledgement.
fn acknowledgement(line: &str) -> Option<(u64, String)> {
    let (t, name) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
    Some((t.parse().unwrap(), name.to_owned()))
}

/// Name, number and note of an entity, and the transaction of its name.
type Written = (Option<String>, Option<i64>, Option<String>, u64);

/// What the writers wrote: the transaction of each name. Every transaction must be there whole, none left out.
fn written(db: &Db) -> BTreeMap<String, u64> {
    let mut names = BTreeMap::new();
    let mut found: BTreeMap<u64, Written> = BTreeMap::new();
    let mut cursor = db.cursor(Order::Eavt, None, None, Direction::Forward).unwrap();
    while let Some(chunk) = cursor.next().unwrap() {
        for i in chunk.rows() {
            let row = chunk.columns.row(i);
            let entity = found.entry(row.e).or_default();
            match (db.ident(row.a).unwrap().as_str(), &row.v) {
                ("name", Value::Str(name)) => (entity.0, entity.3) = (Some(name.to_string()), row.tx),
                ("age", Value::Long(age)) => entity.1 = Some(*age),
                ("note", Value::Str(note)) => entity.2 = Some(note.to_string()),
                _ => {}
            }
        }
    }
    for (name, age, text, tx) in found.into_values() {
        let Some(name) = name else { continue };
        if name == "last" {
            continue;
        }
        let i: usize = name.rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!((age, text), (Some(i as i64), Some(note(i))), "{name} is not whole");
        names.insert(name, tx);
    }
    let transactions: BTreeSet<u64> = names.values().copied().collect();
    let wanted: BTreeSet<u64> = (TX0 + 2..=db.basis_t().0).collect();
    assert_eq!(transactions, wanted, "the transactions are not a prefix");
    for name in names.keys() {
        let (writer, i) = name.rsplit_once(' ').unwrap();
        let i: usize = i.parse().unwrap();
        assert!(i == 0 || names.contains_key(&format!("{writer} {}", i - 1)), "{name} without the one before");
    }
    names
}

fn create(path: &Path) {
    let registry = Registry::with_builtins();
    let config = config(path);
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact(SCHEMA).unwrap();
    conn.release().unwrap();
}

fn config(path: &Path) -> Config {
    support::of_wanted_kind(Config::file(path))
}

fn connect(path: &Path) -> Connection {
    connect_in(&Registry::with_builtins(), &config(path)).unwrap()
}

#[test]
fn a_writer_that_is_killed_loses_nothing_it_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    create(&path);
    let rounds = env_number("TREERING_KILLS", 200) as usize;
    let seed = env_number("TREERING_SEED", 1);
    println!("seed {seed}, {rounds} kills");
    let mut chance = Chance(seed);
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..rounds {
        let (mut child, mut lines) = start(&path, round);
        let mut told = Vec::new();
        assert_eq!(line(&mut lines).as_deref(), Some("started"));
        if chance.below(4) == 0 {
            // Somewhere while it opens, or soon after.
            (0..chance.below(1_000_000)).for_each(|_| std::hint::spin_loop());
        } else {
            let wanted = chance.below(20);
            while told.len() < wanted {
                told.extend(acknowledgement(&line(&mut lines).expect("the writer writes until it is killed")));
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(line) = line(&mut lines) {
            told.extend(acknowledgement(&line));
        }
        acknowledged.extend(told.into_iter().map(|(t, name)| (name, t)));

        let conn = connect(&path);
        let names = written(&conn.db());
        for (name, t) in &acknowledged {
            assert_eq!(names.get(name), Some(t), "round {round}: an acknowledged transaction is lost");
        }
        if round % 20 == 19 {
            content(&conn.db()).unwrap();
        }
        // Half of the rounds find what the killed writer left, the others what was closed.
        if chance.below(2) == 0 {
            conn.release().unwrap();
        }
    }
    assert!(acknowledged.len() > rounds * 3, "{} transactions", acknowledged.len());
}

#[test]
fn readers_follow_a_writer_in_another_process_and_a_second_writer_is_told_its_id() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    create(&path);
    let config = config(&path);
    let reader = connect_in(&Registry::with_builtins(), &config.clone().read_only(true)).unwrap();
    let (mut child, mut lines) = start(&path, 2);
    let mut seen = 0;
    let mut told = BTreeMap::new();
    for n in 0..60 {
        let line = line(&mut lines).expect("the writer writes until it is killed");
        if line == "connected" {
            let error = connect_in(&Registry::with_builtins(), &config).unwrap_err();
            assert_eq!(error.code(), "store/locked");
            assert!(error.message().contains(&format!(":pid {}", child.id())), "{error}");
        }
        let Some((t, name)) = acknowledgement(&line) else { continue };
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
    child.kill().unwrap();
    child.wait().unwrap();
    seen = seen.max(reader.sync().unwrap().basis_t().0);
    let conn = connect(&path);
    assert!(conn.db().basis_t().0 >= seen, "a reader saw what no writer recovers");
    assert_eq!(written(&reader.sync().unwrap()), written(&conn.db()));
    conn.release().unwrap();
}
