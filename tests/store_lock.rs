//! The writer's lock between processes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use treering::ErrorKind;
use treering::store::{FileBackend, Store};

const PATH: &str = "TREERING_TEST_LOCK_PATH";

/// The other process: this test binary, run again with a path in its environment. Holds the lock until it is killed.
#[test]
fn holder() {
    let Ok(path) = std::env::var(PATH) else { return };
    let store = Store::new(FileBackend::open_writer(path).unwrap());
    store.put("by", std::process::id().to_string().into_bytes()).unwrap();
    println!("held");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[test]
fn a_second_process_is_told_who_holds_the_store() {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--nocapture"])
        .env(PATH, home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    assert!(stdout.lines().any(|line| line.unwrap().contains("held")), "the other process did not get the lock");

    let error = FileBackend::open_writer(home.path()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "store/locked"));
    assert!(error.message().contains(&format!("{{:pid {}, ", child.id())), "{error}");
    assert!(error.message().contains(":host "), "{error}");
    let reader = Store::new(FileBackend::open_reader(home.path()).unwrap());
    assert_eq!(reader.get("by", None).unwrap(), Some(child.id().to_string().into_bytes()));

    child.kill().unwrap();
    child.wait().unwrap();
    let store = Store::new(FileBackend::open_writer(home.path()).expect("a lock goes with its process"));
    store.put("by", b"me".to_vec()).unwrap();
}
