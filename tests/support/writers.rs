//! Writers in processes of their own, to be killed and stopped.
//!
//! A test binary that uses this has a test that calls [`child`]; it is run again as another process, which finds its
//! config in the environment.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use treering::index::Direction;
use treering::{Config, Connection, Db, Error, ErrorKind, Order, Registry, TX0, Value, connect_in, create_database_in};

use crate::support::{Chance, SCHEMA, content, env_number, of_wanted_kind};

const CONFIG: &str = "TREERING_TEST_WRITER_CONFIG";
const ROUND: &str = "TREERING_TEST_WRITER_ROUND";
const THREADS: &str = "TREERING_TEST_WRITER_THREADS";

fn note(i: usize) -> String {
    "n".repeat(i * 37 % 3000)
}

/// The tx-data of the `i`th transaction of a thread of a writer.
pub fn transaction(writer: &str, i: usize) -> String {
    format!("[{{:name \"{writer} {i}\" :age {i} :note {:?}}} {{:name \"last\" :age {i}}}]", note(i))
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent reads");
}

pub fn config(text: &str) -> Config {
    of_wanted_kind(Config::from_edn(text).unwrap())
}

/// The other process: writes until it is killed, and connects again when another writer has taken over. Nothing in a
/// process that is none.
pub fn child() {
    let Ok(text) = std::env::var(CONFIG) else { return };
    let round = env_number(ROUND, 0) as usize;
    let mut chance = Chance(round as u64);
    let (threads, flush) = (1 + chance.below(4), chance.below(2) == 0);
    let threads = env_number(THREADS, threads as u64) as usize;
    let config = config(&text).flush_after([3_000, 100_000, 1 << 24][chance.below(3)]);
    let registry = Registry::with_builtins();
    say(format_args!("started"));
    let conn = connect_in(&registry, &config).unwrap();
    say(format_args!("connected"));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (mut conn, registry, config) = (conn.clone(), &registry, &config);
            // Others use the connection too, if there are others.
            let again = move |conn: &Connection, error: &Error| {
                assert!(threads == 1 && error.kind() == ErrorKind::Fenced, "{error:?}");
                say(format_args!("refused {}", error.code()));
                let _ = conn.release();
                let conn = connect_in(registry, config).unwrap();
                say(format_args!("connected"));
                conn
            };
            scope.spawn(move || {
                for i in 0..3000 {
                    let writer = format!("{round} {thread}");
                    let tx = transaction(&writer, i);
                    let report = loop {
                        match conn.transact(tx.as_str()) {
                            Ok(report) => break report,
                            Err(error) => conn = again(&conn, &error),
                        }
                    };
                    say(format_args!("acknowledged {} {writer} {i}", report.db_after.basis_t()));
                    if flush
                        && i % 7 == thread
                        && let Err(error) = conn.flush()
                    {
                        conn = again(&conn, &error);
                    }
                }
            });
        }
    });
    // A parent that does not kill wants the connection held.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A writer in another process, killed when it is dropped.
pub struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Runs the test `writer` of this test binary, with as many threads as the round gives it or with one.
    pub fn start(config: &str, round: usize, alone: bool) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "writer", "--nocapture"]).env(CONFIG, config).env(ROUND, round.to_string());
        if alone {
            command.env(THREADS, "1");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Process { child, lines }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name, without which the test cannot go on.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success(), "the signal {name} was not sent");
    }

    /// The next whole line that the writer means for its parent; the harness prints others, and may begin the line.
    pub fn line(&mut self) -> Option<String> {
        loop {
            let mut text = String::new();
            self.lines.read_line(&mut text).unwrap();
            let text = text.strip_suffix('\n')?;
            for word in ["started", "connected", "acknowledged", "refused"] {
                if let Some(at) = text.find(word) {
                    return Some(text[at..].to_owned());
                }
            }
        }
    }

    /// The next line, of a writer that must not end by itself.
    pub fn told(&mut self) -> String {
        self.line().expect("the writer writes until it is killed")
    }

    /// Reads until so many more transactions are acknowledged, and says which.
    pub fn acknowledged(&mut self, wanted: usize) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        while told.len() < wanted {
            told.extend(acknowledgement(&self.told()));
        }
        told
    }

    /// What a writer that is dead had acknowledged and was not read yet.
    pub fn rest(&mut self) -> Vec<(String, u64)> {
        std::iter::from_fn(|| self.line()).filter_map(|line| acknowledgement(&line)).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The name and the transaction of an acknowledgement.
pub fn acknowledgement(line: &str) -> Option<(String, u64)> {
    let (t, name) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
    Some((name.to_owned(), t.parse().unwrap()))
}

/// Name, number and note of an entity, and the transaction of its name.
type Written = (Option<String>, Option<i64>, Option<String>, u64);

/// What the writers wrote: the transaction of each name. Every transaction must be there whole, none left out.
pub fn written(db: &Db) -> BTreeMap<String, u64> {
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

/// Checks that all acknowledged transactions are there.
pub fn check(db: &Db, acknowledged: &BTreeMap<String, u64>, when: &str) {
    let names = written(db);
    for (name, t) in acknowledged {
        assert_eq!(names.get(name), Some(t), "{when}: the acknowledged transaction {name:?} is lost");
    }
}

/// Makes the database of a config, with its schema.
pub fn create(config: &Config) {
    let registry = Registry::with_builtins();
    create_database_in(&registry, config).unwrap();
    let conn = connect_in(&registry, config).unwrap();
    conn.transact(SCHEMA).unwrap();
    conn.release().unwrap();
}

pub fn connect(config: &Config) -> Connection {
    connect_in(&Registry::with_builtins(), config).unwrap()
}

/// Writers that are killed one after the other, somewhere in the opening or after some transactions. What they
/// acknowledged must be there each time.
pub fn kill_round_by_round(text: &str, rounds: usize, seed: u64) {
    let config = config(text);
    create(&config);
    println!("seed {seed}, {rounds} kills");
    let mut chance = Chance(seed);
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..rounds {
        let mut writer = Process::start(text, round, false);
        assert_eq!(writer.line().as_deref(), Some("started"));
        if chance.below(4) == 0 {
            // Somewhere while it opens, or soon after.
            (0..chance.below(1_000_000)).for_each(|_| std::hint::spin_loop());
        } else {
            let wanted = chance.below(20);
            acknowledged.extend(writer.acknowledged(wanted));
        }
        writer.kill();
        acknowledged.extend(writer.rest());

        let conn = connect(&config);
        check(&conn.db(), &acknowledged, &format!("round {round}"));
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
