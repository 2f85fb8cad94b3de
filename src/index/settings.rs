//! The `:index-config` map of the built-in kinds: numbers in ranges.

use std::ops::RangeInclusive;

use crate::edn::{Form, FormKind};
use crate::error::{Error, ErrorKind, Result};

/// A key of the map, the values that it can have, and the one that it has where it is not given.
pub(super) type Setting = (&'static str, RangeInclusive<usize>, usize);

/// The numbers that a map gives for the settings of a `kind`; `nil` gives none.
///
/// # Errors
/// `Config`, `config/index-config`, for a key that is not known and a value that cannot be.
pub(super) fn numbers<const N: usize>(kind: &str, settings: [Setting; N], map: &Form) -> Result<[usize; N]> {
    let refused = |what: String| Err(Error::new(ErrorKind::Config, "config/index-config", what));
    let entries = match &map.kind {
        FormKind::Nil => &[][..],
        FormKind::Map(entries) => entries,
        _ => return refused(format!(":index-config must be a map, got {map}")),
    };
    let mut numbers = settings.each_ref().map(|(_, _, default)| *default);
    for (key, value) in entries {
        let named = |(name, ..): &Setting| matches!(&key.kind, FormKind::Keyword(k) if k.as_str() == *name);
        let Some(i) = settings.iter().position(named) else {
            let known = settings.each_ref().map(|(name, ..)| format!(":{name}")).join(", ");
            return refused(format!("{kind} knows {known} in :index-config, got {key}"));
        };
        let (name, range, _) = &settings[i];
        let FormKind::Int(n) = value.kind else {
            return refused(format!(":{name} must be an integer, got {value}"));
        };
        match usize::try_from(n) {
            Ok(n) if range.contains(&n) => numbers[i] = n,
            _ => return refused(format!(":{name} must lie in {} .. {}, got {n}", range.start(), range.end())),
        }
    }
    Ok(numbers)
}
