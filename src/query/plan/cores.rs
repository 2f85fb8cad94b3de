//! Cyclic cores: patterns over ref attributes that tie variables to each other in circles.

use std::sync::Arc;

use super::order::Facet;
use super::state::{Set, State};
use super::{Cyclic, E, Part, Tie, V};
use crate::query::logic::{Clause, Kind, Var};
use crate::schema::Attribute;

/// Patterns that are answered together, variable by variable.
#[derive(Debug)]
pub(super) struct Core {
    pub clauses: Set,
    pub plan: Cyclic,
    /// What is known of the rows, when nothing comes before.
    pub state: State,
}

/// An edge that a pattern gives: from its entity to its value.
struct Edge<'f> {
    clause: usize,
    source: usize,
    attribute: &'f Arc<Attribute>,
    ends: [Var; 2],
    rows: f64,
    /// Different entities, different values.
    distinct: [f64; 2],
}

fn edge<'f>(clause: usize, Clause { kind, .. }: &Clause, facet: &'f Facet) -> Option<Edge<'f>> {
    let (Kind::Pattern { source, .. }, Facet::Pattern(known)) = (kind, facet) else { return None };
    let attribute = known.shape.attribute.as_ref().filter(|attribute| attribute.is_ref())?;
    match &known.shape.parts {
        [Part::Out(from), Part::Const(_), Part::Out(to), Part::Any, Part::Any] => {
            let estimate = &known.estimate;
            Some(Edge {
                clause,
                source: *source,
                attribute,
                ends: [*from, *to],
                rows: estimate.rows,
                distinct: [estimate.distinct[E], estimate.distinct[V]],
            })
        }
        _ => None,
    }
}

/// The cores of a conjunction: what is left of its edges when those that end in a variable of a single edge are taken
/// away again and again, in parts that hang together.
pub(super) fn cores(clauses: &[Clause], facets: &[Facet]) -> Vec<Core> {
    let mut edges: Vec<Edge<'_>> =
        clauses.iter().zip(facets).enumerate().filter_map(|(i, (clause, facet))| edge(i, clause, facet)).collect();
    loop {
        let before = edges.len();
        let ends: Vec<Var> = edges.iter().flat_map(|edge| edge.ends).collect();
        edges.retain(|edge| edge.ends.iter().all(|var| ends.iter().filter(|other| *other == var).count() > 1));
        if edges.len() == before {
            break;
        }
    }
    let mut cores = Vec::new();
    while let Some(first) = edges.first() {
        let mut vars: Vec<Var> = first.ends.to_vec();
        loop {
            let before = vars.len();
            for edge in &edges {
                if edge.ends.iter().any(|var| vars.contains(var)) {
                    edge.ends.iter().for_each(|var| {
                        if !vars.contains(var) {
                            vars.push(*var)
                        }
                    });
                }
            }
            if vars.len() == before {
                break;
            }
        }
        let (own, others): (Vec<Edge<'_>>, Vec<Edge<'_>>) =
            edges.into_iter().partition(|edge| vars.contains(&edge.ends[0]));
        edges = others;
        // Two variables that are tied twice need no more than a check.
        if vars.len() > 2 {
            cores.push(core(&own, vars));
        }
    }
    cores
}

/// The variables in the order in which they are found: first the one with most edges, of which it is the entity where
/// that is equal, then always the one with most edges to those before.
fn sequence(edges: &[Edge<'_>], mut left: Vec<Var>) -> Vec<Var> {
    let mut sequence: Vec<Var> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let worth = |var: &Var| {
            let own = edges.iter().filter(|edge| edge.ends.contains(var));
            let known = own.clone().filter(|edge| edge.ends.iter().any(|end| sequence.contains(end))).count();
            (known, own.clone().count(), own.filter(|edge| edge.ends[0] == *var).count())
        };
        let mut best = 0;
        for at in 1..left.len() {
            if worth(&left[at]) > worth(&left[best]) {
                best = at;
            }
        }
        sequence.push(left.remove(best));
    }
    sequence
}

/// Nanoseconds for an edge to be read, to be put among the neighbours of one of its ends, and for a neighbour to be
/// looked at.
const READ_NS: f64 = 4.0;
const LIST_NS: f64 = 4.0;
const LOOK_NS: f64 = 1.5;

/// Other orders are reckoned as if neighbours were spread evenly. Graphs seldom are even: the paths through nodes with many
/// neighbours on both sides make them cost several times that, while what is done here stays within bounds.
const UNEVEN: f64 = 4.0;

fn core(edges: &[Edge<'_>], vars: Vec<Var>) -> Core {
    let vars = sequence(edges, vars);
    let place = |var: Var| vars.iter().position(|other| *other == var).unwrap_or(0);
    let mut ties: Vec<Tie> = Vec::with_capacity(edges.len());
    let mut cost = 0.0;
    for edge in edges {
        let [e, v] = edge.ends.map(place);
        let is_same = |tie: &Tie| tie.source == edge.source && tie.attribute.id == edge.attribute.id;
        cost += if ties.iter().any(is_same) { 0.0 } else { edge.rows * READ_NS };
        cost += if ties.iter().any(|tie| is_same(tie) && tie.along == (e < v)) { 0.0 } else { edge.rows * LIST_NS };
        let (source, attribute) = (edge.source, Arc::clone(edge.attribute));
        ties.push(Tie { from: e.min(v), to: e.max(v), source, attribute, along: e < v });
    }
    let mut state = State::new(&[], 1.0);
    for (at, var) in vars.iter().enumerate() {
        let here = |edge: &&Edge<'_>| edge.ends.contains(var);
        let distinct = edges.iter().filter(here).map(|edge| edge.distinct[usize::from(edge.ends[1] == *var)]);
        let distinct = distinct.fold(f64::INFINITY, f64::min).max(1.0);
        // How many neighbours each edge to a variable before gives, and the share of all that it leaves.
        let mut fans: Vec<f64> = Vec::new();
        for edge in edges.iter().filter(here) {
            let far = usize::from(edge.ends[0] == *var);
            if place(edge.ends[far]) < at {
                fans.push(edge.rows / edge.distinct[far].max(1.0));
            }
        }
        let rows = if fans.is_empty() {
            distinct
        } else {
            fans.iter().product::<f64>() / distinct.powi(fans.len() as i32 - 1)
        };
        let looks = fans.iter().copied().fold(f64::INFINITY, f64::min);
        cost += state.rows * if looks.is_finite() { looks } else { distinct } * LOOK_NS;
        let rows = state.rows * rows;
        state.bind(*var, distinct);
        state.narrow(rows);
    }
    state.cost = (cost + state.rows) / UNEVEN;
    state.unit = false;
    let clauses = edges.iter().map(|edge| edge.clause).collect();
    Core { clauses, plan: Cyclic { vars, ties }, state }
}
