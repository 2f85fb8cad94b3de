//! Where in the tx-data operations and their parts stand, for what errors say.

use std::sync::Arc;

use crate::datom::Value;
use crate::edn::{self, Form, Keyword, Span, Symbol};
use crate::error::Error;

/// Where operations come from.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    pub text: Option<Arc<str>>,
    /// For each operation; empty where they stand as they were built.
    pub places: Vec<Place>,
}

/// Where an operation comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The number in the tx-data.
    pub number: u32,
    /// The place in the text.
    pub span: Option<Span>,
    /// The function that gave it.
    pub function: Option<Symbol>,
}

impl Source {
    pub fn place(&self, op: u32) -> Place {
        self.places.get(op as usize).copied().unwrap_or(Place { number: op, span: None, function: None })
    }

    /// Says in an error which operation it is about.
    pub fn locate(&self, op: u32, error: Error) -> Error {
        let Place { number, span, function } = self.place(op);
        let error = match function {
            Some(function) => error.context(format_args!("operation {number} of the tx-data: in what {function} gave")),
            None => error.context(format_args!("operation {number} of the tx-data")),
        };
        match (span, &self.text) {
            (Some(span), Some(text)) => error.at(span, text),
            _ => error,
        }
    }

    /// Shows in an error the part of the operation that it is about, where the text has it.
    pub fn point(&self, op: u32, part: &Part<'_>, error: Error) -> Error {
        match (self.find(op, part), &self.text) {
            (Some(span), Some(text)) => error.at(span, text),
            _ => error,
        }
    }

    /// Reads the operation once more: only errors want to know.
    fn find(&self, op: u32, part: &Part<'_>) -> Option<Span> {
        let Place { span: Some(whole), function: None, .. } = self.place(op) else { return None };
        let text = self.text.as_deref()?.get(whole.start as usize..whole.end as usize)?;
        let found = find(&edn::read(text).ok()?, part)?;
        Some(Span { start: whole.start + found.start, end: whole.start + found.end })
    }
}

/// What in an operation an error is about.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// The entity.
    Entity,
    /// The name of an attribute.
    Attribute(Keyword),
    /// A value of an attribute; `None` where there is but one.
    Value(Keyword, Option<&'a Value>),
}

fn find(operation: &Form, part: &Part<'_>) -> Option<Span> {
    // What is given for attributes, and the names of entities, of this map and those in it.
    let (mut given, mut entities) = (Vec::new(), Vec::new());
    let mut open: Vec<&Form> = vec![operation];
    if let Some([_, entity, rest @ ..]) = operation.items() {
        entities.push(entity);
        if let [attribute, values @ ..] = rest {
            given.extend(values.iter().map(|value| (attribute, Some(value))));
            given.push((attribute, None));
            open = values.iter().collect();
        }
    }
    while let Some(form) = open.pop() {
        for (key, value) in form.pairs().unwrap_or_default() {
            match key.as_keyword().map(Keyword::as_str) {
                Some("db/id") => entities.push(value),
                _ => given.push((key, Some(value))),
            }
            open.push(value);
        }
        open.extend(form.items().unwrap_or_default());
    }
    given.sort_by_key(|(key, value)| (key.span.start, value.map(|value| value.span.start)));
    let of = |attribute: Keyword| given.iter().filter(move |(key, _)| key.as_keyword() == Some(attribute));
    match part {
        Part::Entity => {
            if let [entity] = entities[..] {
                Some(entity.span)
            } else {
                None
            }
        }
        Part::Attribute(attribute) => of(*attribute).map(|(key, _)| key.span).next(),
        Part::Value(attribute, wanted) => {
            let forms: Vec<&Form> = of(*attribute).filter_map(|(_, value)| *value).collect();
            let is_wanted = |form: &&Form| wanted.is_some_and(|wanted| Value::from_form(form).as_ref() == Some(wanted));
            let with_members =
                forms.iter().flat_map(|form| std::iter::once(*form).chain(form.items().unwrap_or_default()));
            let exact = with_members.into_iter().find(is_wanted);
            let only = || if let [only] = forms[..] { Some(only) } else { None };
            exact.or_else(only).map(|form| form.span)
        }
    }
}
