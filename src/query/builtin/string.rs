//! Strings. Positions and lengths count characters (code points), not bytes.

use std::fmt::Write;

use crate::datom::Value;
use crate::error::Result;

use super::args::Args;
use super::compare::bool;
use super::{Builtin, MANY};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("str", 0, MANY, |args| joined(args, "", "", plain)),
    Builtin::new("pr-str", 0, MANY, |args| joined(args, " ", "", readable)),
    Builtin::new("print-str", 0, MANY, |args| joined(args, " ", "", plain)),
    Builtin::new("prn-str", 0, MANY, |args| joined(args, " ", "\n", readable)),
    Builtin::new("println-str", 0, MANY, |args| joined(args, " ", "\n", plain)),
    Builtin::new("subs", 2, 3, subs),
    Builtin::new("str/starts-with?", 2, 2, |args| bool(args.text(0)?.starts_with(args.text(1)?))),
    Builtin::new("str/ends-with?", 2, 2, |args| bool(args.text(0)?.ends_with(args.text(1)?))),
    Builtin::new("str/includes?", 2, 2, |args| bool(args.text(0)?.contains(args.text(1)?))),
    Builtin::new("str/index-of", 2, 2, |args| Ok(position(args.text(0)?, args.text(0)?.find(args.text(1)?)))),
    Builtin::new("str/last-index-of", 2, 2, |args| Ok(position(args.text(0)?, args.text(0)?.rfind(args.text(1)?)))),
    Builtin::new("str/upper-case", 1, 1, |args| text(args.text(0)?.to_uppercase())),
    Builtin::new("str/lower-case", 1, 1, |args| text(args.text(0)?.to_lowercase())),
    Builtin::new("str/capitalize", 1, 1, |args| {
        let mut rest = args.text(0)?.chars();
        let first = rest.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        text(first + &rest.as_str().to_lowercase())
    }),
    Builtin::new("str/reverse", 1, 1, |args| text(args.text(0)?.chars().rev().collect())),
    Builtin::new("str/trim", 1, 1, |args| text(args.text(0)?.trim().to_owned())),
    Builtin::new("str/triml", 1, 1, |args| text(args.text(0)?.trim_start().to_owned())),
    Builtin::new("str/trimr", 1, 1, |args| text(args.text(0)?.trim_end().to_owned())),
    Builtin::new("str/blank?", 1, 1, |args| match args.value(0)? {
        Value::Nil => bool(true),
        _ => bool(args.text(0)?.trim().is_empty()),
    }),
    Builtin::new("str/join", 1, 2, join),
];

fn text(s: String) -> Result<Option<Value>> {
    Ok(Some(s.into()))
}

/// Text as `str` writes it: strings and characters bare, nil as nothing.
fn plain(value: &Value, out: &mut String) {
    let _ = match value {
        Value::Nil => Ok(()),
        Value::Str(s) | Value::Uri(s) => out.write_str(s),
        Value::Char(c) => out.write_char(*c),
        Value::Uuid(u) => write!(out, "{u}"),
        Value::Instant(ms) => out.write_str(&crate::edn::inst::format(*ms)),
        Value::BigInt(n) => write!(out, "{n}"),
        Value::BigDec(n) => write!(out, "{n}"),
        Value::Float(n) => write!(out, "{n:?}"),
        other => return readable(other, out),
    };
}

/// Text that reads back as the value.
fn readable(value: &Value, out: &mut String) {
    let _ = write!(out, "{}", value.to_form());
}

fn joined(args: &Args<'_>, between: &str, end: &str, one: fn(&Value, &mut String)) -> Result<Option<Value>> {
    let mut out = String::new();
    for (i, value) in args.values(0)?.into_iter().enumerate() {
        if i > 0 {
            out.push_str(between);
        }
        one(value, &mut out);
    }
    out.push_str(end);
    text(out)
}

fn join(args: &Args<'_>) -> Result<Option<Value>> {
    let (separator, members) = match args.len() {
        1 => ("", 0),
        _ => (args.text(0)?, 1),
    };
    let members = match args.value(members)? {
        Value::Tuple(xs) | Value::Set(xs) => xs,
        Value::Nil => return text(String::new()),
        _ => return Err(args.type_error(members, "a vector or a set")),
    };
    let mut out = String::new();
    for (i, member) in members.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        plain(member, &mut out);
    }
    text(out)
}

/// The number of the character that begins at a byte of `s`.
fn position(s: &str, byte: Option<usize>) -> Option<Value> {
    let before = s.get(..byte?)?;
    Some(Value::Long(before.chars().count() as i64))
}

/// The byte where character number `n` begins; the length for the number of characters.
fn byte_of(s: &str, n: i64) -> Option<usize> {
    let n = usize::try_from(n).ok()?;
    s.char_indices().map(|(byte, _)| byte).chain([s.len()]).nth(n)
}

fn subs(args: &Args<'_>) -> Result<Option<Value>> {
    let (s, from) = (args.text(0)?, args.int(1)?);
    let to = if args.len() == 3 { Some(args.int(2)?) } else { None };
    let start = byte_of(s, from);
    let end = to.map_or(Some(s.len()), |to| byte_of(s, to));
    match start.zip(end).and_then(|(start, end)| s.get(start..end)) {
        Some(part) => Ok(Some(part.into())),
        None => {
            let (length, end) = (s.chars().count(), to.map_or(String::new(), |to| format!(" to {to}")));
            Err(args.argument_error(format_args!("characters {from}{end} of a string of {length} characters")))
        }
    }
}
