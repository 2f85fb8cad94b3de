//! What plans are made with: what a run's inputs are, what was found out about its clauses.

use std::cell::{Cell, RefCell};

use hashbrown::{HashMap, HashSet};

use super::estimate::{Samples, estimate};
use super::order::{Facet, Known};
use super::shape::{attribute_named, shape};
use super::state::{Set, place};
use super::{A, E, TX, V};
use crate::datom::ValueKind;
use crate::error::Result;
use crate::query::logic::{Clause, Kind, Term, Var};
use crate::query::run::{Run, Source};

/// Deepest chain of components of rules that is looked at.
const MAX_CHECKED: usize = 40;

/// Nesting below which branches are no longer looked into to estimate them.
const SIMULATED_DEPTH: usize = 2;

/// Makes plans for one run.
pub(in crate::query) struct Planner<'r> {
    pub run: &'r Run<'r>,
    /// Whether calls wait until nothing else is left to do.
    pub late: bool,
    /// What earlier runs found out about attributes.
    pub samples: Option<&'r Samples>,
    /// Variables of inputs that hold idents or lookup refs: only a seek resolves these.
    pub waits_for: HashSet<Var>,
    /// Whether the plan says what holds for these constants and this state alone.
    once: Cell<bool>,
    /// Warnings, for explain.
    pub warnings: RefCell<Vec<String>>,
    /// How many components of rules are being planned inside one another.
    pub depth: Cell<usize>,
    /// How many plans for rows whose calls failed are being made inside one another.
    pub rescues: Cell<usize>,
    /// The components of rules that are being looked at.
    checking: RefCell<Vec<usize>>,
    /// Which rules can run with which arguments known.
    checked: RefCell<HashMap<(usize, Vec<bool>), bool>>,
}

impl<'r> Planner<'r> {
    pub fn new(run: &'r Run<'r>, late: bool, samples: Option<&'r Samples>) -> Planner<'r> {
        let mut waits_for = HashSet::new();
        for (input, relation) in run.program.input_rows.iter().zip(&run.relations) {
            for (var, column) in input.vars.iter().zip(&relation.columns) {
                let names = |row| matches!(column.kind_at(row), ValueKind::Tuple | ValueKind::Keyword);
                if (0..relation.len).any(names) {
                    waits_for.insert(*var);
                }
            }
        }
        // A variable in the place of an attribute holds a keyword, unless attributes are entities; elsewhere it must be
        // resolved.
        let refs = |source: usize| run.db(source).is_some_and(|db| db.schema().has_attribute_refs());
        for clause in &run.program.clauses {
            if let Kind::Pattern { source, terms } = &clause.kind
                && let Some(Term::Var(var)) = terms.get(A)
                && !refs(*source)
            {
                waits_for.insert(*var);
            }
        }
        let entity_or_ref = |var: &Var| {
            run.program.clauses.iter().any(|clause| match &clause.kind {
                Kind::Pattern { source, terms } => terms.iter().enumerate().any(|(i, term)| {
                    *term == Term::Var(*var)
                        && match (i, terms.get(A)) {
                            (E | TX, _) => true,
                            (A, _) => refs(*source),
                            (V, Some(Term::Const(a))) => {
                                let attribute = run.db(*source).and_then(|db| attribute_named(db, &run.constants[*a]));
                                attribute.is_some_and(|a| a.is_ref())
                            }
                            _ => false,
                        }
                }),
                _ => false,
            })
        };
        waits_for.retain(entity_or_ref);
        Planner {
            run,
            late,
            samples,
            waits_for,
            once: Cell::new(late),
            warnings: RefCell::default(),
            depth: Cell::new(0),
            rescues: Cell::new(0),
            checking: RefCell::default(),
            checked: RefCell::default(),
        }
    }

    /// Whether the plan is good for this run alone.
    pub fn is_for_once(&self) -> bool {
        self.once.get()
    }

    /// Whether a rule can be asked with these arguments known. Calls of a rule that is being looked at are taken to run;
    /// if that was wrong, planning the rule says so.
    pub(super) fn rule_can_run(&self, rule: usize, known: Vec<bool>) -> bool {
        let component = self.run.program.rules[rule].component;
        if self.checking.borrow().contains(&component) || self.checking.borrow().len() > MAX_CHECKED {
            return true;
        }
        if let Some(runs) = self.checked.borrow().get(&(rule, known.clone())) {
            return *runs;
        }
        self.checking.borrow_mut().push(component);
        let runs = self.run.program.rules[rule].branches.iter().all(|branch| {
            let bound: Set =
                branch.head.iter().zip(&known).filter(|(_, known)| **known).map(|(var, _)| place(*var)).collect();
            self.can_order(&branch.body, bound)
        });
        self.checking.borrow_mut().pop();
        self.checked.borrow_mut().insert((rule, known), runs);
        runs
    }

    pub(super) fn facets(&self, clauses: &[Clause]) -> Result<Vec<Facet>> {
        self.facets_at(clauses, 0)
    }

    fn facets_at(&self, clauses: &[Clause], depth: usize) -> Result<Vec<Facet>> {
        clauses.iter().map(|clause| self.facet(clause, clauses, depth)).collect()
    }

    pub(super) fn facet(&self, clause: &Clause, clauses: &[Clause], depth: usize) -> Result<Facet> {
        Ok(match &clause.kind {
            Kind::Input { input } => {
                let vars = self.run.program.input_rows[*input].vars.clone();
                Facet::Rows { relation: *input, vars, rows: self.run.relations[*input].len as f64 }
            }
            Kind::Pattern { source, terms } => match &self.run.sources[*source] {
                Source::Relation(relation) => {
                    let vars = terms.iter().filter_map(|term| term.var()).collect();
                    let constants = terms.iter().filter(|term| matches!(term, Term::Const(_))).count();
                    let rows = self.run.relations[*relation].len as f64 / 10_f64.powi(constants as i32);
                    Facet::Rows { relation: *relation, vars, rows }
                }
                Source::Db(db) => match shape(db, terms, &self.run.constants).map_err(|e| clause.place.mark(e))? {
                    Err(nothing) => {
                        self.once.set(true);
                        self.warn(nothing.clone());
                        Facet::Nothing(nothing)
                    }
                    Ok(shape) => {
                        let range = self.range(&shape, clauses);
                        let estimate = estimate(db, &shape, &range, self.samples)?;
                        Facet::Pattern(Box::new(Known { shape, estimate, range }))
                    }
                },
            },
            Kind::Or { branches, .. } if depth < SIMULATED_DEPTH => {
                Facet::Or(branches.iter().map(|branch| self.facets_at(branch, depth + 1)).collect::<Result<_>>()?)
            }
            _ => Facet::Other,
        })
    }

    pub(super) fn warn(&self, warning: String) {
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}
