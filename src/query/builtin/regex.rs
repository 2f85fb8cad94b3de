//! Regular expressions, given as strings in the syntax of the `regex-lite` crate: matching takes time linear in the
//! text, so no pattern can make a query hang. There are no look-around, back-references or Unicode classes.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;
use regex_lite::{Captures, Regex, RegexBuilder};

use super::Function;
use super::args::Args;
use crate::datom::Value;
use crate::edn::Symbol;
use crate::error::{Error, ErrorKind, Result};

/// Most bytes that a compiled pattern may take.
const MAX_COMPILED: usize = 1 << 20;
/// Most bytes of the text of a pattern.
const MAX_PATTERN: usize = 4096;
/// Compiled patterns that are kept; when there are more, all are dropped.
const KEPT: usize = 64;

/// Compiled patterns, shared by the calls of one table of functions.
#[derive(Default)]
struct Patterns(RwLock<HashMap<String, Arc<Regex>>>);

impl Patterns {
    fn get(&self, args: &Args<'_>, pattern: &str) -> Result<Arc<Regex>> {
        if let Some(regex) = self.0.read().get(pattern) {
            return Ok(Arc::clone(regex));
        }
        if pattern.len() > MAX_PATTERN {
            let message = format!("{}: a pattern of {} bytes; {MAX_PATTERN} are allowed", args.name, pattern.len());
            return Err(Error::new(ErrorKind::Limit, "query/regex-limit", message));
        }
        let regex = RegexBuilder::new(pattern).size_limit(MAX_COMPILED).nest_limit(50).build().map_err(|e| {
            let message = format!("{}: not a regular expression: {pattern:?}: {e}", args.name);
            Error::new(ErrorKind::Query, "query/regex", message)
        })?;
        let regex = Arc::new(regex);
        let mut kept = self.0.write();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(pattern.to_owned(), Arc::clone(&regex));
        Ok(regex)
    }
}

type Body = fn(&Args<'_>, &Patterns) -> Result<Option<Value>>;

const TABLE: [(&str, usize, usize, Body); 8] = [
    ("re-pattern", 1, 1, |args, patterns| {
        patterns.get(args, args.text(0)?)?;
        Ok(Some(args.value(0)?.clone()))
    }),
    ("re-find", 2, 2, |args, patterns| {
        let regex = patterns.get(args, args.text(0)?)?;
        Ok(regex.captures(args.text(1)?).map(|found| matched(&found)))
    }),
    ("re-matches", 2, 2, |args, patterns| {
        let regex = patterns.get(args, &format!(r"\A(?:{})\z", args.text(0)?))?;
        Ok(regex.captures(args.text(1)?).map(|found| matched(&found)))
    }),
    ("re-seq", 2, 2, |args, patterns| {
        let regex = patterns.get(args, args.text(0)?)?;
        let all: Vec<Value> = regex.captures_iter(args.text(1)?).map(|found| matched(&found)).collect();
        Ok((!all.is_empty()).then(|| all.into()))
    }),
    ("str/split", 2, 3, split),
    ("str/replace", 3, 3, |args, _| Ok(Some(args.text(0)?.replace(args.text(1)?, args.text(2)?).into()))),
    ("re-replace", 3, 3, |args, patterns| {
        let regex = patterns.get(args, args.text(0)?)?;
        Ok(Some(regex.replace_all(args.text(1)?, args.text(2)?).as_ref().into()))
    }),
    ("str/replace-first", 3, 3, |args, _| Ok(Some(args.text(0)?.replacen(args.text(1)?, args.text(2)?, 1).into()))),
];

pub(super) fn functions() -> Vec<Function> {
    let patterns = Arc::new(Patterns::default());
    let function = |(name, least, most, body): (&str, usize, usize, Body)| {
        let (name, patterns) = (Symbol::new(name), Arc::clone(&patterns));
        let call = Arc::new(move |args: &[super::Argument<'_>]| body(&Args::new(name, args), &patterns));
        Function { name, arity: least..=most, pure: true, call }
    };
    TABLE.into_iter().map(function).collect()
}

/// The text that matched; with groups a vector of it and the text of each group, nil for one that took no part.
fn matched(found: &Captures<'_>) -> Value {
    let mut parts: Vec<Value> = found.iter().map(|part| part.map_or(Value::Nil, |text| text.as_str().into())).collect();
    if parts.len() == 1 { parts.swap_remove(0) } else { parts.into() }
}

/// The parts of a string between the matches of a pattern; empty parts at the end are dropped, as in Clojure, unless a
/// limit on the number of parts is given.
fn split(args: &Args<'_>, patterns: &Patterns) -> Result<Option<Value>> {
    let (text, regex) = (args.text(0)?, patterns.get(args, args.text(1)?)?);
    let limit = if args.len() == 3 { args.int(2)? } else { 0 };
    let mut parts: Vec<&str> = match limit {
        1.. => regex.splitn(text, limit as usize).collect(),
        _ => regex.split(text).collect(),
    };
    if limit == 0 {
        while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
    }
    Ok(Some(parts.into_iter().map(Value::from).collect::<Vec<_>>().into()))
}
