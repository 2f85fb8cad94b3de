//! `:find`: four shapes, three kinds of elements.

use super::{Parser, is_source, is_variable};
use crate::edn::{Form, FormKind, Span};
use crate::error::Result;
use crate::query::ast::{FindElement, FindShape, Having, HavingArg, Name, PullPattern, Term};

impl Parser<'_> {
    pub(super) fn find(&self, forms: &[Form], span: Span) -> Result<(Vec<FindElement>, FindShape)> {
        let is_symbol = |form: &Form, text: &str| form.as_symbol().is_some_and(|s| s.as_str() == text);
        match forms {
            [] => Err(self.error("query/syntax", span, "what to find was wanted after :find, got nothing")),
            [Form { kind: FormKind::Vector(items), span }] => match items.as_slice() {
                [] => Err(self.error("query/syntax", *span, "what to find was wanted, got an empty vector")),
                [element, dots] if is_symbol(dots, "...") => {
                    Ok((vec![self.find_element(element)?], FindShape::Collection))
                }
                items => Ok((self.find_elements(items)?, FindShape::Tuple)),
            },
            [element, dot] if is_symbol(dot, ".") => Ok((vec![self.find_element(element)?], FindShape::Scalar)),
            forms => Ok((self.find_elements(forms)?, FindShape::Relation)),
        }
    }

    fn find_elements(&self, forms: &[Form]) -> Result<Vec<FindElement>> {
        forms.iter().map(|form| self.find_element(form)).collect()
    }

    pub(super) fn find_element(&self, form: &Form) -> Result<FindElement> {
        let FormKind::List(items) = &form.kind else {
            return Ok(FindElement::Var(self.variable(form)?));
        };
        let Some((head, rest)) = items.split_first() else {
            return Err(self.wanted("a variable, an aggregate or a pull", form));
        };
        let function = self.name(head, "the name of an aggregate, or pull,")?;
        if function.text() == "pull" {
            return self.find_pull(form, rest);
        }
        if rest.is_empty() {
            let message = format!("the aggregate {} wants a variable: ({0} ?x)", function.text());
            return Err(self.error("query/arity", form.span, message));
        }
        let args = rest.iter().map(|arg| self.term(arg)).collect::<Result<Vec<_>>>()?;
        Ok(FindElement::Aggregate { function, args, span: form.span })
    }

    fn find_pull(&self, form: &Form, args: &[Form]) -> Result<FindElement> {
        let (source, rest) = match args.split_first() {
            Some((Form { kind: FormKind::Symbol(symbol), span }, rest)) if is_source(*symbol) => {
                (Some(Name { symbol: *symbol, span: *span }), rest)
            }
            _ => (None, args),
        };
        let [var, pattern] = rest else {
            return Err(self.wanted("(pull ?e pattern) or (pull $source ?e pattern)", form));
        };
        let pattern = match &pattern.kind {
            FormKind::Symbol(symbol) if is_variable(*symbol) || symbol.as_str() != "*" => {
                PullPattern::Var(Name { symbol: *symbol, span: pattern.span })
            }
            _ => PullPattern::Literal(pattern.clone()),
        };
        Ok(FindElement::Pull { source, var: self.variable(var)?, pattern, span: form.span })
    }

    /// `:having`: predicates over what was found.
    pub(super) fn having(&self, forms: &[Form]) -> Result<Vec<Having>> {
        let wanted = "a predicate over :find such as [(< 2 (count ?x))]";
        let predicate = |form: &Form| {
            let call = match &form.kind {
                FormKind::Vector(items) => match items.as_slice() {
                    [Form { kind: FormKind::List(call), .. }] => call.split_first(),
                    _ => None,
                },
                _ => None,
            };
            let (function, args) = call.ok_or_else(|| self.wanted(wanted, form))?;
            let arg = |arg: &Form| match &arg.kind {
                FormKind::List(items)
                    if items.first().and_then(Form::as_symbol).is_none_or(|s| s.as_str() != "quote") =>
                {
                    match self.find_element(arg)? {
                        element @ FindElement::Aggregate { .. } => Ok(HavingArg::Aggregate(element)),
                        _ => Err(self.wanted("an aggregate, a variable of :find or a value", arg)),
                    }
                }
                _ => match self.term(arg)? {
                    term @ (Term::Var(_) | Term::Const(_)) => Ok(HavingArg::Term(term)),
                    _ => Err(self.wanted("an aggregate, a variable of :find or a value", arg)),
                },
            };
            Ok(Having {
                function: self.name(function, "the name of a predicate")?,
                args: args.iter().map(arg).collect::<Result<_>>()?,
                span: form.span,
            })
        };
        forms.iter().map(predicate).collect()
    }
}
