//! Bytes of the values that do not fit a cell and are neither text nor plain bytes: a tag and a body, nested for
//! collections. Used inside leaves and on disk alike.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use uuid::Uuid;

use super::value::{Value, ValueKind, ValueRef};
use crate::edn::{Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};

/// Deepest nesting that is read back; deeper bytes are damage.
const MAX_DEPTH: usize = 1024;

/// Appends the bytes of `value`, which [`decode`] reads back.
pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) {
    out.push(value.kind() as u8);
    match value {
        Value::Nil => {}
        Value::Keyword(k) => block(k.as_str().as_bytes(), out),
        Value::Symbol(s) => block(s.as_str().as_bytes(), out),
        Value::Str(s) | Value::Uri(s) => block(s.as_bytes(), out),
        Value::Bytes(b) => block(b, out),
        Value::Uuid(u) => out.extend_from_slice(u.as_bytes()),
        Value::BigInt(i) => block(&i.to_signed_bytes_le(), out),
        Value::BigDec(d) => {
            let (digits, scale) = d.as_bigint_and_exponent();
            out.extend_from_slice(&scale.to_le_bytes());
            block(&digits.to_signed_bytes_le(), out);
        }
        Value::FloatArray(fs) => {
            length(fs.len(), out);
            fs.iter().for_each(|f| out.extend_from_slice(&f.to_bits().to_le_bytes()));
        }
        Value::DoubleArray(fs) => {
            length(fs.len(), out);
            fs.iter().for_each(|f| out.extend_from_slice(&f.to_bits().to_le_bytes()));
        }
        Value::Tuple(vs) | Value::Set(vs) => {
            length(vs.len(), out);
            vs.iter().for_each(|v| encode(v, out));
        }
        Value::Map(entries) => {
            length(entries.len(), out);
            entries.iter().for_each(|(k, v)| {
                encode(k, out);
                encode(v, out);
            });
        }
        inline => out.extend_from_slice(&inline.as_ref().cell().unwrap_or(0).to_le_bytes()),
    }
}

fn length(n: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(n as u32).to_le_bytes());
}

fn block(bytes: &[u8], out: &mut Vec<u8>) {
    length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Reads one value from the front of `bytes` and moves past it.
///
/// # Errors
/// `Corrupt` for bytes that [`encode`] does not make.
pub(crate) fn decode(bytes: &mut &[u8]) -> Result<Value> {
    decode_nested(bytes, 0)
}

fn decode_nested(bytes: &mut &[u8], depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(damaged("nested too deep"));
    }
    let tag = take::<1>(bytes)?[0];
    let kind = ValueKind::from_tag(tag).ok_or_else(|| damaged("unknown kind of value"))?;
    Ok(match kind {
        ValueKind::Keyword => Value::Keyword(Keyword::new(take_text(bytes)?)),
        ValueKind::Symbol => Value::Symbol(Symbol::new(take_text(bytes)?)),
        ValueKind::Str => Value::Str(take_text(bytes)?.into()),
        ValueKind::Uri => Value::Uri(take_text(bytes)?.into()),
        ValueKind::Bytes => Value::Bytes(take_block(bytes)?.into()),
        ValueKind::Uuid => Value::Uuid(Uuid::from_bytes(take::<16>(bytes)?)),
        ValueKind::BigInt => Value::BigInt(Arc::new(BigInt::from_signed_bytes_le(take_block(bytes)?))),
        ValueKind::BigDec => {
            let scale = i64::from_le_bytes(take::<8>(bytes)?);
            let digits = BigInt::from_signed_bytes_le(take_block(bytes)?);
            Value::BigDec(Arc::new(BigDecimal::new(digits, scale)))
        }
        ValueKind::FloatArray => {
            let n = take_length(bytes, 4)?;
            let fs = (0..n).map(|_| Ok(f32::from_bits(u32::from_le_bytes(take::<4>(bytes)?))));
            Value::FloatArray(fs.collect::<Result<Vec<_>>>()?.into())
        }
        ValueKind::DoubleArray => {
            let n = take_length(bytes, 8)?;
            let fs = (0..n).map(|_| Ok(f64::from_bits(u64::from_le_bytes(take::<8>(bytes)?))));
            Value::DoubleArray(fs.collect::<Result<Vec<_>>>()?.into())
        }
        ValueKind::Tuple => Value::Tuple(take_values(bytes, depth)?.into()),
        ValueKind::Set => Value::Set(take_values(bytes, depth)?.into()),
        ValueKind::Map => {
            let n = take_length(bytes, 2)?;
            let entries = (0..n).map(|_| Ok((decode_nested(bytes, depth + 1)?, decode_nested(bytes, depth + 1)?)));
            Value::Map(entries.collect::<Result<Vec<_>>>()?.into())
        }
        ValueKind::Nil => Value::Nil,
        inline => {
            let cell = u64::from_le_bytes(take::<8>(bytes)?);
            ValueRef::from_cell(inline, cell).ok_or_else(|| damaged("not a character"))?.to_value()
        }
    })
}

fn take_values(bytes: &mut &[u8], depth: usize) -> Result<Vec<Value>> {
    let n = take_length(bytes, 1)?;
    (0..n).map(|_| decode_nested(bytes, depth + 1)).collect()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or_else(|| damaged("cut short"))?;
    *bytes = rest;
    Ok(*head)
}

/// A number of things that take at least `least` bytes each, so that damage cannot ask for much memory.
fn take_length(bytes: &mut &[u8], least: usize) -> Result<usize> {
    let n = u32::from_le_bytes(take::<4>(bytes)?) as usize;
    if n.saturating_mul(least) > bytes.len() { Err(damaged("cut short")) } else { Ok(n) }
}

fn take_block<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let n = take_length(bytes, 1)?;
    let (head, rest) = bytes.split_at_checked(n).ok_or_else(|| damaged("cut short"))?;
    *bytes = rest;
    Ok(head)
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(take_block(bytes)?).map_err(|e| damaged("not UTF-8").caused_by(e))
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "store/corrupt", format!("stored value: {what}"))
}
