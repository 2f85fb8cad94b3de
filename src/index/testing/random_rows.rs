//! Rows of all kinds from a seed.

use std::sync::Arc;

use crate::datom::{AttrId, EntityId, OPEN, Order, Row, TX0, Value};
use crate::edn::{Keyword, Symbol};

/// The splitmix64 generator.
#[derive(Debug, Clone)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }
}

/// Makes rows: few entities, attributes and values, so that they meet; values of all kinds that can be stored.
#[derive(Debug, Clone)]
pub struct RandomRows {
    /// Where the chance comes from.
    pub random: SplitMix,
    /// The order that the rows are for: history orders get closed rows.
    pub order: Order,
    /// How many entities there are.
    pub entities: u64,
    /// Whether an attribute has values of all kinds; else one kind each.
    pub mixed: bool,
}

impl RandomRows {
    /// A row.
    pub fn row(&mut self) -> Row {
        let e = self.entity();
        let a = self.random.below(12);
        let kind = if self.mixed { self.random.below(18) } else { a };
        let v = self.value(kind, 0);
        let tx = TX0 + 1 + self.random.below(20);
        let until = if self.order.is_history() { tx + 1 + self.random.below(20) } else { OPEN };
        Row { e, a: AttrId(a as u32), v, tx, until }
    }

    fn entity(&mut self) -> u64 {
        match self.random.below(50) {
            0 => TX0 + self.random.below(3),
            1 => i64::MAX as u64 - self.random.below(3),
            _ => 1 + self.random.below(self.entities),
        }
    }

    fn number(&mut self) -> i64 {
        match self.random.below(8) {
            0 => i64::MIN + self.random.below(2) as i64,
            1 => i64::MAX - self.random.below(2) as i64,
            _ => self.random.below(300) as i64 - 100,
        }
    }

    fn text(&mut self) -> String {
        let stem = ["", "a", "ab", "Straße", "日本", "name-of-a-person", "\u{10FFFF}"][self.random.below(7) as usize];
        match self.random.below(3) {
            0 => stem.to_owned(),
            1 => format!("{stem}{}", self.random.below(100)),
            _ => format!("{stem}{}", "long".repeat(self.random.below(20) as usize)),
        }
    }

    fn value(&mut self, kind: u64, depth: u32) -> Value {
        let n = self.number();
        match kind {
            0 => Value::Long(n),
            1 => Value::Str(self.text().into()),
            2 => Value::Keyword(Keyword::new(&format!("test/kw{}", n.rem_euclid(40)))),
            3 => Value::Ref(EntityId(1 + n.rem_euclid(1000) as u64)),
            4 => Value::Instant(n),
            5 => Value::Bool(n % 2 == 0),
            6 => Value::Double(
                [n as f64 / 4.0, -0.0, 0.0, f64::NAN, f64::INFINITY, 1e300][self.random.below(6) as usize],
            ),
            7 => Value::Uuid(uuid::Uuid::from_u128(n.rem_euclid(500) as u128 * 0x1234_5678_9ABC_DEF0_1234)),
            8 => Value::BigInt(Arc::new(num_bigint::BigInt::from(n) * num_bigint::BigInt::from(i64::MAX))),
            9 => Value::BigDec(Arc::new(bigdecimal::BigDecimal::new(n.into(), n.rem_euclid(5)))),
            10 => Value::Bytes(self.text().into_bytes().into()),
            11 => Value::Uri(format!("https://example.org/{}", self.text()).into()),
            12 => Value::Symbol(Symbol::new(&format!("sym{}", n.rem_euclid(40)))),
            13 => Value::Float(n as f32 / 8.0),
            14 => Value::FloatArray((0..n.rem_euclid(4)).map(|i| i as f32 + 0.5).collect()),
            15 => Value::DoubleArray((0..n.rem_euclid(4)).map(|i| i as f64 - n as f64).collect()),
            16 if depth < 2 => {
                let members = (0..1 + self.random.below(3)).map(|_| {
                    let kind = self.random.below(18);
                    self.value(kind, depth + 1)
                });
                Value::Tuple(members.collect())
            }
            _ => {
                if depth > 0 {
                    Value::Nil
                } else {
                    Value::Str(self.text().into())
                }
            }
        }
    }
}
