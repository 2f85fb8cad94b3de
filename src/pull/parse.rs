//! From forms to patterns.

use std::sync::Arc;

use super::pattern::{Field, Pattern, Spec, Sub, What, Xform};
use crate::datom::Value;
use crate::db::Db;
use crate::edn::{Form, FormKind, Keyword, Span, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::SchemaFlexibility;

/// Deepest nesting of patterns in patterns, and of options around an attribute.
const MAX_DEPTH: usize = 256;

/// An error and the place of the form that is to blame. Boxed: it travels through every call of the parser.
type Misplaced = Box<(Error, Span)>;

/// Reads a pattern for a database. `:xform` is refused; [`parse_with`] takes it.
///
/// # Errors
/// `Syntax`, code `:pull/syntax`, for a form that is no pattern; `Limit` for one that is nested too deep.
pub fn parse(form: &Form, db: &Db) -> Result<Pattern> {
    parse_with(form, db, &|_| None)
}

/// Reads a pattern for a database; `xforms` finds the functions that `:xform` names.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(form: &Form, db: &Db, xforms: &dyn Fn(Symbol) -> Option<Xform>) -> Result<Pattern> {
    parse_at(form, db, xforms).map_err(|misplaced| misplaced.0)
}

/// As [`parse_with`]; an error comes with the place of its form.
pub(crate) fn parse_at(form: &Form, db: &Db, xforms: &dyn Fn(Symbol) -> Option<Xform>) -> Result<Pattern, Misplaced> {
    Parser { db, xforms }.pattern(form, 0)
}

struct Parser<'a> {
    db: &'a Db,
    xforms: &'a dyn Fn(Symbol) -> Option<Xform>,
}

fn fail<T>(form: &Form, wanted: &str) -> Result<T, Misplaced> {
    let text: String = form.to_string().chars().take(80).collect();
    let message = format!("pull pattern: {wanted}, got {text}");
    Err(Box::new((Error::new(ErrorKind::Syntax, "pull/syntax", message), form.span)))
}

fn too_deep<T>(form: &Form) -> Result<T, Misplaced> {
    let message = format!("pull pattern: nested more than {MAX_DEPTH} levels deep");
    Err(Box::new((Error::new(ErrorKind::Limit, "pull/depth", message), form.span)))
}

fn is_word(form: &Form, word: &str) -> bool {
    match &form.kind {
        FormKind::Symbol(s) => s.as_str() == word,
        FormKind::Keyword(k) => k.as_str() == word,
        FormKind::Str(s) => s.as_ref() == word,
        _ => false,
    }
}

impl Parser<'_> {
    fn pattern(&self, form: &Form, depth: usize) -> Result<Pattern, Misplaced> {
        if depth > MAX_DEPTH {
            return too_deep(form);
        }
        let (FormKind::Vector(items) | FormKind::List(items)) = &form.kind else {
            return fail(form, "a vector of attributes was wanted");
        };
        if items.is_empty() {
            return fail(form, "at least one attribute was wanted");
        }
        let mut pattern = Pattern { specs: Vec::new(), wildcard: false };
        for item in items {
            match &item.kind {
                _ if is_word(item, "*") => pattern.wildcard = true,
                FormKind::Map(entries) => {
                    for (key, value) in entries {
                        let mut spec = self.spec(key, depth)?;
                        spec.sub = self.sub(&spec, key, value, depth)?;
                        pattern.put(spec);
                    }
                }
                _ => pattern.put(self.spec(item, depth)?),
            }
        }
        Ok(pattern)
    }

    /// The right side of a map entry.
    fn sub(&self, spec: &Spec, key: &Form, value: &Form, depth: usize) -> Result<Sub, Misplaced> {
        let leads_on = match spec.what {
            What::Id => false,
            // What is not declared holds one value that is no ref, in a database that takes any attribute.
            What::Unknown => !self.takes_any(),
            What::Reverse(_) => true,
            What::Forward(field) => field.is_ref,
        };
        if !leads_on {
            return fail(key, "only a ref attribute leads to other entities");
        }
        match &value.kind {
            FormKind::Int(n) if *n > 0 => Ok(Sub::Recursion(Some(usize::try_from(*n).unwrap_or(usize::MAX)))),
            _ if is_word(value, "...") => Ok(Sub::Recursion(None)),
            FormKind::Vector(_) | FormKind::List(_) => Ok(Sub::Pattern(Arc::new(self.pattern(value, depth + 1)?))),
            _ => fail(value, "a pattern, a positive number of levels or ... was wanted"),
        }
    }

    /// An attribute, alone or with options: `[attr :as x …]`, `(limit attr n)`, `(default attr v)`.
    fn spec(&self, form: &Form, depth: usize) -> Result<Spec, Misplaced> {
        if depth > MAX_DEPTH {
            return too_deep(form);
        }
        match &form.kind {
            FormKind::Keyword(name) => self.attribute(form, *name),
            FormKind::Str(name) if !name.is_empty() => self.attribute(form, Keyword::new(name)),
            FormKind::Vector(items) | FormKind::List(items) => match items.as_slice() {
                [head, attribute, value] if self.is_legacy(head, "limit") => {
                    self.option(self.spec(attribute, depth + 1)?, "limit", value)
                }
                [head, attribute, value] if self.is_legacy(head, "default") => {
                    self.option(self.spec(attribute, depth + 1)?, "default", value)
                }
                [attribute, options @ ..] if options.len() % 2 == 0 => {
                    let mut spec = self.spec(attribute, depth + 1)?;
                    for pair in options.chunks_exact(2) {
                        let [name, value] = pair else { continue };
                        let FormKind::Keyword(option) = &name.kind else {
                            return fail(name, "an option (:as, :limit, :default, :xform) was wanted");
                        };
                        spec = match option.as_str() {
                            option @ ("as" | "limit" | "default" | "xform") => self.option(spec, option, value)?,
                            _ => return fail(name, "an option (:as, :limit, :default, :xform) was wanted"),
                        };
                    }
                    Ok(spec)
                }
                _ => fail(form, "an attribute and options in pairs were wanted, as in [:name :as :n :default 0]"),
            },
            _ => fail(form, "an attribute, an attribute with options, a map or * was wanted"),
        }
    }

    /// Whether a form is the head of `(limit attr n)`: the word, unless the keyword is an attribute of the database.
    fn is_legacy(&self, form: &Form, word: &str) -> bool {
        let attribute = form.as_keyword().is_some_and(|k| self.db.schema().attribute(k).is_some());
        is_word(form, word) && !attribute
    }

    fn attribute(&self, form: &Form, name: Keyword) -> Result<Spec, Misplaced> {
        let schema = self.db.schema();
        if name.as_str() == "db/id" {
            return Ok(Spec::new(What::Id, name));
        }
        if let Some(a) = schema.attribute(name) {
            let field = Field { id: a.id, is_ref: a.is_ref(), component: a.component, many: a.is_many() };
            return Ok(Spec::new(What::Forward(field), name));
        }
        if let Some(a) = schema.reversed(name) {
            // A component belongs to one entity.
            let field = Field { id: a.id, is_ref: true, component: a.component, many: !a.component };
            return Ok(Spec::new(What::Reverse(field), name));
        }
        if let Some(forward) = schema.forward_name(name)
            && (self.takes_any() || schema.attribute(forward).is_some())
        {
            return fail(form, &format!("only a ref attribute can be read in reverse; {forward} is not one"));
        }
        Ok(Spec::new(What::Unknown, name))
    }

    /// Whether attributes need no declaration.
    fn takes_any(&self) -> bool {
        self.db.schema().flexibility() == SchemaFlexibility::Read
    }

    fn option(&self, mut spec: Spec, option: &str, form: &Form) -> Result<Spec, Misplaced> {
        let value = || match Value::from_form(form) {
            Some(value) => Ok(value),
            None => fail(form, "a value was wanted"),
        };
        match option {
            "as" => spec.key = value()?,
            "default" => spec.default = Some(value()?),
            "limit" => {
                let many = match spec.what {
                    What::Forward(field) | What::Reverse(field) => field.many,
                    What::Unknown => !self.takes_any(),
                    What::Id => false,
                };
                if !many {
                    return fail(form, &format!(":limit is for attributes with several values, {} has one", spec.name));
                }
                spec.limit = match &form.kind {
                    FormKind::Nil => None,
                    FormKind::Int(n) if *n > 0 => Some(usize::try_from(*n).unwrap_or(usize::MAX)),
                    _ => return fail(form, ":limit wants a positive number or nil"),
                };
            }
            _ => {
                let function = form.as_symbol().and_then(|name| (self.xforms)(name));
                match function {
                    Some(function) => spec.xform = Some(function),
                    None => return fail(form, ":xform wants the name of a function that is known here"),
                }
            }
        }
        Ok(spec)
    }
}
