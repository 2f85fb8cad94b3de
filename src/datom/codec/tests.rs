//! The codec against random rows, random bytes and the sizes it promises.

use proptest::prelude::*;

use super::{MAX_ROWS, decode_columns, decode_ints, encode_columns, encode_ints, put_varint, take_varint};
use crate::datom::{AttrId, Columns, EntityId, IntColumn, OPEN, Order, TX0, Value, ValueRef};
use crate::edn::Keyword;
use crate::index::testing::{RandomRows, SplitMix};

fn encoded(columns: &Columns) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_columns(columns, &mut bytes);
    bytes
}

fn random_columns(seed: u64, n: usize, mixed: bool, sorted: bool) -> Columns {
    let order = Order::ALL[(seed % 6) as usize];
    let mut rows = RandomRows { random: SplitMix(seed), order, entities: 50, mixed };
    let mut rows: Vec<_> = (0..n).map(|_| rows.row()).collect();
    if sorted {
        rows.sort_by(|x, y| order.compare(x, y));
    }
    let mut columns = Columns::default();
    rows.iter().for_each(|row| columns.push_row(row));
    columns
}

proptest! {
    #[test]
    fn columns_come_back(seed: u64, n in 0_usize..600, mixed: bool, sorted: bool) {
        let columns = random_columns(seed, n, mixed, sorted);
        let bytes = encoded(&columns);
        let mut rest = bytes.as_slice();
        let decoded = decode_columns(&mut rest).expect("decodes");
        prop_assert!(rest.is_empty());
        prop_assert_eq!(decoded, columns);
    }

    #[test]
    fn numbers_come_back(xs in numbers()) {
        let mut bytes = Vec::new();
        encode_ints(&xs, &mut bytes);
        let mut rest = bytes.as_slice();
        let decoded = decode_ints(&mut rest, xs.len()).expect("decodes");
        prop_assert!(rest.is_empty());
        prop_assert_eq!((0..decoded.len()).map(|i| decoded.get(i)).collect::<Vec<_>>(), xs);
    }

    #[test]
    fn varints_come_back(x: u64) {
        let mut bytes = Vec::new();
        put_varint(x, &mut bytes);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(take_varint(&mut rest).expect("decodes"), x);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn random_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), n in 0_u8..100) {
        let _ = decode_columns(&mut bytes.as_slice());
        let mut begun = vec![1, n];
        begun.extend_from_slice(&bytes);
        let _ = decode_columns(&mut begun.as_slice());
    }

    #[test]
    fn damage_is_an_error_or_other_rows(seed: u64, n in 1_usize..200, mixed: bool, at: prop::sample::Index, bit in 0..8_u32) {
        let bytes = encoded(&random_columns(seed, n, mixed, true));
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1_u8 << bit;
        match decode_columns(&mut flipped.as_slice()) {
            Err(e) => prop_assert_eq!(e.code(), "store/corrupt"),
            // Whatever was read can be read: lengths agree, every value is there, and it can be written again.
            Ok(columns) => {
                prop_assert!(columns.len() <= MAX_ROWS);
                let lens = [columns.e.len(), columns.a.len(), columns.tx.len(), columns.until.len()];
                prop_assert!(lens.iter().all(|len| *len == columns.len()));
                (0..columns.len().min(5000)).for_each(|i| drop(columns.row(i)));
            }
        }
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert_eq!(decode_columns(&mut &cut[..]).expect_err("cut short").code(), "store/corrupt");
    }
}

/// Numbers as columns have them: far apart, near each other, ascending, with exceptions.
fn numbers() -> impl Strategy<Value = Vec<u64>> {
    let near = (any::<u64>(), prop::collection::vec(0_u64..1000, 0..300))
        .prop_map(|(base, xs)| xs.into_iter().map(|x| base.wrapping_add(x)).collect());
    let rising = prop::collection::vec(0_u64..50, 0..300).prop_map(|steps| {
        let mut sum = 0;
        steps
            .into_iter()
            .map(|step| {
                sum += step;
                sum
            })
            .collect()
    });
    let exceptional = prop::collection::vec(prop_oneof![30 => 0_u64..8, 1 => any::<u64>()], 0..300);
    prop_oneof![prop::collection::vec(any::<u64>(), 0..100), near, rising, exceptional]
}

#[test]
fn numbers_of_every_width_come_back() {
    for width in 0..=64_u32 {
        let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
        let mut random = SplitMix(u64::from(width));
        let xs: Vec<u64> = (0..131).map(|_| random.next_u64() & mask).collect();
        let mut bytes = Vec::new();
        encode_ints(&xs, &mut bytes);
        let decoded = decode_ints(&mut bytes.as_slice(), xs.len()).expect("decodes");
        assert_eq!((0..131).map(|i| decoded.get(i)).collect::<Vec<_>>(), xs, "width {width}");
    }
}

#[test]
fn rows_decide_whether_columns_are_equal() {
    // Seven rows, whose attributes are all 0 and packed one by one; written again they are one number.
    let bytes = [1, 7, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let columns = decode_columns(&mut &bytes[..]).unwrap();
    assert_eq!(columns.len(), 7);
    assert_eq!(decode_columns(&mut &encoded(&columns)[..]).unwrap(), columns);
}

#[test]
fn a_constant_column_takes_two_bytes() {
    let mut bytes = Vec::new();
    super::ints::encode_column(&IntColumn::Constant { value: OPEN, len: 1000 }, &mut bytes);
    assert_eq!(bytes, [0, 1]);
}

/// Rows about people in the order of entities: what a row costs is told by what it says.
#[test]
fn rows_about_people_are_small() {
    let mut random = SplitMix(7);
    let mut columns = Columns::default();
    for e in 1..=200 {
        let name = ["Ivan", "Petr", "Oleg"][random.below(3) as usize];
        columns.push(e, AttrId(100), &ValueRef::Str(name), TX0 + 1, OPEN);
        let sex = Keyword::new(["male", "female"][random.below(2) as usize]);
        columns.push(e, AttrId(101), &ValueRef::Keyword(sex), TX0 + 1, OPEN);
        columns.push(e, AttrId(102), &ValueRef::Long(random.below(100) as i64), TX0 + 1, OPEN);
        columns.push(e, AttrId(103), &ValueRef::Ref(EntityId(1 + random.below(200))), TX0 + 1, OPEN);
        columns.push(e, AttrId(104), &ValueRef::Double(random.below(10_000) as f64 / 100.0), TX0 + 1, OPEN);
    }
    let bytes = encoded(&columns).len();
    // e 1 bit, a 3 bits, then 2, 1, 7, 8 and 14 bits of value: about 1.3 bytes and the heads of the streams.
    assert!(bytes < 1000 * 3 / 2, "{bytes} bytes for 1000 rows");
}

#[test]
fn interned_numbers_are_never_written() {
    let mut columns = Columns::default();
    let word = Keyword::new("codec/never-a-number");
    columns.push(1, AttrId(1), &Value::Keyword(word).as_ref(), TX0, OPEN);
    let text = word.as_str().as_bytes();
    assert!(encoded(&columns).windows(text.len()).any(|window| window == text));
}
