//! Forms to the ast. After this point nobody looks at forms again, pull patterns apart.

mod clause;
mod find;
mod inputs;
mod modifiers;
mod sections;

pub(super) use clause::{is_query, parse_rules};

use std::sync::Arc;

use super::ast::{Ast, FindElement, FindShape, InElement, Name, ReturnMap, Term};
use crate::datom::Value;
use crate::edn::{Form, FormKind, Keyword, Span, Symbol};
use crate::error::{Error, ErrorKind, Result};
use sections::Sections;

/// Knows the text, so that errors can point into it.
#[derive(Clone, Copy)]
pub(super) struct Parser<'t> {
    pub text: Option<&'t str>,
}

impl Parser<'_> {
    pub fn error(&self, code: &'static str, span: Span, message: impl Into<String>) -> Error {
        locate(Error::new(ErrorKind::Syntax, code, message), span, self.text)
    }

    /// `query/syntax`: so much was wanted, this form was got.
    fn wanted(&self, wanted: &str, got: &Form) -> Error {
        self.error("query/syntax", got.span, format!("{wanted} was wanted, got {} {}", got.kind_name(), shown(got)))
    }

    fn name(&self, form: &Form, wanted: &str) -> Result<Name> {
        match &form.kind {
            FormKind::Symbol(symbol) => Ok(Name { symbol: *symbol, span: form.span }),
            _ => Err(self.wanted(wanted, form)),
        }
    }

    fn variable(&self, form: &Form) -> Result<Name> {
        let name = self.name(form, "a variable such as ?x")?;
        if is_variable(name.symbol) { Ok(name) } else { Err(self.wanted("a variable such as ?x", form)) }
    }

    fn variables(&self, form: &Form, wanted: &str) -> Result<Vec<Name>> {
        let items = form.items().ok_or_else(|| self.wanted(wanted, form))?;
        items.iter().map(|item| self.variable(item)).collect()
    }

    fn term(&self, form: &Form) -> Result<Term> {
        Ok(match &form.kind {
            FormKind::Symbol(symbol) if symbol.as_str() == "_" => Term::Blank,
            FormKind::Symbol(symbol) if is_source(*symbol) => Term::Source(Name { symbol: *symbol, span: form.span }),
            FormKind::Symbol(symbol) => Term::Var(Name { symbol: *symbol, span: form.span }),
            // 'x, as a host language would quote it
            FormKind::List(items) => match items.as_slice() {
                [Form { kind: FormKind::Symbol(quote), .. }, quoted] if quote.as_str() == "quote" => {
                    Term::Const(self.constant(quoted)?)
                }
                _ => Term::Const(self.constant(form)?),
            },
            _ => Term::Const(self.constant(form)?),
        })
    }

    fn constant(&self, form: &Form) -> Result<Value> {
        Value::from_form(form).ok_or_else(|| self.wanted("a value", form))
    }
}

pub(super) fn locate(error: Error, span: Span, text: Option<&str>) -> Error {
    match text {
        Some(text) if span.end > 0 => error.at(span, text),
        _ => error,
    }
}

/// A form as messages show it: not longer than a line.
pub(super) fn shown(form: &Form) -> String {
    let text = form.to_string();
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

pub(super) fn is_variable(symbol: Symbol) -> bool {
    symbol.as_str().starts_with('?')
}

pub(super) fn is_source(symbol: Symbol) -> bool {
    symbol.as_str().starts_with('$')
}

/// Parses a query in vector or map form, or a call in map form: `{:query … :args […] :limit 5}`. `text` is what the form
/// was read from.
pub(super) fn parse_query(form: &Form, text: Option<Arc<str>>) -> Result<Ast> {
    let Some(query) = form.get(Keyword::new("query")) else {
        let sections = Sections::of(&Parser { text: text.as_deref() }, form)?;
        return ast(&sections, form.span, text);
    };
    let outer = Parser { text: text.as_deref() };
    let read;
    let (query, text) = match &query.kind {
        FormKind::Str(inner) => {
            read = crate::edn::read(inner)?;
            (&read, Some(Arc::clone(inner)))
        }
        _ => (query, text.clone()),
    };
    let inner = Parser { text: text.as_deref() };
    let mut sections = Sections::of(&inner, query)?;
    sections.lay_over(&outer, form)?;
    ast(&sections, query.span, text)
}

fn ast(sections: &Sections<'_>, span: Span, text: Option<Arc<str>>) -> Result<Ast> {
    let parser = Parser { text: text.as_deref() };
    let Some((find_span, _)) = sections.get("find") else {
        return Err(parser.error("query/syntax", span, "a query wants a :find"));
    };
    let (find, shape) = parser.find(sections.forms(&parser, "find")?.unwrap_or_default(), find_span)?;
    let with = sections.forms(&parser, "with")?.unwrap_or_default();
    let with = with.iter().map(|f| parser.variable(f)).collect::<Result<Vec<_>>>()?;
    let inputs = match sections.forms(&parser, "in")? {
        Some(forms) => parser.inputs(forms)?,
        None => vec![InElement::Source(Name { symbol: Symbol::new("$"), span: Span::default() })],
    };
    Ok(Ast {
        with,
        inputs,
        no_in: sections.get("in").is_none(),
        clauses: parser.clauses(sections.forms(&parser, "where")?.unwrap_or_default())?,
        return_map: return_map(&parser, sections, &find, shape)?,
        order_by: modifiers::order_by(&parser, sections, &find, shape)?,
        having: parser.having(sections.forms(&parser, "having")?.unwrap_or_default())?,
        limit: modifiers::bound(&parser, sections, "limit")?,
        offset: modifiers::bound(&parser, sections, "offset")?.unwrap_or(0),
        after: modifiers::after(&parser, sections)?,
        timeout: modifiers::timeout(&parser, sections)?,
        args: sections.forms(&parser, "args")?.map(<[Form]>::to_vec),
        stats: modifiers::flag(&parser, sections, "stats?")?,
        find,
        shape,
        text: text.clone(),
    })
}

fn return_map(
    parser: &Parser<'_>,
    sections: &Sections<'_>,
    find: &[FindElement],
    shape: FindShape,
) -> Result<Option<ReturnMap>> {
    let mut found = None;
    for name in ["keys", "strs", "syms"] {
        let Some(forms) = sections.forms(parser, name)? else { continue };
        let span = sections.get(name).map(|(span, _)| span).unwrap_or_default();
        if found.is_some() {
            let message = "only one of :keys, :strs and :syms can be given";
            return Err(parser.error("query/syntax", span, message));
        }
        if !matches!(shape, FindShape::Relation | FindShape::Tuple) {
            let message =
                format!(":{name} goes with a relation or a tuple in :find, not with a collection or a scalar");
            return Err(parser.error("query/syntax", span, message));
        }
        if forms.len() != find.len() {
            let message = format!(":{name} names {} columns, :find has {}", forms.len(), find.len());
            return Err(parser.error("query/syntax", span, message));
        }
        let mut keys = Vec::with_capacity(forms.len());
        for form in forms {
            let symbol = match &form.kind {
                FormKind::Keyword(k) => k.as_str(),
                _ => parser.name(form, "a symbol that names a column")?.text(),
            };
            keys.push(match name {
                "keys" => Value::Keyword(Keyword::new(symbol)),
                "strs" => Value::from(symbol),
                _ => Value::Symbol(Symbol::new(symbol)),
            });
        }
        found = Some(ReturnMap { keys });
    }
    Ok(found)
}
