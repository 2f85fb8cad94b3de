//! Values: rows that are alike in one stream.

use std::ops::Range;

use super::blocks::{self, Blocks};
use super::ints::{decode_ints, encode_ints};
use super::{damaged, numbers, take_byte};
use crate::datom::{IntColumn, ValueColumn, ValueKind, ValueRef, wide};
use crate::edn::{Keyword, Symbol};
use crate::error::Result;

/// All rows in one stream.
const TOGETHER: u8 = 0;
/// A stream for the rows of each attribute, in the order in which the attributes first come.
const BY_ATTRIBUTE: u8 = 1;

/// In place of the one kind of a stream: the kinds follow, then a stream for each.
const MIXED: u8 = 0xFF;

/// Least rows of an attribute, on average, for which a stream of its own pays.
const ROWS_PER_STREAM: usize = 16;

/// Appends the values of rows with the attributes `a`.
pub(super) fn encode(v: &ValueColumn, a: &IntColumn, out: &mut Vec<u8>) {
    let groups = match a {
        IntColumn::Constant { .. } => None,
        IntColumn::Plain(_) => group(numbers(a), v.len() / ROWS_PER_STREAM),
    };
    match groups {
        None => {
            out.push(TOGETHER);
            encode_stream(v, &(0..v.len()).collect::<Vec<_>>(), out);
        }
        Some(groups) => {
            out.push(BY_ATTRIBUTE);
            groups.iter().for_each(|rows| encode_stream(v, rows, out));
        }
    }
}

/// The rows with equal keys, by the first of them; `None` for more than `most` keys.
fn group(keys: impl Iterator<Item = u64>, most: usize) -> Option<Vec<Vec<usize>>> {
    let mut places: hashbrown::HashMap<u64, usize> = hashbrown::HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, key) in keys.enumerate() {
        let place = *places.entry(key).or_insert(groups.len());
        if place == groups.len() {
            if place == most {
                return None;
            }
            groups.push(Vec::new());
        }
        groups[place].push(i);
    }
    Some(groups)
}

fn encode_stream(v: &ValueColumn, rows: &[usize], out: &mut Vec<u8>) {
    let Some(first) = rows.first() else {
        out.push(ValueKind::Nil as u8);
        return;
    };
    let kind = v.kind_at(*first);
    if rows.iter().all(|i| v.kind_at(*i) == kind) {
        out.push(kind as u8);
        encode_kind(v, kind, rows, out);
        return;
    }
    out.push(MIXED);
    let kinds: Vec<u64> = rows.iter().map(|i| v.kind_at(*i) as u64).collect();
    encode_ints(&kinds, out);
    for places in group(kinds.into_iter(), usize::MAX).unwrap_or_default() {
        let rows: Vec<usize> = places.into_iter().map(|place| rows[place]).collect();
        encode_kind(v, v.kind_at(rows[0]), &rows, out);
    }
}

fn encode_kind(v: &ValueColumn, kind: ValueKind, rows: &[usize], out: &mut Vec<u8>) {
    let cells = || rows.iter().map(|i| v.cells()[*i]).collect::<Vec<u64>>();
    match kind {
        ValueKind::Nil => {}
        ValueKind::Double => encode_doubles(&cells(), out),
        ValueKind::Keyword => {
            let texts: Vec<&[u8]> = cells().iter().map(|c| Keyword::from_cell(*c).as_str().as_bytes()).collect();
            blocks::encode(&texts, out);
        }
        ValueKind::Symbol => {
            let texts: Vec<&[u8]> = cells().iter().map(|c| Symbol::from_cell(*c).as_str().as_bytes()).collect();
            blocks::encode(&texts, out);
        }
        ValueKind::Uuid => {
            let uuids: Vec<(u64, u64)> = rows
                .iter()
                .map(|i| if let ValueRef::Uuid(uuid) = v.get(*i) { uuid.as_u64_pair() } else { (0, 0) })
                .collect();
            encode_ints(&uuids.iter().map(|(high, _)| *high).collect::<Vec<_>>(), out);
            encode_ints(&uuids.iter().map(|(_, low)| *low).collect::<Vec<_>>(), out);
        }
        kind if kind.is_inline() => encode_ints(&cells(), out),
        _ => {
            let strings: Vec<&[u8]> = rows.iter().map(|i| v.heap_bytes(*i)).collect();
            blocks::encode(&strings, out);
        }
    }
}

/// Digits after the point that are tried.
const DIGITS: u8 = 6;
const AS_BITS: u8 = 0xFF;

/// Doubles with few digits after the point, such as prices, as whole numbers.
fn encode_doubles(cells: &[u64], out: &mut Vec<u8>) {
    for digits in 0..=DIGITS {
        let scaled: Option<Vec<u64>> = cells.iter().map(|bits| scale(*bits, digits)).collect();
        if let Some(scaled) = scaled {
            out.push(digits);
            encode_ints(&scaled, out);
            return;
        }
    }
    out.push(AS_BITS);
    encode_ints(cells, out);
}

fn scale(bits: u64, digits: u8) -> Option<u64> {
    let scaled = (f64::from_bits(bits) * power(digits)).round();
    if !scaled.is_finite() || scaled.abs() >= 9.0e15 {
        return None;
    }
    let scaled = scaled as i64 as u64;
    (unscale(scaled, digits) == bits).then_some(scaled)
}

fn unscale(scaled: u64, digits: u8) -> u64 {
    (scaled as i64 as f64 / power(digits)).to_bits()
}

fn power(digits: u8) -> f64 {
    10_f64.powi(i32::from(digits))
}

/// Reads `n` values of rows with the attributes `a`.
pub(super) fn decode(bytes: &mut &[u8], a: &IntColumn, n: usize) -> Result<ValueColumn> {
    let mut column = ValueColumn::of_nils(n);
    match take_byte(bytes)? {
        TOGETHER => decode_stream(bytes, &mut column, &Rows::All(0..n))?,
        BY_ATTRIBUTE => {
            for rows in group(numbers(a), usize::MAX).unwrap_or_default() {
                decode_stream(bytes, &mut column, &Rows::Some(rows))?;
            }
        }
        _ => return Err(damaged("has values in an unknown arrangement")),
    }
    column.unify_kinds();
    Ok(column)
}

/// The rows of a stream.
enum Rows {
    All(Range<usize>),
    Some(Vec<usize>),
}

impl Rows {
    fn len(&self) -> usize {
        match self {
            Rows::All(range) => range.len(),
            Rows::Some(rows) => rows.len(),
        }
    }

    fn get(&self, i: usize) -> usize {
        match self {
            Rows::All(range) => range.start + i,
            Rows::Some(rows) => rows[i],
        }
    }
}

fn decode_stream(bytes: &mut &[u8], column: &mut ValueColumn, rows: &Rows) -> Result<()> {
    let tag = take_byte(bytes)?;
    if tag != MIXED {
        return decode_kind(bytes, column, kind_of(u64::from(tag))?, rows);
    }
    let kinds: Vec<u64> = numbers(&decode_ints(bytes, rows.len())?).collect();
    for places in group(kinds.iter().copied(), usize::MAX).unwrap_or_default() {
        let kind = kind_of(places.first().map_or(0, |place| kinds[*place]))?;
        let rows = places.into_iter().map(|place| rows.get(place)).collect();
        decode_kind(bytes, column, kind, &Rows::Some(rows))?;
    }
    Ok(())
}

fn kind_of(tag: u64) -> Result<ValueKind> {
    let kind = u8::try_from(tag).ok().and_then(ValueKind::from_tag);
    kind.ok_or_else(|| damaged("has a value of unknown kind"))
}

fn decode_kind(bytes: &mut &[u8], column: &mut ValueColumn, kind: ValueKind, rows: &Rows) -> Result<()> {
    let n = rows.len();
    column.set_kinds(kind, (0..n).map(|i| rows.get(i)), n);
    match kind {
        ValueKind::Nil => {}
        ValueKind::Keyword | ValueKind::Symbol => {
            let blocks = Blocks::decode(bytes, n)?;
            let intern = |text: &[u8]| {
                let text = text_of(text)?;
                Ok(u64::from(if kind == ValueKind::Keyword { Keyword::new(text).id() } else { Symbol::new(text).id() }))
            };
            let ids = blocks.distinct().map(intern).collect::<Result<Vec<u64>>>()?;
            (0..n).for_each(|i| column.set_cell(rows.get(i), ids[blocks.place(i)]));
        }
        ValueKind::Uuid => {
            let (high, low) = (decode_ints(bytes, n)?, decode_ints(bytes, n)?);
            for i in 0..n {
                let uuid = uuid::Uuid::from_u64_pair(high.get(i), low.get(i));
                let cell = column.append_bytes(uuid.as_bytes()).ok_or_else(too_much)?;
                column.set_cell(rows.get(i), cell);
            }
        }
        ValueKind::Double => {
            let digits = take_byte(bytes)?;
            if digits > DIGITS && digits != AS_BITS {
                return Err(damaged("has doubles in an unknown encoding"));
            }
            for (i, x) in numbers(&decode_ints(bytes, n)?).enumerate() {
                column.set_cell(rows.get(i), if digits == AS_BITS { x } else { unscale(x, digits) });
            }
        }
        kind if kind.is_inline() => {
            let cells = decode_ints(bytes, n)?;
            if !numbers(&cells).all(|cell| is_cell(kind, cell)) {
                return Err(damaged("has a value that its kind does not have"));
            }
            (0..n).for_each(|i| column.set_cell(rows.get(i), cells.get(i)));
        }
        _ => {
            let blocks = Blocks::decode(bytes, n)?;
            let cells = blocks.distinct().map(|string| place(column, kind, string)).collect::<Result<Vec<u64>>>()?;
            (0..n).for_each(|i| column.set_cell(rows.get(i), cells[blocks.place(i)]));
        }
    }
    Ok(())
}

fn is_cell(kind: ValueKind, cell: u64) -> bool {
    match kind {
        ValueKind::Bool => cell <= 1,
        ValueKind::Float => cell <= u64::from(u32::MAX),
        ValueKind::Char => u32::try_from(cell).ok().and_then(char::from_u32).is_some(),
        _ => true,
    }
}

/// Puts the bytes of a value into the heap of its kind.
fn place(column: &mut ValueColumn, kind: ValueKind, bytes: &[u8]) -> Result<u64> {
    let cell = match kind {
        ValueKind::Str | ValueKind::Uri => column.append_text(text_of(bytes)?),
        ValueKind::Bytes => column.append_bytes(bytes),
        _ => {
            let mut rest = bytes;
            let value = wide::decode(&mut rest)?;
            if !rest.is_empty() || value.kind() != kind {
                return Err(damaged("has a value that its kind does not have"));
            }
            column.append_bytes(bytes)
        }
    };
    cell.ok_or_else(too_much)
}

fn text_of(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| damaged("has text that is not UTF-8").caused_by(e))
}

fn too_much() -> crate::error::Error {
    damaged("has more text than a node may have")
}
