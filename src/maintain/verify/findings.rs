//! What is found.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::maintain::options::Watcher;

/// Something that is not as it must be.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which rule is broken, as the code of an error: `"store/corrupt"`, `"index/broken"`, `"verify/orders-differ"`.
    pub code: &'static str,
    /// The blob that shows it.
    pub key: String,
    /// What is wrong and where, for people.
    pub what: String,
}

/// What a verification has read and found.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Commits that were checked.
    pub commits: u64,
    /// Nodes in packs.
    pub nodes: u64,
    /// Rows that were checked, each once in every order.
    pub rows: u64,
    /// Transactions of logs.
    pub transactions: u64,
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Problem>,
    /// How many more problems there are.
    pub more_problems: u64,
    /// Blobs that nothing refers to, with their sizes: what a garbage collection may delete when they are old enough. They
    /// are no problem.
    pub garbage: Vec<(String, u64)>,
    /// How long it took.
    pub elapsed: Duration,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.more_problems == 0
    }
}

/// A report that is being written.
pub(super) struct Findings {
    pub report: VerifyReport,
    pub watcher: Watcher,
    most: usize,
}

impl Findings {
    pub fn new(most: usize, watcher: Watcher) -> Findings {
        Findings { report: VerifyReport::default(), watcher, most }
    }

    pub fn is_sound(&self) -> bool {
        self.report.is_sound()
    }

    /// Whether no more problems are told of.
    pub fn is_full(&self) -> bool {
        self.report.problems.len() >= self.most
    }

    pub fn found(&mut self, code: &'static str, key: &str, what: String) {
        let problem = Problem { code, key: key.to_owned(), what };
        // One node is read for several reasons.
        if self.report.problems.contains(&problem) {
            return;
        }
        if self.is_full() {
            self.report.more_problems += 1;
        } else {
            self.report.problems.push(problem);
        }
    }

    /// The value, or a problem.
    ///
    /// # Errors
    /// Those that are no damage.
    pub fn note<T>(&mut self, key: &str, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.error(key, error).map(|()| None),
        }
    }

    /// Takes an error for a problem.
    ///
    /// # Errors
    /// The error, where it is no damage.
    pub fn error(&mut self, key: &str, error: Error) -> Result<()> {
        if error.kind() != ErrorKind::Corrupt {
            return Err(error);
        }
        self.found(error.code(), key, error.to_string());
        Ok(())
    }

    pub fn tell(&self, stage: &'static str, done: u64, total: u64) {
        self.watcher.tell(stage, done, total, self.report.bytes);
    }
}
