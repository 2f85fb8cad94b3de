//! Columns to bytes and back.
//!
//! A block of columns is a version, the number of rows and one stream of numbers for each of e, a, tx and until; then
//! the values, parted into streams that are alike: by attribute where rows of few attributes are mixed, and inside
//! those by kind. Every stream chooses the encoding that takes least room. Keywords and symbols are written as text.
//!
//! Decoding trusts nothing: lengths are checked against the bytes that are left, the number of rows against
//! [`MAX_ROWS`], texts for UTF-8, places in dictionaries for their range.

mod blocks;
mod ints;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use ints::{decode_ints, encode_ints, put_varint, take_varint};

use super::{Columns, IntColumn};
use crate::error::{Error, ErrorKind, Result};

/// The version of the layout.
const VERSION: u8 = 1;

/// Most rows of one block.
pub(crate) const MAX_ROWS: usize = 1 << 18;

/// Appends the bytes of `columns`, which [`decode_columns`] reads back.
pub(crate) fn encode_columns(columns: &Columns, out: &mut Vec<u8>) {
    debug_assert!(columns.len() <= MAX_ROWS);
    out.push(VERSION);
    put_varint(columns.len() as u64, out);
    for column in [&columns.e, &columns.a, &columns.tx, &columns.until] {
        ints::encode_column(column, out);
    }
    values::encode(&columns.v, &columns.a, out);
}

/// Reads columns from the front of `bytes` and moves past them.
///
/// # Errors
/// `Corrupt` for bytes that [`encode_columns`] does not make.
pub(crate) fn decode_columns(bytes: &mut &[u8]) -> Result<Columns> {
    let version = take_byte(bytes)?;
    if version != VERSION {
        return Err(damaged("has a layout that this version does not know"));
    }
    let n = take_count(bytes)?;
    let e = decode_ints(bytes, n)?;
    let a = decode_ints(bytes, n)?;
    let tx = decode_ints(bytes, n)?;
    let until = decode_ints(bytes, n)?;
    if a.extremes(0..a.len()).is_some_and(|(_, max)| max > u64::from(u32::MAX)) {
        return Err(damaged("has an attribute that is none"));
    }
    let v = values::decode(bytes, &a, n)?;
    Ok(Columns { e, a, v, tx, until })
}

/// A number of things, bounded.
pub(crate) fn take_count(bytes: &mut &[u8]) -> Result<usize> {
    let n = take_varint(bytes)?;
    if n > MAX_ROWS as u64 { Err(damaged("counts more rows than a node may have")) } else { Ok(n as usize) }
}

pub(crate) fn take_byte(bytes: &mut &[u8]) -> Result<u8> {
    let (first, rest) = bytes.split_first().ok_or_else(|| damaged("is cut short"))?;
    *bytes = rest;
    Ok(*first)
}

fn take_slice<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(n).ok_or_else(|| damaged("is cut short"))?;
    *bytes = rest;
    Ok(head)
}

pub(crate) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "store/corrupt", format!("a stored node {what}"))
}

/// The numbers of a column one by one.
fn numbers(column: &IntColumn) -> impl Iterator<Item = u64> + '_ {
    (0..column.len()).map(|i| column.get(i))
}
