//! The history rules, checked on all short runs.
//!
//! The definition is a log of events that views cut and then replay. The model is what the database keeps: current
//! rows, and closed rows with the transaction that ended them. Both answer every view of every short run, and the
//! database itself answers the same runs.

use std::collections::{BTreeMap, BTreeSet};

/// Attribute and value; there is one entity.
type Fact = (usize, i64);
/// Attribute, value, transaction, assertion.
type Event = (usize, i64, u64, bool);

#[derive(Debug, Clone, Copy)]
struct Attribute {
    many: bool,
    no_history: bool,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Add(usize, i64),
    Retract(usize, i64),
    RetractAll(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    AsOf(u64),
    Since(u64),
    History,
}

/// What a view shows: for states all events are assertions.
type Shown = BTreeSet<Event>;

/// The definition: every transaction's events, in order.
mod definition {
    use super::{Attribute, BTreeMap, Event, Fact, Op, Shown, Step};

    /// The events of one transaction on the facts that hold: each operation in turn, then an assertion and a
    /// retraction of one fact cancel each other.
    pub fn events(attributes: &[Attribute], holds: &BTreeMap<Fact, u64>, t: u64, ops: &[Op]) -> Vec<Event> {
        let mut now: Vec<Fact> = holds.keys().copied().collect();
        let mut raw: Vec<(Fact, bool)> = Vec::new();
        for op in ops {
            let (dropped, added): (Vec<Fact>, Option<Fact>) = match *op {
                Op::Add(a, v) if now.contains(&(a, v)) => (vec![], None),
                Op::Add(a, v) if attributes[a].many => (vec![], Some((a, v))),
                Op::Add(a, v) => (now.iter().copied().filter(|f| f.0 == a).collect(), Some((a, v))),
                Op::Retract(a, v) => (now.iter().copied().filter(|f| *f == (a, v)).collect(), None),
                Op::RetractAll(a) => (now.iter().copied().filter(|f| f.0 == a).collect(), None),
            };
            for fact in dropped {
                now.retain(|f| *f != fact);
                raw.push((fact, false));
            }
            if let Some(fact) = added {
                now.push(fact);
                raw.push((fact, true));
            }
        }
        let mut net: BTreeMap<Fact, i32> = BTreeMap::new();
        for (fact, added) in raw {
            *net.entry(fact).or_default() += if added { 1 } else { -1 };
        }
        net.into_iter().filter(|(_, n)| *n != 0).map(|((a, v), n)| (a, v, t, n > 0)).collect()
    }

    /// The facts that hold after the events, with the transaction that asserted them.
    pub fn replay<'a>(log: impl IntoIterator<Item = &'a Event>) -> BTreeMap<Fact, u64> {
        let mut holds = BTreeMap::new();
        for (a, v, t, added) in log {
            if *added {
                holds.insert((*a, *v), *t);
            } else {
                holds.remove(&(*a, *v));
            }
        }
        holds
    }

    /// The log without what attributes that keep no history forget: all but the assertions of facts that hold.
    pub fn remembered(attributes: &[Attribute], log: &[Event]) -> Vec<Event> {
        let now = replay(log);
        let keep = |(a, v, t, added): &&Event| !attributes[*a].no_history || (*added && now.get(&(*a, *v)) == Some(t));
        log.iter().filter(keep).copied().collect()
    }

    /// The view that `steps` make: each step cuts the log, and what is left is shown or replayed.
    pub fn view(log: &[Event], steps: &[Step]) -> Shown {
        let mut log = log.to_vec();
        let mut history = false;
        for step in steps {
            match *step {
                Step::AsOf(t) => log.retain(|e| e.2 <= t),
                Step::Since(t) => log.retain(|e| e.2 > t),
                Step::History => history = true,
            }
        }
        if history {
            return log.into_iter().collect();
        }
        replay(&log).into_iter().map(|((a, v), t)| (a, v, t, true)).collect()
    }
}

/// What the database keeps.
#[derive(Debug, Clone, Default)]
struct Model {
    current: BTreeMap<Fact, u64>,
    /// Fact, asserted at, ended at.
    closed: Vec<(Fact, u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct View {
    lo: u64,
    hi: u64,
    events: bool,
}

impl View {
    fn of(steps: &[Step]) -> View {
        let all = View { lo: 0, hi: u64::MAX - 1, events: false };
        steps.iter().fold(all, |view, step| match *step {
            Step::AsOf(t) => View { hi: view.hi.min(t), ..view },
            Step::Since(t) => View { lo: view.lo.max(t), ..view },
            Step::History => View { events: true, ..view },
        })
    }
}

impl Model {
    /// Changes the rows by what the operations come to, decided fact by fact before anything is written.
    fn apply(&mut self, attributes: &[Attribute], t: u64, ops: &[Op]) {
        let mut wanted: BTreeMap<Fact, bool> = BTreeMap::new();
        for op in ops {
            let of = |a: usize, wanted: &BTreeMap<Fact, bool>| -> Vec<Fact> {
                self.current.keys().chain(wanted.keys()).copied().filter(|f| f.0 == a).collect()
            };
            match *op {
                Op::Add(a, v) => {
                    if !attributes[a].many {
                        of(a, &wanted).into_iter().for_each(|f| {
                            wanted.insert(f, false);
                        });
                    }
                    wanted.insert((a, v), true);
                }
                Op::Retract(a, v) => drop(wanted.insert((a, v), false)),
                Op::RetractAll(a) => of(a, &wanted).into_iter().for_each(|f| {
                    wanted.insert(f, false);
                }),
            }
        }
        for (fact, holds) in wanted {
            match (holds, self.current.get(&fact).copied()) {
                (true, None) => drop(self.current.insert(fact, t)),
                (false, Some(tx)) => {
                    self.current.remove(&fact);
                    if !attributes[fact.0].no_history {
                        self.closed.push((fact, tx, t));
                    }
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
    }

    fn show(&self, view: View) -> Shown {
        let open = self.current.iter().map(|(f, tx)| (*f, *tx, u64::MAX));
        let mut shown = Shown::new();
        for ((a, v), tx, until) in open.chain(self.closed.iter().copied()) {
            if view.events {
                if view.lo < tx && tx <= view.hi {
                    shown.insert((a, v, tx, true));
                }
                if view.lo < until && until <= view.hi {
                    shown.insert((a, v, until, false));
                }
            } else if view.lo < tx && tx <= view.hi && until > view.hi {
                shown.insert((a, v, tx, true));
            }
        }
        shown
    }
}

/// All transactions of up to `most` operations on the first `attributes` attributes with values 1 and 2.
fn transactions(attributes: usize, most: usize) -> Vec<Vec<Op>> {
    let mut ops = Vec::new();
    for a in 0..attributes {
        ops.extend([Op::Add(a, 1), Op::Add(a, 2), Op::Retract(a, 1), Op::Retract(a, 2), Op::RetractAll(a)]);
    }
    let mut all = vec![vec![]];
    let mut last = all.clone();
    for _ in 0..most {
        last = last.iter().flat_map(|t| ops.iter().map(|o| t.iter().copied().chain([*o]).collect())).collect();
        all.extend(last.clone());
    }
    all
}

/// What looks at a run: the operations, the log and the model after it.
type Check<'a> = dyn FnMut(&[&Vec<Op>], &[Event], &Model) + 'a;

/// Calls `check` with every run of exactly `length` transactions: the operations, the log and the model after it.
fn each_run(attributes: &[Attribute], transactions: &[Vec<Op>], length: u64, check: &mut Check<'_>) {
    struct Walk<'a, 'b> {
        attributes: &'a [Attribute],
        transactions: &'a [Vec<Op>],
        length: u64,
        check: &'a mut Check<'b>,
    }
    fn go<'a>(walk: &mut Walk<'a, '_>, run: &mut Vec<&'a Vec<Op>>, log: &[Event], model: &Model) {
        if run.len() as u64 == walk.length {
            (walk.check)(run, log, model);
            return;
        }
        let t = run.len() as u64 + 1;
        for ops in walk.transactions {
            let mut log = log.to_vec();
            log.extend(definition::events(walk.attributes, &definition::replay(&log), t, ops));
            let mut model = model.clone();
            model.apply(walk.attributes, t, ops);
            run.push(ops);
            go(walk, run, &log, &model);
            run.pop();
        }
    }
    go(&mut Walk { attributes, transactions, length, check }, &mut Vec::new(), &[], &Model::default());
}

/// Every view (lo, hi, mode) over transactions 1 to `last`, as steps.
fn views(last: u64) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    for lo in 0..=last {
        for hi in 0..=last {
            all.push(vec![Step::Since(lo), Step::AsOf(hi)]);
            all.push(vec![Step::Since(lo), Step::AsOf(hi), Step::History]);
        }
        all.push(vec![Step::Since(lo)]);
    }
    all.extend([vec![], vec![Step::History]]);
    all
}

/// Every composition of up to three steps.
fn compositions(last: u64) -> Vec<Vec<Step>> {
    let mut steps = vec![Step::History];
    steps.extend((0..=last).flat_map(|t| [Step::AsOf(t), Step::Since(t)]));
    let mut all = vec![vec![]];
    let mut longest = all.clone();
    for _ in 0..3 {
        longest = longest.iter().flat_map(|c| steps.iter().map(|s| c.iter().copied().chain([*s]).collect())).collect();
        all.extend(longest.clone());
    }
    all
}

const ONE: Attribute = Attribute { many: false, no_history: false };
const MANY: Attribute = Attribute { many: true, no_history: false };

fn check(attributes: &[Attribute], most: usize, length: u64, views: &[Vec<Step>]) -> u64 {
    let mut runs = 0;
    each_run(attributes, &transactions(attributes.len(), most), length, &mut |run, log, model| {
        let log = definition::remembered(attributes, log);
        for steps in views {
            assert_eq!(model.show(View::of(steps)), definition::view(&log, steps), "{run:?} seen {steps:?}");
        }
        runs += 1;
    });
    runs
}

#[test]
fn rows_show_what_the_log_says() {
    let forgetful = |a: Attribute| Attribute { no_history: true, ..a };
    let mut runs = 0;
    for attribute in [ONE, MANY, forgetful(ONE), forgetful(MANY)] {
        runs += check(&[attribute], 1, 4, &views(4));
        runs += check(&[attribute], 2, 3, &views(3));
    }
    runs += check(&[ONE], 2, 4, &views(4));
    runs += check(&[ONE, MANY], 1, 4, &views(4));
    runs += check(&[ONE, MANY], 2, 2, &views(2));
    // A database without history forgets everything that ended.
    runs += check(&[forgetful(ONE), forgetful(MANY)], 1, 3, &views(3));
    println!("{runs} runs");
}

#[test]
fn views_compose_in_any_order() {
    let all = compositions(2);
    for attribute in [ONE, MANY] {
        check(&[attribute], 2, 2, &all);
    }
    for steps in compositions(3) {
        let view = View::of(&steps);
        let mut turned = steps.clone();
        turned.reverse();
        assert_eq!(View::of(&turned), view, "{steps:?}");
        assert_eq!(View::of(&[&steps[..], &steps[..]].concat()), view, "{steps:?} twice");
    }
}

#[test]
fn intervals_of_one_fact_do_not_overlap() {
    each_run(&[ONE], &transactions(1, 2), 3, &mut |run, log, model| {
        for (fact, tx, until) in &model.closed {
            assert!(tx < until, "{run:?}");
            let others = model.closed.iter().filter(|(f, t, _)| f == fact && t != tx);
            assert!(others.clone().all(|(_, t, u)| u <= tx || until <= t), "{run:?}");
            assert!(model.current.get(fact).is_none_or(|t| until <= t), "{run:?}");
        }
        assert!(model.current.len() <= 1, "{run:?}");
        let mut last: BTreeMap<(Fact, u64), bool> = BTreeMap::new();
        for (a, v, t, added) in log {
            assert_eq!(last.insert(((*a, *v), *t), *added), None, "two events of one fact in one transaction: {run:?}");
        }
    });
}

/// The same runs through the database.
mod database {
    use super::{Attribute, Event, Model, Op, Shown, Step, View, definition, each_run, transactions, views};
    use super::{MANY, ONE};
    use treering::db_testing::{Saying, db_of};
    use treering::index::Direction;
    use treering::{Db, EntityId, Order, TX0, Value};

    const NAMES: [&str; 2] = ["x", "y"];

    fn declare(i: usize, attribute: &Attribute) -> String {
        let many = if attribute.many { " many" } else { "" };
        let no_history = if attribute.no_history { " nohistory" } else { "" };
        format!("{} long index{many}{no_history}", NAMES[i])
    }

    /// The database after the events of the log; retractions that an assertion of the same attribute implies are left
    /// out.
    fn load(attributes: &[Attribute], log: &[Event], length: u64) -> Db {
        let names: Vec<String> = attributes.iter().enumerate().map(|(i, a)| declare(i, a)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let transactions: Vec<Vec<Saying<'_>>> = (1..=length)
            .map(|t| {
                let events = || log.iter().filter(move |e| e.2 == t);
                let implied = |e: &Event| !attributes[e.0].many && !e.3 && events().any(|f| f.0 == e.0 && f.3);
                let said = events().filter(|e| !implied(e));
                said.map(|(a, v, _, added)| (1, NAMES[*a], Value::Long(*v), *added)).collect()
            })
            .collect();
        let transactions: Vec<&[Saying<'_>]> = transactions.iter().map(Vec::as_slice).collect();
        db_of(&names, &transactions)
    }

    fn show(db: &Db, order: Order, direction: Direction) -> Vec<Event> {
        let mut cursor = db.cursor(order, None, None, direction).expect("a cursor");
        let mut shown = Vec::new();
        while let Some(chunk) = cursor.next().expect("nodes in memory are there") {
            for i in chunk.rows() {
                let row = chunk.columns.row(i);
                let name = db.ident(row.a).expect("a named attribute");
                if let (Some(a), Value::Long(v)) = (NAMES.iter().position(|n| *n == name.as_str()), &row.v) {
                    shown.push((a, *v, row.tx - TX0, chunk.columns.added(i)));
                }
            }
        }
        shown
    }

    fn check(attributes: &[Attribute], most: usize, length: u64) {
        let views: Vec<Vec<Step>> = views(length);
        each_run(
            attributes,
            &transactions(attributes.len(), most),
            length,
            &mut |run: &[&Vec<Op>], log, model: &Model| {
                let base = load(attributes, log, length);
                assert_eq!(base.basis_t(), EntityId(TX0 + length));
                let log = definition::remembered(attributes, log);
                for steps in &views {
                    let db = steps.iter().fold(base.clone(), |db, step| {
                        let db = match *step {
                            Step::AsOf(t) => db.as_of(EntityId(TX0 + t)),
                            Step::Since(t) => db.since(EntityId(TX0 + t)),
                            Step::History => db.history(),
                        };
                        db.expect("a view")
                    });
                    let wanted = definition::view(&log, steps);
                    for order in [Order::Eavt, Order::Aevt, Order::Avet] {
                        for direction in [Direction::Forward, Direction::Reverse] {
                            let shown = show(&db, order, direction);
                            let set: Shown = shown.iter().copied().collect();
                            assert_eq!(set.len(), shown.len(), "twice shown: {run:?} {steps:?} {order:?}");
                            assert_eq!(set, wanted, "{run:?} seen {steps:?} in {order:?} {direction:?}");
                        }
                    }
                    assert_eq!(model.show(View::of(steps)), wanted);
                }
            },
        );
    }

    #[test]
    fn the_database_shows_what_the_log_says() {
        check(&[ONE], 2, 2);
        check(&[MANY], 2, 2);
        check(&[ONE], 1, 3);
        check(&[MANY], 1, 3);
        check(&[ONE, MANY], 1, 2);
        check(&[Attribute { no_history: true, ..ONE }, MANY], 1, 2);
    }
}
