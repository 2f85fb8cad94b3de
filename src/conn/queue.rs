//! Transactions that wait for the writer, and whose turn it is to be the writer.
//!
//! There are two turns: to apply all that waits, and to make durable all that was applied. Each is the turn of one caller
//! at a time, who does it for all others and then passes it on, so the two go on beside each other, and who waits is woken
//! once, when its own transaction is decided. A caller who finds a turn free takes it: who is alone never waits.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::Arc;

use super::writer::Pending;
use crate::error::{Error, ErrorKind, Result};
use crate::transact::{TxData, TxReport};
use crate::world::{Condvar, Mutex};

/// What a caller may have to do before its own transaction is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Apply what waits.
    Apply,
    /// Commit what was applied.
    Commit,
}

/// What became of a transaction; a panic of a user's function in it is its caller's.
type Outcome = std::thread::Result<Result<Arc<TxReport>>>;

/// One caller's transaction.
pub(super) struct Ticket {
    /// What the functions in the transaction run inside, on whichever thread.
    pub span: tracing::Span,
    state: Mutex<Asked>,
    changed: Condvar,
}

struct Asked {
    data: Option<TxData>,
    turn: Option<Turn>,
    outcome: Option<Outcome>,
}

impl Ticket {
    pub fn new(data: TxData) -> Arc<Ticket> {
        let state = Asked { data: Some(data), turn: None, outcome: None };
        Arc::new(Ticket { span: tracing::Span::current(), state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Waits for a turn, or for what became of the transaction.
    ///
    /// # Panics
    /// With the panic of a user's function in the transaction.
    pub fn wait(&self) -> Result<Turn, Result<Arc<TxReport>>> {
        let mut state = self.state.lock();
        loop {
            // A turn first: nobody else has it.
            if let Some(turn) = state.turn.take() {
                return Ok(turn);
            }
            match state.outcome.take() {
                Some(Ok(outcome)) => return Err(outcome),
                Some(Err(panic)) => resume_unwind(panic),
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// The tx-data; none if it was taken before.
    pub fn take_data(&self) -> Option<TxData> {
        self.state.lock().data.take()
    }

    pub fn refuse(&self, error: Error) {
        self.decide(Ok(Err(error)));
    }

    pub fn panicked(&self, panic: Box<dyn Any + Send>) {
        self.decide(Err(panic));
    }

    fn decide(&self, outcome: Outcome) {
        self.state.lock().outcome.get_or_insert(outcome);
        self.changed.notify_one();
    }

    fn give(&self, turn: Turn) {
        self.state.lock().turn = Some(turn);
        self.changed.notify_one();
    }
}

/// Transactions that are committed together, and who waits for them.
#[derive(Default)]
pub(super) struct Group {
    tickets: Vec<(Arc<Ticket>, Arc<TxReport>)>,
}

impl Group {
    /// Tells everybody what became of it.
    pub fn tell(mut self, settled: &Result<()>) {
        for (ticket, report) in std::mem::take(&mut self.tickets) {
            ticket.decide(Ok(settled.as_ref().map(|()| report).map_err(Error::again)));
        }
    }
}

/// Nobody waits for a group that was given up: by a panic in the store.
impl Drop for Group {
    fn drop(&mut self) {
        for (ticket, _) in &self.tickets {
            let message =
                "the writer panicked; whether the transaction is in the log shows when the database is opened again";
            ticket.refuse(Error::new(ErrorKind::Internal, "writer/panic", message));
        }
    }
}

/// The transactions on their way, and the turns.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they came.
    waiting: Vec<Arc<Ticket>>,
    /// In the order in which they were applied.
    applied: Group,
    pending: Vec<Pending>,
    /// Whose turn it is to apply.
    applier: Option<Arc<Ticket>>,
    /// Whether it is somebody's turn to commit.
    committing: bool,
}

impl Queue {
    /// Lines up, and takes the turn to apply if it is free.
    pub fn join(&self, ticket: &Arc<Ticket>) {
        let mut state = self.state.lock();
        state.waiting.push(Arc::clone(ticket));
        if state.applier.is_none() {
            state.applier = Some(Arc::clone(ticket));
            ticket.give(Turn::Apply);
        }
    }

    /// What waits to be applied.
    pub fn take_waiting(&self) -> Vec<Arc<Ticket>> {
        std::mem::take(&mut self.state.lock().waiting)
    }

    /// Takes in a transaction that was applied. Called with the writer's database locked.
    pub fn push(&self, ticket: Arc<Ticket>, pending: Pending) {
        let mut state = self.state.lock();
        state.applied.tickets.push((ticket, Arc::clone(&pending.report)));
        state.pending.push(pending);
    }

    /// What was applied and is to be committed.
    pub fn take_applied(&self) -> (Group, Vec<Pending>) {
        let mut state = self.state.lock();
        (std::mem::take(&mut state.applied), std::mem::take(&mut state.pending))
    }

    /// The turn of the caller with `ticket` to apply, until the result is dropped.
    pub fn applying<'a>(&'a self, ticket: &'a Arc<Ticket>) -> Applying<'a> {
        Applying { queue: self, ticket }
    }

    /// A caller's turn to commit, until the result is dropped.
    pub fn committing(&self) -> Committing<'_> {
        Committing { queue: self }
    }
}

impl State {
    /// Gives the turn to commit, if it is free, to one of those who wait for it. Who applies is spared: a commit would wait.
    fn offer_commit(&mut self) {
        let is_applier = |ticket: &Arc<Ticket>| self.applier.as_ref().is_some_and(|it| Arc::ptr_eq(it, ticket));
        let next = self.applied.tickets.iter().find(|(ticket, _)| !is_applier(ticket));
        if !self.committing
            && let Some((next, _)) = next
        {
            next.give(Turn::Commit);
            self.committing = true;
        }
    }

    /// Gives the turn to commit, if it is free, to the one with `ticket`, if that waits for it.
    fn offer_commit_to(&mut self, ticket: &Arc<Ticket>) {
        if !self.committing && self.applied.tickets.iter().any(|(it, _)| Arc::ptr_eq(it, ticket)) {
            ticket.give(Turn::Commit);
            self.committing = true;
        }
    }
}

/// A turn to apply. It ends also when what is done in it panics.
pub(super) struct Applying<'a> {
    queue: &'a Queue,
    ticket: &'a Arc<Ticket>,
}

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.applier = state.waiting.first().cloned();
        if let Some(next) = &state.applier {
            next.give(Turn::Apply);
        }
        // Another would have to be woken.
        state.offer_commit_to(self.ticket);
        state.offer_commit();
    }
}

/// A turn to commit. It ends also when what is done in it panics.
pub(super) struct Committing<'a> {
    queue: &'a Queue,
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.committing = false;
        state.offer_commit();
    }
}
