//! `:having` to logic: predicates over the columns of `:find`, and aggregates that only they look at.

use super::scope::Scope;
use super::{Analyzer, Context};
use crate::error::Result;
use crate::query::ast::{self, Ast, FindElement};
use crate::query::logic::{Element, Having, HavingArg, Term};

impl Analyzer<'_> {
    /// The predicates; aggregates that `:find` does not have are added to `find`.
    pub(super) fn having(
        &mut self,
        ast: &Ast,
        find: &mut Vec<Element>,
        scope: &mut Scope,
        context: &Context,
    ) -> Result<Vec<Having>> {
        let mut known: Vec<FindElement> = ast.find.clone();
        let mut out = Vec::with_capacity(ast.having.len());
        for having in &ast.having {
            let callee = self.callee(having.function, having.args.len(), scope, context)?;
            let mut args = Vec::with_capacity(having.args.len());
            for arg in &having.args {
                args.push(match arg {
                    ast::HavingArg::Aggregate(element) => {
                        let column = known.iter().position(|other| other.is_same(element));
                        HavingArg::Column(match column {
                            Some(column) => column,
                            None => {
                                find.push(self.element(element, scope, context)?);
                                known.push(element.clone());
                                known.len() - 1
                            }
                        })
                    }
                    ast::HavingArg::Term(ast::Term::Const(value)) => HavingArg::Const(self.literal(value.clone())),
                    ast::HavingArg::Term(ast::Term::Var(name)) => {
                        let column = known.iter().position(|other| other.is_same(&FindElement::Var(*name)));
                        match (column, scope.get(name.symbol)) {
                            (Some(column), _) => HavingArg::Column(column),
                            (None, Some(Term::Const(constant))) => HavingArg::Const(constant),
                            _ => {
                                let message = format!(
                                    "{} stands in :having; it must be a variable of :find or a scalar of :in",
                                    name.text()
                                );
                                return Err(context.error("query/unbound", name.span, message));
                            }
                        }
                    }
                    ast::HavingArg::Term(_) => {
                        let message = "a value, an aggregate or a variable of :find was wanted";
                        return Err(context.error("query/syntax", having.span, message));
                    }
                });
            }
            let place = context.place(having.span);
            out.push(Having { name: having.function.symbol, callee, args, place });
        }
        Ok(out)
    }
}
