//! What a next step would cost, in about nanoseconds, and what is known of the rows after it.

use super::estimate::{Estimate, scan_order};
use super::order::{Facet, Known, Method};
use super::planner::Planner;
use super::search::Space;
use super::shape::Shape;
use super::state::{Set, State, place};
use super::{A, E, Part, V};
use crate::datom::Order;
use crate::error::Result;
use crate::query::analyze::clause_vars;
use crate::query::logic::{Clause, Kind, Term, Var};
use crate::query::operator::BATCH;

/// Rows that are worth a look whether they repeat, when columns were dropped.
pub(super) const MANY: f64 = 256.0;

/// A way to the next rows: how, what is known of them, and whether they have to do with the rows before.
pub(super) type Next = (Method, State, bool);

impl Planner<'_> {
    /// Applies a clause that is ready and costs little.
    pub(super) fn apply_filter(&self, clause: &Clause, state: &mut State) {
        state.cost += state.rows * 3.0;
        match &clause.kind {
            Kind::Call(call) => match &call.binding {
                None => state.narrow(state.rows / if matches!(call.name.as_str(), "=" | "==") { 10.0 } else { 2.5 }),
                Some(_) => {
                    for var in &call.outs {
                        if !state.bind_new(*var, state.rows) {
                            state.narrow(state.rows / 10.0);
                        }
                    }
                }
            },
            Kind::Equal(a, b) => {
                let (a, b) = (a.var(), b.var());
                let known = |v: Option<Var>, state: &State| v.is_none_or(|v| state.is_bound(v));
                if known(a, state) && known(b, state) {
                    state.narrow(state.rows / 10.0);
                }
                for var in [a, b].into_iter().flatten() {
                    state.bind_new(var, state.rows);
                }
            }
            _ => {}
        }
        state.unit = false;
    }

    /// What comes of a clause that is ready, when `wanted` are the variables that are needed afterwards.
    pub(super) fn after(&self, clause: &Clause, facet: &Facet, state: &State, wanted: &Set) -> Result<Next> {
        let mut next = state.clone();
        next.unit = false;
        Ok(match (&clause.kind, facet) {
            (_, Facet::Nothing(_)) => {
                clause_vars(&clause.kind, &mut |var| {
                    next.bind_new(var, 1.0);
                });
                next.narrow(0.0);
                (Method::Plain, next, true)
            }
            (_, Facet::Pattern(known)) => self.after_pattern(known, state, next, wanted),
            (_, Facet::Rows { vars, rows, .. }) => {
                let shared: Vec<Var> = vars.iter().copied().filter(|v| state.is_bound(*v)).collect();
                let mut out = state.rows * rows;
                for var in &shared {
                    out /= state.distinct_of(*var).max(rows.min(state.rows)).max(1.0);
                }
                next.cost += state.rows * 4.0 + rows * 4.0 + out;
                for var in vars {
                    next.bind_new(*var, *rows);
                }
                next.narrow(out);
                (Method::Plain, next, !shared.is_empty())
            }
            (Kind::Not { .. }, _) => {
                next.cost += state.rows * 20.0;
                next.narrow(state.rows * 0.6);
                (Method::Plain, next, true)
            }
            (Kind::Or { branches, required }, facet) => {
                let mut rows = 0.0;
                let mut shares = !required.is_empty();
                for (i, branch) in branches.iter().enumerate() {
                    let mut inner = state.clone();
                    if let Facet::Or(facets) = facet
                        && let Some(facets) = facets.get(i)
                    {
                        let space = Space::new(self, branch, facets, wanted);
                        inner = space.greedy(state.clone())?.1;
                    }
                    rows += inner.rows;
                    next.cost += inner.cost - state.cost;
                    branch.iter().for_each(|clause| {
                        clause_vars(&clause.kind, &mut |var| {
                            shares |= state.is_bound(var);
                            let distinct = if inner.is_bound(var) { inner.distinct_of(var) } else { rows };
                            next.bind_new(var, distinct);
                        })
                    });
                }
                next.sorted = None;
                next.narrow(rows);
                (Method::Plain, next, shares)
            }
            (Kind::Rule { args, .. } | Kind::Table { args, .. }, _) => {
                let known = |term: &Term| match term {
                    Term::Any => false,
                    Term::Var(var) => state.is_bound(*var),
                    Term::Const(_) => true,
                };
                let free = args.iter().filter(|term| !known(term)).count();
                let per_row = if free == args.len() && free > 0 { 1e6 } else { 20_f64.powi(free as i32) };
                let rows = if free == 0 { state.rows * 0.5 } else { state.rows * per_row };
                next.cost += rows * 10.0;
                for var in args.iter().filter_map(|term| term.var()) {
                    next.bind_new(var, rows);
                }
                next.sorted = None;
                next.narrow(rows);
                (Method::Plain, next, free < args.len())
            }
            (Kind::Call(call), _) => {
                let rows = state.rows * 5.0;
                next.cost += rows * 10.0;
                for var in &call.outs {
                    next.bind_new(*var, rows);
                }
                next.narrow(rows);
                (Method::Plain, next, true)
            }
            _ => (Method::Plain, next, true),
        })
    }

    fn after_pattern(&self, known: &Known, state: &State, mut next: State, wanted: &Set) -> Next {
        let Known { shape, estimate, range } = known;
        let bound_at = |i: usize| match &shape.parts[i] {
            Part::Out(var) if state.is_bound(*var) => Some(*var),
            _ => None,
        };
        let mut rows = state.rows * estimate.rows;
        let mut connected = false;
        let mut is_new = false;
        for i in 0..shape.parts.len() {
            if let Some(var) = bound_at(i) {
                connected = true;
                rows /= estimate.distinct[i].max(state.distinct_of(var)).max(1.0);
            } else if let Part::Out(var) = &shape.parts[i] {
                is_new |= wanted.contains(place(*var));
            }
        }
        // Where nothing new is wanted, one match is as good as many.
        if connected && !is_new {
            rows = rows.min(state.rows);
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
            // Rows come in the order in which the index is entered.
            Method::Lookup(Order::Avet | Order::HistoryAvet) => bound_at(V).filter(|var| state.sorted == Some(*var)),
            Method::Lookup(_) => bound_at(E).filter(|var| state.sorted == Some(*var)),
            Method::Join { build_left: true } => sorted_by(shape, scan_order(shape, range)),
            _ => state.sorted,
        };
        for (i, part) in shape.parts.iter().enumerate() {
            if let Part::Out(var) = part {
                next.bind(*var, estimate.distinct[i]);
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
        // Where more than the key is known, all datoms of the key are looked at.
        let more = [E, V].iter().filter(|i| bound_at(**i).is_some()).count() > 1;
        let mut offer = |order: Order, by: Option<Var>, at: usize| {
            let looks = if more { state.rows * (estimate.read / estimate.distinct[at].max(1.0)) } else { 0.0 };
            let seek = 12.0 + estimate.read.max(2.0).log2();
            let cost = if by.is_some() && by == state.sorted {
                (state.rows * seek).min(estimate.read + state.rows * 2.0)
            } else {
                // Each batch is sorted first; a batch walks at most the whole range.
                let batches = (state.rows / BATCH as f64).ceil();
                (state.rows * (seek + 10.0)).min(batches * estimate.read + state.rows * 12.0)
            };
            let cost = cost + looks;
            if cost < best.1 || waits(by) {
                best = (Method::Lookup(order), if waits(by) { 0.0 } else { cost });
            }
        };
        let has_attribute = matches!(shape.parts[A], Part::Const(_));
        if let Some(e) = bound_at(E) {
            offer(if has_attribute { Order::Aevt } else { Order::Eavt }, Some(e), E);
        }
        let indexed = shape.attribute.as_ref().is_some_and(|a| a.in_avet());
        if let Some(v) = bound_at(V).filter(|_| indexed) {
            offer(Order::Avet, Some(v), V);
        }
        if let Some(a) = bound_at(A).filter(|_| bound_at(E).is_none()) {
            offer(Order::Aevt, Some(a), A);
        }
        best
    }
}

/// Two sets of rows that were found apart, joined where they agree: whether the left ones are hashed and what comes of it.
pub(super) fn joined(left: &State, right: &State, wanted: &Set) -> Option<(bool, State)> {
    let mut next = left.clone();
    let mut rows = left.rows * right.rows;
    let (mut connected, mut is_new) = (false, false);
    for (var, _) in right.columns() {
        if left.is_bound(*var) {
            connected = true;
            rows /= left.distinct_of(*var).max(right.distinct_of(*var));
        } else {
            is_new |= wanted.contains(place(*var));
        }
    }
    if !is_new {
        rows = rows.min(left.rows);
    }
    let build_left = left.rows * 2.0 < right.rows;
    let (hashed, streamed) = if build_left { (left.rows, right.rows) } else { (right.rows, left.rows) };
    next.cost += right.cost + hashed * 10.0 + streamed * 5.0 + rows;
    next.sorted = if build_left { right.sorted } else { left.sorted };
    right.columns().iter().for_each(|(var, distinct)| next.bind(*var, *distinct));
    next.narrow(rows);
    connected.then_some((build_left, next))
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
