//! Clauses of `:where` and rules.

use std::sync::Arc;

use super::{Parser, is_source, is_variable};
use crate::datom::Value;
use crate::edn::{Form, FormKind, Span};
use crate::error::Result;
use crate::query::ast::{Clause, ClauseKind, Name, RuleBranch, RuleVars, Rules, Term};

/// Parses a vector of rules, or a text that holds one.
pub(in crate::query) fn parse_rules(form: &Form, text: Option<Arc<str>>) -> Result<Rules> {
    let parser = Parser { text: text.as_deref() };
    let items = match &form.kind {
        FormKind::Vector(items) | FormKind::List(items) | FormKind::Set(items) => items,
        FormKind::Str(inner) => {
            let form = crate::edn::read(inner)?;
            if matches!(form.kind, FormKind::Str(_)) {
                return Err(parser.wanted("a vector of rules", &form));
            }
            return parse_rules(&form, Some(Arc::clone(inner)));
        }
        _ => return Err(parser.wanted("a vector of rules", form)),
    };
    let branches = items.iter().map(|item| parser.rule(item)).collect::<Result<Vec<_>>>()?;
    Ok(Rules { branches, text: text.clone() })
}

/// Whether a function is the one that runs a query.
pub(in crate::query) fn is_query(function: Name) -> bool {
    matches!(function.text(), "q" | "datahike.query/q" | "datahike.api/q")
}

impl Parser<'_> {
    fn rule(&self, form: &Form) -> Result<RuleBranch> {
        let wanted = "a rule [(name ?args…) clauses…]";
        let (head, body) = form.items().and_then(<[Form]>::split_first).ok_or_else(|| self.wanted(wanted, form))?;
        let (name, vars) = head.items().and_then(<[Form]>::split_first).ok_or_else(|| self.wanted(wanted, form))?;
        let name = self.name(name, "the name of a rule")?;
        let vars = self.rule_vars(vars, head.span)?;
        if vars.required.is_empty() && vars.free.is_empty() {
            let message = format!("the rule {} wants at least one variable in its head", name.text());
            return Err(self.error("query/syntax", head.span, message));
        }
        if body.is_empty() {
            let message = format!("the rule {} wants at least one clause after its head", name.text());
            return Err(self.error("query/syntax", form.span, message));
        }
        Ok(RuleBranch { name, vars, clauses: self.clauses(body)? })
    }

    /// `[?req …] ?free …`, without the outer brackets.
    fn rule_vars(&self, forms: &[Form], span: Span) -> Result<RuleVars> {
        let (required, free) = match forms.split_first() {
            Some((first, rest)) if first.items().is_some() => (self.variables(first, "required variables")?, rest),
            _ => (Vec::new(), forms),
        };
        let free = free.iter().map(|form| self.variable(form)).collect::<Result<Vec<_>>>()?;
        if required.is_empty() && free.is_empty() {
            return Err(self.error("query/syntax", span, "at least one variable was wanted"));
        }
        Ok(RuleVars { required, free })
    }

    pub(super) fn clauses(&self, forms: &[Form]) -> Result<Vec<Clause>> {
        forms.iter().map(|form| self.clause(form)).collect()
    }

    fn clause(&self, form: &Form) -> Result<Clause> {
        let kind = match &form.kind {
            FormKind::Vector(items) => self.vector_clause(form, items)?,
            FormKind::List(items) => self.list_clause(form, items)?,
            _ => return Err(self.wanted("a clause, a vector or a list,", form)),
        };
        Ok(Clause { kind, span: form.span })
    }

    fn vector_clause(&self, form: &Form, items: &[Form]) -> Result<ClauseKind> {
        let Some((head, rest)) = items.split_first() else {
            return Err(self.wanted("a pattern or a call", form));
        };
        if let FormKind::List(call) = &head.kind {
            return self.call(form, head, call, rest);
        }
        let (source, items) = self.source_prefix(items);
        if items.is_empty() {
            return Err(self.wanted("a pattern such as [?e :attribute ?value]", form));
        }
        let terms = items.iter().map(|item| self.term(item)).collect::<Result<Vec<_>>>()?;
        Ok(ClauseKind::Pattern { source, terms })
    }

    fn call(&self, form: &Form, head: &Form, call: &[Form], rest: &[Form]) -> Result<ClauseKind> {
        let Some((function, args)) = call.split_first() else {
            return Err(self.wanted("a call (function arguments…)", head));
        };
        let function = self.name(function, "the name of a function")?;
        let mut args = args;
        let mut terms = Vec::with_capacity(args.len());
        // A query as an argument stays text: as a value its lists and vectors would be the same.
        if let (true, Some((query, rest))) = (is_query(function), args.split_first())
            && matches!(query.kind, FormKind::Vector(_) | FormKind::Map(_))
        {
            terms.push(Term::Const(Value::from(query.to_string())));
            args = rest;
        }
        for arg in args {
            terms.push(self.term(arg)?);
        }
        let args = terms;
        let binding = match rest {
            [] => None,
            [binding] => Some(self.binding(binding)?),
            _ => return Err(self.wanted("one binding after the call", form)),
        };
        Ok(ClauseKind::Call { function, args, binding })
    }

    fn source_prefix<'f>(&self, items: &'f [Form]) -> (Option<Name>, &'f [Form]) {
        match items.split_first() {
            Some((Form { kind: FormKind::Symbol(symbol), span }, rest)) if is_source(*symbol) => {
                (Some(Name { symbol: *symbol, span: *span }), rest)
            }
            _ => (None, items),
        }
    }

    fn list_clause(&self, form: &Form, items: &[Form]) -> Result<ClauseKind> {
        let (source, items) = self.source_prefix(items);
        let Some((head, rest)) = items.split_first() else {
            return Err(self.wanted("not, or, and, or the name of a rule", form));
        };
        let name = self.name(head, "not, or, and, or the name of a rule")?;
        match name.text() {
            "not" => {
                self.some_clauses(rest, form)?;
                let clauses = self.clauses(rest)?;
                self.says_something(&clauses, form)?;
                Ok(ClauseKind::Not { source, vars: None, clauses })
            }
            "not-join" => {
                let Some((vars, clauses)) = rest.split_first() else {
                    return Err(self.wanted("(not-join [?vars…] clauses…)", form));
                };
                self.some_clauses(clauses, form)?;
                let vars = self.variables(vars, "the variables [?x …] of not-join")?;
                if vars.is_empty() {
                    return Err(self.wanted("at least one variable in not-join", form));
                }
                Ok(ClauseKind::Not { source, vars: Some(vars), clauses: self.clauses(clauses)? })
            }
            "or" => {
                self.some_clauses(rest, form)?;
                let branches = self.branches(rest)?;
                branches.iter().try_for_each(|branch| self.says_something(branch, form))?;
                Ok(ClauseKind::Or { source, vars: None, branches })
            }
            "or-join" => {
                let Some((vars, branches)) = rest.split_first() else {
                    return Err(self.wanted("(or-join [?vars…] clauses…)", form));
                };
                self.some_clauses(branches, form)?;
                let items = vars.items().ok_or_else(|| self.wanted("the variables [?x …] of or-join", vars))?;
                let vars = Some(self.rule_vars(items, vars.span)?);
                Ok(ClauseKind::Or { source, vars, branches: self.branches(branches)? })
            }
            "and" => {
                self.some_clauses(rest, form)?;
                Ok(ClauseKind::And { source, clauses: self.clauses(rest)? })
            }
            _ if is_variable(name.symbol) => Err(self.wanted("the name of a rule", head)),
            _ => {
                let args = rest.iter().map(|arg| self.term(arg)).collect::<Result<Vec<_>>>()?;
                if args.is_empty() {
                    let message = format!("the rule {} wants at least one argument", name.text());
                    return Err(self.error("query/arity", form.span, message));
                }
                Ok(ClauseKind::Rule { source, name, args })
            }
        }
    }

    /// Refuses a branch of nothing but patterns of `_`.
    fn says_something(&self, clauses: &[Clause], form: &Form) -> Result<()> {
        let is_blank = |clause: &Clause| match &clause.kind {
            ClauseKind::Pattern { terms, .. } => terms.iter().all(|term| matches!(term, Term::Blank)),
            _ => false,
        };
        if clauses.iter().all(is_blank) { Err(self.wanted("a variable or a value inside", form)) } else { Ok(()) }
    }

    fn some_clauses(&self, clauses: &[Form], form: &Form) -> Result<()> {
        if clauses.is_empty() { Err(self.wanted("at least one clause", form)) } else { Ok(()) }
    }

    /// The branches of an `or`; `(and …)` is a branch of several clauses.
    fn branches(&self, forms: &[Form]) -> Result<Vec<Vec<Clause>>> {
        let branch = |form: &Form| {
            let clause = self.clause(form)?;
            Ok(match clause.kind {
                ClauseKind::And { source: None, clauses } => clauses,
                _ => vec![clause],
            })
        };
        forms.iter().map(branch).collect()
    }
}
