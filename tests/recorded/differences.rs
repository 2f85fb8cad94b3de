//! What is meant to differ, and the count of what does.

use treering::Error;

/// Records that are answered in another way on purpose, and why. `docs/differences.md` tells them to users.
const MEANT: &[(&str, &str)] = &[
    ("entity:40", "an id that is referred to is never given out"),
    ("pull-api:14", "an id that is referred to is never given out"),
    ("explode:14", "new entities get their ids in the order in which they are first named: the outer map first"),
    ("upsert:56", "of tempids that mean one new entity the first gives it its id"),
    ("lookup-refs:24", "a lookup ref means what it means in the database before the transaction"),
    ("tuples:82", "uniqueness is asked of the end of the transaction"),
    ("transact:118", "a tempid that is used as a value only is a new entity"),
    ("transact:119", "a tempid that is used as a value only is a new entity"),
    ("transact:120", "a tempid that is used as a value only is a new entity"),
    ("transact:121", "a tempid that is used as a value only is a new entity"),
    ("parser-rules:8", "a variable that stands twice in the head of a rule asks that both arguments are equal"),
    ("parser-rules:9", "a variable that stands twice in the head of a rule asks that both arguments are equal"),
    ("large/pull-api:10", "a pull is at most 1,536 entities deep, and text of that depth is not read"),
    ("transact:132", "a transaction says what it says at its own time; datoms of other times are loaded"),
    ("transact:134", "a transaction says what it says at its own time; datoms of other times are loaded"),
    ("entity:46", "what cannot name an entity is an error"),
];

/// What an error is called there and here.
const CODES: &[(&str, &str)] = &[
    ("schema/validation", "transact/schema"),
    ("init-db", "load/syntax"),
    ("entity-id", "transact/entity-id"),
    ("index-access", "attribute/not-indexed"),
    ("index-access", "attribute/unknown"),
    ("lookup-ref/unique", "attribute/unknown"),
    ("transact/syntax", "lookup-ref/syntax"),
    // Here a value that cannot be is told from a form that cannot be read.
    ("transact/syntax", "transact/nil"),
    ("transact/syntax", "transact/schema"),
    ("entity-id/syntax", "transact/schema"),
];

/// Records that are refused for another reason.
const OTHER_REASON: &[(&str, &str)] =
    &[("validation:22", "an attribute in the namespace db is refused before its value is")];

/// # Errors
/// When the codes do not mean the same.
pub fn same_code(record: &str, recorded: &str, error: &Error) -> Result<(), String> {
    let is_other = OTHER_REASON.iter().any(|(name, _)| *name == record);
    if recorded == error.code() || CODES.contains(&(recorded, error.code())) || is_other {
        return Ok(());
    }
    Err(format!("the error is {recorded:?} there, {:?} here: {error}", error.code()))
}

/// How many of the records that have these names differ on purpose.
pub fn meant(names: &[String]) -> usize {
    MEANT.iter().filter(|(record, _)| names.iter().any(|name| name == record)).count()
}

/// How the records of a family came out.
#[derive(Default)]
pub struct Tally {
    equal: usize,
    meant: usize,
    wrong: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, name: &str, outcome: Result<(), String>) {
        let reason = MEANT.iter().find(|(record, _)| *record == name);
        match (outcome, reason) {
            (Ok(()), None) => self.equal += 1,
            (Err(_), Some(_)) => self.meant += 1,
            (Err(message), None) => self.wrong.push(format!("{name}: {message}")),
            (Ok(()), Some((_, why))) => self.wrong.push(format!("{name} is equal, and was to differ: {why}")),
        }
    }

    pub fn finish(self, ops: &[&str], least: usize) {
        println!("{ops:?}: {} equal, {} differ on purpose, {} others", self.equal, self.meant, self.wrong.len());
        assert!(self.wrong.is_empty(), "{} records of {ops:?}\n{}", self.wrong.len(), self.wrong.join("\n"));
        let all = self.equal + self.meant;
        assert!(all >= least, "{all} records of {ops:?} were found, {least} are known");
    }
}
