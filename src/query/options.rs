//! Bounds on what a query may take, and the functions it may call.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::aggregate::Aggregates;
use super::builtin::Functions;
use super::input::Input;
use super::page::Cursor;
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};

/// How a query is run: budgets, cancellation, and the functions it can call.
///
/// Budgets are checked once per batch of some thousand rows; past one of them the query ends with an error that names the
/// clause that most rows came out of.
#[derive(Clone, Default)]
pub struct QueryOptions {
    /// When the query must be done; `query/deadline` after it. `:timeout` in the query can only bring it forward.
    pub deadline: Option<Instant>,
    /// Most rows that all steps of the query together may put out; `query/limit` past it.
    pub max_rows: Option<u64>,
    /// Most bytes that the query may hold at a time; `query/limit` past it. What grows counts as the most that it takes while
    /// it does, so a query may end at a third of the bytes, and the process has little more than them: a batch, and a few
    /// pulled trees. Nodes of indexes are the cache's.
    pub max_bytes: Option<u64>,
    /// Set to true, from any thread, to end the query with `query/cancelled`.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Most threads that a large query may run on; as many as the machine has when `None`, and never more than work for
    /// them is expected. The answer does not depend on it.
    pub threads: Option<usize>,
    /// Whether an attribute that the schema does not know is an error, `attribute/unknown`, and not a warning. Databases
    /// that take any attribute (`:schema-flexibility :read`) know them all.
    pub strict: bool,
    /// Where the page before this one ended, as `:after` in the query, which it outranks.
    pub after: Option<Cursor>,
    /// The functions and predicates that can be called; when `None`, those of the first database's registry, without a
    /// database the built-in ones.
    pub functions: Option<Functions>,
    /// The aggregates that can be called; when `None`, as for `functions`.
    pub aggregates: Option<Aggregates>,
}

impl std::fmt::Debug for QueryOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryOptions")
            .field("deadline", &self.deadline)
            .field("max_rows", &self.max_rows)
            .field("max_bytes", &self.max_bytes)
            .field("cancel", &self.cancel)
            .field("threads", &self.threads)
            .field("strict", &self.strict)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl QueryOptions {
    /// Options to call what is registered where `db` was opened: what queries that are given `db` do anyway, and those
    /// need that are prepared for it.
    pub fn of(db: &Db) -> QueryOptions {
        let (functions, aggregates) = db.snapshot().library.callable();
        QueryOptions { functions: Some(functions), aggregates: Some(aggregates), ..QueryOptions::default() }
    }

    /// Whether a name means the same function or aggregate with both.
    pub(super) fn calls_the_same(&self, other: &QueryOptions) -> bool {
        let same_functions = match (&self.functions, &other.functions) {
            (Some(a), Some(b)) => a.is_same(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        same_functions
            && match (&self.aggregates, &other.aggregates) {
                (Some(a), Some(b)) => a.is_same(b),
                (a, b) => a.is_none() && b.is_none(),
            }
    }

    /// The options with what can be called where the first database of the inputs was opened.
    pub(super) fn for_inputs(&self, inputs: &[Input]) -> Cow<'_, QueryOptions> {
        let db = inputs.iter().find_map(|input| if let Input::Db(db) = input { Some(db) } else { None });
        let Some(db) = db.filter(|_| self.functions.is_none() || self.aggregates.is_none()) else {
            return Cow::Borrowed(self);
        };
        let mut options = self.clone();
        let QueryOptions { functions, aggregates, .. } = QueryOptions::of(db);
        options.functions = options.functions.or(functions);
        options.aggregates = options.aggregates.or(aggregates);
        Cow::Owned(options)
    }

    /// The options with what the query itself says of time and pages.
    pub(super) fn with_said(&self, timeout: Option<Duration>, after: Option<&Cursor>) -> QueryOptions {
        let said = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let deadline = [self.deadline, said].into_iter().flatten().min();
        QueryOptions { deadline, after: self.after.clone().or_else(|| after.cloned()), ..self.clone() }
    }
}

/// What is left of the budgets of one run.
#[derive(Debug)]
pub(super) struct Budget {
    deadline: Option<Instant>,
    max_rows: u64,
    max_bytes: u64,
    cancel: Option<Arc<AtomicBool>>,
    rows: u64,
    bytes: u64,
    /// What all threads of the query used together, where there are several.
    shared: Option<Arc<Used>>,
    /// The bytes of the heap that `shared` knows of.
    heap: u64,
}

/// What several threads used together.
#[derive(Debug, Default)]
struct Used {
    rows: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

impl Budget {
    pub fn new(options: &QueryOptions) -> Budget {
        Budget {
            deadline: options.deadline,
            max_rows: options.max_rows.unwrap_or(u64::MAX),
            max_bytes: options.max_bytes.unwrap_or(u64::MAX),
            cancel: options.cancel.clone(),
            rows: 0,
            bytes: 0,
            shared: None,
            heap: 0,
        }
    }

    /// The same budget for another thread: what one of them uses is missing to all.
    pub fn shared(&mut self) -> Budget {
        let shared = self.shared.get_or_insert_with(|| {
            let (rows, bytes) = (AtomicU64::new(self.rows), AtomicU64::new(self.bytes + self.heap));
            Arc::new(Used { rows, bytes, stop: AtomicBool::new(false) })
        });
        Budget { shared: Some(Arc::clone(shared)), cancel: self.cancel.clone(), heap: 0, ..*self }
    }

    /// Ends what other threads do: nobody wants it any more.
    pub fn stop_others(&self) {
        if let Some(shared) = &self.shared {
            shared.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Adds to what was used: rows, and the bytes of leaves and dictionary that are held now.
    fn using(&mut self, rows: u64, heap: Option<u64>) -> (u64, u64) {
        let Some(shared) = &self.shared else {
            self.rows = self.rows.saturating_add(rows);
            self.heap = heap.unwrap_or(self.heap);
            return (self.rows, self.bytes.saturating_add(heap.unwrap_or(0)));
        };
        let more = heap.unwrap_or(self.heap).wrapping_sub(self.heap);
        self.heap = heap.unwrap_or(self.heap);
        let bytes = shared.bytes.fetch_add(more, Ordering::Relaxed).wrapping_add(more);
        (shared.rows.fetch_add(rows, Ordering::Relaxed).saturating_add(rows), bytes)
    }

    /// Called once for each batch, with the rows that it has and the bytes of leaves and dictionary that are held.
    pub fn check(&mut self, rows: usize, heap: usize) -> Result<()> {
        let (rows, bytes) = self.using(rows as u64, Some(heap as u64));
        if rows > self.max_rows {
            let message = format!(
                "the query went through more than {} rows, its limit; tie its clauses together by more shared variables, or allow more",
                self.max_rows
            );
            return Err(Error::new(ErrorKind::Limit, "query/limit", message));
        }
        if bytes > self.max_bytes {
            return Err(self.too_many_bytes());
        }
        let stopped = self.shared.as_ref().is_some_and(|shared| shared.stop.load(Ordering::Relaxed));
        if stopped || self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(Error::new(ErrorKind::Limit, "query/cancelled", "the query was cancelled"));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return Err(Error::new(ErrorKind::Limit, "query/deadline", "the query was not done by its deadline"));
        }
        Ok(())
    }

    /// Called for memory that the query will hold until its end.
    pub fn hold(&mut self, bytes: usize) -> Result<()> {
        let held = match &self.shared {
            Some(shared) => shared.bytes.fetch_add(bytes as u64, Ordering::Relaxed).saturating_add(bytes as u64),
            None => {
                self.bytes = self.bytes.saturating_add(bytes as u64);
                self.bytes
            }
        };
        if held > self.max_bytes {
            return Err(self.too_many_bytes());
        }
        Ok(())
    }

    fn too_many_bytes(&self) -> Error {
        let message = format!("the query held more than {} bytes, its limit", self.max_bytes);
        Error::new(ErrorKind::Limit, "query/limit", message)
    }
}
