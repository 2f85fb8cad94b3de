//! Streams of byte strings: one after another, as what differs from the one before, or as places in a dictionary.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::ints::{decode_ints, encode_ints, put_varint};
use super::{damaged, numbers, take_byte, take_count, take_slice};
use crate::error::Result;

const WHOLE: u8 = 0;
const FRONT_CODED: u8 = 1;
const DICTIONARY: u8 = 2;

/// Most bytes that strings without their common fronts may grow to: fewer bytes could claim any amount otherwise.
const MAX_FRONT_CODED: usize = 1 << 22;

/// Appends byte strings; how many is not written.
pub(super) fn encode(strings: &[&[u8]], out: &mut Vec<u8>) {
    let mut distinct = Vec::new();
    let mut places = Vec::with_capacity(strings.len());
    let mut known = HashMap::with_capacity(strings.len().min(64));
    for string in strings {
        // Sorted strings come in runs.
        let repeats = places.last().is_some_and(|last: &u64| distinct[*last as usize] == *string);
        let place = if repeats {
            places[places.len() - 1]
        } else {
            match known.entry(*string) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    distinct.push(*string);
                    *entry.insert(distinct.len() as u64 - 1)
                }
            }
        };
        places.push(place);
    }
    if distinct.len() * 2 > strings.len() {
        encode_distinct(strings, out);
        return;
    }
    out.push(DICTIONARY);
    put_varint(distinct.len() as u64, out);
    encode_distinct(&distinct, out);
    encode_ints(&places, out);
}

fn encode_distinct(strings: &[&[u8]], out: &mut Vec<u8>) {
    let total: usize = strings.iter().map(|s| s.len()).sum();
    let mut last: &[u8] = &[];
    let mut fronts = Vec::with_capacity(strings.len());
    for string in strings {
        fronts.push(last.iter().zip(*string).take_while(|(x, y)| x == y).count() as u64);
        last = string;
    }
    let shared: usize = fronts.iter().map(|n| *n as usize).sum();
    if total <= MAX_FRONT_CODED && shared > strings.len() {
        out.push(FRONT_CODED);
        encode_ints(&fronts, out);
        let rests: Vec<u64> = strings.iter().zip(&fronts).map(|(s, front)| s.len() as u64 - front).collect();
        encode_ints(&rests, out);
        strings.iter().zip(&fronts).for_each(|(s, front)| out.extend_from_slice(&s[*front as usize..]));
    } else {
        out.push(WHOLE);
        let lens: Vec<u64> = strings.iter().map(|s| s.len() as u64).collect();
        encode_ints(&lens, out);
        strings.iter().for_each(|s| out.extend_from_slice(s));
    }
}

/// Byte strings that were read: distinct ones and which of them each row has.
pub(super) struct Blocks {
    heap: Vec<u8>,
    /// Where each of the distinct strings ends in the heap.
    ends: Vec<usize>,
    /// The string of each row; `None`: one after another.
    places: Option<Vec<u64>>,
}

impl Blocks {
    /// Reads `n` strings.
    pub fn decode(bytes: &mut &[u8], n: usize) -> Result<Blocks> {
        let tag = take_byte(bytes)?;
        if tag != DICTIONARY {
            return decode_distinct(tag, bytes, n);
        }
        let k = take_count(bytes)?;
        let tag = take_byte(bytes)?;
        let mut blocks = decode_distinct(tag, bytes, k)?;
        let places: Vec<u64> = numbers(&decode_ints(bytes, n)?).collect();
        if places.iter().any(|place| *place >= k as u64) {
            return Err(damaged("points outside of a dictionary"));
        }
        blocks.places = Some(places);
        Ok(blocks)
    }

    /// The distinct strings, in the order of their places.
    pub fn distinct(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.heap.get(start..*end).unwrap_or(&[]))
    }

    /// The place of the string of row `i` among the distinct ones.
    pub fn place(&self, i: usize) -> usize {
        match &self.places {
            None => i,
            Some(places) => places.get(i).copied().unwrap_or(0) as usize,
        }
    }
}

fn decode_distinct(tag: u8, bytes: &mut &[u8], n: usize) -> Result<Blocks> {
    let fronts = match tag {
        WHOLE => None,
        FRONT_CODED => Some(decode_ints(bytes, n)?),
        _ => return Err(damaged("has strings in an unknown encoding")),
    };
    let lens = decode_ints(bytes, n)?;
    let mut ends = Vec::with_capacity(n);
    let Some(fronts) = fronts else {
        let mut end = 0_usize;
        for len in numbers(&lens) {
            end = usize::try_from(len)
                .ok()
                .and_then(|len| end.checked_add(len))
                .ok_or_else(|| damaged("is cut short"))?;
            if end > bytes.len() {
                return Err(damaged("is cut short"));
            }
            ends.push(end);
        }
        return Ok(Blocks { heap: take_slice(bytes, end)?.to_vec(), ends, places: None });
    };
    let mut heap = Vec::new();
    let mut last = 0..0;
    for (front, len) in numbers(&fronts).zip(numbers(&lens)) {
        if front > last.len() as u64 || len > bytes.len() as u64 {
            return Err(damaged("has a string that is longer than it can be"));
        }
        let start = heap.len();
        if start + front as usize + len as usize > MAX_FRONT_CODED {
            return Err(damaged("has more text than a node may have"));
        }
        heap.extend_from_within(last.start..last.start + front as usize);
        heap.extend_from_slice(take_slice(bytes, len as usize)?);
        last = start..heap.len();
        ends.push(heap.len());
    }
    Ok(Blocks { heap, ends, places: None })
}
