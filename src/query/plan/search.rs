//! Which order is best: greedily, and by dynamic programming over the sets of clauses that hang together (after Selinger
//! et al. 1979, with trees of any shape as Moerkotte and Neumann 2006 enumerate them).
//!
//! For each set of clauses that was reached the cheapest way is kept, and one more for each column that the rows ascend
//! by. Ways that cost more than the greedy order does are given up at once. The clauses come in a sequence that does not
//! depend on the text (`analyze/canonical.rs`), and of ways that cost the same the first is kept; so the plan does not
//! depend on the text either.

use hashbrown::HashMap;

use super::cores::{Core, cores};
use super::cost::{MANY, joined};
use super::is_single;
use super::order::{Choice, Facet, Method, What, failing};
use super::planner::Planner;
use super::state::{Set, State, place};
use crate::error::Result;
use crate::query::logic::{Clause, Kind};

/// Most clauses, filters aside, whose orders are all looked at.
const MOST_JOINS: usize = 12;

/// Steps that are always looked at, and the nanoseconds that one takes: planning takes a tenth of a millisecond, or the
/// twentieth part of what the greedy order would cost.
const FREE_STEPS: f64 = 400.0;
const STEP_NS: f64 = 250.0;
const MOST_STEPS: f64 = 100_000.0;

/// Clauses to be ordered, and what is known of them beforehand.
pub(super) struct Space<'p> {
    planner: &'p Planner<'p>,
    clauses: &'p [Clause],
    facets: &'p [Facet],
    /// The variables that each clause reads or joins by.
    needs: Vec<Set>,
    /// The variables that are wanted in the end.
    needed: &'p Set,
    /// Clauses that are applied as soon as they are ready.
    filters: Set,
    joins: usize,
    /// Patterns that can be answered together, when nothing comes before.
    pub cores: Vec<Core>,
}

/// A set of clauses, and the best way to their rows.
struct Node {
    done: Set,
    state: State,
    /// The node before, and what is done to its rows, then the filters that are applied.
    before: Option<usize>,
    choices: Vec<Choice>,
    /// Whether another node is better in every way.
    beaten: bool,
}

impl<'p> Space<'p> {
    pub fn new(planner: &'p Planner<'p>, clauses: &'p [Clause], facets: &'p [Facet], needed: &'p Set) -> Space<'p> {
        let needs = clauses.iter().map(|clause| {
            let mut vars = Set::default();
            planner.clause_needs(&clause.kind, &mut |var| {
                vars.insert(place(var));
            });
            vars
        });
        let is_filter = |i: &usize| match &clauses[*i].kind {
            Kind::Call(call) => call.binding.as_ref().is_none_or(is_single),
            Kind::Equal(..) => true,
            _ => false,
        };
        let filters: Set = (0..clauses.len()).filter(is_filter).collect();
        let joins = clauses.len() - filters.len();
        Space { planner, clauses, facets, needs: needs.collect(), needed, filters, joins, cores: Vec::new() }
    }

    /// An order of all clauses, and what is known of the rows after it.
    pub fn order(&mut self, start: State) -> Result<(Vec<Choice>, State)> {
        if start.unit {
            self.cores = cores(self.clauses, self.facets);
        }
        let (mut choices, mut state) = self.greedy(start.clone())?;
        for core in 0..self.cores.len() {
            let (others, end) = self.greedy_from_core(core)?;
            if end.cost < state.cost {
                (choices, state) = (others, end);
            }
        }
        if self.joins < 2 || self.joins > MOST_JOINS || self.planner.late {
            return Ok((choices, state));
        }
        Ok(self.best(start, &state)?.unwrap_or((choices, state)))
    }

    /// The variables that are wanted once the clauses `done` are.
    fn wanted(&self, done: &Set) -> Set {
        let mut wanted = self.needed.clone();
        let left = self.needs.iter().enumerate().filter(|(i, _)| !done.contains(*i));
        left.for_each(|(_, needs)| wanted.add_all(needs));
        wanted
    }

    /// Drops what nobody wants any more, and rows that are equal then.
    fn settle(&self, done: &Set, wanted: &Set, state: &mut State) -> Option<f64> {
        let dropped = state.drop_columns(wanted);
        let most = state.most_distinct();
        if !dropped || state.rows <= MANY || most >= state.rows || done.len() == self.clauses.len() {
            return None;
        }
        state.cost += state.rows * 8.0;
        state.narrow(most);
        Some(most)
    }

    /// Applies the filters that are ready.
    fn filter(&self, done: &mut Set, state: &mut State, choices: &mut Vec<Choice>) {
        loop {
            let ready = |i: &usize| {
                self.filters.contains(*i)
                    && !done.contains(*i)
                    && self.planner.is_ready(&self.clauses[*i], state.bound())
                    && !self.has_to_wait(*i, done, state)
            };
            let Some(i) = (0..self.clauses.len()).find(ready) else { return };
            self.planner.apply_filter(&self.clauses[i], state);
            done.insert(i);
            choices.push(Choice { what: What::Clause(i, Method::Plain), rows: state.rows, different: None });
        }
    }

    /// Whether a clause is a call that may fail, while there are clauses left that do not depend on it and fail less:
    /// when calls are late, those go first.
    fn has_to_wait(&self, clause: usize, done: &Set, state: &State) -> bool {
        let Kind::Call(call) = &self.clauses[clause].kind else { return false };
        let fails_less = |other: &Clause| match &other.kind {
            Kind::Call(other) => failing(other) < failing(call),
            Kind::Equal(..) => false,
            _ => true,
        };
        self.planner.late
            && (0..self.clauses.len()).any(|i| {
                let other = &self.clauses[i];
                !done.contains(i) && fails_less(other) && self.planner.is_ready(other, state.bound())
            })
    }

    /// The joins that can come next.
    fn ready(&self, done: &Set, state: &State) -> Vec<usize> {
        let is_ready = |i: &usize| {
            !done.contains(*i)
                && !self.filters.contains(*i)
                && self.planner.is_ready(&self.clauses[*i], state.bound())
                && !self.has_to_wait(*i, done, state)
        };
        (0..self.clauses.len()).filter(is_ready).collect()
    }

    /// The cheapest clause next, and so on.
    pub fn greedy(&self, state: State) -> Result<(Vec<Choice>, State)> {
        self.greedy_from(Set::default(), Vec::with_capacity(self.clauses.len()), state)
    }

    fn greedy_from_core(&self, core: usize) -> Result<(Vec<Choice>, State)> {
        let Core { clauses, state, .. } = &self.cores[core];
        let mut state = state.clone();
        let rows = state.rows;
        let different = self.settle(clauses, &self.wanted(clauses), &mut state);
        self.greedy_from(clauses.clone(), vec![Choice { what: What::Core(core), rows, different }], state)
    }

    fn greedy_from(&self, mut done: Set, mut choices: Vec<Choice>, mut state: State) -> Result<(Vec<Choice>, State)> {
        loop {
            self.filter(&mut done, &mut state, &mut choices);
            if done.len() == self.clauses.len() {
                return Ok((choices, state));
            }
            let mut best: Option<(usize, Method, State)> = None;
            let mut best_score = f64::INFINITY;
            let ready = self.ready(&done, &state);
            let wanted_after = |i: usize| {
                let mut after = done.clone();
                after.insert(i);
                self.wanted(&after)
            };
            for i in &ready {
                if matches!(self.clauses[*i].kind, Kind::Not { .. }) {
                    continue;
                }
                let wanted = wanted_after(*i);
                let (method, next, connected) =
                    self.planner.after(&self.clauses[*i], &self.facets[*i], &state, &wanted)?;
                // Pairs of everything with everything come last.
                let apart = if connected || state.unit || state.rows <= 1.0 || next.rows <= 1.0 { 1.0 } else { 1e6 };
                let score = (next.rows + (next.cost - state.cost) * 0.1) * apart;
                if score < best_score {
                    best_score = score;
                    best = Some((*i, method, next));
                }
            }
            // What only drops rows goes before what does not make them fewer.
            let not = ready.iter().find(|i| matches!(self.clauses[**i].kind, Kind::Not { .. }));
            if let Some(not) = not
                && best.as_ref().is_none_or(|(_, _, next)| next.rows >= state.rows)
            {
                let wanted = wanted_after(*not);
                let (method, next, _) = self.planner.after(&self.clauses[*not], &self.facets[*not], &state, &wanted)?;
                best = Some((*not, method, next));
            }
            let Some((clause, method, next)) = best else {
                let left: Vec<usize> = (0..self.clauses.len()).filter(|i| !done.contains(*i)).collect();
                return Err(self.planner.stuck(self.clauses, &left, &state));
            };
            state = next;
            done.insert(clause);
            let rows = state.rows;
            let different = self.settle(&done, &self.wanted(&done), &mut state);
            choices.push(Choice { what: What::Clause(clause, method), rows, different });
        }
    }

    /// Whether a clause can be answered apart from what comes before it: its answers are the same however often it is
    /// asked, and nothing is asked of tables.
    fn stands_alone(&self, clause: usize) -> bool {
        matches!(self.clauses[clause].kind, Kind::Pattern { .. } | Kind::Input { .. } | Kind::Call(_) | Kind::Equal(..))
    }

    /// The cheapest order that costs less than the greedy one; `None` where there is none, or finding it would take too
    /// long.
    fn best(&self, start: State, greedy: &State) -> Result<Option<(Vec<Choice>, State)>> {
        let mut steps = (greedy.cost / 20.0 / STEP_NS).clamp(FREE_STEPS, MOST_STEPS);
        let mut table = Reached { nodes: Vec::new(), by_set: HashMap::new(), bound: greedy.cost };
        let (mut done, mut state, mut choices) = (Set::default(), start, Vec::new());
        let apart = state.unit;
        self.filter(&mut done, &mut state, &mut choices);
        table.nodes.push(Node { done, state, before: None, choices, beaten: false });
        // The nodes with so many joins done.
        let mut levels: Vec<Vec<usize>> = vec![vec![0]];
        for level in 0..self.joins {
            let mut reached = Vec::new();
            for at in levels[level].clone() {
                if !table.nodes[at].beaten && !self.extend(at, &mut table, &mut reached, &mut steps)? {
                    return Ok(None);
                }
            }
            for right in 2..=if apart { level } else { 0 } {
                let left = level + 1 - right;
                for (a, b) in levels[left].iter().flat_map(|a| levels[right].iter().map(move |b| (*a, *b))) {
                    steps -= 0.05;
                    self.pair(a, b, &mut table, &mut reached, &mut steps);
                }
                if steps < 0.0 {
                    return Ok(None);
                }
            }
            for (i, core) in self.cores.iter().enumerate().filter(|(_, core)| core.clauses.len() == level + 1) {
                self.reach(0, core.clauses.clone(), What::Core(i), core.state.clone(), &mut table, &mut reached);
            }
            reached.retain(|at| !table.nodes[*at].beaten);
            levels.push(reached);
        }
        let ends = levels.last().into_iter().flatten().copied();
        let end = ends.min_by(|a, b| table.nodes[*a].state.cost.total_cmp(&table.nodes[*b].state.cost));
        Ok(end.map(|end| (table.choices(end), table.nodes[end].state.clone())))
    }

    /// Goes on from a node by each clause that can come next; false when there were too many steps.
    fn extend(&self, at: usize, table: &mut Reached, reached: &mut Vec<usize>, steps: &mut f64) -> Result<bool> {
        let ready = self.ready(&table.nodes[at].done, &table.nodes[at].state);
        let mut apart: Vec<(usize, Method, State)> = Vec::new();
        let mut is_connected = false;
        for clause in ready {
            let state = &table.nodes[at].state;
            *steps -= match &self.clauses[clause].kind {
                Kind::Or { branches, .. } => 1.0 + branches.iter().map(|b| (b.len() * b.len()) as f64).sum::<f64>(),
                _ => 1.0,
            };
            if *steps < 0.0 {
                return Ok(false);
            }
            let mut after = table.nodes[at].done.clone();
            after.insert(clause);
            let wanted = self.wanted(&after);
            let (method, next, connected) =
                self.planner.after(&self.clauses[clause], &self.facets[clause], state, &wanted)?;
            if connected || state.unit || state.rows <= 1.0 || next.rows <= 1.0 {
                is_connected |= connected;
                self.reach(at, after, What::Clause(clause, method), next, table, reached);
            } else {
                apart.push((clause, method, next));
            }
        }
        // Pairs of everything with everything, where nothing else is left.
        for (clause, method, next) in apart.into_iter().filter(|_| !is_connected) {
            let mut after = table.nodes[at].done.clone();
            after.insert(clause);
            self.reach(at, after, What::Clause(clause, method), next, table, reached);
        }
        Ok(true)
    }

    /// Joins what was found apart.
    fn pair(&self, a: usize, b: usize, table: &mut Reached, reached: &mut Vec<usize>, steps: &mut f64) {
        let (left, right) = (&table.nodes[a], &table.nodes[b]);
        if left.done.meets(&right.done, &self.filters)
            || left.beaten
            || right.beaten
            || left.state.cost + right.state.cost >= table.bound
        {
            return;
        }
        *steps -= 1.0;
        let alone = (0..self.clauses.len()).filter(|i| right.done.contains(*i)).all(|i| self.stands_alone(i));
        let mut done = left.done.clone();
        done.add_all(&right.done);
        let wanted = self.wanted(&done);
        let Some((build_left, next)) = joined(&left.state, &right.state, &wanted).filter(|_| alone) else { return };
        self.reach(a, done, What::Side { choices: table.choices(b), build_left }, next, table, reached);
    }

    /// Takes in a way to a set of clauses, if it is better than those known.
    fn reach(
        &self,
        before: usize,
        mut done: Set,
        what: What,
        mut state: State,
        table: &mut Reached,
        reached: &mut Vec<usize>,
    ) {
        if state.cost >= table.bound {
            return;
        }
        let rows = state.rows;
        let different = self.settle(&done, &self.wanted(&done), &mut state);
        let mut choices = vec![Choice { what, rows, different }];
        self.filter(&mut done, &mut state, &mut choices);
        if state.cost >= table.bound {
            return;
        }
        if done.len() == self.clauses.len() {
            table.bound = state.cost;
        }
        let known = table.by_set.entry(done.clone()).or_default();
        let is_as_good = |node: &Node| node.state.sorted == state.sorted || state.sorted.is_none();
        if known.iter().any(|at| is_as_good(&table.nodes[*at]) && table.nodes[*at].state.cost <= state.cost) {
            return;
        }
        known.retain(|at| {
            let node = &mut table.nodes[*at];
            let sorted = node.state.sorted;
            node.beaten = state.cost <= node.state.cost && (sorted == state.sorted || sorted.is_none());
            !node.beaten
        });
        known.push(table.nodes.len());
        reached.push(table.nodes.len());
        table.nodes.push(Node { done, state, before: Some(before), choices, beaten: false });
    }
}

/// The nodes so far.
struct Reached {
    nodes: Vec<Node>,
    by_set: HashMap<Set, Vec<usize>>,
    /// What the best complete order costs.
    bound: f64,
}

impl Reached {
    /// All that is done on the way to a node.
    fn choices(&self, end: usize) -> Vec<Choice> {
        let mut way = vec![end];
        while let Some(before) = self.nodes[way[way.len() - 1]].before {
            way.push(before);
        }
        way.iter().rev().flat_map(|at| self.nodes[*at].choices.iter().cloned()).collect()
    }
}
