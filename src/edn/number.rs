//! Numbers: integers, floats and decimals.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;

use super::FormKind;

/// Most digits of a big integer or a decimal: making one out of text takes time in the square of them.
const MAX_DIGITS: usize = 10_000;
/// Largest power of ten, up or down, of a decimal: `1e99999999M` is short text and a number of 40 megabytes.
const MAX_SCALE: i64 = 10_000;

/// Whether a token is to be read as a number.
pub(super) fn starts(token: &[u8]) -> bool {
    match token {
        [b'+' | b'-', second, ..] => second.is_ascii_digit(),
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    }
}

/// The parts of a number's text.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: Option<&'a str>,
    exponent: Option<&'a str>,
    suffix: &'a str,
}

/// Cuts the leading digits off.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn split(token: &str) -> Option<Parts<'_>> {
    let negative = token.starts_with('-');
    let (whole, mut rest) = digits(token.strip_prefix(['-', '+']).unwrap_or(token));
    let (mut fraction, mut exponent) = (None, None);
    if let Some(after) = rest.strip_prefix('.') {
        let (found, after) = digits(after);
        fraction = Some(found);
        rest = after;
    }
    if let Some(after) = rest.strip_prefix(['e', 'E']) {
        let unsigned = after.strip_prefix(['-', '+']).unwrap_or(after);
        let (found, tail) = digits(unsigned);
        if found.is_empty() {
            return None;
        }
        exponent = after.strip_suffix(tail);
        rest = tail;
    }
    Some(Parts { negative, whole, fraction, exponent, suffix: rest })
}

/// Reads a token that [`starts`] as a number; `Err` is the sentence that says what is wrong with it.
pub(super) fn parse(token: &str) -> Result<FormKind, String> {
    if let Some(int) = small(token.as_bytes()) {
        return Ok(FormKind::Int(int));
    }
    let wanted = || {
        let hint = match token.as_bytes() {
            t if t.contains(&b'/') => "; EDN has no ratios, write a decimal such as 0.5M",
            [b'0', b'x' | b'X', ..] | [_, b'0', b'x' | b'X', ..] => "; integers are decimal only",
            t if t.contains(&b'r') => "; integers are decimal only",
            t if t.contains(&b'_') => "; digits are written without separators",
            _ => "",
        };
        format!("wanted a number such as 42, 42N, 1.5, 1e9 or 1.50M, got `{}`{hint}", super::read::shown(token))
    };
    let parts = split(token).ok_or_else(wanted)?;
    if parts.whole.len() > 1 && parts.whole.starts_with('0') {
        return Err(format!(
            "a number has no leading zeros, got `{}`; octal is not EDN, write it in decimal",
            super::read::shown(token)
        ));
    }
    let is_whole = parts.fraction.is_none() && parts.exponent.is_none();
    match (is_whole, parts.suffix) {
        (true, "") => match i64::from_str(token) {
            Ok(int) => Ok(FormKind::Int(int)),
            Err(_) => big(token),
        },
        (true, "N") => big(token.strip_suffix('N').unwrap_or(token)),
        (false, "") => float(token),
        (_, "M") => decimal(&parts),
        _ => Err(wanted()),
    }
}

/// The common case: up to 18 digits, no plus sign, no leading zero.
fn small(token: &[u8]) -> Option<i64> {
    let (negative, digits) = match token {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    let mut int = 0i64;
    for b in digits {
        if !b.is_ascii_digit() {
            return None;
        }
        int = int * 10 + i64::from(b - b'0');
    }
    Some(if negative { -int } else { int })
}

fn too_long(digits: usize) -> Result<(), String> {
    if digits <= MAX_DIGITS {
        return Ok(());
    }
    Err(format!("a number has at most {MAX_DIGITS} digits, got {digits}"))
}

fn big(text: &str) -> Result<FormKind, String> {
    too_long(text.len())?;
    let int = BigInt::from_str(text).map_err(|e| format!("wanted an integer: {e}"))?;
    Ok(FormKind::BigInt(int))
}

fn float(text: &str) -> Result<FormKind, String> {
    let float = f64::from_str(text).map_err(|e| format!("wanted a float: {e}"))?;
    if float.is_finite() {
        return Ok(FormKind::Float(float));
    }
    Err(format!(
        "`{}` is out of the range of a 64-bit float, which ends at about 1.8e308; write a decimal (`1e400M`) or `##Inf`",
        super::read::shown(text)
    ))
}

fn decimal(parts: &Parts<'_>) -> Result<FormKind, String> {
    let fraction = parts.fraction.unwrap_or_default();
    too_long(parts.whole.len() + fraction.len())?;
    let out_of_range = || format!("a decimal's power of ten lies between -{MAX_SCALE} and {MAX_SCALE}");
    let exponent = match parts.exponent {
        Some(text) => i64::from_str(text).map_err(|_| out_of_range())?,
        None => 0,
    };
    let scale = (fraction.len() as i64).checked_sub(exponent).ok_or_else(out_of_range)?;
    if !(-MAX_SCALE..=MAX_SCALE).contains(&scale) {
        return Err(out_of_range());
    }
    let mut digits = String::with_capacity(1 + parts.whole.len() + fraction.len());
    if parts.negative {
        digits.push('-');
    }
    digits.push_str(parts.whole);
    digits.push_str(fraction);
    let digits = BigInt::from_str(&digits).map_err(|e| format!("wanted a decimal: {e}"))?;
    Ok(FormKind::Decimal(BigDecimal::new(digits, scale)))
}
