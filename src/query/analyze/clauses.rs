//! Clauses to logic.

use hashbrown::HashSet;

use super::scope::{Scope, positive_names};
use super::{Analyzer, Context, MAX_DEPTH};
use crate::edn::{Span, Symbol};
use crate::error::Result;
use crate::query::ast::{self, ClauseKind, Name, RuleVars};
use crate::query::logic::{Arg, Clause, Kind, Term, Var};

impl Analyzer<'_> {
    /// A conjunction. The scope learns the names that the clauses bind.
    pub(super) fn body(
        &mut self,
        clauses: &[ast::Clause],
        scope: &mut Scope,
        context: &Context,
    ) -> Result<Vec<Clause>> {
        // All names first: a `not` shares the variables that clauses after it bind.
        for name in positive_names(clauses) {
            if scope.get(name.symbol).is_none() {
                let var = self.fresh(name.symbol);
                scope.set(name.symbol, Term::Var(var));
            }
        }
        let mut out = Vec::with_capacity(clauses.len());
        self.extend_body(clauses, scope, context, &mut out)?;
        Ok(out)
    }

    fn extend_body(
        &mut self,
        clauses: &[ast::Clause],
        scope: &mut Scope,
        context: &Context,
        out: &mut Vec<Clause>,
    ) -> Result<()> {
        if context.depth > MAX_DEPTH {
            let message = format!("clauses and rules are nested deeper than {MAX_DEPTH}");
            let span = clauses.first().map(|clause| clause.span).unwrap_or_default();
            return Err(context.error("query/limit", span, message));
        }
        for clause in clauses {
            self.clause(clause, scope, context, out)?;
        }
        Ok(())
    }

    fn clause(
        &mut self,
        clause: &ast::Clause,
        scope: &mut Scope,
        context: &Context,
        out: &mut Vec<Clause>,
    ) -> Result<()> {
        let span = clause.span;
        let put = |kind: Kind| Clause { kind, place: context.place(span) };
        match &clause.kind {
            ClauseKind::Pattern { source, terms } => {
                let source = self.source(*source, span, context)?;
                let terms = terms.iter().map(|t| self.term(t, scope, context)).collect::<Result<Vec<_>>>()?;
                out.push(put(Kind::Pattern { source, terms }));
            }
            ClauseKind::Call { function, args, binding } => {
                self.call(*function, args, binding.as_ref(), span, scope, context, out)?;
            }
            ClauseKind::And { source, clauses } => {
                let context = self.inner(*source, context)?;
                self.extend_body(clauses, scope, &context, out)?;
            }
            ClauseKind::Not { source, vars, clauses } => {
                let context = self.inner(*source, context)?;
                let not = self.not(vars.as_deref(), clauses, span, scope, &context)?;
                out.push(put(not));
            }
            ClauseKind::Or { source, vars, branches } => {
                let context = self.inner(*source, context)?;
                let or = self.or(vars.as_ref(), branches, span, scope, &context)?;
                out.push(put(or));
            }
            ClauseKind::Rule { source, name, args } => {
                let terms = args.iter().map(|t| self.term(t, scope, context)).collect::<Result<Vec<_>>>()?;
                let source = match source {
                    Some(_) => Some(self.source(*source, span, context)?),
                    None => context.source,
                };
                self.rule_call(*name, source, terms, span, context, out)?;
            }
        }
        Ok(())
    }

    /// The context inside a clause that may have a source of its own.
    fn inner(&self, source: Option<Name>, context: &Context) -> Result<Context> {
        let source = match source {
            Some(name) => Some(self.source(Some(name), name.span, context)?),
            None => context.source,
        };
        Ok(Context { source, depth: context.depth + 1, text: context.text.clone() })
    }

    fn not(
        &mut self,
        vars: Option<&[Name]>,
        clauses: &[ast::Clause],
        span: Span,
        scope: &mut Scope,
        context: &Context,
    ) -> Result<Kind> {
        let mut inner = match vars {
            None => scope.clone(),
            Some(vars) => {
                let mut inner = Scope::default();
                for name in vars {
                    let Some(term) = scope.get(name.symbol) else {
                        let message = format!("not-join wants {} bound, but no clause around it binds it", name.text());
                        return Err(context.error("query/unbound", name.span, message));
                    };
                    inner.set(name.symbol, term);
                }
                inner
            }
        };
        let outer = self.vars.len() as Var;
        let body = self.body(clauses, &mut inner, context)?;
        let mut shared = Vec::new();
        body.iter().for_each(|clause| {
            clause_vars(&clause.kind, &mut |var| {
                if var < outer && !shared.contains(&var) {
                    shared.push(var);
                }
            })
        });
        let names = positive_names(clauses);
        let sees_constant = names.iter().any(|name| matches!(scope.get(name.symbol), Some(Term::Const(_))));
        if shared.is_empty() && !sees_constant && vars.is_none() && !names.is_empty() {
            let message = "a not wants at least one variable that a clause around it binds too";
            return Err(context.error("query/unbound", span, message));
        }
        Ok(Kind::Not { body, shared })
    }

    fn or(
        &mut self,
        vars: Option<&RuleVars>,
        branches: &[Vec<ast::Clause>],
        span: Span,
        scope: &mut Scope,
        context: &Context,
    ) -> Result<Kind> {
        let mut required = Vec::new();
        let mut inner = Scope::default();
        match vars {
            Some(vars) => {
                for name in vars.required.iter().chain(&vars.free) {
                    let term = self.name(*name, scope, context)?;
                    inner.set(name.symbol, term);
                }
                required.extend(vars.required.iter().filter_map(|name| scope.get(name.symbol)?.var()));
            }
            None => {
                // A scalar input is a constant wherever it stands.
                let is_constant = |name: Symbol| scope.get(name).is_some_and(|term| term.var().is_none());
                let variables = |branch: &Vec<ast::Clause>| {
                    positive_names(branch).iter().map(|name| name.symbol).filter(|name| !is_constant(*name)).collect()
                };
                let sets: Vec<HashSet<Symbol>> = branches.iter().map(variables).collect();
                if let Some(other) = sets.iter().skip(1).find(|set| Some(*set) != sets.first()) {
                    let show = |set: &HashSet<Symbol>| {
                        let mut names: Vec<&str> = set.iter().map(|s| s.as_str()).collect();
                        names.sort_unstable();
                        names.join(" ")
                    };
                    let message = format!(
                        "all branches of an or must use the same variables: one uses {}, another {}; or-join names those that count",
                        sets.first().map(show).unwrap_or_default(),
                        show(other)
                    );
                    return Err(context.error("query/syntax", span, message));
                }
                inner = scope.clone();
            }
        }
        let mut out = Vec::with_capacity(branches.len());
        for branch in branches {
            let body = self.body(branch, &mut inner.clone(), context)?;
            if let Some(vars) = vars {
                for name in &vars.free {
                    let found = positive_names(branch).iter().any(|other| other.symbol == name.symbol);
                    let is_var = scope.get(name.symbol).and_then(Term::var).is_some();
                    if !found && is_var {
                        // Bound from outside then, as a required variable is.
                        required.extend(scope.get(name.symbol).and_then(Term::var));
                    }
                }
            }
            out.push(body);
        }
        required.sort_unstable();
        required.dedup();
        Ok(Kind::Or { branches: out, required })
    }
}

/// Calls `f` with every variable of a clause.
pub(in crate::query) fn clause_vars(kind: &Kind, f: &mut dyn FnMut(Var)) {
    let term = |t: &Term, f: &mut dyn FnMut(Var)| {
        if let Term::Var(var) = t {
            f(*var);
        }
    };
    match kind {
        Kind::Pattern { terms, .. } | Kind::Rule { args: terms, .. } | Kind::Table { args: terms, .. } => {
            terms.iter().for_each(|t| term(t, f))
        }
        Kind::Input { .. } => {}
        Kind::Call(call) => {
            for arg in &call.args {
                if let Arg::Term(t) = arg {
                    term(t, f);
                }
            }
            call.outs.iter().for_each(|var| f(*var));
        }
        Kind::Equal(a, b) => {
            term(a, f);
            term(b, f);
        }
        Kind::Not { body, .. } => body.iter().for_each(|clause| clause_vars(&clause.kind, f)),
        Kind::Or { branches, required } => {
            branches.iter().flatten().for_each(|clause| clause_vars(&clause.kind, f));
            required.iter().for_each(|var| f(*var));
        }
    }
}
