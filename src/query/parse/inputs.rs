//! `:in` and the bindings that inputs and function results share.

use super::{Parser, is_source};
use crate::edn::{Form, FormKind};
use crate::error::Result;
use crate::query::ast::{Binding, InElement, Name};

impl Parser<'_> {
    pub(super) fn inputs(&self, forms: &[Form]) -> Result<Vec<InElement>> {
        let is_rules = |form: &&Form| form.as_symbol().is_some_and(|symbol| symbol.as_str() == "%");
        if let Some(second) = forms.iter().filter(is_rules).nth(1) {
            return Err(self.error("query/syntax", second.span, "% stands twice in :in"));
        }
        forms.iter().map(|form| self.input(form)).collect()
    }

    fn input(&self, form: &Form) -> Result<InElement> {
        Ok(match &form.kind {
            FormKind::Symbol(symbol) if symbol.as_str() == "%" => InElement::Rules,
            FormKind::Symbol(symbol) if is_source(*symbol) => {
                InElement::Source(Name { symbol: *symbol, span: form.span })
            }
            _ => InElement::Binding(self.binding(form)?),
        })
    }

    /// `?x`, `_`, `[?x ...]`, `[?x ?y]`, `[[?x ?y]]`.
    pub(super) fn binding(&self, form: &Form) -> Result<Binding> {
        let items = match &form.kind {
            FormKind::Symbol(symbol) if symbol.as_str() == "_" => return Ok(Binding::Blank),
            FormKind::Symbol(symbol) if !is_source(*symbol) && !matches!(symbol.as_str(), "%" | "..." | ".") => {
                return Ok(Binding::Var(Name { symbol: *symbol, span: form.span }));
            }
            FormKind::Vector(items) | FormKind::List(items) => items,
            _ => return Err(self.wanted("a variable, [?x ...], [?x ?y] or [[?x ?y]]", form)),
        };
        match items.as_slice() {
            [] => Err(self.wanted("a variable inside the binding", form)),
            [inner, dots] if dots.as_symbol().is_some_and(|s| s.as_str() == "...") => {
                Ok(Binding::Collection(Box::new(self.binding(inner)?)))
            }
            [inner] if inner.items().is_some_and(|items| !ends_with_dots(items)) => {
                Ok(Binding::Collection(Box::new(self.binding(inner)?)))
            }
            items => {
                let bindings = items.iter().map(|item| self.binding(item)).collect::<Result<Vec<_>>>()?;
                Ok(Binding::Tuple(bindings))
            }
        }
    }
}

fn ends_with_dots(items: &[Form]) -> bool {
    items.last().and_then(Form::as_symbol).is_some_and(|s| s.as_str() == "...")
}
