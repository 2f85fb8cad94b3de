//! Which names mean what, and which names a clause brings in.

use hashbrown::{HashMap, HashSet};

use crate::edn::Symbol;
use crate::query::ast::{Binding, Clause, ClauseKind, Name, Term as AstTerm};
use crate::query::logic::Term;
use crate::query::parse::is_variable;

/// The names of a scope.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope(HashMap<Symbol, Term>);

impl Scope {
    pub fn get(&self, name: Symbol) -> Option<Term> {
        self.0.get(&name).copied()
    }

    pub fn set(&mut self, name: Symbol, term: Term) {
        self.0.insert(name, term);
    }
}

/// The variables that clauses can bind: those of patterns, calls, rules, and of every kind of `or`; not those that stand
/// in a `not` alone.
pub(super) fn positive_names(clauses: &[Clause]) -> Vec<Name> {
    let mut names = Names::default();
    clauses.iter().for_each(|clause| names.clause(clause));
    names.names
}

#[derive(Default)]
struct Names {
    seen: HashSet<Symbol>,
    names: Vec<Name>,
}

impl Names {
    fn name(&mut self, name: Name) {
        if is_variable(name.symbol) && self.seen.insert(name.symbol) {
            self.names.push(name);
        }
    }

    fn terms(&mut self, terms: &[AstTerm]) {
        for term in terms {
            if let AstTerm::Var(name) = term {
                self.name(*name);
            }
        }
    }

    fn binding(&mut self, binding: &Binding) {
        match binding {
            Binding::Blank => {}
            Binding::Var(name) => self.name(*name),
            Binding::Tuple(members) => members.iter().for_each(|member| self.binding(member)),
            Binding::Collection(inner) => self.binding(inner),
        }
    }

    fn clause(&mut self, clause: &Clause) {
        match &clause.kind {
            ClauseKind::Pattern { terms, .. } => self.terms(terms),
            ClauseKind::Call { function, args, binding } => {
                self.name(*function);
                self.terms(args);
                binding.iter().for_each(|binding| self.binding(binding));
            }
            ClauseKind::Not { .. } => {}
            ClauseKind::Or { vars: Some(vars), .. } => {
                vars.required.iter().chain(&vars.free).for_each(|name| self.name(*name));
            }
            ClauseKind::Or { vars: None, branches, .. } => branches.iter().flatten().for_each(|c| self.clause(c)),
            ClauseKind::And { clauses, .. } => clauses.iter().for_each(|c| self.clause(c)),
            ClauseKind::Rule { args, .. } => self.terms(args),
        }
    }
}
