//! Large queries on several threads: what a plan reads first is cut into parts of about as many entities, and each
//! thread takes the next part and brings it through all steps (morsels: Leis, Boncz, Kemper and Neumann 2014).
//!
//! The rows come out in the sequence of the parts, which is that of a single thread, so the answer is the same.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hashbrown::HashMap;

use super::find::{self, Found, Groups};
use super::logic::{Callee, Var};
use super::operator::{Batch, Exec, Meter, Morsel, build_steps, range_of};
use super::output::Output;
use super::plan::{Lookup, Op, Plan, Step};
use crate::datom::{Cut, Key, Order};
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Direction;

/// Fewest datoms that are worth a second thread, and fewest rows that all steps are expected to put out.
const MANY_READ: u64 = 50_000;
const MANY_ROWS: f64 = 150_000.0;

/// Parts for each thread, so that none waits long for another.
const PARTS: usize = 6;

/// A plan whose reading is cut into parts.
pub(super) struct Split<'q> {
    plan: &'q Plan,
    /// The steps before run once; what comes of them is given to each part.
    first: usize,
    lookup: &'q Lookup,
    cuts: Vec<(Cut, Cut)>,
    threads: usize,
}

/// What became of a part; an error with whether a called function failed.
type Done = Result<Vec<Found>, (Error, bool)>;

/// How many threads the machine runs at a time. Asking takes longer than a small query.
fn machine() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Cuts a plan into parts, where it can be cut and there is work enough.
pub(super) fn split<'q>(plan: &'q Plan, cx: &mut Exec<'q>) -> Result<Option<Split<'q>>> {
    // What is only read costs little: leaves are handed on as they are.
    let rows =
        plan.steps.iter().map(|step| step.rows).sum::<f64>() - plan.steps.first().map_or(0.0, |step| step.rows * 0.9);
    if rows < MANY_ROWS || cx.run.depth > 0 || !find::wants_all(cx.run.program) {
        return Ok(None);
    }
    let threads = cx.run.options.threads.unwrap_or_else(machine);
    if threads < 2 {
        return Ok(None);
    }
    let Some((first, lookup)) = read_first(plan) else { return Ok(None) };
    let Some(db) = cx.run.db(lookup.source).cloned() else { return Ok(None) };
    let Some((from, to)) = range_of(lookup, cx)? else { return Ok(None) };
    let read = db.count(lookup.order, Some(&from), Some(&to))?.rows;
    // What is hashed on the left is hashed for each part.
    let small = first == 0 || plan.steps[first - 1].rows * 50.0 < read as f64;
    if read < MANY_READ || !small || !is_light(&plan.steps, read as f64) {
        return Ok(None);
    }
    let cuts = parts(&db, lookup.order, from, to, threads * PARTS)?;
    Ok((cuts.len() > 1).then_some(Split { plan, first, lookup, cuts, threads }))
}

/// The look-up that the rows of a plan come from, and the first step that must run for each part of it.
fn read_first(plan: &Plan) -> Option<(usize, &Lookup)> {
    let streams = |step: &Step| matches!(step.op, Op::Join { build_left: true, .. });
    let (first, lookup, rest) = match plan.steps.iter().rposition(streams) {
        None => (0, plan.steps.first()?, plan.steps.get(1..)?),
        Some(at) => {
            let Op::Join { right, exists: false, .. } = &plan.steps[at].op else { return None };
            let rest = right.steps.get(1..)?;
            if !rest.iter().all(goes_row_by_row) {
                return None;
            }
            (at, right.steps.first()?, plan.steps.get(at + 1..)?)
        }
    };
    let Op::Lookup(lookup) = &lookup.op else { return None };
    (lookup.first.is_none() && rest.iter().all(goes_row_by_row)).then_some((first, lookup))
}

/// Whether what comes of a row does not depend on other rows.
fn goes_row_by_row(step: &Step) -> bool {
    match &step.op {
        Op::Lookup(lookup) => lookup.first.is_none(),
        Op::Equal { .. } => true,
        Op::Call { call, .. } => matches!(&call.callee, Callee::Known(function) if function.pure),
        Op::Join { right, build_left: false, .. } => right.steps.iter().all(goes_row_by_row),
        Op::Not { body } => body.steps.iter().all(goes_row_by_row),
        Op::Or { branches } => branches.iter().all(|branch| branch.steps.iter().all(goes_row_by_row)),
        _ => false,
    }
}

/// Whether what is hashed on the right is little against what is read: it is hashed for each part.
fn is_light(steps: &[Step], read: f64) -> bool {
    steps.iter().all(|step| match &step.op {
        Op::Join { right, build_left: false, .. } => {
            right.steps.iter().map(|step| step.rows).sum::<f64>() * 50.0 < read && is_light(&right.steps, read)
        }
        Op::Join { right, .. } => is_light(&right.steps, read),
        Op::Not { body } => is_light(&body.steps, read),
        Op::Or { branches } => branches.iter().all(|branch| is_light(&branch.steps, read)),
        _ => true,
    })
}

/// The parts of a range in which entities ascend, each of about as many of them.
fn parts(db: &Db, order: Order, from: Cut, to: Cut, n: usize) -> Result<Vec<(Cut, Cut)>> {
    let end = |direction| -> Result<Option<u64>> {
        let mut cursor = db.cursor(order, Some(&from), Some(&to), direction)?;
        Ok(cursor.next()?.map(|chunk| match direction {
            Direction::Forward => chunk.columns.e.get(chunk.start),
            Direction::Reverse => chunk.columns.e.get(chunk.end - 1),
        }))
    };
    let (Some(least), Some(most)) = (end(Direction::Forward)?, end(Direction::Reverse)?) else { return Ok(Vec::new()) };
    let width = (most - least) / n as u64 + 1;
    let mut cuts = Vec::with_capacity(n);
    let mut start = from.clone();
    for i in 1..n as u64 {
        let cut = Cut::before(Key { e: Some(least + i * width), ..from.key.clone() });
        cuts.push((std::mem::replace(&mut start, cut.clone()), cut));
    }
    cuts.push((start, to));
    Ok(cuts)
}

impl<'q> Split<'q> {
    /// Runs all parts, and makes the output of what they give.
    pub fn run(&self, wanted: &[Var], cx: &mut Exec<'q>) -> Result<Output> {
        let mut left = Batch::unit();
        if self.first > 0 {
            let mut pipeline = build_steps(self.plan, 0..self.first, None, cx)?;
            left = pipeline.run(Batch::unit(), self.plan.layout_before(self.first).len(), cx)?;
        }
        let workers: Vec<Exec<'q>> = (0..self.threads).map(|_| self.worker(cx)).collect();
        let next = AtomicUsize::new(0);
        let (give, take) = sync_channel(2 * self.threads);
        let (output, meters) = std::thread::scope(|scope| {
            let running: Vec<_> = workers
                .into_iter()
                .map(|worker| {
                    let (left, next, give) = (&left, &next, give.clone());
                    scope.spawn(move || self.work(worker, left, wanted, next, &give))
                })
                .collect();
            drop(give);
            let mut parts = Parts { take, parts: self.cuts.len(), at: 0, early: HashMap::new(), found: Vec::new() };
            let output = find::finish(&mut |cx| parts.next(cx), wanted, self.plan, cx);
            // Who still has something to give finds nobody to take it.
            cx.budget.stop_others();
            drop(parts);
            let join = |thread: std::thread::ScopedJoinHandle<'_, Meter<'q>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            (output, running.into_iter().map(join).collect::<Vec<_>>())
        });
        meters.into_iter().for_each(|meter| cx.meter.add(meter));
        output
    }

    fn worker(&self, cx: &mut Exec<'q>) -> Exec<'q> {
        Exec {
            run: cx.run,
            heap: cx.heap.shared(),
            budget: cx.budget.shared(),
            meter: cx.meter.apart(),
            solving: Vec::new(),
            again: cx.again,
            morsel: None,
            call_failed: false,
        }
    }

    /// Takes one part after another, until there is none left or nobody wants more.
    fn work(
        &self,
        mut cx: Exec<'q>,
        left: &Batch,
        wanted: &[Var],
        next: &AtomicUsize,
        give: &SyncSender<(usize, Done)>,
    ) -> Meter<'q> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((from, to)) = self.cuts.get(at).cloned() else { break };
            cx.morsel = Some(Morsel { lookup: self.lookup, from, to });
            let done = self.part(left, wanted, &mut cx).map_err(|error| (error, cx.call_failed));
            let failed = done.is_err();
            if give.send((at, done)).is_err() || failed {
                break;
            }
        }
        cx.meter
    }

    /// What comes of a part: groups as far as they can be merged exactly, then rows.
    fn part(&self, left: &Batch, wanted: &[Var], cx: &mut Exec<'q>) -> Result<Vec<Found>> {
        let mut pipeline = build_steps(self.plan, self.first..self.plan.steps.len(), Some(wanted), cx)?;
        pipeline.start(left.clone(), cx)?;
        // Only rows that are known to differ can be put into groups at once.
        let in_groups = self.plan.distinct && find::has_aggregates(cx.run.program);
        let mut groups = if in_groups { Some(Groups::new(cx)?) } else { None };
        let mut batches = Vec::new();
        while let Some(batch) = pipeline.poll(cx)? {
            if let Some(groups) = groups.as_mut().filter(|_| batches.is_empty())
                && groups.merges_after(&batch, wanted, cx)?
            {
                groups.add(&batch, wanted, cx)?;
                continue;
            }
            batches.push(batch);
        }
        cx.heap.seal(&mut batches);
        let groups = groups.map(|mut groups| {
            cx.heap.seal(std::slice::from_mut(groups.keys_mut()));
            Found::Groups(groups)
        });
        Ok(groups.into_iter().chain(batches.into_iter().map(Found::Rows)).collect())
    }
}

/// What all parts give, in the sequence of the parts.
struct Parts {
    take: Receiver<(usize, Done)>,
    parts: usize,
    at: usize,
    /// Parts that were done before their turn.
    early: HashMap<usize, Done>,
    /// What is left of the part at hand, the next one last.
    found: Vec<Found>,
}

impl Parts {
    fn next(&mut self, cx: &mut Exec<'_>) -> Result<Option<Found>> {
        loop {
            if let Some(found) = self.found.pop() {
                return Ok(Some(found));
            }
            if self.at == self.parts {
                return Ok(None);
            }
            if let Some(done) = self.early.remove(&self.at) {
                self.at += 1;
                self.found = done.map_err(|(error, call_failed)| {
                    cx.call_failed |= call_failed;
                    error
                })?;
                self.found.reverse();
                cx.heap.sync();
                continue;
            }
            let (at, done) = self.take.recv().map_err(|_| {
                Error::new(ErrorKind::Internal, "query/thread", "a thread of the query ended before its work was done")
            })?;
            self.early.insert(at, done);
        }
    }
}
