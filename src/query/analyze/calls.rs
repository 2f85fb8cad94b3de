//! Functions and predicates: found, counted, their results bound.

use std::sync::Arc;

use super::scope::Scope;
use super::{Analyzer, Context, compile_binding};
use crate::edn::Span;
use crate::error::Result;
use crate::query::ast::{self, Name};
use crate::query::logic::{Arg, Call, Callee, Clause, Kind, Term};
use crate::query::parse::{is_query, is_variable};

impl Analyzer<'_> {
    #[expect(clippy::too_many_arguments, reason = "the parts of one clause and where they stand")]
    pub(super) fn call(
        &mut self,
        function: Name,
        args: &[ast::Term],
        binding: Option<&ast::Binding>,
        span: Span,
        scope: &mut Scope,
        context: &Context,
        out: &mut Vec<Clause>,
    ) -> Result<()> {
        let callee = self.callee(function, args.len(), scope, context)?;
        let args = args.iter().map(|arg| self.arg(arg, scope, context)).collect::<Result<Vec<_>>>()?;
        if let Some(blank) = args.iter().position(|arg| matches!(arg, Arg::Term(Term::Any))) {
            let message =
                format!("argument {} of {} is _; a variable or a value was wanted", blank + 1, function.text());
            return Err(context.error("query/syntax", span, message));
        }
        let mut names = Vec::new();
        let bind = binding.map(|binding| compile_binding(binding, &mut names));
        let mut equal = Vec::new();
        let mut outs = Vec::with_capacity(names.len());
        for name in names {
            match self.name(name, scope, context)? {
                Term::Var(var) => outs.push(var),
                // A scalar input: the result is compared with it.
                Term::Const(constant) => {
                    let var = self.fresh(name.symbol);
                    equal.push(Kind::Equal(Term::Var(var), Term::Const(constant)));
                    outs.push(var);
                }
                Term::Any => {}
            }
        }
        let call = Kind::Call(Arc::new(Call { name: function.symbol, callee, args, binding: bind, outs }));
        let place = context.place(span);
        out.extend(std::iter::once(call).chain(equal).map(|kind| Clause { kind, place: Arc::clone(&place) }));
        Ok(())
    }

    pub(super) fn callee(
        &mut self,
        function: Name,
        args: usize,
        scope: &mut Scope,
        context: &Context,
    ) -> Result<Callee> {
        if is_variable(function.symbol) {
            return match scope.get(function.symbol) {
                Some(Term::Const(constant)) => Ok(Callee::Named(constant)),
                _ => {
                    let message = format!(
                        "{} is called as a function; it must be a scalar of :in that holds the name of one",
                        function.text()
                    );
                    Err(context.error("query/unbound", function.span, message))
                }
            };
        }
        if is_query(function) {
            return Ok(Callee::Query);
        }
        let Some(known) = self.functions.get(function.symbol) else {
            if let Some(Term::Const(constant)) = scope.get(function.symbol) {
                return Ok(Callee::Named(constant));
            }
            let hint = self.functions.nearest(function.symbol);
            let hint = hint.map(|name| format!(", did you mean {name}?")).unwrap_or_default();
            let message = format!("there is no function {}{hint}; docs/functions.md lists them all", function.text());
            return Err(context.error("query/unknown-function", function.span, message));
        };
        known.check_arity(args).map_err(|error| context.place(function.span).mark(error))?;
        Ok(Callee::Known(known.clone()))
    }

    fn arg(&mut self, arg: &ast::Term, scope: &mut Scope, context: &Context) -> Result<Arg> {
        match arg {
            ast::Term::Source(name) => Ok(Arg::Source(self.source(Some(*name), name.span, context)?)),
            other => Ok(Arg::Term(self.term(other, scope, context)?)),
        }
    }
}
