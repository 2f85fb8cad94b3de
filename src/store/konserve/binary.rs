//! Forms as bytes: a byte for the kind and what it needs, numbers of variable length (LEB128, signed ones zigzag).

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use uuid::Uuid;

use crate::edn::{Form, FormKind, Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};

/// The first byte.
const VERSION: u8 = 1;
/// Deepest nesting, as in text.
const DEEPEST: usize = 512;

mod tag {
    pub const NIL: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    pub const INT: u8 = 3;
    pub const BIG_INT: u8 = 4;
    pub const FLOAT: u8 = 5;
    pub const DECIMAL: u8 = 6;
    pub const STR: u8 = 7;
    pub const CHAR: u8 = 8;
    pub const KEYWORD: u8 = 9;
    pub const SYMBOL: u8 = 10;
    pub const LIST: u8 = 11;
    pub const VECTOR: u8 = 12;
    pub const MAP: u8 = 13;
    pub const SET: u8 = 14;
    pub const INST: u8 = 15;
    pub const UUID: u8 = 16;
    pub const TAGGED: u8 = 17;
}

/// The bytes of a form.
///
/// # Errors
/// `store/bad-form` if it is nested too deep.
pub(super) fn encode(form: &Form) -> Result<Vec<u8>> {
    let mut out = vec![VERSION];
    put(&mut out, form, DEEPEST)?;
    Ok(out)
}

fn put(out: &mut Vec<u8>, form: &Form, deeper: usize) -> Result<()> {
    let Some(deeper) = deeper.checked_sub(1) else {
        let what = format!("a form cannot be stored: it is nested deeper than {DEEPEST}");
        return Err(Error::new(ErrorKind::Argument, "store/bad-form", what));
    };
    match &form.kind {
        FormKind::Nil => out.push(tag::NIL),
        FormKind::Bool(value) => out.push(if *value { tag::TRUE } else { tag::FALSE }),
        FormKind::Int(value) => {
            out.push(tag::INT);
            put_signed(out, *value);
        }
        FormKind::BigInt(value) => {
            out.push(tag::BIG_INT);
            put_bytes(out, &value.to_signed_bytes_le());
        }
        FormKind::Float(value) => {
            out.push(tag::FLOAT);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        FormKind::Decimal(value) => {
            let (digits, scale) = value.as_bigint_and_exponent();
            out.push(tag::DECIMAL);
            put_signed(out, scale);
            put_bytes(out, &digits.to_signed_bytes_le());
        }
        FormKind::Str(text) => put_text(out, tag::STR, text),
        FormKind::Char(value) => {
            out.push(tag::CHAR);
            put_number(out, u64::from(u32::from(*value)));
        }
        FormKind::Keyword(value) => put_text(out, tag::KEYWORD, value.as_str()),
        FormKind::Symbol(value) => put_text(out, tag::SYMBOL, value.as_str()),
        FormKind::List(items) => put_items(out, tag::LIST, items, deeper)?,
        FormKind::Vector(items) => put_items(out, tag::VECTOR, items, deeper)?,
        FormKind::Set(items) => put_items(out, tag::SET, items, deeper)?,
        FormKind::Map(pairs) => {
            out.push(tag::MAP);
            put_number(out, pairs.len() as u64);
            for (key, value) in pairs {
                put(out, key, deeper)?;
                put(out, value, deeper)?;
            }
        }
        FormKind::Inst(value) => {
            out.push(tag::INST);
            put_signed(out, *value);
        }
        FormKind::Uuid(value) => {
            out.push(tag::UUID);
            out.extend_from_slice(value.as_bytes());
        }
        FormKind::Tagged(name, inner) => {
            put_text(out, tag::TAGGED, name.as_str());
            put(out, inner, deeper)?;
        }
    }
    Ok(())
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(out, (value << 1 ^ value >> 63) as u64);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, tag: u8, text: &str) {
    out.push(tag);
    put_bytes(out, text.as_bytes());
}

fn put_items(out: &mut Vec<u8>, tag: u8, items: &[Form], deeper: usize) -> Result<()> {
    out.push(tag);
    put_number(out, items.len() as u64);
    items.iter().try_for_each(|item| put(out, item, deeper))
}

/// The form that `bytes` are of; `None` for bytes that are of none.
pub(super) fn decode(bytes: &[u8]) -> Option<Form> {
    let mut rest = Rest(bytes.strip_prefix(&[VERSION])?);
    let form = rest.form(DEEPEST)?;
    rest.0.is_empty().then_some(form)
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits.leading_zeros() < shift {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A number of members, of which each takes a byte at least.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.0.len())
    }

    fn items(&mut self, deeper: usize) -> Option<Vec<Form>> {
        (0..self.count()?).map(|_| self.form(deeper)).collect()
    }

    fn form(&mut self, deeper: usize) -> Option<Form> {
        let deeper = deeper.checked_sub(1)?;
        let [tag] = self.array()?;
        let kind = match tag {
            tag::NIL => FormKind::Nil,
            tag::FALSE => FormKind::Bool(false),
            tag::TRUE => FormKind::Bool(true),
            tag::INT => FormKind::Int(self.signed()?),
            tag::BIG_INT => FormKind::BigInt(BigInt::from_signed_bytes_le(self.bytes()?)),
            tag::FLOAT => FormKind::Float(f64::from_bits(u64::from_le_bytes(self.array()?))),
            tag::DECIMAL => {
                let scale = self.signed()?;
                FormKind::Decimal(BigDecimal::new(BigInt::from_signed_bytes_le(self.bytes()?), scale))
            }
            tag::STR => FormKind::Str(self.text()?.into()),
            tag::CHAR => FormKind::Char(char::from_u32(u32::try_from(self.number()?).ok()?)?),
            tag::KEYWORD => FormKind::Keyword(Keyword::new(self.text()?)),
            tag::SYMBOL => FormKind::Symbol(Symbol::new(self.text()?)),
            tag::LIST => FormKind::List(self.items(deeper)?),
            tag::VECTOR => FormKind::Vector(self.items(deeper)?),
            tag::SET => FormKind::Set(self.items(deeper)?),
            tag::MAP => {
                let pairs = (0..self.count()?).map(|_| Some((self.form(deeper)?, self.form(deeper)?)));
                FormKind::Map(pairs.collect::<Option<_>>()?)
            }
            tag::INST => FormKind::Inst(self.signed()?),
            tag::UUID => FormKind::Uuid(Uuid::from_bytes(self.array()?)),
            tag::TAGGED => FormKind::Tagged(Symbol::new(self.text()?), Box::new(self.form(deeper)?)),
            _ => return None,
        };
        Some(kind.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edn::read;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn every_kind_comes_back() {
        let all = "[nil true false 0 -1 63 64 -64 -65 9223372036854775807 -9223372036854775808 12345678901234567890N 0N -1N
                    1.5 -0.0 ##NaN ##Inf 1.50M -0.001M 1e30M \"\" \"日本 \\n\" \\a \\newline :k :n/k s n/s () (1 (2)) [] [1 [2]]
                    {} {:a {:b 1} [2] 3} #{} #{1 :b} #inst \"1969-12-31T23:59:59.999Z\" #tag [1 #other {:x 2}]
                    #uuid \"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\"]";
        for form in read(all).unwrap().items().unwrap().iter().chain([&read(all).unwrap()]) {
            let bytes = encode(form).unwrap();
            let again = decode(&bytes).unwrap();
            assert_eq!(again, *form);
            assert_eq!(again.to_string(), form.to_string(), "with scales and signs");
            // Cut anywhere or longer it is none.
            assert!((0..bytes.len()).all(|len| decode(&bytes[..len]).is_none()), "{form}");
            assert!(decode(&[&bytes[..], &[0]].concat()).is_none());
        }
        // What has no text has bytes.
        let odd = Form::from(FormKind::Keyword(Keyword::new("a b")));
        assert_eq!(decode(&encode(&odd).unwrap()).unwrap(), odd);
    }

    #[test]
    fn too_deep_is_an_error() {
        let nested = |levels| (1..levels).fold(Form::nil(), |inner, _| FormKind::Vector(vec![inner]).into());
        assert!(decode(&encode(&nested(DEEPEST)).unwrap()).is_some());
        assert_eq!(encode(&nested(DEEPEST + 1)).unwrap_err().code(), "store/bad-form");
        let bytes = [&[VERSION][..], &[tag::VECTOR, 1].repeat(100_000), &[tag::NIL]].concat();
        assert!(decode(&bytes).is_none());
    }

    proptest! {
        #[test]
        fn integers_come_back(value: i64, big: Vec<u8>) {
            let value = Form::from(FormKind::Vector(vec![
                FormKind::Int(value).into(),
                FormKind::BigInt(BigInt::from_signed_bytes_le(&big)).into(),
            ]));
            prop_assert_eq!(decode(&encode(&value).unwrap()).unwrap(), value);
        }

        /// What decodes is a form, which comes back.
        #[test]
        fn any_bytes_are_none_or_a_form(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(form) = decode(&[&[VERSION][..], &bytes].concat()) {
                let again = encode(&form).unwrap();
                prop_assert!(decode(&again).is_some());
            }
        }
    }
}
