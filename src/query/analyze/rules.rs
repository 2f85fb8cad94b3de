//! Rules: which of them recur, which are written out where they are called.

use std::sync::Arc;

use hashbrown::HashMap;

use super::scope::Scope;
use super::{Analyzer, Context};
use crate::edn::{Span, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::query::ast::{Clause as AstClause, ClauseKind, Name, RuleBranch, Rules};
use crate::query::logic::{Branch, Clause, Kind, Place, Term};

/// The rules of a query, by name.
#[derive(Debug, Default)]
pub(in crate::query) struct RuleBook {
    rules: HashMap<Symbol, Rule>,
    text: Option<Arc<str>>,
}

#[derive(Debug)]
struct Rule {
    branches: Vec<RuleBranch>,
    /// Rules with one number call each other in a circle.
    component: usize,
    recursive: bool,
}

/// Most clauses that are written out for calls of rules that do not recur; further calls are tabled.
const MAX_WRITTEN_OUT: usize = 1000;

/// Deepest writing out of rules inside rules.
const MAX_INLINE_DEPTH: usize = 24;

impl RuleBook {
    pub fn new(rules: Rules) -> Result<RuleBook> {
        let mut book = RuleBook { rules: HashMap::new(), text: rules.text };
        for branch in rules.branches {
            let name = branch.name;
            let rule = book.rules.entry(name.symbol).or_insert_with(|| Rule {
                branches: Vec::new(),
                component: 0,
                recursive: false,
            });
            if let Some(first) = rule.branches.first() {
                let shape = |b: &RuleBranch| (b.vars.required.len(), b.vars.free.len());
                if shape(first) != shape(&branch) {
                    let message = format!("the branches of the rule {} have heads of different shapes", name.text());
                    let error = Error::new(ErrorKind::Query, "query/arity", message);
                    return Err(Place { text: book.text.clone(), span: name.span }.mark(error));
                }
            }
            rule.branches.push(branch);
        }
        book.find_components()?;
        Ok(book)
    }

    /// Parts the rules into components that call each other in a circle.
    fn find_components(&mut self) -> Result<()> {
        let names: Vec<Symbol> = self.rules.keys().copied().collect();
        let number: HashMap<Symbol, usize> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
        let mut calls: Vec<Vec<(usize, Option<Span>)>> = Vec::with_capacity(names.len());
        for name in &names {
            let mut called = Vec::new();
            for branch in &self.rules[name].branches {
                collect_calls(&branch.clauses, None, &mut |callee, negated| {
                    if let Some(callee) = number.get(&callee) {
                        called.push((*callee, negated));
                    }
                });
            }
            calls.push(called);
        }
        let component = components(&calls);
        for (i, called) in calls.iter().enumerate() {
            let circle = |j: usize| component[j] == component[i];
            if let Some((j, Some(span))) = called.iter().find(|(j, negated)| negated.is_some() && circle(*j)) {
                let message = format!(
                    "the rule {} needs that {} does not hold, which in turn needs {0}: rules cannot recur through not",
                    names[i], names[*j]
                );
                let error = Error::new(ErrorKind::Query, "query/stratification", message);
                return Err(Place { text: self.text.clone(), span: *span }.mark(error));
            }
        }
        for (i, name) in names.iter().enumerate() {
            if let Some(rule) = self.rules.get_mut(name) {
                rule.component = component[i];
                rule.recursive = calls[i].iter().any(|(j, _)| component[*j] == component[i]);
            }
        }
        Ok(())
    }

    /// Warnings of rules that are reached from no clause.
    pub fn unused(&self, clauses: &[AstClause]) -> Vec<String> {
        let mut reached: Vec<Symbol> = Vec::new();
        let mut bodies: Vec<&[AstClause]> = vec![clauses];
        while let Some(body) = bodies.pop() {
            collect_calls(body, None, &mut |name, _| {
                if !reached.contains(&name) {
                    reached.push(name);
                    let branches = self.rules.get(&name).into_iter().flat_map(|rule| &rule.branches);
                    bodies.extend(branches.map(|branch| branch.clauses.as_slice()));
                }
            });
        }
        let mut unused: Vec<&str> =
            self.rules.keys().filter(|name| !reached.contains(name)).map(|name| name.as_str()).collect();
        unused.sort_unstable();
        unused.iter().map(|name| format!("nothing calls the rule {name}")).collect()
    }

    /// The number of the component that a rule is in.
    pub fn component(&self, name: Symbol) -> usize {
        self.rules.get(&name).map_or(usize::MAX, |rule| rule.component)
    }
}

/// Calls `f` with the rules that clauses call, and the place of the `not` around the call.
fn collect_calls(clauses: &[AstClause], negated: Option<Span>, f: &mut dyn FnMut(Symbol, Option<Span>)) {
    for clause in clauses {
        match &clause.kind {
            ClauseKind::Rule { name, .. } => f(name.symbol, negated),
            ClauseKind::Not { clauses, .. } => collect_calls(clauses, Some(clause.span), f),
            ClauseKind::Or { branches, .. } => branches.iter().for_each(|b| collect_calls(b, negated, f)),
            ClauseKind::And { clauses, .. } => collect_calls(clauses, negated, f),
            ClauseKind::Pattern { .. } | ClauseKind::Call { .. } => {}
        }
    }
}

/// Tarjan's strongly connected components, with a stack of its own.
fn components(calls: &[Vec<(usize, Option<Span>)>]) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let n = calls.len();
    let (mut index, mut low, mut component) = (vec![NONE; n], vec![NONE; n], vec![NONE; n]);
    let (mut stack, mut next_index, mut next_component) = (Vec::new(), 0, 0);
    for root in 0..n {
        if index[root] != NONE {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((node, edge)) = work.pop() {
            if edge == 0 {
                index[node] = next_index;
                low[node] = next_index;
                next_index += 1;
                stack.push(node);
            }
            if let Some((callee, _)) = calls[node].get(edge) {
                work.push((node, edge + 1));
                if index[*callee] == NONE {
                    work.push((*callee, 0));
                } else if component[*callee] == NONE {
                    low[node] = low[node].min(index[*callee]);
                }
                continue;
            }
            if low[node] == index[node] {
                while let Some(member) = stack.pop() {
                    component[member] = next_component;
                    if member == node {
                        break;
                    }
                }
                next_component += 1;
            }
            if let Some((parent, _)) = work.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
        }
    }
    component
}

impl Analyzer<'_> {
    pub(super) fn rule_call(
        &mut self,
        name: Name,
        source: Option<usize>,
        args: Vec<Term>,
        span: Span,
        context: &Context,
        out: &mut Vec<Clause>,
    ) -> Result<()> {
        let rules = self.rules;
        let Some(rule) = rules.rules.get(&name.symbol) else {
            return Err(self.unknown_rule(name, context));
        };
        let arity = rule.branches.first().map_or(0, |b| b.vars.required.len() + b.vars.free.len());
        if args.len() != arity {
            let message = format!("the rule {} wants {arity} arguments, got {}", name.text(), args.len());
            return Err(context.error("query/arity", span, message));
        }
        let tabled = rule.recursive || self.written_out > MAX_WRITTEN_OUT || context.depth > MAX_INLINE_DEPTH;
        if tabled {
            let key = (name.symbol, source);
            let rule = self.tabled.iter().position(|known| *known == key).unwrap_or_else(|| {
                self.tabled.push(key);
                self.tabled.len() - 1
            });
            out.push(Clause { kind: Kind::Rule { rule, args }, place: context.place(span) });
            return Ok(());
        }
        // `_` stands for a variable of its own: the body may use the head's variable more than once.
        let args: Vec<Term> = args
            .into_iter()
            .map(|arg| if arg == Term::Any { Term::Var(self.fresh(Symbol::new("_"))) } else { arg })
            .collect();
        let inner = Context { text: rules.text.clone(), source, depth: context.depth + 1 };
        let mut branches = Vec::with_capacity(rule.branches.len());
        let mut required = Vec::new();
        for branch in &rule.branches {
            self.written_out += branch.clauses.len();
            let mut scope = Scope::default();
            let mut equalities = Vec::new();
            for (head, arg) in branch.vars.required.iter().chain(&branch.vars.free).zip(&args) {
                match scope.get(head.symbol) {
                    None => scope.set(head.symbol, *arg),
                    Some(same) => equalities.push((same, *arg)),
                }
            }
            let count = branch.vars.required.len();
            required.extend(args.iter().take(count).filter_map(|arg| arg.var()));
            let mut body = self.body(&branch.clauses, &mut scope, &inner)?;
            for (a, b) in equalities {
                body.push(Clause { kind: Kind::Equal(a, b), place: inner.place(branch.name.span) });
            }
            // Variables of the head that the body does not bind are the caller's to bind.
            let mut bound = Vec::new();
            body.iter().for_each(|clause| super::clauses::clause_vars(&clause.kind, &mut |var| bound.push(var)));
            required.extend(args.iter().filter_map(|arg| arg.var()).filter(|var| !bound.contains(var)));
            branches.push(body);
        }
        required.sort_unstable();
        required.dedup();
        if branches.len() == 1 && required.is_empty() {
            out.extend(branches.into_iter().flatten());
        } else {
            out.push(Clause { kind: Kind::Or { branches, required }, place: context.place(span) });
        }
        Ok(())
    }

    fn unknown_rule(&self, name: Name, context: &Context) -> Error {
        if self.rules.rules.is_empty() {
            let message = format!("({} …) is a rule, but the query was given no rules: :in wants a %", name.text());
            return context.error("query/rule-unknown", name.span, message);
        }
        let mut known: Vec<&str> = self.rules.rules.keys().map(|name| name.as_str()).collect();
        known.sort_unstable();
        let message = format!("there is no rule {}; there are {}", name.text(), known.join(", "));
        context.error("query/rule-unknown", name.span, message)
    }

    /// The branches of a rule with variables of their own, for a table of its answers.
    pub(super) fn rule_branches(&mut self, name: Symbol, source: Option<usize>) -> Result<Vec<Branch>> {
        let rules = self.rules;
        let Some(rule) = rules.rules.get(&name) else { return Ok(Vec::new()) };
        let context = Context { text: rules.text.clone(), source, depth: 0 };
        let mut branches = Vec::with_capacity(rule.branches.len());
        for branch in &rule.branches {
            let mut scope = Scope::default();
            let mut head = Vec::new();
            let mut equalities = Vec::new();
            for name in branch.vars.required.iter().chain(&branch.vars.free) {
                let var = self.fresh(name.symbol);
                match scope.get(name.symbol) {
                    None => scope.set(name.symbol, Term::Var(var)),
                    Some(same) => equalities.push((same, Term::Var(var))),
                }
                head.push(var);
            }
            let mut body = self.body(&branch.clauses, &mut scope, &context)?;
            for (a, b) in equalities {
                body.push(Clause { kind: Kind::Equal(a, b), place: context.place(branch.name.span) });
            }
            branches.push(Branch { head, required: branch.vars.required.len(), body });
        }
        Ok(branches)
    }
}
