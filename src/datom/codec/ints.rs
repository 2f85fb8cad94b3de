//! Streams of numbers: constant, or packed into few bits each, as they are or as differences.
//!
//! Numbers are taken as signed, since values are, and what is packed is their distance from the least one. A few that
//! would make all others wide are written narrow, and the bits they lack apart.

use super::{damaged, take_byte, take_slice};
use crate::datom::IntColumn;
use crate::error::Result;

const CONSTANT: u8 = 0;
const OFFSETS: u8 = 1;
const DELTAS: u8 = 2;

/// Appends `x`, seven bits a byte.
pub(crate) fn put_varint(mut x: u64, out: &mut Vec<u8>) {
    while x >= 0x80 {
        out.push(x as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

/// Reads what [`put_varint`] wrote.
///
/// # Errors
/// `Corrupt` for bytes that end too soon, or say more than 64 bits.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut x = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            break;
        }
        x |= bits << shift;
        if byte < 0x80 {
            return Ok(x);
        }
    }
    Err(damaged("has a number of more than 64 bits"))
}

fn put_signed(x: u64, out: &mut Vec<u8>) {
    let x = x as i64;
    put_varint((x << 1 ^ x >> 63) as u64, out);
}

fn take_signed(bytes: &mut &[u8]) -> Result<u64> {
    let x = take_varint(bytes)?;
    Ok(x >> 1 ^ (x & 1).wrapping_neg())
}

/// Appends a column of numbers; its length is not written.
pub(super) fn encode_column(column: &IntColumn, out: &mut Vec<u8>) {
    match column {
        IntColumn::Constant { value, .. } => {
            out.push(CONSTANT);
            put_signed(*value, out);
        }
        IntColumn::Plain(xs) => encode_ints(xs, out),
    }
}

/// Appends numbers; how many is not written.
pub(crate) fn encode_ints(xs: &[u64], out: &mut Vec<u8>) {
    let first = xs.first().copied().unwrap_or(0);
    if xs.iter().all(|x| *x == first) {
        out.push(CONSTANT);
        put_signed(first, out);
        return;
    }
    let offsets = Packing::plan(xs.iter().copied());
    let deltas = Packing::plan(deltas(xs));
    if deltas.bits < offsets.bits {
        out.push(DELTAS);
        put_signed(first, out);
        deltas.write(self::deltas(xs), out);
    } else {
        out.push(OFFSETS);
        offsets.write(xs.iter().copied(), out);
    }
}

fn deltas(xs: &[u64]) -> impl ExactSizeIterator<Item = u64> + Clone + '_ {
    xs.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]))
}

/// Reads `n` numbers.
///
/// # Errors
/// `Corrupt` for bytes that [`encode_ints`] does not make.
pub(crate) fn decode_ints(bytes: &mut &[u8], n: usize) -> Result<IntColumn> {
    match take_byte(bytes)? {
        CONSTANT => Ok(IntColumn::Constant { value: take_signed(bytes)?, len: n }),
        OFFSETS => Ok(IntColumn::Plain(unpack(bytes, n)?)),
        DELTAS => {
            let first = take_signed(bytes)?;
            let mut xs = unpack(bytes, n.saturating_sub(1))?;
            let mut last = first;
            for x in &mut xs {
                last = last.wrapping_add(*x);
                *x = last;
            }
            if n > 0 {
                xs.insert(0, first);
            }
            Ok(IntColumn::Plain(xs))
        }
        _ => Err(damaged("has numbers in an unknown encoding")),
    }
}

/// How some numbers will be packed.
struct Packing {
    least: u64,
    width: u32,
    exceptions: usize,
    /// What it costs.
    bits: usize,
}

impl Packing {
    fn plan(xs: impl ExactSizeIterator<Item = u64> + Clone) -> Packing {
        let n = xs.len();
        let least = xs.clone().map(|x| x as i64).min().unwrap_or(0) as u64;
        // How many of the distances need so many bits.
        let mut needing = [0_usize; 65];
        xs.for_each(|x| needing[bits_of(x.wrapping_sub(least))] += 1);
        let head = 8 * (2 + varint_len((least as i64).unsigned_abs() << 1));
        let mut best = Packing { least, width: 64, exceptions: 0, bits: usize::MAX };
        for width in (0..65).filter(|width| needing[*width] > 0) {
            let (mut exceptions, mut bits) = (0, head + n * width);
            for (more, wider) in needing[width + 1..].iter().enumerate() {
                exceptions += wider;
                bits += wider * 8 * (1 + (more + 1).div_ceil(7));
            }
            if bits < best.bits {
                best = Packing { least, width: width as u32, exceptions, bits };
            }
        }
        best
    }

    fn write(&self, xs: impl Iterator<Item = u64> + Clone, out: &mut Vec<u8>) {
        put_signed(self.least, out);
        out.push(self.width as u8);
        put_varint(self.exceptions as u64, out);
        let distances = xs.map(|x| x.wrapping_sub(self.least));
        if self.exceptions > 0 {
            let mut next = 0;
            for (i, x) in distances.clone().enumerate() {
                if bits_of(x) > self.width as usize {
                    put_varint((i - next) as u64, out);
                    put_varint(x >> self.width, out);
                    next = i + 1;
                }
            }
        }
        pack(distances, self.width, out);
    }
}

fn bits_of(x: u64) -> usize {
    (64 - x.leading_zeros()) as usize
}

fn varint_len(x: u64) -> usize {
    bits_of(x).div_ceil(7).max(1)
}

/// Appends the low `width` bits of each number, without gaps, low bits first.
fn pack(xs: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mask = u64::MAX >> (64 - width);
    let (mut open, mut filled) = (0_u128, 0);
    for x in xs {
        open |= u128::from(x & mask) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(open as u64).to_le_bytes());
            open >>= 64;
            filled -= 64;
        }
    }
    let rest = (open as u64).to_le_bytes();
    out.extend_from_slice(&rest[..filled.div_ceil(8) as usize]);
}

fn unpack(bytes: &mut &[u8], n: usize) -> Result<Vec<u64>> {
    let least = take_signed(bytes)?;
    let width = u32::from(take_byte(bytes)?);
    if width > 64 {
        return Err(damaged("has numbers of more than 64 bits"));
    }
    let exceptions = take_varint(bytes)?;
    if exceptions > n as u64 {
        return Err(damaged("has more exceptions than numbers"));
    }
    let mut apart = Vec::with_capacity((exceptions as usize).min(bytes.len()));
    let mut next = 0_u64;
    for _ in 0..exceptions {
        let i = next.saturating_add(take_varint(bytes)?);
        let high = take_varint(bytes)?;
        if i >= n as u64 || width == 64 || high > u64::MAX >> width {
            return Err(damaged("has an exception out of range"));
        }
        apart.push((i as usize, high << width));
        next = i + 1;
    }
    let packed = take_slice(bytes, (n * width as usize).div_ceil(8))?;
    let mut xs = unpack_bits(packed, width, n);
    for (i, high) in apart {
        if let Some(x) = xs.get_mut(i) {
            *x |= high;
        }
    }
    xs.iter_mut().for_each(|x| *x = x.wrapping_add(least));
    Ok(xs)
}

fn unpack_bits(packed: &[u8], width: u32, n: usize) -> Vec<u64> {
    if width == 0 {
        return vec![0; n];
    }
    let mask = u64::MAX >> (64 - width);
    let mut xs = Vec::with_capacity(n);
    let (mut words, mut open, mut filled) = (packed.chunks(8), 0_u128, 0);
    for _ in 0..n {
        if filled < width {
            let mut word = [0; 8];
            let chunk = words.next().unwrap_or(&[]);
            word[..chunk.len()].copy_from_slice(chunk);
            open |= u128::from(u64::from_le_bytes(word)) << filled;
            filled += 64;
        }
        xs.push(open as u64 & mask);
        open >>= width;
        filled -= width;
    }
    xs
}
