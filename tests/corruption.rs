//! Damaged files: whatever byte is wrong, the answer is right or an error that names what is damaged.

mod support;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use support::{
    Chance, Content, Model, SCHEMA, content, env_number, registry, sim_config, transaction, with_small_nodes,
};
use treering::store::Encoding;
use treering::store::frame::Sealed;
use treering::store::fs::Fs;
use treering::store::testing::{Crash, SimFs};
use treering::{ErrorKind, Result, connect_in, create_database_in};

/// A database with several commits, and how it must read.
struct Original {
    fs: SimFs,
    content: Content,
    /// The head as it was after each flush.
    heads: Vec<Vec<u8>>,
    files: Vec<PathBuf>,
}

const HEAD: &str = "/db/head/db";

fn files(fs: &SimFs) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::from("/db")];
    while let Some(dir) = pending.pop() {
        for entry in fs.list(&dir).unwrap() {
            let path = dir.join(entry.name);
            if entry.is_dir { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn read_file(fs: &SimFs, path: &Path) -> Vec<u8> {
    let file = fs.open(path, false).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    let n = file.read_at(0, &mut bytes).unwrap();
    assert_eq!(n, bytes.len());
    bytes
}

fn write_file(fs: &SimFs, path: &Path, bytes: &[u8]) {
    let file = fs.open(path, true).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_at(0, bytes).unwrap();
}

/// `tail` transactions stand in the log only, and then the writer is gone without having closed it; 0: it is closed.
fn original(tail: usize) -> Original {
    let fs = SimFs::new();
    let registry = registry(&fs);
    create_database_in(&registry, &with_small_nodes(sim_config())).unwrap();
    let conn = connect_in(&registry, &sim_config()).unwrap();
    let mut model = Model::default();
    let mut heads = vec![read_file(&fs, Path::new(HEAD))];
    support::one_more(&conn, &mut model, SCHEMA).unwrap();
    for i in 1..60 {
        support::one_more(&conn, &mut model, &transaction(i, "p")).unwrap();
        if i % 20 == 0 {
            conn.flush().unwrap();
            heads.push(read_file(&fs, Path::new(HEAD)));
        }
    }
    if tail > 0 {
        conn.flush().unwrap();
        for i in 100..100 + tail {
            support::one_more(&conn, &mut model, &transaction(i, "tail")).unwrap();
        }
    } else {
        conn.release().unwrap();
    }
    drop(conn);
    let fs = fs.crash_image(fs.ops_len(), Crash::Kept);
    let files = files(&fs);
    Original { content: model.last(), heads, files, fs }
}

impl Original {
    fn copy(&self) -> SimFs {
        self.fs.crash_image(0, Crash::Kept)
    }
}

/// Whether the error says which file is wrong, as a key or by the number of the log's entry.
fn names_the_damage(error: &treering::Error) -> bool {
    let message = error.to_string();
    ["pack/", "commit/", "head/db", "of the log", "the log"].iter().any(|name| message.contains(name))
}

/// The right answers and the errors that were met, over all ways to open.
#[derive(Debug, Default)]
struct Outcomes {
    right: usize,
    errors: usize,
}

/// Opens a damaged database for reading and for writing and reads all of it; `accept` judges an answer.
fn examine(damaged: &SimFs, outcomes: &mut Outcomes, what: &str, accept: &dyn Fn(&Content) -> bool) {
    let check = |read: Result<Content>, outcomes: &mut Outcomes| match read {
        Ok(found) => {
            assert!(accept(&found), "{what}: a wrong answer: {found:?}");
            outcomes.right += 1;
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Existence), "{what}: {error:?}");
            assert!(names_the_damage(&error) || error.kind() == ErrorKind::Existence, "{what}: {error:?}");
            outcomes.errors += 1;
        }
    };
    let registry = registry(damaged);
    let reader = connect_in(&registry, &sim_config().read_only(true));
    check(reader.as_ref().map_err(clone).and_then(|conn| content(&conn.db())), outcomes);
    if let Ok(reader) = reader {
        reader.release().unwrap();
    }
    let registry = support::registry(damaged);
    let conn = match connect_in(&registry, &sim_config()) {
        Ok(conn) => conn,
        Err(error) => return check(Err(error), outcomes),
    };
    let before = content(&conn.db());
    let clean = before.is_ok();
    check(before, outcomes);
    let written = conn.transact("[{:db/doc \"after the damage\"}]").and_then(|report| content(&report.db_after));
    let released = conn.release();
    drop(conn);
    if let (true, Ok(written)) = (clean, written) {
        released.unwrap();
        let again = connect_in(&registry, &sim_config()).unwrap();
        assert_eq!(content(&again.db()).unwrap(), written, "{what}: lost when it was opened again");
    }
}

fn clone(error: &treering::Error) -> treering::Error {
    treering::Error::new(error.kind(), error.code(), error.to_string())
}

/// A place in a file, mostly where there is something.
fn place(bytes: &[u8], chance: &mut Chance) -> usize {
    let used = bytes.iter().rposition(|b| *b != 0).map_or(bytes.len(), |last| last + 1).max(1);
    if chance.below(8) > 0 { chance.below(used) } else { chance.below(bytes.len()) }
}

#[test]
fn a_flipped_byte_of_a_closed_database_is_an_error_or_harmless() {
    let original = original(0);
    let seed = env_number("TREERING_SEED", 1);
    let flips = env_number("TREERING_FLIPS", 1_200) as usize;
    println!("seed {seed}, {flips} flips");
    let mut chance = Chance(seed);
    let mut outcomes = Outcomes::default();
    let mut met = std::collections::BTreeMap::<String, (usize, usize)>::new();
    for _ in 0..flips {
        let path = &original.files[chance.below(original.files.len())];
        let damaged = original.copy();
        let mut bytes = read_file(&damaged, path);
        if bytes.is_empty() {
            continue;
        }
        let at = place(&bytes, &mut chance);
        bytes[at] ^= 1 + chance.below(255) as u8;
        write_file(&damaged, path, &bytes);
        let before = outcomes.errors;
        examine(&damaged, &mut outcomes, &format!("byte {at} of {}", path.display()), &|c| *c == original.content);
        let area = path.iter().nth(2).unwrap().to_string_lossy().into_owned();
        let (all, seen) = met.entry(area).or_default();
        *all += 1;
        *seen += usize::from(outcomes.errors > before);
    }
    println!("{outcomes:?}, flips and how many were met: {met:?}");
    let (heads, seen) = met["head"];
    assert_eq!(heads, seen, "a flip in the head is always met");
    assert!(met["pack"].1 > 0 && met["commit"].1 > 0 && outcomes.right > 0);
}

/// What only the log holds: a flip in the last entry looks like a write that was torn, which is dropped; every other is
/// an error, and no flip makes an answer that never was.
#[test]
fn a_flipped_byte_of_the_log_is_an_error_unless_it_is_the_last_entry() {
    let tail = 12;
    let original = original(tail);
    let log = original.files.iter().find(|path| path.starts_with("/db/log")).unwrap();
    let bytes = read_file(&original.fs, log);
    let entries = entries(log, &bytes);
    let last = *entries.last().unwrap();
    let from = entries[entries.len() - tail];
    let mut without_last = None;
    let mut outcomes = Outcomes::default();
    let mut chance = Chance(env_number("TREERING_SEED", 1));
    for n in 0..300 {
        let at = if n < 40 { last.0 + chance.below(last.1 - last.0) } else { from.0 + chance.below(last.1 - from.0) };
        let damaged = original.copy();
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << chance.below(8);
        write_file(&damaged, log, &bytes);
        let padding = !entries.iter().any(|(start, end)| (*start..*end).contains(&at));
        let in_last = (last.0..last.1).contains(&at);
        if in_last && without_last.is_none() {
            let conn = connect_in(&registry(&damaged), &sim_config().read_only(true)).unwrap();
            let found = content(&conn.db()).unwrap();
            assert_eq!(found.basis, original.content.basis - 1);
            without_last = Some(found);
        }
        let before = outcomes.right;
        examine(&damaged, &mut outcomes, &format!("byte {at} of the log"), &|found| {
            if in_last { Some(*found) == without_last } else { padding && *found == original.content }
        });
        assert!(in_last || padding || outcomes.right == before, "byte {at}: damage was not met");
    }
    assert!(outcomes.errors > 200, "{outcomes:?}");
}

/// Where the entries of a log's segment begin and end.
fn entries(path: &Path, bytes: &[u8]) -> Vec<(usize, usize)> {
    let key = path.strip_prefix("/db").unwrap().to_str().unwrap();
    let mut found = Vec::new();
    let mut at = 0;
    while let Ok((frame, _)) = Sealed::verify(bytes.get(at..).unwrap_or_default(), key, at as u64) {
        let end = at + frame.frame_len();
        found.push((at, end));
        at = end.next_multiple_of(8);
    }
    found
}

#[test]
fn cut_zeroed_swapped_and_deleted_files_are_errors_or_harmless() {
    let original = original(0);
    let right = |found: &Content| *found == original.content;
    let mut chance = Chance(3);
    let mut outcomes = Outcomes::default();
    for path in &original.files {
        let bytes = read_file(&original.fs, path);
        for cut in [0, 1, bytes.len() / 2, bytes.len().saturating_sub(1), chance.below(bytes.len() + 1)] {
            let damaged = original.copy();
            write_file(&damaged, path, &bytes[..cut.min(bytes.len())]);
            examine(&damaged, &mut outcomes, &format!("{} cut at {cut}", path.display()), &right);
        }
        for block in [512, 4096] {
            let damaged = original.copy();
            let mut bytes = bytes.clone();
            let at = place(&bytes, &mut chance) / block * block;
            let end = (at + block).min(bytes.len());
            bytes[at..end].fill(0);
            write_file(&damaged, path, &bytes);
            examine(&damaged, &mut outcomes, &format!("{} zeroed at {at}", path.display()), &right);
        }
        let damaged = original.copy();
        damaged.remove(path).unwrap();
        let before = outcomes.right;
        examine(&damaged, &mut outcomes, &format!("{} deleted", path.display()), &right);
        if path.starts_with("/db/head") || path.starts_with("/db/log") {
            assert_eq!(outcomes.right, before, "{} is missed", path.display());
        }
        for other in &original.files {
            if other > path && other.parent() == path.parent() {
                let damaged = original.copy();
                write_file(&damaged, path, &read_file(&original.fs, other));
                write_file(&damaged, other, &bytes);
                let what = format!("{} and {} swapped", path.display(), other.display());
                examine(&damaged, &mut outcomes, &what, &right);
            }
        }
    }
    assert!(outcomes.errors > 20 && outcomes.right > 20, "{outcomes:?}");
}

/// An older head leads to an older commit, and the log from there to the same database.
#[test]
fn an_older_head_leads_to_the_same_database() {
    for original in [original(0), original(5)] {
        for head in &original.heads {
            let restored = original.copy();
            write_file(&restored, Path::new(HEAD), head);
            let mut outcomes = Outcomes::default();
            examine(&restored, &mut outcomes, "an older head", &|found| *found == original.content);
            assert_eq!(outcomes.errors, 0);
        }
    }
}

/// The log of a writer that did not close it holds what nothing else holds.
#[test]
fn a_log_that_is_gone_is_missed() {
    let original = original(5);
    let log = original.files.iter().find(|path| path.starts_with("/db/log")).unwrap();
    for cut in [None, Some(0), Some(100)] {
        let damaged = original.copy();
        match cut {
            None => damaged.remove(log).unwrap(),
            Some(len) => write_file(&damaged, log, &read_file(&original.fs, log)[..len]),
        }
        for config in [sim_config(), sim_config().read_only(true)] {
            let error = connect_in(&registry(&damaged), &config).expect_err("part of the log is gone");
            assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "log/corrupt"), "{error}");
        }
    }
}

/// Bytes that are wrong under a right checksum, as no disk makes them: no panic, whatever is answered.
#[test]
fn wrong_bytes_under_a_right_checksum_never_panic() {
    let original = original(10);
    let mut chance = Chance(env_number("TREERING_SEED", 1));
    let keyed: Vec<(PathBuf, String, Vec<u8>)> = original
        .files
        .iter()
        .map(|path| {
            (path.clone(), path.strip_prefix("/db").unwrap().display().to_string(), read_file(&original.fs, path))
        })
        .filter(|(_, key, _)| !key.contains('~'))
        .collect();
    let mut reached = 0;
    for n in 0..env_number("TREERING_RESEALS", 1_500) {
        let (path, key, whole) = &keyed[chance.below(keyed.len())];
        // The frames of the file, one of which is changed.
        let step = if key.starts_with("log/") { 8 } else { 1 };
        let mut frames = Vec::new();
        let mut at = 0;
        while let Ok((frame, _)) = Sealed::verify(&whole[at..], key, at as u64) {
            frames.push((at, Encoding::PLAIN.unseal(&frame).unwrap()));
            at = (at + frame.frame_len()).next_multiple_of(step);
            if at >= whole.len() {
                break;
            }
        }
        let (at, frame) = frames.swap_remove(chance.below(frames.len()));
        let mut body = frame.body.to_vec();
        for _ in 0..1 + chance.below(3) {
            if body.is_empty() {
                break;
            }
            let place = chance.below(body.len().min(400));
            let place = if chance.below(2) == 0 { place } else { body.len() - 1 - place.min(body.len() - 1) };
            body[place] = [0, 1, 0x7f, 0x80, 0xff, chance.next() as u8][chance.below(6)];
        }
        let sealed = Encoding::PLAIN.seal(frame.kind, frame.serializer, &body, key, at as u64).unwrap();
        let damaged = original.copy();
        let mut bytes = whole.clone();
        bytes[at..at + sealed.len()].copy_from_slice(&sealed);
        write_file(&damaged, path, &bytes);
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let conn = connect_in(&registry(&damaged), &sim_config())?;
            read_all(&conn.db())?;
            conn.transact(transaction(n as usize, "p").as_str())?;
            read_all(&conn.db())?;
            conn.release()
        }));
        match outcome {
            Ok(done) => reached += usize::from(done.is_ok()),
            Err(_) => panic!("seed {}, number {n}: {key} at {at} panicked", env_number("TREERING_SEED", 1)),
        }
    }
    println!("{reached} were read in full");
}

fn read_all(db: &treering::Db) -> Result<()> {
    for db in [db.clone(), db.history()?] {
        for order in [treering::Order::Eavt, treering::Order::Aevt, treering::Order::Avet] {
            let mut cursor = db.cursor(order, None, None, treering::index::Direction::Forward)?;
            while let Some(chunk) = cursor.next()? {
                chunk.rows().for_each(|i| drop(chunk.columns.row(i)));
            }
        }
    }
    Ok(())
}
