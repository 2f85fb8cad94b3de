//! From an order to steps: columns that nobody needs any more are dropped, rows that repeat for nothing are merged.

use std::sync::Arc;

use hashbrown::HashSet;

use super::cores::Core;
use super::facts::Facts;
use super::order::{Choice, Facet, Method, What};
use super::planner::Planner;
use super::search::Space;
use super::state::{Set, State, place};
use super::{Op, Operand, Plan, RuleArg, RuleCall, Step, TableCall, is_single};
use crate::datom::Value;
use crate::error::Result;
use crate::query::analyze::clause_vars;
use crate::query::logic::{Clause, Kind, Place, Term, Var};

/// The number of a row of the batch that a `not` looks at, as a column.
pub(in crate::query) const ROW: Var = Var::MAX;

/// Plans a conjunction whose input has the columns `input` and about so many rows; `needed` are the columns wanted.
pub(in crate::query) fn plan_body(
    planner: &Planner<'_>,
    clauses: &[Clause],
    input: &[Var],
    rows: f64,
    needed: &HashSet<Var>,
) -> Result<Plan> {
    let facets = planner.facets(clauses)?;
    let wanted: Set = needed.iter().map(|var| place(*var)).collect();
    let mut space = Space::new(planner, clauses, &facets, &wanted);
    let (choices, _) = space.order(State::new(input, rows))?;
    let body = Body { clauses, facets: &facets, cores: &space.cores };
    planner.lower(&body, &choices, input, rows, needed, &mut Facts::new(input))
}

/// Deepest plans for rows whose calls failed inside one another: so many calls may fail for one row, and another clause
/// still drop it.
const MAX_RESCUES: usize = 3;

/// Clauses that are brought into steps, with what is known of them.
pub(super) struct Body<'b> {
    pub clauses: &'b [Clause],
    pub facets: &'b [Facet],
    cores: &'b [Core],
}

impl Body<'_> {
    /// The clauses that a choice is about.
    pub fn concerned<'c>(&'c self, what: &'c What, f: &mut dyn FnMut(&'c Clause)) {
        match what {
            What::Clause(clause, _) => f(&self.clauses[*clause]),
            What::Side { choices, .. } => choices.iter().for_each(|choice| self.concerned(&choice.what, f)),
            What::Core(core) => {
                let is_part = |i: &usize| self.cores[*core].clauses.contains(*i);
                (0..self.clauses.len()).filter(is_part).for_each(|i| f(&self.clauses[i]));
            }
        }
    }
}

/// Where a step is put: the columns and rows before it, the columns wanted after it.
struct Spot<'s> {
    layout: &'s [Var],
    rows: f64,
    after: &'s HashSet<Var>,
}

impl Planner<'_> {
    fn lower(
        &self,
        body: &Body<'_>,
        choices: &[Choice],
        input: &[Var],
        input_rows: f64,
        needed: &HashSet<Var>,
        facts: &mut Facts,
    ) -> Result<Plan> {
        let implied = self.implied(body, choices, input);
        let is_wanted = |choice: &&Choice| !matches!(choice.what, What::Clause(clause, _) if implied.contains(&clause));
        let choices: Vec<&Choice> = choices.iter().filter(is_wanted).collect();
        // What the steps from each one on need.
        let mut needed_from: Vec<HashSet<Var>> = vec![needed.clone()];
        for choice in choices.iter().rev() {
            let mut vars = needed_from.last().cloned().unwrap_or_default();
            body.concerned(&choice.what, &mut |clause| {
                self.clause_needs(&clause.kind, &mut |var| {
                    vars.insert(var);
                });
            });
            needed_from.push(vars);
        }
        needed_from.reverse();
        let mut plan = Plan { steps: Vec::new(), input: input.to_vec(), rows: input_rows, distinct: false };
        let mut rows = input_rows;
        for (n, choice) in choices.iter().enumerate() {
            let after = &needed_from[n + 1];
            let layout = plan.layout().to_vec();
            let spot = Spot { layout: &layout, rows, after };
            let mut new_layout: Vec<Var> = layout.iter().copied().filter(|var| after.contains(var)).collect();
            let mut add = |var: Var| {
                if after.contains(&var) && !new_layout.contains(&var) {
                    new_layout.push(var);
                }
            };
            let (op, place) = match &choice.what {
                What::Clause(clause, method) => {
                    let (clause, facet) = (&body.clauses[*clause], &body.facets[*clause]);
                    let mut op = self.op(clause, facet, *method, &spot, facts)?;
                    if let Op::Call { rescue, .. } = &mut op {
                        *rescue = self.rescue(body, &choices[n + 1..], &layout)?;
                    }
                    self.clause_gives(&clause.kind, &mut add);
                    (op, Arc::clone(&clause.place))
                }
                What::Side { choices, build_left } => {
                    let (op, place) = self.side(body, choices, *build_left, &spot, facts)?;
                    if let Op::Join { right, .. } = &op {
                        right.layout().iter().copied().for_each(&mut add);
                    }
                    (op, place)
                }
                What::Core(core) => {
                    let cyclic = body.cores[*core].plan.clone();
                    let mut place = Arc::default();
                    body.concerned(&choice.what, &mut |clause| place = Arc::clone(&clause.place));
                    for var in &cyclic.vars {
                        facts.varies(*var);
                        add(*var);
                    }
                    (Op::Cyclic(cyclic), place)
                }
            };
            rows = choice.rows;
            let dropped = new_layout.len() < layout.len() || layout.iter().any(|var| !new_layout.contains(var));
            plan.steps.push(Step { op, layout: new_layout.clone(), rows, place });
            // Rows that differ only in what was dropped would be joined again and again.
            if let Some(different) = choice.different.filter(|_| dropped && !facts.is_distinct(&new_layout)) {
                facts.made_distinct(&new_layout);
                rows = different;
                plan.steps.push(Step { op: Op::Distinct, layout: new_layout, rows, place: Arc::default() });
            }
        }
        plan.rows = rows;
        plan.distinct = facts.is_distinct(plan.layout());
        Ok(plan)
    }

    /// Where calls are late, what else a row must pass for which a call fails: those of the clauses to come that can be
    /// answered without the call. The others count as true.
    fn rescue(&self, body: &Body<'_>, rest: &[&Choice], layout: &[Var]) -> Result<Option<Plan>> {
        if !self.late || self.rescues.get() == MAX_RESCUES {
            return Ok(None);
        }
        let mut left: Vec<&Clause> = Vec::new();
        rest.iter().for_each(|choice| body.concerned(&choice.what, &mut |clause| left.push(clause)));
        let mut bound: Set = layout.iter().map(|var| place(*var)).collect();
        let mut answered: Vec<Clause> = Vec::new();
        loop {
            let before = left.len();
            left.retain(|clause| {
                let ready = self.is_ready(clause, &bound);
                if ready {
                    answered.push(Clause::clone(clause));
                    self.clause_gives(&clause.kind, &mut |var| {
                        bound.insert(place(var));
                    });
                }
                !ready
            });
            if left.len() == before {
                break;
            }
        }
        self.rescues.set(self.rescues.get() + 1);
        let plan = plan_body(self, &answered, layout, 1.0, &HashSet::new());
        self.rescues.set(self.rescues.get() - 1);
        plan.map(Some)
    }

    /// A join with what other clauses give by themselves.
    fn side(
        &self,
        body: &Body<'_>,
        choices: &[Choice],
        build_left: bool,
        spot: &Spot<'_>,
        facts: &mut Facts,
    ) -> Result<(Op, Arc<Place>)> {
        let mut wanted: HashSet<Var> = HashSet::new();
        let mut place = Arc::default();
        choices.iter().for_each(|choice| {
            body.concerned(&choice.what, &mut |clause| {
                place = Arc::clone(&clause.place);
                self.clause_gives(&clause.kind, &mut |var| {
                    if spot.layout.contains(&var) || spot.after.contains(&var) {
                        wanted.insert(var);
                    }
                });
            });
        });
        let mut own = facts.apart();
        let right = self.lower(body, choices, &[], 1.0, &wanted, &mut own)?;
        let keys: Vec<Var> = right.layout().iter().copied().filter(|var| spot.layout.contains(var)).collect();
        let exists = right.layout().iter().all(|var| keys.contains(var));
        if !exists {
            facts.join(own);
        }
        Ok((Op::Join { right, keys, exists, build_left }, place))
    }

    /// The variables that a clause reads or joins by.
    pub(super) fn clause_needs(&self, kind: &Kind, f: &mut dyn FnMut(Var)) {
        match kind {
            Kind::Not { shared, .. } => shared.iter().for_each(|var| f(*var)),
            kind => self.clause_gives(kind, f),
        }
    }

    /// The variables that rows have after a clause.
    fn clause_gives(&self, kind: &Kind, f: &mut dyn FnMut(Var)) {
        match kind {
            Kind::Not { .. } => {}
            Kind::Input { input } => self.run.program.input_rows[*input].vars.iter().for_each(|var| f(*var)),
            kind => clause_vars(kind, f),
        }
    }

    fn op(&self, clause: &Clause, facet: &Facet, method: Method, spot: &Spot<'_>, facts: &mut Facts) -> Result<Op> {
        let Spot { layout, rows, after } = *spot;
        Ok(match (&clause.kind, facet) {
            (_, Facet::Nothing(reason)) => Op::Nothing(reason.clone()),
            (Kind::Pattern { source, terms }, Facet::Pattern(known)) => {
                self.pattern(*source, terms, known, method, layout, rows, after, facts, &clause.place)
            }
            (kind, Facet::Rows { relation, vars, rows: expected }) => {
                self.rows(kind, *relation, vars, *expected, layout, rows, after, facts, &clause.place)
            }
            (Kind::Call(call), _) => {
                let single = call.binding.as_ref().is_none_or(is_single);
                for var in &call.outs {
                    facts.varies(*var);
                    if single {
                        facts.depends(super::arg_vars(call).collect(), *var);
                    }
                }
                if !single {
                    facts.repeats();
                }
                Op::Call { call: Arc::clone(call), rescue: None }
            }
            (Kind::Equal(a, b), _) => {
                let known = |term: &Term| term.var().is_none_or(|var| layout.contains(&var));
                let operand = |term: &Term| match term {
                    Term::Var(var) => Operand::Var(*var),
                    Term::Const(constant) => Operand::Const(self.run.constants[*constant].clone()),
                    Term::Any => Operand::Const(Value::Nil),
                };
                let (first, second) = if known(a) { (a, b) } else { (b, a) };
                if let (Some(a), Some(b)) = (first.var(), second.var()) {
                    facts.depends(vec![a], b);
                    facts.depends(vec![b], a);
                } else if let Some(b) = second.var() {
                    facts.depends(Vec::new(), b);
                }
                Op::Equal { a: operand(first), b: operand(second), copy: !known(second) }
            }
            (Kind::Not { body, shared }, _) => {
                if !layout.is_empty()
                    && let Some(lookup) = self.missing(body, layout, rows)?
                {
                    return Ok(Op::Lookup(lookup));
                }
                let mut input: Vec<Var> = shared.clone();
                input.push(ROW);
                let needed = HashSet::from_iter([ROW]);
                Op::Not { body: plan_body(self, body, &input, rows, &needed)? }
            }
            (Kind::Or { branches, .. }, _) => {
                facts.repeats();
                let plans = branches.iter().map(|branch| plan_body(self, branch, layout, rows, after));
                Op::Or { branches: plans.collect::<Result<_>>()? }
            }
            (Kind::Rule { rule, args }, _) => {
                let args = self.rule_args(args, layout);
                if let Some(closure) = self.paths(*rule, &args)? {
                    for arg in &args {
                        match arg {
                            RuleArg::Known(_) => {}
                            RuleArg::Out(var) => facts.varies(*var),
                            RuleArg::Any => facts.repeats(),
                        }
                    }
                    return Ok(Op::Closure(closure));
                }
                facts.repeats();
                let known = args.iter().map(|arg| matches!(arg, RuleArg::Known(_))).collect();
                Op::Rule(RuleCall { rule: *rule, component: self.component(*rule, known)?, args })
            }
            (Kind::Table { table, args, required }, _) => {
                facts.repeats();
                Op::Table(TableCall { table: *table, args: self.rule_args(args, layout), required: required.clone() })
            }
            _ => Op::Nothing("a clause of no kind".to_owned()),
        })
    }

    /// Arguments of a rule or a table: known before, or to be found.
    pub(super) fn rule_args(&self, args: &[Term], layout: &[Var]) -> Vec<RuleArg> {
        let arg = |term: &Term| match term {
            Term::Any => RuleArg::Any,
            Term::Const(c) => RuleArg::Known(Operand::Const(self.run.constants[*c].clone())),
            Term::Var(var) if layout.contains(var) => RuleArg::Known(Operand::Var(*var)),
            Term::Var(var) => RuleArg::Out(*var),
        };
        args.iter().map(arg).collect()
    }
}
