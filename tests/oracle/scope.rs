//! Which variables a clause needs and which it binds.

use std::collections::{BTreeMap, BTreeSet};

use treering::edn::Symbol;

use super::ast::{Binding, Clause, Rule, Term};

pub type Vars = BTreeSet<Symbol>;
pub type Rules = BTreeMap<Symbol, Vec<Rule>>;

pub fn term_vars(terms: &[Term]) -> Vars {
    terms.iter().filter_map(|t| if let Term::Var(v) = t { Some(*v) } else { None }).collect()
}

pub fn binding_vars(binding: &Binding) -> Vars {
    match binding {
        Binding::Var(v) => Vars::from([*v]),
        Binding::Tuple(bs) => bs.iter().flat_map(binding_vars).collect(),
        Binding::Each(b) => binding_vars(b),
        Binding::Ignore | Binding::Source(_) | Binding::Rules => Vars::new(),
    }
}

/// The variables that the clause can bind for the clauses beside it.
pub fn binds(clause: &Clause) -> Vars {
    match clause {
        Clause::Pattern { terms, .. } => term_vars(terms),
        Clause::Call { binding, .. } => binding.as_ref().map(binding_vars).unwrap_or_default(),
        Clause::Not { .. } => Vars::new(),
        Clause::Or { join: None, branches, .. } => branches.iter().flatten().flat_map(binds).collect(),
        Clause::Or { join: Some((required, free)), .. } => required.iter().chain(free).copied().collect(),
        Clause::Rule { args, .. } => term_vars(args),
    }
}

/// All variables of the clause that mean the same outside of it.
pub fn visible(clause: &Clause) -> Vars {
    match clause {
        Clause::Pattern { terms, .. } => term_vars(terms),
        Clause::Rule { args, .. } => term_vars(args),
        Clause::Call { function, args, binding } => {
            let mut vars = term_vars(args);
            vars.extend(binding.as_ref().map(binding_vars).unwrap_or_default());
            if super::ast::is_var(*function) {
                vars.insert(*function);
            }
            vars
        }
        Clause::Not { join: Some(join), .. } => join.iter().copied().collect(),
        Clause::Not { join: None, body, .. } => body.iter().flat_map(visible).collect(),
        Clause::Or { join: Some((required, free)), .. } => required.iter().chain(free).copied().collect(),
        Clause::Or { join: None, branches, .. } => branches.iter().flatten().flat_map(visible).collect(),
    }
}

/// The scope of a list of clauses: its rules, and the variables that clauses outside of it bind.
#[derive(Clone)]
pub struct Scope<'a> {
    pub rules: &'a Rules,
    pub outer: Vars,
}

impl Scope<'_> {
    /// The scope of what stands inside one of `clauses`.
    pub fn within<'c>(&self, clauses: impl IntoIterator<Item = &'c Clause>) -> Self {
        let mut outer = self.outer.clone();
        outer.extend(clauses.into_iter().flat_map(binds));
        Scope { rules: self.rules, outer }
    }

    /// The scope of what stands inside a clause that names the variables it shares.
    pub fn closed(&self) -> Self {
        Scope { rules: self.rules, outer: Vars::new() }
    }

    /// What is bound after `clause`, or `None` while it lacks variables. `self` is the scope of its insides.
    pub fn after(&self, clause: &Clause, bound: &Vars, assumed: &mut BTreeSet<(Symbol, Vec<bool>)>) -> Option<Vars> {
        let mut after = bound.clone();
        match clause {
            Clause::Pattern { terms, .. } => after.extend(term_vars(terms)),
            Clause::Call { function, args, .. } => {
                let mut needs = term_vars(args);
                if super::ast::is_var(*function) {
                    needs.insert(*function);
                }
                if !needs.is_subset(bound) {
                    return None;
                }
                after.extend(binds(clause));
            }
            Clause::Not { join: Some(join), body, .. } => {
                let join: Vars = join.iter().copied().collect();
                if !join.is_subset(bound) {
                    return None;
                }
                self.closed().all(body, &join, assumed)?;
            }
            Clause::Not { join: None, body, .. } => {
                let vars: Vars = visible(clause);
                let shared: Vars = vars.intersection(&self.outer).copied().collect();
                if !shared.is_subset(bound) || (!vars.is_empty() && vars.is_disjoint(bound)) {
                    return None;
                }
                self.all(body, bound, assumed)?;
            }
            Clause::Or { join: None, branches, .. } => {
                let wanted = binds(clause);
                for branch in branches {
                    let bound = self.all(branch, bound, assumed)?;
                    if !wanted.is_subset(&bound) {
                        return None;
                    }
                }
                after.extend(wanted);
            }
            Clause::Or { join: Some((required, free)), branches, .. } => {
                let required: Vars = required.iter().copied().collect();
                if !required.is_subset(bound) {
                    return None;
                }
                let join: Vars = required.iter().chain(free).copied().collect();
                let inner: Vars = join.intersection(bound).copied().collect();
                for branch in branches {
                    if !join.is_subset(&self.closed().all(branch, &inner, assumed)?) {
                        return None;
                    }
                }
                after.extend(join);
            }
            Clause::Rule { name, args, .. } => {
                let mask: Vec<bool> = args
                    .iter()
                    .map(|t| match t {
                        Term::Var(v) => bound.contains(v),
                        Term::Blank => false,
                        _ => true,
                    })
                    .collect();
                if assumed.insert((*name, mask.clone())) {
                    for rule in self.rules.get(name)? {
                        if rule.head.len() != mask.len() || mask.iter().take(rule.required).any(|b| !b) {
                            return None;
                        }
                        let given = rule.head.iter().zip(&mask).filter(|(_, b)| **b).map(|(v, _)| *v).collect();
                        let head: Vars = rule.head.iter().copied().collect();
                        match self.closed().all(&rule.body, &given, assumed) {
                            Some(bound) if head.is_subset(&bound) => {}
                            _ => {
                                assumed.remove(&(*name, mask));
                                return None;
                            }
                        }
                    }
                }
                after.extend(term_vars(args));
            }
        }
        Some(after)
    }

    /// What is bound after all of `clauses`, taken in any order that works; `None` when there is none.
    pub fn all(&self, clauses: &[Clause], bound: &Vars, assumed: &mut BTreeSet<(Symbol, Vec<bool>)>) -> Option<Vars> {
        let inside = self.within(clauses);
        let mut left: Vec<&Clause> = clauses.iter().collect();
        let mut bound = bound.clone();
        while !left.is_empty() {
            let (i, after) = left.iter().enumerate().find_map(|(i, c)| Some((i, inside.after(c, &bound, assumed)?)))?;
            bound = after;
            left.remove(i);
        }
        Some(bound)
    }
}

/// A rule that depends on its own negation, if there is one.
pub fn unstratified(rules: &Rules) -> Option<Symbol> {
    let mut edges: BTreeSet<(Symbol, Symbol, bool)> = BTreeSet::new();
    fn walk(from: Symbol, clauses: &[Clause], negated: bool, edges: &mut BTreeSet<(Symbol, Symbol, bool)>) {
        for clause in clauses {
            match clause {
                Clause::Rule { name, .. } => {
                    edges.insert((from, *name, negated));
                }
                Clause::Not { body, .. } => walk(from, body, true, edges),
                Clause::Or { branches, .. } => branches.iter().for_each(|b| walk(from, b, negated, edges)),
                Clause::Pattern { .. } | Clause::Call { .. } => {}
            }
        }
    }
    rules.iter().for_each(|(name, rules)| rules.iter().for_each(|r| walk(*name, &r.body, false, &mut edges)));
    loop {
        let mut more = edges.clone();
        for (a, b, n) in &edges {
            more.extend(edges.iter().filter(|(c, _, _)| c == b).map(|(_, d, m)| (*a, *d, *n || *m)));
        }
        if more.len() == edges.len() {
            return edges.iter().find(|(a, b, n)| a == b && *n).map(|(a, _, _)| *a);
        }
        edges = more;
    }
}
