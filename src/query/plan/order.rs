//! The order of clauses, and the way each pattern is joined: by expected rows, whatever order the query was written in.

use hashbrown::{HashMap, HashSet};

use super::estimate::{Estimate, scan_order};
use super::lower::Planner;
use super::shape::Shape;
use super::{A, E, Part, V, ValueRange, arg_vars, is_single};
use crate::datom::Order;
use crate::error::{Error, ErrorKind, Result};
use crate::query::analyze::clause_vars;
use crate::query::logic::{Call, Callee, Clause, Kind, Term, Var};

/// What is known of the rows at some point of a plan.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub bound: HashSet<Var>,
    pub rows: f64,
    pub distinct: HashMap<Var, f64>,
    /// The column by which the rows ascend.
    pub sorted: Option<Var>,
    /// Whether this is the one row without columns that a plan begins with.
    pub unit: bool,
    pub cost: f64,
}

impl State {
    pub fn new(input: &[Var], rows: f64) -> State {
        let distinct = input.iter().map(|var| (*var, rows.max(1.0))).collect();
        let unit = input.is_empty() && rows <= 1.0;
        State { bound: input.iter().copied().collect(), rows, distinct, sorted: None, unit, cost: 0.0 }
    }

    fn distinct_of(&self, var: Var) -> f64 {
        self.distinct.get(&var).copied().unwrap_or(self.rows).clamp(1.0, self.rows.max(1.0))
    }

    fn narrow(&mut self, rows: f64) {
        self.rows = rows;
        self.distinct.values_mut().for_each(|d| *d = d.min(rows.max(1.0)));
    }
}

/// How a clause is executed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Method {
    /// The one way there is.
    Plain,
    /// Seek in this order, for each row.
    Lookup(Order),
    /// Read by itself, then joined.
    Join { build_left: bool },
}

#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub clause: usize,
    pub method: Method,
    pub rows: f64,
}

/// A pattern over a database, with what is expected of it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub shape: Shape,
    pub estimate: Estimate,
    pub range: ValueRange,
}

/// What was found out about a clause before ordering.
#[derive(Debug, Clone)]
pub(super) enum Facet {
    Pattern(Box<Known>),
    Nothing(String),
    /// A relation of so many rows.
    Rows {
        relation: usize,
        vars: Vec<Var>,
        rows: f64,
    },
    Other,
}

/// Nesting below which branches are no longer simulated to estimate them.
const SIMULATED_DEPTH: usize = 2;

/// How likely a call is to fail: never, at a value of a wrong type, or for other reasons too.
fn failing(call: &Call) -> u8 {
    match (&call.callee, &call.binding) {
        (Callee::Known(function), None) => match function.name.as_str() {
            "=" | "==" | "not=" | "!=" | "identical?" | "some?" | "nil?" | "true?" | "false?" => 0,
            _ => 1,
        },
        _ => 2,
    }
}

impl Planner<'_> {
    /// Chooses an order. Every clause is chosen once.
    pub(super) fn order(
        &self,
        clauses: &[Clause],
        facets: &[Facet],
        state: &mut State,
        depth: usize,
    ) -> Result<Vec<Choice>> {
        let mut left: Vec<usize> = (0..clauses.len()).collect();
        let mut choices = Vec::with_capacity(clauses.len());
        while !left.is_empty() {
            if let Some(at) = left.iter().position(|i| self.is_filter(&clauses[*i], state, &left, clauses)) {
                let clause = left.remove(at);
                self.apply_filter(&clauses[clause], state);
                choices.push(Choice { clause, method: Method::Plain, rows: state.rows });
                continue;
            }
            let best = self.best(clauses, facets, state, &left, depth)?;
            let not = left.iter().position(|i| {
                matches!(&clauses[*i].kind, Kind::Not { .. }) && self.is_ready(&clauses[*i], &state.bound)
            });
            match (best, not) {
                (best, Some(at)) if best.as_ref().is_none_or(|(_, _, next)| next.rows >= state.rows) => {
                    let clause = left.remove(at);
                    state.cost += state.rows * 20.0;
                    state.narrow(state.rows * 0.6);
                    choices.push(Choice { clause, method: Method::Plain, rows: state.rows });
                }
                (Some((at, method, next)), _) => {
                    let clause = left.remove(at);
                    *state = next;
                    choices.push(Choice { clause, method, rows: state.rows });
                }
                (None, _) => return Err(self.stuck(clauses, &left, state)),
            }
        }
        Ok(choices)
    }

    /// Whether a clause is to be applied at once: it is ready and costs little.
    fn is_filter(&self, clause: &Clause, state: &State, left: &[usize], clauses: &[Clause]) -> bool {
        match &clause.kind {
            Kind::Call(call) => {
                self.is_ready(clause, &state.bound)
                    && call.binding.as_ref().is_none_or(is_single)
                    && !self.has_to_wait(clause, state, left, clauses)
            }
            Kind::Equal(..) => self.is_ready(clause, &state.bound),
            _ => false,
        }
    }

    /// Whether a clause is a call that may fail, while there are clauses left that do not depend on it and fail less:
    /// when calls are late, those go first.
    fn has_to_wait(&self, clause: &Clause, state: &State, left: &[usize], clauses: &[Clause]) -> bool {
        let Kind::Call(call) = &clause.kind else { return false };
        let fails_less = |other: &Clause| match &other.kind {
            Kind::Call(other) => failing(other) < failing(call),
            Kind::Equal(..) => false,
            _ => true,
        };
        self.late && left.iter().any(|i| fails_less(&clauses[*i]) && self.is_ready(&clauses[*i], &state.bound))
    }

    fn apply_filter(&self, clause: &Clause, state: &mut State) {
        state.cost += state.rows * 3.0;
        match &clause.kind {
            Kind::Call(call) => match &call.binding {
                None => state.narrow(state.rows / if matches!(call.name.as_str(), "=" | "==") { 10.0 } else { 2.5 }),
                Some(_) => {
                    for var in &call.outs {
                        if !state.bound.insert(*var) {
                            state.narrow(state.rows / 10.0);
                        } else {
                            state.distinct.insert(*var, state.rows);
                        }
                    }
                }
            },
            Kind::Equal(a, b) => {
                let (a, b) = (a.var(), b.var());
                let known = |v: Option<Var>, state: &State| v.is_none_or(|v| state.bound.contains(&v));
                if known(a, state) && known(b, state) {
                    state.narrow(state.rows / 10.0);
                }
                for var in [a, b].into_iter().flatten() {
                    if state.bound.insert(var) {
                        state.distinct.insert(var, state.rows);
                    }
                }
            }
            _ => {}
        }
        state.unit = false;
    }

    /// Whether attributes of the source are entities.
    fn sees_entities(&self, source: usize) -> bool {
        self.run.db(source).is_some_and(|db| db.schema().has_attribute_refs())
    }

    pub(super) fn is_ready(&self, clause: &Clause, bound: &HashSet<Var>) -> bool {
        match &clause.kind {
            Kind::Pattern { source, terms } => terms.iter().enumerate().all(|(i, term)| match term {
                Term::Var(var) if i != A || self.sees_entities(*source) => {
                    !self.waits_for.contains(var) || bound.contains(var)
                }
                _ => true,
            }),
            Kind::Input { .. } => true,
            Kind::Call(call) => arg_vars(call).all(|var| bound.contains(&var)),
            Kind::Equal(a, b) => {
                let known = |term: &Term| term.var().is_none_or(|var| bound.contains(&var));
                known(a) || known(b)
            }
            Kind::Not { shared, .. } => shared.iter().all(|var| bound.contains(var)),
            Kind::Or { branches, required } => {
                required.iter().all(|var| bound.contains(var))
                    && branches.iter().all(|branch| self.can_order(branch, bound.clone()))
            }
            Kind::Table { args, required, .. } => args
                .iter()
                .zip(required)
                .all(|(term, required)| !required || term.var().is_none_or(|var| bound.contains(&var))),
            Kind::Rule { rule, args } => {
                let required = self.run.program.rules[*rule].branches.first().map_or(0, |b| b.required);
                let known = |term: &Term| match term {
                    Term::Any => false,
                    Term::Var(var) => bound.contains(var),
                    Term::Const(_) => true,
                };
                args.iter().take(required).all(known)
                    && (args.iter().all(known) || self.rule_can_run(*rule, args.iter().map(known).collect()))
            }
        }
    }

    /// Whether some order of a body binds every input before it is used.
    pub(super) fn can_order(&self, body: &[Clause], mut bound: HashSet<Var>) -> bool {
        let mut left: Vec<&Clause> = body.iter().collect();
        while !left.is_empty() {
            let before = left.len();
            left.retain(|clause| {
                let ready = self.is_ready(clause, &bound);
                if ready && !matches!(clause.kind, Kind::Not { .. }) {
                    self.binds(&clause.kind, &mut bound);
                }
                !ready
            });
            if left.len() == before {
                return false;
            }
        }
        true
    }

    pub(super) fn binds(&self, kind: &Kind, bound: &mut HashSet<Var>) {
        if let Kind::Input { input } = kind {
            bound.extend(self.run.program.input_rows[*input].vars.iter().copied());
        }
        clause_vars(kind, &mut |var| {
            bound.insert(var);
        });
    }

    /// The next clause that spreads or joins rows, the way to do it, and the state after it.
    fn best(
        &self,
        clauses: &[Clause],
        facets: &[Facet],
        state: &State,
        left: &[usize],
        depth: usize,
    ) -> Result<Option<(usize, Method, State)>> {
        let mut best: Option<(usize, Method, State)> = None;
        let mut best_score = f64::INFINITY;
        for (at, i) in left.iter().enumerate() {
            if matches!(clauses[*i].kind, Kind::Not { .. }) || !self.is_ready(&clauses[*i], &state.bound) {
                continue;
            }
            if self.has_to_wait(&clauses[*i], state, left, clauses) {
                continue;
            }
            let (method, next, connected) = self.after(&clauses[*i], &facets[*i], state, depth)?;
            // Pairs of everything with everything come last.
            let apart = if connected || state.unit || state.rows <= 1.0 || next.rows <= 1.0 { 1.0 } else { 1e6 };
            let score = (next.rows + (next.cost - state.cost) * 0.1) * apart;
            if score < best_score {
                best_score = score;
                best = Some((at, method, next));
            }
        }
        Ok(best)
    }

    fn after(&self, clause: &Clause, facet: &Facet, state: &State, depth: usize) -> Result<(Method, State, bool)> {
        let mut next = state.clone();
        next.unit = false;
        Ok(match (&clause.kind, facet) {
            (_, Facet::Nothing(_)) => {
                next.narrow(0.0);
                (Method::Plain, next, true)
            }
            (_, Facet::Pattern(known)) => self.after_pattern(known, state, next),
            (_, Facet::Rows { vars, rows, .. }) => {
                let shared: Vec<Var> = vars.iter().copied().filter(|v| state.bound.contains(v)).collect();
                let mut out = state.rows * rows;
                for var in &shared {
                    out /= state.distinct_of(*var).max(1.0).max(rows.min(state.rows));
                }
                next.cost += state.rows * 4.0 + rows * 4.0 + out;
                for var in vars {
                    next.bound.insert(*var);
                    next.distinct.entry(*var).or_insert(*rows);
                }
                next.narrow(out);
                (Method::Plain, next, !shared.is_empty())
            }
            (Kind::Or { branches, required }, _) => {
                let mut rows = 0.0;
                let mut cost = 0.0;
                let mut shares = !required.is_empty();
                for branch in branches {
                    let mut inner = state.clone();
                    if depth < SIMULATED_DEPTH {
                        let facets = self.facets(branch)?;
                        self.order(branch, &facets, &mut inner, depth + 1)?;
                    }
                    rows += inner.rows;
                    cost += inner.cost - state.cost;
                    branch.iter().for_each(|clause| {
                        clause_vars(&clause.kind, &mut |var| {
                            shares |= state.bound.contains(&var);
                            if next.bound.insert(var) {
                                next.distinct.insert(var, inner.distinct.get(&var).copied().unwrap_or(rows));
                            }
                        })
                    });
                }
                next.cost += cost;
                next.sorted = None;
                next.narrow(rows);
                (Method::Plain, next, shares)
            }
            (Kind::Rule { args, .. } | Kind::Table { args, .. }, _) => {
                let known = |term: &Term| match term {
                    Term::Any => false,
                    Term::Var(var) => state.bound.contains(var),
                    Term::Const(_) => true,
                };
                let free = args.iter().filter(|term| !known(term)).count();
                let per_row = if free == args.len() && free > 0 { 1e6 } else { 20_f64.powi(free as i32) };
                let rows = if free == 0 { state.rows * 0.5 } else { state.rows * per_row };
                next.cost += rows * 10.0;
                for var in args.iter().filter_map(|term| term.var()) {
                    if next.bound.insert(var) {
                        next.distinct.insert(var, rows);
                    }
                }
                next.narrow(rows);
                (Method::Plain, next, free < args.len())
            }
            (Kind::Call(call), _) => {
                let rows = state.rows * 5.0;
                next.cost += rows * 10.0;
                for var in &call.outs {
                    if next.bound.insert(*var) {
                        next.distinct.insert(*var, rows);
                    }
                }
                next.narrow(rows);
                (Method::Plain, next, true)
            }
            _ => (Method::Plain, next, true),
        })
    }

    fn after_pattern(&self, known: &Known, state: &State, mut next: State) -> (Method, State, bool) {
        let Known { shape, estimate, range } = known;
        let bound_at = |i: usize| match &shape.parts[i] {
            Part::Out(var) if state.bound.contains(var) => Some(*var),
            _ => None,
        };
        let mut rows = state.rows * estimate.rows;
        let mut connected = false;
        for i in 0..shape.parts.len() {
            if let Some(var) = bound_at(i) {
                connected = true;
                rows /= estimate.distinct[i].max(state.distinct_of(var)).max(1.0);
            }
        }
        let method = if state.unit {
            next.cost += estimate.read;
            Method::Lookup(scan_order(shape, range))
        } else {
            let (method, cost) = self.join_method(shape, estimate, state, &bound_at);
            next.cost += cost;
            method
        };
        next.cost += rows;
        next.sorted = match method {
            Method::Lookup(order) if state.unit => sorted_by(shape, order),
            Method::Lookup(_) => state.sorted,
            Method::Join { build_left: true } => sorted_by(shape, scan_order(shape, range)),
            _ => state.sorted,
        };
        for (i, part) in shape.parts.iter().enumerate() {
            if let Part::Out(var) = part {
                let d = estimate.distinct[i];
                next.bound.insert(*var);
                next.distinct.entry(*var).and_modify(|old| *old = old.min(d)).or_insert(d);
            }
        }
        next.narrow(rows);
        (method, next, connected)
    }

    /// The cheapest way to join a pattern, and its cost without that of the rows that come out.
    fn join_method(
        &self,
        shape: &Shape,
        estimate: &Estimate,
        state: &State,
        bound_at: &dyn Fn(usize) -> Option<Var>,
    ) -> (Method, f64) {
        let build_left = state.rows * 2.0 < estimate.read && state.rows < 1e6;
        let join = estimate.read * 3.0 + state.rows * 4.0 + if build_left { 0.0 } else { estimate.read * 6.0 };
        let mut best = (Method::Join { build_left }, join);
        let waits = |var: Option<Var>| var.is_some_and(|var| self.waits_for.contains(&var));
        let mut offer = |order: Order, by: Option<Var>| {
            let seek = 12.0 + estimate.read.max(2.0).log2();
            let cost = if by.is_some() && by == state.sorted {
                (state.rows * seek).min(estimate.read + state.rows * 2.0)
            } else {
                // Each batch is sorted first; a batch walks at most the whole range.
                let batches = (state.rows / 4096.0).ceil();
                (state.rows * (seek + 10.0)).min(batches * estimate.read + state.rows * 12.0)
            };
            if cost < best.1 || waits(by) {
                best = (Method::Lookup(order), if waits(by) { 0.0 } else { cost });
            }
        };
        let has_attribute = matches!(shape.parts[A], Part::Const(_));
        if let Some(e) = bound_at(E) {
            offer(if has_attribute { Order::Aevt } else { Order::Eavt }, Some(e));
        }
        let indexed = shape.attribute.as_ref().is_some_and(|a| a.in_avet());
        if let Some(v) = bound_at(V).filter(|_| indexed) {
            offer(Order::Avet, Some(v));
        }
        if let Some(a) = bound_at(A).filter(|_| bound_at(E).is_none()) {
            offer(Order::Aevt, Some(a));
        }
        best
    }

    /// The error for clauses whose inputs nothing binds.
    fn stuck(&self, clauses: &[Clause], left: &[usize], state: &State) -> Error {
        let Some(clause) = left.first().map(|i| &clauses[*i]) else {
            return Error::new(ErrorKind::Internal, "query/plan", "no clause is left, yet the plan is not done");
        };
        let mut missing = Vec::new();
        let wanted: Vec<Var> = match &clause.kind {
            Kind::Call(call) => arg_vars(call).collect(),
            Kind::Not { shared, .. } => shared.clone(),
            Kind::Equal(a, b) => [a.var(), b.var()].into_iter().flatten().collect(),
            kind => {
                let mut vars = Vec::new();
                clause_vars(kind, &mut |var| vars.push(var));
                vars
            }
        };
        for var in wanted {
            let name = self.run.program.name(var);
            if !state.bound.contains(&var) && !missing.contains(&name) {
                missing.push(name);
            }
        }
        let shown = clause.place.excerpt().map(|text| format!(": {text}")).unwrap_or_default();
        let message = format!("insufficient bindings: nothing binds {} for the clause{shown}", missing.join(", "));
        clause.place.mark(Error::new(ErrorKind::Query, "query/unbound", message))
    }
}

/// The column by which a scan in an order ascends.
fn sorted_by(shape: &Shape, order: Order) -> Option<Var> {
    let constant = |i: usize| matches!(shape.parts[i], Part::Const(_));
    let sequence: &[usize] = match order {
        Order::Eavt | Order::HistoryEavt => &[E],
        Order::Aevt | Order::HistoryAevt => &[A, E],
        Order::Avet | Order::HistoryAvet => &[A, V, E],
    };
    let first = sequence.iter().find(|i| !constant(**i))?;
    match (&shape.parts[*first], *first) {
        // Cells of entities ascend as numbers; other kinds ascend by an order of their own.
        (Part::Out(var), E) => Some(*var),
        (Part::Out(var), V) if shape.attribute.as_ref().is_some_and(|a| a.is_ref()) => Some(*var),
        _ => None,
    }
}
