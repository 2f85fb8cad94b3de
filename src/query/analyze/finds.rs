//! `:find` and `:with` to logic.

use std::sync::Arc;

use super::scope::Scope;
use super::{Analyzer, Context};
use crate::error::Result;
use crate::query::ast::{self, Ast, FindElement, Name, PullPattern};
use crate::query::logic::{AggregateName, Element, Pattern, Term};

impl Analyzer<'_> {
    pub(super) fn find(&mut self, ast: &Ast, scope: &Scope, context: &Context) -> Result<(Vec<Element>, Vec<Term>)> {
        let mut find = Vec::with_capacity(ast.find.len());
        for element in &ast.find {
            find.push(self.element(element, scope, context)?);
        }
        let mut with = Vec::with_capacity(ast.with.len());
        for (i, name) in ast.with.iter().enumerate() {
            if ast.with.iter().take(i).any(|other| other.symbol == name.symbol) {
                return Err(context.error("query/syntax", name.span, format!("{} stands twice in :with", name.text())));
            }
            let in_find = ast.find.iter().any(|f| matches!(f, FindElement::Var(v) if v.symbol == name.symbol));
            if in_find {
                let message = format!("{} stands in :find and in :with", name.text());
                return Err(context.error("query/syntax", name.span, message));
            }
            with.push(found(*name, scope, context)?);
        }
        Ok((find, with))
    }

    /// One element of `:find`.
    pub(super) fn element(&mut self, element: &FindElement, scope: &Scope, context: &Context) -> Result<Element> {
        Ok(match element {
            FindElement::Var(name) => Element::Term(found(*name, scope, context)?),
            FindElement::Aggregate { function, args, span } => {
                let Some((ast::Term::Var(of), args)) = args.split_last() else {
                    let message = format!("the last argument of the aggregate {} must be a variable", function.text());
                    return Err(context.error("query/syntax", *span, message));
                };
                let (name, args) = self.aggregate(*function, args, scope, context)?;
                let mut terms = Vec::with_capacity(args.len());
                for arg in args {
                    terms.push(match arg {
                        ast::Term::Const(value) => Term::Const(self.literal(value.clone())),
                        ast::Term::Var(name) => match found(*name, scope, context)? {
                            Term::Const(constant) => Term::Const(constant),
                            _ => {
                                let message = "leading arguments of an aggregate are values or scalars of :in";
                                return Err(context.error("query/syntax", *span, message));
                            }
                        },
                        _ => {
                            return Err(context.error("query/syntax", *span, "a value was wanted, got _ or a source"));
                        }
                    });
                }
                Element::Aggregate { name, args: terms, of: found(*of, scope, context)?, place: context.place(*span) }
            }
            FindElement::Pull { source, var, pattern, span } => {
                let source = self.source(*source, *span, context)?;
                let pattern = match pattern {
                    PullPattern::Literal(form) => Pattern::Form(Arc::new(form.clone())),
                    PullPattern::Var(name) => match found(*name, scope, context)? {
                        Term::Const(constant) => Pattern::Const(constant),
                        _ => {
                            let message = "a pull pattern is written out or a scalar of :in";
                            return Err(context.error("query/syntax", name.span, message));
                        }
                    },
                };
                Element::Pull { source, of: found(*var, scope, context)?, pattern, place: context.place(*span) }
            }
        })
    }

    fn aggregate<'t>(
        &self,
        function: Name,
        args: &'t [ast::Term],
        scope: &Scope,
        context: &Context,
    ) -> Result<(AggregateName, &'t [ast::Term])> {
        if function.text() == "aggregate" {
            let Some((ast::Term::Var(name), rest)) = args.split_first() else {
                let message = "(aggregate ?f ?x) wants the name of an aggregate first";
                return Err(context.error("query/syntax", function.span, message));
            };
            return match scope.get(name.symbol) {
                Some(Term::Const(constant)) => Ok((AggregateName::Named(constant), rest)),
                _ if self.aggregates.get(name.symbol).is_some() => Ok((AggregateName::Known(name.symbol), rest)),
                _ => {
                    let message = format!("{} must be a scalar of :in that names an aggregate", name.text());
                    Err(context.error("query/unbound", name.span, message))
                }
            };
        }
        if self.aggregates.get(function.symbol).is_none() {
            let hint = self.aggregates.nearest(function.symbol);
            let hint = hint.map(|name| format!(", did you mean {name}?")).unwrap_or_default();
            let message = format!("there is no aggregate {}{hint}; docs/functions.md lists them all", function.text());
            return Err(context.error("query/unknown-function", function.span, message));
        }
        Ok((AggregateName::Known(function.symbol), args))
    }
}

/// What a variable of `:find` or `:with` means.
fn found(name: Name, scope: &Scope, context: &Context) -> Result<Term> {
    scope.get(name.symbol).ok_or_else(|| {
        let message = format!("{} is in :find or :with, but no clause and no input binds it", name.text());
        context.error("query/unbound", name.span, message)
    })
}
