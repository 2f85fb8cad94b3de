//! The sections of a query, whichever way it was written.

use super::Parser;
use crate::edn::{Form, FormKind, Keyword, Span};
use crate::error::Result;

pub(super) struct Sections<'f> {
    sections: Vec<(Keyword, Span, Section<'f>)>,
}

pub(super) enum Section<'f> {
    /// What stood between two keywords of a vector.
    Forms(&'f [Form]),
    /// The value in a map.
    Whole(&'f Form),
}

/// What a query says, and what a call in map form may say beside `:query`.
const KNOWN: [&str; 15] = [
    "find", "with", "in", "where", "keys", "strs", "syms", "having", "order-by", "limit", "offset", "after", "timeout",
    "args", "stats?",
];

/// The sections that a call may say beside its `:query`.
const OF_CALLS: [&str; 7] = ["args", "limit", "offset", "order-by", "after", "timeout", "stats?"];

fn is_section(key: Keyword) -> bool {
    KNOWN.contains(&key.as_str())
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!(":{name}")).collect::<Vec<_>>().join(", ")
}

impl<'f> Sections<'f> {
    pub fn of(parser: &Parser<'_>, form: &'f Form) -> Result<Sections<'f>> {
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
            if !is_section(*key) {
                let message = format!("{key} is no section of a query; there are {}", listed(&KNOWN));
                return Err(parser.error("query/syntax", *span, message));
            }
            if sections.iter().take(i).any(|(other, ..)| other == key) {
                return Err(parser.error("query/syntax", *span, format!("{key} stands twice in the query")));
            }
        }
        Ok(Sections { sections })
    }

    /// Puts what a call says beside its `:query` over what the query says.
    pub fn lay_over(&mut self, parser: &Parser<'_>, call: &'f Form) -> Result<()> {
        for (key, value) in call.pairs().unwrap_or_default() {
            let Some(name) = key.as_keyword().filter(|name| name.as_str() != "query") else {
                if key.as_keyword().is_some() {
                    continue;
                }
                return Err(parser.wanted("a keyword such as :args", key));
            };
            if !OF_CALLS.contains(&name.as_str()) {
                let message = format!("{name} cannot stand beside :query; there are {}", listed(&OF_CALLS));
                return Err(parser.error("query/syntax", key.span, message));
            }
            self.sections.retain(|(known, ..)| *known != name);
            self.sections.push((name, value.span, Section::Whole(value)));
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<(Span, &Section<'f>)> {
        self.sections.iter().find(|(key, ..)| key.as_str() == name).map(|(_, span, section)| (*span, section))
    }

    /// The forms of a section that is a sequence.
    pub fn forms(&self, parser: &Parser<'_>, name: &str) -> Result<Option<&'f [Form]>> {
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
    pub fn single(&self, parser: &Parser<'_>, name: &str) -> Result<Option<&'f Form>> {
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
