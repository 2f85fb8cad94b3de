//! Answers that are kept, for a database and those that come of it, as long as nothing that they were made from changes.
//!
//! Each attribute has a stamp, drawn anew by a transaction that touches one of its facts; the schema has one, and so has
//! the database as a whole. Stamps are drawn from one counter for all databases that share the answers, so two of them
//! with the same stamp hold the same facts of the attribute, whether one followed the other or both came of a third.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;

use super::input::Input;
use super::known::Ready;
use super::options::QueryOptions;
use super::output::Output;
use super::reads::{self, Reads};
use crate::datom::{AttrId, Value};
use crate::db::{Db, View};
use crate::error::Result;
use crate::store::{Cache, CacheStats};

/// Rows of a relation input up to which it may be part of a question.
const MOST_ROWS: usize = 64;

/// The answers of a family of databases, with the stamps of one of them.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    shared: Arc<Shared>,
    all: u64,
    schema: u64,
    /// That of attributes that were not touched since the answers were begun.
    others: u64,
    attributes: Arc<HashMap<AttrId, u64>>,
}

struct Shared {
    kept: Cache<Arc<Question>, Arc<Output>>,
    last: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kept.stats().fmt(f)
    }
}

/// A query, what it was given, and the stamps of what it reads.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Question {
    query: Same,
    given: Vec<Given>,
    strict: bool,
    stamps: Vec<u64>,
}

/// An analyzed query by its identity, which is nobody else's while it is held.
#[derive(Debug)]
struct Same(Arc<Ready>);

impl PartialEq for Same {
    fn eq(&self, other: &Same) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Same {}

impl Hash for Same {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Given {
    Db(View),
    Value(Value),
    Relation(Vec<Vec<Value>>),
    /// They are part of the analyzed query.
    Rules,
}

impl Answers {
    /// Answers in at most so many bytes; `None` where none are to be kept.
    pub fn within(bytes: u64) -> Option<Answers> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let shared = || Arc::new(Shared { kept: Cache::new(bytes), last: AtomicU64::new(0) });
        (bytes > 0).then(|| Answers::of(shared()))
    }

    fn of(shared: Arc<Shared>) -> Answers {
        let stamp = shared.last.fetch_add(1, Ordering::Relaxed);
        Answers { shared, all: stamp, schema: stamp, others: stamp, attributes: Arc::default() }
    }

    /// Those of a database of which nothing is known but that it is of the same family.
    pub fn anew(&self) -> Answers {
        Answers::of(Arc::clone(&self.shared))
    }

    /// Those of the database after facts of these attributes have changed, and the schema, if it has.
    pub fn after(&self, touched: impl Iterator<Item = AttrId>, schema_changed: bool) -> Answers {
        let stamp = self.shared.last.fetch_add(1, Ordering::Relaxed);
        let mut next = Answers { all: stamp, ..self.clone() };
        if schema_changed {
            next.schema = stamp;
        }
        let attributes = Arc::make_mut(&mut next.attributes);
        touched.for_each(|a| _ = attributes.insert(a, stamp));
        next
    }

    pub fn stats(&self) -> CacheStats {
        self.shared.kept.stats()
    }

    fn stamps(&self, reads: &Reads) -> Vec<u64> {
        match reads {
            Reads::Everything => vec![self.all],
            Reads::Attributes(attributes) => {
                let stamp = |a| self.attributes.get(a).copied().unwrap_or(self.others);
                std::iter::once(self.schema).chain(attributes.iter().map(stamp)).collect()
            }
        }
    }
}

/// The answer that is kept for this query and these inputs, or the one that `ask` gives, which is kept from now on.
pub(super) fn answer(
    ready: &Arc<Ready>,
    inputs: &[Input],
    options: &QueryOptions,
    ask: impl FnOnce() -> Result<Output>,
) -> Result<Output> {
    let Some((answers, question)) = question(ready, inputs, options) else { return ask() };
    let question = Arc::new(question);
    if let Some(kept) = answers.shared.kept.get(&question) {
        return Ok(Output::clone(&kept));
    }
    let output = ask()?;
    let weight = output.weight() + size_of::<Question>();
    answers.shared.kept.insert(question, Arc::new(output.clone()), weight);
    Ok(output)
}

/// `None` where the answer is not to be kept, or depends on more than can be told.
fn question<'i>(ready: &Arc<Ready>, inputs: &'i [Input], options: &QueryOptions) -> Option<(&'i Answers, Question)> {
    let is_db = |input: &'i Input| if let Input::Db(db) = input { Some(db) } else { None };
    let first: &Db = inputs.iter().find_map(is_db)?;
    let answers = first.snapshot().answers.as_ref()?;
    if options.after.is_some() {
        return None;
    }
    let (mut given, mut stamps) = (Vec::with_capacity(inputs.len()), Vec::new());
    for (input, name) in inputs.iter().zip(&ready.program.inputs) {
        given.push(match input {
            Input::Db(db) => {
                // Stamps of others, or what a filter lets through, tell nothing here.
                let theirs = db.snapshot().answers.as_ref()?;
                if !Arc::ptr_eq(&theirs.shared, &answers.shared) || db.is_filtered() {
                    return None;
                }
                let reads = reads::reads(&ready.program, inputs, db.schema(), &ready.told)?;
                stamps.extend(theirs.stamps(&reads));
                Given::Db(db.view())
            }
            Input::Value(_) | Input::Form(_) if name == "%" => Given::Rules,
            Input::Value(value) => Given::Value(value.clone()),
            Input::Relation(rows) if rows.len() <= MOST_ROWS => Given::Relation(rows.clone()),
            Input::Relation(_) | Input::Form(_) => return None,
        });
    }
    Some((answers, Question { query: Same(Arc::clone(ready)), given, strict: options.strict, stamps }))
}
