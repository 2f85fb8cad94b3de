//! Forms to the ast. After this point nobody looks at forms again, pull patterns apart.

mod clause;
mod find;
mod inputs;

pub(super) use clause::{is_query, parse_rules};

use std::sync::Arc;

use super::ast::{Ast, FindElement, FindShape, InElement, Name, OrderColumn, OrderKey, ReturnMap, Term};
use crate::datom::Value;
use crate::edn::{Form, FormKind, Keyword, Span, Symbol};
use crate::error::{Error, ErrorKind, Result};

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

/// The sections of a query, whichever way it was written.
struct Sections<'f> {
    sections: Vec<(Keyword, Span, Section<'f>)>,
}

enum Section<'f> {
    /// What stood between two keywords of a vector.
    Forms(&'f [Form]),
    /// The value in a map.
    Whole(&'f Form),
}

const KNOWN: [&str; 11] =
    ["find", "with", "in", "where", "keys", "strs", "syms", "order-by", "limit", "offset", "having"];

impl<'f> Sections<'f> {
    fn of(parser: &Parser<'_>, form: &'f Form) -> Result<Sections<'f>> {
        let mut sections = Vec::new();
        match &form.kind {
            FormKind::Vector(items) | FormKind::List(items) => {
                let mut rest = items.as_slice();
                while let Some((head, tail)) = rest.split_first() {
                    let Some(key) = head.as_keyword() else {
                        return Err(parser.wanted("a query begins with :find; a section keyword", head));
                    };
                    let len = tail.iter().position(|f| f.as_keyword().is_some_and(is_section)).unwrap_or(tail.len());
                    sections.push((key, head.span, Section::Forms(tail.get(..len).unwrap_or_default())));
                    rest = tail.get(len..).unwrap_or_default();
                }
            }
            FormKind::Map(pairs) => {
                for (key, value) in pairs {
                    let Some(keyword) = key.as_keyword() else {
                        return Err(parser.wanted("a section keyword such as :find", key));
                    };
                    sections.push((keyword, value.span, Section::Whole(value)));
                }
            }
            _ => return Err(parser.wanted("a query, a vector or a map with :find,", form)),
        }
        for (i, (key, span, _)) in sections.iter().enumerate() {
            if !is_section(*key) || key.as_str() == "having" {
                let message = format!(
                    "{key} is no section of a query; there are :find, :with, :in, :where, :keys, :strs, :syms, :order-by, :limit and :offset"
                );
                return Err(parser.error("query/syntax", *span, message));
            }
            if sections.iter().take(i).any(|(other, ..)| other == key) {
                return Err(parser.error("query/syntax", *span, format!("{key} stands twice in the query")));
            }
        }
        Ok(Sections { sections })
    }

    fn get(&self, name: &str) -> Option<(Span, &Section<'f>)> {
        self.sections.iter().find(|(key, ..)| key.as_str() == name).map(|(_, span, section)| (*span, section))
    }

    /// The forms of a section that is a sequence.
    fn forms(&self, parser: &Parser<'_>, name: &str) -> Result<Option<&'f [Form]>> {
        match self.get(name) {
            None => Ok(None),
            Some((_, Section::Forms(forms))) => Ok(Some(forms)),
            Some((_, Section::Whole(form))) => match form.items() {
                Some(items) => Ok(Some(items)),
                None => Err(parser.wanted(&format!("a vector after :{name}"), form)),
            },
        }
    }

    /// The one form of a section that is a value.
    fn single(&self, parser: &Parser<'_>, name: &str) -> Result<Option<&'f Form>> {
        match self.get(name) {
            None => Ok(None),
            Some((_, Section::Whole(form))) => Ok(Some(form)),
            Some((_, Section::Forms([form]))) => Ok(Some(form)),
            Some((span, Section::Forms(_))) => {
                Err(parser.error("query/syntax", span, format!("one value was wanted after :{name}")))
            }
        }
    }
}

fn is_section(key: Keyword) -> bool {
    KNOWN.contains(&key.as_str())
}

/// Parses a query in vector or map form. `text` is what the form was read from.
pub(super) fn parse_query(form: &Form, text: Option<Arc<str>>) -> Result<Ast> {
    let parser = Parser { text: text.as_deref() };
    let sections = Sections::of(&parser, form)?;
    let Some((find_span, _)) = sections.get("find") else {
        return Err(parser.error("query/syntax", form.span, "a query wants a :find"));
    };
    let (find, shape) = parser.find(sections.forms(&parser, "find")?.unwrap_or_default(), find_span)?;
    let with = sections.forms(&parser, "with")?.unwrap_or_default();
    let with = with.iter().map(|f| parser.variable(f)).collect::<Result<Vec<_>>>()?;
    let inputs = match sections.forms(&parser, "in")? {
        Some(forms) => parser.inputs(forms)?,
        None => vec![InElement::Source(Name { symbol: Symbol::new("$"), span: Span::default() })],
    };
    let clauses = parser.clauses(sections.forms(&parser, "where")?.unwrap_or_default())?;
    let return_map = return_map(&parser, &sections, &find, shape)?;
    let order_by = order_by(&parser, &sections, &find, shape)?;
    let limit = bound(&parser, &sections, "limit")?;
    let offset = bound(&parser, &sections, "offset")?.unwrap_or(0);
    Ok(Ast { find, shape, with, inputs, clauses, return_map, order_by, limit, offset, text: text.clone() })
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

fn bound(parser: &Parser<'_>, sections: &Sections<'_>, name: &str) -> Result<Option<usize>> {
    let Some(form) = sections.single(parser, name)? else { return Ok(None) };
    match &form.kind {
        FormKind::Nil => Ok(None),
        FormKind::Int(n) => Ok(usize::try_from(*n).ok()),
        _ => Err(parser.wanted(&format!("a number after :{name}"), form)),
    }
}

fn order_by(
    parser: &Parser<'_>,
    sections: &Sections<'_>,
    find: &[FindElement],
    shape: FindShape,
) -> Result<Vec<OrderKey>> {
    let forms: &[Form] = match sections.get("order-by") {
        None => return Ok(Vec::new()),
        Some((_, Section::Whole(form))) => form.items().unwrap_or(std::slice::from_ref(form)),
        // [… :order-by [?x :desc]] and [… :order-by ?x :desc]
        Some((_, Section::Forms([form]))) => form.items().unwrap_or(std::slice::from_ref(form)),
        Some((_, Section::Forms(forms))) => forms,
    };
    let mut keys: Vec<OrderKey> = Vec::new();
    for form in forms {
        match &form.kind {
            FormKind::Keyword(k) if matches!(k.as_str(), "asc" | "desc") => match keys.last_mut() {
                Some(key) => key.descending = k.as_str() == "desc",
                None => return Err(parser.wanted("a variable or a column number before :asc or :desc", form)),
            },
            FormKind::Vector(pair) | FormKind::List(pair) => {
                // [[?x :desc] [?y :asc]]
                let [column, direction] = pair.as_slice() else {
                    return Err(parser.wanted("[column :asc] or [column :desc]", form));
                };
                let mut key = order_key(parser, column, find)?;
                key.descending = match direction.as_keyword().map(Keyword::as_str) {
                    Some("asc") => false,
                    Some("desc") => true,
                    _ => return Err(parser.wanted(":asc or :desc", direction)),
                };
                keys.push(key);
            }
            _ => keys.push(order_key(parser, form, find)?),
        }
    }
    if shape != FindShape::Relation && !keys.is_empty() {
        let span = sections.get("order-by").map(|(span, _)| span).unwrap_or_default();
        return Err(parser.error("query/syntax", span, ":order-by goes with a relation in :find"));
    }
    Ok(keys)
}

fn order_key(parser: &Parser<'_>, form: &Form, find: &[FindElement]) -> Result<OrderKey> {
    let column = match &form.kind {
        FormKind::Int(i) => match usize::try_from(*i).ok().filter(|i| *i < find.len()) {
            Some(i) => OrderColumn::Index(i),
            None => {
                let message = format!(":order-by names column {i}; :find has columns 0 to {}", find.len() - 1);
                return Err(parser.error("query/syntax", form.span, message));
            }
        },
        _ => {
            let name = parser.variable(form)?;
            let found = find.iter().any(|f| matches!(f, FindElement::Var(v) if v.symbol == name.symbol));
            if !found {
                let message = format!(":order-by names {}, which is no variable of :find", name.text());
                return Err(parser.error("query/unbound", form.span, message));
            }
            OrderColumn::Var(name)
        }
    };
    Ok(OrderKey { column, descending: false })
}
