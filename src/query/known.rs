//! What is remembered between runs: texts that were read and analyzed, and plans that were made.
//!
//! A plan is used again when nothing that it was made from has changed much: the same schemas and kinds of views, the same
//! constants where a constant shapes the plan, and about as many datoms behind each pattern. The constants of patterns
//! are resolved anew at each run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::input::Input;
use super::logic::{AggregateName, Arg, Callee, Clause, Element, Kind, Pattern, Program, Term};
use super::operator::equality_kind;
use super::options::QueryOptions;
use super::plan::{A, OP, Plan, Planner, Samples, read_of};
use super::prepared::Prepared;
use super::reads::{self, Told};
use super::run::{Run, Source};
use crate::datom::{Value, ValueKind};
use crate::db::Mode;
use crate::edn::Form;
use crate::error::Result;
use crate::schema::Schema;

/// Most texts that a database remembers, and the longest of them.
const MOST_TEXTS: usize = 512;
const LONGEST_TEXT: usize = 16 << 10;

/// Most plans of one query, for constants that want different ones.
const MOST_PLANS: usize = 8;

/// Queries by their texts. The databases that come of one another share one.
#[derive(Debug, Default)]
pub(crate) struct KnownQueries(Mutex<HashMap<Box<str>, Prepared>>);

impl KnownQueries {
    /// The query that a text is, if it was prepared to call the same functions.
    pub(super) fn get(&self, text: &str, options: &QueryOptions) -> Option<Prepared> {
        self.0.lock().get(text).filter(|query| query.is_for(options)).cloned()
    }

    pub(super) fn put(&self, text: &str, query: &Prepared) {
        if text.len() > LONGEST_TEXT {
            return;
        }
        let mut known = self.0.lock();
        if known.len() >= MOST_TEXTS {
            known.clear();
        }
        known.insert(text.into(), query.clone());
    }
}

/// The rules of a run, to be recognized.
#[derive(Debug, Clone)]
pub(super) enum Rules {
    Text(Arc<str>),
    Form(Form),
}

impl Rules {
    /// `None` for an input that is no rules, or rules that are not worth remembering.
    pub fn of(input: Option<&Input>) -> Option<Rules> {
        match input? {
            Input::Value(Value::Str(text)) if text.len() <= LONGEST_TEXT => Some(Rules::Text(Arc::clone(text))),
            Input::Form(form) => Some(Rules::Form(form.clone())),
            _ => None,
        }
    }

    /// Whether an input is these rules.
    pub fn are(&self, input: Option<&Input>) -> bool {
        match (self, input) {
            (Rules::Text(text), Some(Input::Value(Value::Str(other)))) => text == other,
            (Rules::Form(form), Some(Input::Form(other))) => form == other,
            _ => false,
        }
    }
}

/// An analyzed query with what its runs found out.
#[derive(Debug)]
pub(super) struct Ready {
    pub program: Program,
    pub samples: Samples,
    pub told: Told,
    /// Constants that a plan depends on, beyond the number of rows.
    shaping: Vec<bool>,
    plans: Mutex<Vec<Arc<KnownPlan>>>,
}

impl Ready {
    pub fn new(program: Program) -> Ready {
        let (shaping, told) = (shaping(&program), reads::told(&program));
        Ready { program, samples: Samples::default(), told, shaping, plans: Mutex::default() }
    }

    /// A plan of an earlier run that fits this one.
    pub fn plan(&self, run: &Run<'_>) -> Result<Option<Arc<KnownPlan>>> {
        let plans: Vec<Arc<KnownPlan>> = match self.plans.lock().as_slice() {
            [] => return Ok(None),
            [one] => return Ok(if one.fits(run, &self.shaping)? { Some(Arc::clone(one)) } else { None }),
            many => many.to_vec(),
        };
        for plan in plans {
            if plan.fits(run, &self.shaping)? {
                return Ok(Some(plan));
            }
        }
        Ok(None)
    }

    pub fn remember(
        &self,
        plan: Plan,
        warnings: Vec<String>,
        run: &Run<'_>,
        planner: &Planner<'_>,
    ) -> Result<Arc<KnownPlan>> {
        let reusable = !planner.is_for_once();
        let plan = Arc::new(KnownPlan { warnings, ..KnownPlan::new(plan, run)? });
        if reusable {
            let mut plans = self.plans.lock();
            if plans.len() >= MOST_PLANS {
                plans.remove(0);
            }
            plans.push(Arc::clone(&plan));
        }
        Ok(plan)
    }
}

/// A plan, and what it was made for.
#[derive(Debug)]
pub(super) struct KnownPlan {
    pub plan: Plan,
    /// What planning found suspicious.
    pub warnings: Vec<String>,
    sources: Vec<MadeFor>,
    /// Whether all constants must be the same: those that collections are compared with are part of the plan.
    strict: bool,
    /// The rows of each relation, and of each column whether it can name entities otherwise than by id.
    relations: Vec<(usize, Vec<bool>)>,
    constants: Vec<Value>,
    /// Datoms behind the patterns of the outermost clauses.
    reads: Vec<Option<f64>>,
}

#[derive(Debug)]
enum MadeFor {
    Db {
        schema: Arc<Schema>,
        mode: Mode,
        promises: Option<usize>,
        filtered: bool,
        /// The snapshot that the counts were last compared with: its address, which need not be alive.
        snapshot: AtomicUsize,
    },
    Relation,
}

fn names_entities(run: &Run<'_>, relation: usize) -> Vec<bool> {
    let names = |kind| matches!(kind, ValueKind::Tuple | ValueKind::Keyword);
    let column = |column: &super::operator::Column| match column.kind() {
        Some(kind) => names(equality_kind(kind)),
        None => (0..column.len()).any(|row| names(column.kind_at(row))),
    };
    run.relations[relation].columns.iter().map(column).collect()
}

/// Whether two numbers of rows would lead to much the same plan.
fn is_about(a: f64, b: f64) -> bool {
    let (least, most) = (a.min(b), a.max(b));
    most <= 2.0 * least + 16.0
}

impl KnownPlan {
    fn new(plan: Plan, run: &Run<'_>) -> Result<KnownPlan> {
        let made_for = |source: &Source| {
            Ok(match source {
                Source::Db(db) => MadeFor::Db {
                    schema: Arc::clone(&db.snapshot().schema),
                    mode: db.mode(),
                    promises: db.promises_by()?,
                    filtered: db.is_filtered(),
                    snapshot: AtomicUsize::new(Arc::as_ptr(db.snapshot()) as usize),
                },
                Source::Relation(_) => MadeFor::Relation,
            })
        };
        let sources: Vec<MadeFor> = run.sources.iter().map(made_for).collect::<Result<_>>()?;
        let relations = (0..run.relations.len()).map(|i| (run.relations[i].len, names_entities(run, i)));
        let reads = run.program.clauses.iter().map(|clause| read(run, clause)).collect::<Result<_>>()?;
        let constants = run.constants.clone();
        let relations = relations.collect();
        let strict = sources.iter().any(|source| matches!(source, MadeFor::Relation));
        Ok(KnownPlan { plan, warnings: Vec::new(), sources, strict, relations, constants, reads })
    }

    fn fits(&self, run: &Run<'_>, shaping: &[bool]) -> Result<bool> {
        let mut same_snapshots = true;
        for (made_for, source) in self.sources.iter().zip(&run.sources) {
            match (made_for, source) {
                (MadeFor::Relation, Source::Relation(_)) => {}
                (MadeFor::Db { schema, mode, promises, filtered, snapshot }, Source::Db(db)) => {
                    let same = Arc::ptr_eq(schema, &db.snapshot().schema)
                        && *mode == db.mode()
                        && *promises == db.promises_by()?
                        && *filtered == db.is_filtered();
                    if !same {
                        return Ok(false);
                    }
                    same_snapshots &= snapshot.load(Ordering::Relaxed) == Arc::as_ptr(db.snapshot()) as usize;
                }
                _ => return Ok(false),
            }
        }
        for (i, (rows, names)) in self.relations.iter().enumerate() {
            if !is_about(*rows as f64, run.relations[i].len as f64) || *names != names_entities(run, i) {
                return Ok(false);
            }
        }
        let mut same_constants = true;
        for (i, constant) in self.constants.iter().enumerate() {
            let same = constant.kind() == run.constants[i].kind() && *constant == run.constants[i];
            if !same && (shaping[i] || self.strict) {
                return Ok(false);
            }
            same_constants &= same;
        }
        if same_snapshots && same_constants {
            return Ok(true);
        }
        for (clause, known) in run.program.clauses.iter().zip(&self.reads) {
            let concerned = !same_snapshots || self.has_new_constant(clause, run);
            if let Some(known) = known
                && concerned
                && read(run, clause)?.is_none_or(|rows| !is_about(rows, *known))
            {
                return Ok(false);
            }
        }
        for (made_for, source) in self.sources.iter().zip(&run.sources) {
            if let (MadeFor::Db { snapshot, .. }, Source::Db(db)) = (made_for, source) {
                snapshot.store(Arc::as_ptr(db.snapshot()) as usize, Ordering::Relaxed);
            }
        }
        Ok(true)
    }

    fn has_new_constant(&self, clause: &Clause, run: &Run<'_>) -> bool {
        let Kind::Pattern { terms, .. } = &clause.kind else { return false };
        terms.iter().any(|term| matches!(term, Term::Const(c) if self.constants[*c] != run.constants[*c]))
    }
}

/// How many datoms lie behind a pattern; `None` where they cannot be many.
fn read(run: &Run<'_>, clause: &Clause) -> Result<Option<f64>> {
    match &clause.kind {
        Kind::Pattern { source, terms } => match run.db(*source) {
            Some(db) => read_of(db, terms, &run.constants),
            None => Ok(None),
        },
        // What rules read may be anything.
        Kind::Rule { .. } => {
            let all =
                (0..run.sources.len()).filter_map(|source| run.db(source)).map(|db| db.snapshot().indexes[0].len());
            Ok(Some(all.sum::<u64>() as f64))
        }
        _ => Ok(None),
    }
}

/// The constants that stand elsewhere than as an entity, a value or a transaction of a pattern.
fn shaping(program: &Program) -> Vec<bool> {
    let mut shaping = vec![false; program.constants.len()];
    let mut stack: Vec<&[Clause]> = vec![&program.clauses];
    stack.extend(program.rules.iter().flat_map(|rule| &rule.branches).map(|branch| branch.body.as_slice()));
    while let Some(clauses) = stack.pop() {
        for clause in clauses {
            let mut mark = |term: &Term| {
                if let Term::Const(constant) = term {
                    shaping[*constant] = true;
                }
            };
            match &clause.kind {
                Kind::Pattern { terms, .. } => {
                    terms.iter().enumerate().filter(|(i, _)| matches!(*i, A | OP)).for_each(|(_, term)| mark(term));
                }
                Kind::Input { .. } => {}
                Kind::Call(call) => {
                    call.args.iter().for_each(|arg| {
                        if let Arg::Term(term) = arg {
                            mark(term);
                        }
                    });
                    if let Callee::Named(constant) = &call.callee {
                        mark(&Term::Const(*constant));
                    }
                }
                Kind::Equal(a, b) => [a, b].into_iter().for_each(mark),
                Kind::Not { body, .. } => stack.push(body),
                Kind::Or { branches, .. } => stack.extend(branches.iter().map(Vec::as_slice)),
                Kind::Rule { args, .. } | Kind::Table { args, .. } => args.iter().for_each(mark),
            }
        }
    }
    for element in &program.find {
        match element {
            Element::Aggregate { name: AggregateName::Named(constant), .. }
            | Element::Pull { pattern: Pattern::Const(constant), .. } => shaping[*constant] = true,
            _ => {}
        }
    }
    shaping
}
