//! The codes of errors: each one in the sources stands in a table of the docs with a test that names it, or is listed
//! there as one that no test can provoke; and those that only need a call are provoked here.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use treering::documents::{Hints, infer};
use treering::{Config, EntityId, Error, connect, create_database, delete_database, q};

/// The texts of all Rust files below a folder of the crate, by path.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(here.join(folder)).unwrap().map(|entry| entry.unwrap().path()) {
        let path = entry.strip_prefix(here).unwrap().to_str().unwrap().to_owned();
        if entry.is_dir() {
            texts.append(&mut sources(&path));
        } else if path.ends_with(".rs") {
            texts.push((path, std::fs::read_to_string(&entry).unwrap()));
        }
    }
    texts
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The code's family and name; a code of one word is its own family.
fn parts(code: &str) -> Option<(&str, &str)> {
    let (family, name) = code.split_once('/').unwrap_or((code, "x"));
    (is_name(family) && is_name(name)).then_some((family, name))
}

/// The codes that a source can raise: those given to `Error::new`, those that are listed, and all texts of their families.
/// Comments do not count.
fn raised(text: &str, known: &BTreeSet<&str>, families: &BTreeSet<&str>) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let pieces: Vec<&str> = code.split('"').collect();
    let is_raised = |before: &str| {
        let call = before.rsplit_once("Error::new(").map(|(_, rest)| rest.trim());
        call.is_some_and(|rest| rest.ends_with(',') && !rest.contains([')', ';']))
    };
    let is_code = |(before, quoted): (&str, &str)| match parts(quoted) {
        Some((family, _)) => {
            known.contains(quoted) || (quoted.contains('/') && families.contains(family)) || is_raised(before)
        }
        None => false,
    };
    let pairs = pieces.windows(2).map(|pair| (pair[0], pair[1]));
    pairs.filter(|pair| is_code(*pair)).map(|(_, code)| code.to_owned()).collect()
}

/// The codes in the first column of the tables of a page.
fn listed(page: &str) -> BTreeSet<&str> {
    let rows = page.lines().filter(|line| line.starts_with("| `:"));
    rows.filter_map(|row| row.split(" | ").next()).flat_map(codes).collect()
}

/// All codes of a text that stand between backticks.
fn codes(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|code| code.strip_prefix(':')).filter(|code| parts(code).is_some()).collect()
}

#[test]
fn every_code_is_listed_and_has_a_test() {
    let page = include_str!("../docs/errors.md");
    let of_transactions = include_str!("../docs/transactions.md").split("## Errors").nth(1).unwrap();
    let known: BTreeSet<&str> = listed(page).into_iter().chain(listed(of_transactions)).collect();
    // `db/…` are the names of attributes too.
    let families = known.iter().filter_map(|code| parts(code)).map(|(family, _)| family);
    let families: BTreeSet<&str> = families.filter(|family| *family != "db").collect();
    let is_test = |path: &str| path.split('/').any(|part| part.starts_with("test"));
    let all = sources("src");
    let (mut found, mut unlisted) = (BTreeSet::new(), Vec::new());
    for (path, text) in all.iter().filter(|(path, _)| !is_test(path)) {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for code in raised(text, &known, &families) {
            if !known.contains(&*code) {
                unlisted.push(format!("{code} of {path}"));
            }
            found.insert(code);
        }
    }
    assert!(unlisted.is_empty(), "in no table of docs/errors.md or docs/transactions.md: {unlisted:#?}");
    let gone: Vec<_> = known.iter().filter(|code| !found.contains(**code)).collect();
    assert!(gone.is_empty(), "the tables list codes that nothing raises: {gone:?}");

    let tested = |text: &str| text.split("#[cfg(test)]\nmod tests {").skip(1).map(str::to_owned).collect::<String>();
    let inside = all.iter().map(|(path, text)| if is_test(path) { text.clone() } else { tested(text) });
    let tests: String = inside.chain(sources("tests").into_iter().map(|(_, text)| text)).collect();
    let is_named = |code: &str| {
        let named =
            |before: &str| tests.contains(&format!("{before}{code}\"")) || tests.contains(&format!("{before}{code} "));
        named("\"") || named(":") || named(" ")
    };
    let unprovoked = codes(page.split("## What no test provokes").nth(1).unwrap());
    let untested: BTreeSet<&str> = known.iter().copied().filter(|code| !is_named(code)).collect();
    assert_eq!(untested, unprovoked, "the codes without a test, and those that docs/errors.md says to have none");
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> &'static str {
    outcome.expect_err("it is refused").code()
}

#[test]
fn codes_that_a_call_provokes() {
    let config = Config::memory("error-codes");
    create_database(&config).unwrap();
    let conn = connect(&config).unwrap();
    let db = conn.db();
    assert_eq!(code(db.as_of(EntityId(5))), "db/not-a-transaction");
    for query in ["[:find ?x . :where [(nth [1 2] 5) ?x]]", "[:find ?x . :where [(range 0 5 0) ?x]]"] {
        assert_eq!(code(q(query, &db)), "query/argument", "{query}");
    }
    let people = [json!({"name": "Ann", "age": 30})];
    let hints = Hints { identities: vec!["nick".into()], ..Hints::default() };
    assert_eq!(code(infer(&people, &hints, db.schema())), "documents/hint");
    let plan = infer(&people, &Hints::default(), db.schema()).unwrap();
    assert_eq!(code(plan.tx_data(&[json!({"name": "Bob", "age": "thirty"})])), "documents/value");
    conn.release().unwrap();
    assert_eq!(code(conn.transact("[]")), "connection-has-been-released");
    delete_database(&config).unwrap();
}

#[test]
fn a_lost_commit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::file(dir.path().join("db"));
    create_database(&config).unwrap();
    let conn = connect(&config).unwrap();
    conn.transact("[{:db/doc \"x\"}]").unwrap();
    conn.release().unwrap();
    for commit in std::fs::read_dir(dir.path().join("db/commit")).unwrap() {
        std::fs::remove_file(commit.unwrap().path()).unwrap();
    }
    assert_eq!(code(connect(&config)), "branch-head-does-not-exist-in-store");
}
