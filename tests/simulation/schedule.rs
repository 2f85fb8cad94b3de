//! One thread at a time: at each step chance picks the one that goes on.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use parking_lot::{Condvar, Mutex};
use treering::simulated::{World, enter};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::support::Chance;

/// Steps after which a run is taken for one that does not end.
const MOST_STEPS: usize = 200_000;
/// Lines of a trace that are shown of a run that fails.
const SHOWN: usize = 400;

/// A process: what it is told and has open is lost when it is killed.
#[derive(Default)]
pub struct Process {
    dead: AtomicBool,
}

impl Process {
    pub fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }
}

/// Who runs on this thread.
#[derive(Clone)]
struct Me {
    actor: usize,
    name: String,
    process: Arc<Process>,
}

thread_local! {
    static ME: RefCell<Option<Me>> = const { RefCell::new(None) };
}

struct Actor {
    turn: Arc<Condvar>,
    is_done: bool,
}

struct State {
    chance: Chance,
    actors: Vec<Actor>,
    turn: Option<usize>,
    now: i64,
    count: u64,
    steps: usize,
    hash: u64,
    lines: VecDeque<String>,
    failure: Option<String>,
    /// Calls under way during which time must not jump.
    busy: usize,
    told: Events,
}

/// How often something has happened.
pub type Events = BTreeMap<&'static str, usize>;

/// A call under way.
pub struct Busy(Arc<Scheduler>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.state.lock().busy -= 1;
    }
}

/// The one scheduler of a run, and its world.
pub struct Scheduler {
    this: Weak<Scheduler>,
    state: Mutex<State>,
    over: Condvar,
}

/// What became of a run.
pub struct Outcome {
    pub steps: usize,
    /// Of all lines of the trace.
    pub hash: u64,
    pub failure: Option<String>,
    pub events: Events,
}

impl Scheduler {
    pub fn new(seed: u64) -> Arc<Scheduler> {
        let state = State {
            chance: Chance(seed),
            actors: Vec::new(),
            turn: None,
            now: 1_800_000_000_000,
            count: 0,
            steps: 0,
            hash: 0,
            lines: VecDeque::new(),
            failure: None,
            busy: 0,
            told: Events::new(),
        };
        Arc::new_cyclic(|this| Scheduler { this: this.clone(), state: Mutex::new(state), over: Condvar::new() })
    }

    fn this(&self) -> Arc<Scheduler> {
        self.this.upgrade().expect("who calls it has it")
    }

    /// Adds an actor, which begins when its turn comes.
    pub fn add(&self, name: &str, process: Arc<Process>, work: impl FnOnce() + Send + 'static) {
        let turn = Arc::new(Condvar::new());
        let actor = {
            let mut state = self.state.lock();
            state.actors.push(Actor { turn: Arc::clone(&turn), is_done: false });
            state.actors.len() - 1
        };
        let (this, me) = (self.this(), Me { actor, name: name.to_owned(), process });
        let run = move || {
            ME.with(|slot| *slot.borrow_mut() = Some(me.clone()));
            enter(Some(Arc::clone(&this) as Arc<dyn World>));
            this.await_turn(actor, &turn, &mut this.state.lock());
            let ended = catch_unwind(AssertUnwindSafe(work));
            enter(None);
            this.leave(&me, ended.err().map(|panic| told(&*panic)));
        };
        thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread");
    }

    /// Runs the actors to their end.
    pub fn run(&self) -> Outcome {
        let mut state = self.state.lock();
        Self::pass_on(&mut state);
        while state.failure.is_none() && state.actors.iter().any(|actor| !actor.is_done) {
            self.over.wait(&mut state);
        }
        let failure = state.failure.take().map(|failure| {
            let lines: Vec<String> = state.lines.iter().cloned().collect();
            format!("{}\n{failure}", lines.join("\n"))
        });
        Outcome { steps: state.steps, hash: state.hash, failure, events: state.told.clone() }
    }

    /// A step of the trace, after which another actor may go on.
    pub fn step(&self, what: &str) {
        let me = me();
        let mut state = self.state.lock();
        let now = state.now;
        Self::trace(&mut state, format!("{now} {}: {what}", me.name));
        state.now += state.chance.below(3) as i64;
        state.steps += 1;
        assert!(state.steps < MOST_STEPS, "the run does not come to its end: a deadlock");
        Self::pass_on(&mut state);
        if state.turn != Some(me.actor) {
            let turn = Arc::clone(&state.actors[me.actor].turn);
            self.await_turn(me.actor, &turn, &mut state);
        }
    }

    /// A line of the trace.
    pub fn note(&self, what: &str) {
        let name = me().name;
        let mut state = self.state.lock();
        let now = state.now;
        Self::trace(&mut state, format!("{now} {name}: {what}"));
    }

    /// Counts what happens.
    pub fn happened(&self, what: &'static str, times: usize) {
        *self.state.lock().told.entry(what).or_default() += times;
    }

    pub fn below(&self, n: usize) -> usize {
        self.state.lock().chance.below(n)
    }

    pub fn time(&self) -> i64 {
        self.state.lock().now
    }

    /// Keeps time from jumping until the result is dropped.
    pub fn busy(&self) -> Busy {
        self.state.lock().busy += 1;
        Busy(self.this())
    }

    pub fn is_idle(&self) -> bool {
        self.state.lock().busy == 0
    }

    /// Lets time go by.
    pub fn sleep(&self, milliseconds: i64) {
        self.state.lock().now += milliseconds;
    }

    fn await_turn(&self, actor: usize, turn: &Condvar, state: &mut parking_lot::MutexGuard<'_, State>) {
        while state.turn != Some(actor) {
            turn.wait(state);
        }
    }

    fn leave(&self, me: &Me, failure: Option<String>) {
        let mut state = self.state.lock();
        state.actors[me.actor].is_done = true;
        match failure {
            Some(failure) => {
                state.failure.get_or_insert(format!("{}: {failure}", me.name));
            }
            None => Self::pass_on(&mut state),
        }
        self.over.notify_all();
    }

    fn pass_on(state: &mut State) {
        let ready: Vec<usize> = (0..state.actors.len()).filter(|i| !state.actors[*i].is_done).collect();
        state.turn = (!ready.is_empty()).then(|| ready[state.chance.below(ready.len())]);
        if let Some(next) = state.turn {
            state.actors[next].turn.notify_one();
        }
    }

    fn trace(state: &mut State, line: String) {
        state.hash = xxh3_64_with_seed(line.as_bytes(), state.hash);
        if state.lines.len() == SHOWN {
            state.lines.pop_front();
        }
        state.lines.push_back(line);
    }
}

impl World for Scheduler {
    fn now(&self) -> i64 {
        self.state.lock().now
    }

    fn count(&self) -> u64 {
        let mut state = self.state.lock();
        state.count += 1;
        state.count
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        let (me, busy) = (me(), self.busy());
        let work = move || {
            work();
            drop(busy);
        };
        self.add(&format!("{}/{name}", me.name), me.process, work);
    }

    fn wait(&self) {
        self.step("waits");
    }
}

fn me() -> Me {
    ME.with(|slot| slot.borrow().clone()).expect("an actor's thread")
}

/// The process of the actor on this thread; none for who looks on from outside.
pub fn process() -> Option<Arc<Process>> {
    ME.with(|slot| slot.borrow().as_ref().map(|me| Arc::clone(&me.process)))
}

/// Begins another process on this thread; the one before is over.
pub fn become_process(process: Arc<Process>) {
    ME.with(|slot| {
        let mut slot = slot.borrow_mut();
        let me = slot.as_mut().expect("an actor's thread");
        std::mem::replace(&mut me.process, process).kill();
    });
}

fn told(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
