//! What is ordered, and when a clause can be answered: whether what it needs is bound.

use super::estimate::Estimate;
use super::planner::Planner;
use super::shape::Shape;
use super::state::{Set, State, place};
use super::{A, ValueRange, arg_vars};
use crate::datom::Order;
use crate::error::{Error, ErrorKind};
use crate::query::analyze::clause_vars;
use crate::query::logic::{Call, Callee, Clause, Kind, Term, Var};

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

/// What a plan does next, with the rows expected after it.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub what: What,
    pub rows: f64,
    /// How many of the rows are expected to differ, where equal ones are better dropped.
    pub different: Option<f64>,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    /// A clause.
    Clause(usize, Method),
    /// Clauses that are answered by themselves, then joined.
    Side { choices: Vec<Choice>, build_left: bool },
    /// Patterns that tie variables in circles: a place among the cores.
    Core(usize),
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
    /// What was found out about the clauses of each branch.
    Or(Vec<Vec<Facet>>),
    Other,
}

/// How likely a call is to fail: never, at a value of a wrong type, or for other reasons too.
pub(super) fn failing(call: &Call) -> u8 {
    match (&call.callee, &call.binding) {
        (Callee::Known(function), None) => match function.name.as_str() {
            "=" | "==" | "not=" | "!=" | "identical?" | "some?" | "nil?" | "true?" | "false?" => 0,
            _ => 1,
        },
        _ => 2,
    }
}

impl Planner<'_> {
    /// Whether attributes of the source are entities.
    fn sees_entities(&self, source: usize) -> bool {
        self.run.db(source).is_some_and(|db| db.schema().has_attribute_refs())
    }

    pub(super) fn is_ready(&self, clause: &Clause, bound: &Set) -> bool {
        match &clause.kind {
            Kind::Pattern { source, terms } => terms.iter().enumerate().all(|(i, term)| match term {
                Term::Var(var) if i != A || self.sees_entities(*source) => {
                    !self.waits_for.contains(var) || bound.contains(place(*var))
                }
                _ => true,
            }),
            Kind::Input { .. } => true,
            Kind::Call(call) => arg_vars(call).all(|var| bound.contains(place(var))),
            Kind::Equal(a, b) => {
                let known = |term: &Term| term.var().is_none_or(|var| bound.contains(place(var)));
                known(a) || known(b)
            }
            Kind::Not { shared, .. } => shared.iter().all(|var| bound.contains(place(*var))),
            Kind::Or { branches, required } => {
                required.iter().all(|var| bound.contains(place(*var)))
                    && branches.iter().all(|branch| self.can_order(branch, bound.clone()))
            }
            Kind::Table { args, required, .. } => args
                .iter()
                .zip(required)
                .all(|(term, required)| !required || term.var().is_none_or(|var| bound.contains(place(var)))),
            Kind::Rule { rule, args } => {
                let required = self.run.program.rules[*rule].branches.first().map_or(0, |b| b.required);
                let known = |term: &Term| match term {
                    Term::Any => false,
                    Term::Var(var) => bound.contains(place(*var)),
                    Term::Const(_) => true,
                };
                args.iter().take(required).all(known)
                    && (args.iter().all(known) || self.rule_can_run(*rule, args.iter().map(known).collect()))
            }
        }
    }

    /// Whether some order of a body binds every input before it is used.
    pub(super) fn can_order(&self, body: &[Clause], mut bound: Set) -> bool {
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

    pub(super) fn binds(&self, kind: &Kind, bound: &mut Set) {
        if let Kind::Input { input } = kind {
            self.run.program.input_rows[*input].vars.iter().for_each(|var| {
                bound.insert(place(*var));
            });
        }
        clause_vars(kind, &mut |var| {
            bound.insert(place(var));
        });
    }

    /// The error for clauses whose inputs nothing binds.
    pub(super) fn stuck(&self, clauses: &[Clause], left: &[usize], state: &State) -> Error {
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
            if !state.is_bound(var) && !missing.contains(&name) {
                missing.push(name);
            }
        }
        let shown = clause.place.excerpt().map(|text| format!(": {text}")).unwrap_or_default();
        let message = format!("insufficient bindings: nothing binds {} for the clause{shown}", missing.join(", "));
        clause.place.mark(Error::new(ErrorKind::Query, "query/unbound", message))
    }
}
