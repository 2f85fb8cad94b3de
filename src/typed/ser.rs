//! From Rust types to values.

use num_bigint::BigInt;
use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};
use uuid::Uuid;

use super::failure::Failure;
use super::{MAX_DEPTH, as_instant, as_keyword, as_ref, as_uuid};
use crate::datom::{EntityId, Value};
use crate::edn::Keyword;
use crate::error::Result;

/// Makes a database value of a Rust value, as the [module](super) tells: structs become maps with keyword keys, in which
/// fields that are `None` or `()` are left out; unit variants become keywords.
///
/// # Errors
/// `Argument`, code `:typed/mismatch`, with the path to what cannot be told as a value; `Limit`, code `:typed/depth`.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
    value.serialize(Writer { depth: 0 }).map_err(Failure::into_error)
}

#[derive(Clone, Copy)]
struct Writer {
    depth: usize,
}

impl Writer {
    fn below(self) -> Result<Writer, Failure> {
        if self.depth >= MAX_DEPTH { Err(Failure::too_deep()) } else { Ok(Writer { depth: self.depth + 1 }) }
    }
}

fn keyword(name: &str) -> Value {
    Value::Keyword(Keyword::new(name))
}

fn integer(n: i128) -> Value {
    i64::try_from(n).map_or_else(|_| BigInt::from(n).into(), Value::Long)
}

impl Serializer for Writer {
    type Ok = Value;
    type Error = Failure;
    type SerializeSeq = Sequence;
    type SerializeTuple = Sequence;
    type SerializeTupleStruct = Sequence;
    type SerializeTupleVariant = Sequence;
    type SerializeMap = Pairs;
    type SerializeStruct = Pairs;
    type SerializeStructVariant = Pairs;

    fn serialize_bool(self, x: bool) -> Result<Value, Failure> {
        Ok(Value::Bool(x))
    }

    fn serialize_i8(self, x: i8) -> Result<Value, Failure> {
        Ok(Value::Long(i64::from(x)))
    }

    fn serialize_i16(self, x: i16) -> Result<Value, Failure> {
        Ok(Value::Long(i64::from(x)))
    }

    fn serialize_i32(self, x: i32) -> Result<Value, Failure> {
        Ok(Value::Long(i64::from(x)))
    }

    fn serialize_i64(self, x: i64) -> Result<Value, Failure> {
        Ok(Value::Long(x))
    }

    fn serialize_i128(self, x: i128) -> Result<Value, Failure> {
        Ok(integer(x))
    }

    fn serialize_u8(self, x: u8) -> Result<Value, Failure> {
        Ok(Value::Long(i64::from(x)))
    }

    fn serialize_u16(self, x: u16) -> Result<Value, Failure> {
        Ok(Value::Long(i64::from(x)))
    }

    fn serialize_u32(self, x: u32) -> Result<Value, Failure> {
        Ok(Value::Long(i64::from(x)))
    }

    fn serialize_u64(self, x: u64) -> Result<Value, Failure> {
        Ok(integer(i128::from(x)))
    }

    fn serialize_u128(self, x: u128) -> Result<Value, Failure> {
        Ok(i128::try_from(x).map_or_else(|_| BigInt::from(x).into(), integer))
    }

    fn serialize_f32(self, x: f32) -> Result<Value, Failure> {
        Ok(Value::Float(x))
    }

    fn serialize_f64(self, x: f64) -> Result<Value, Failure> {
        Ok(Value::Double(x))
    }

    fn serialize_char(self, x: char) -> Result<Value, Failure> {
        Ok(Value::Char(x))
    }

    fn serialize_str(self, x: &str) -> Result<Value, Failure> {
        Ok(x.into())
    }

    fn serialize_bytes(self, x: &[u8]) -> Result<Value, Failure> {
        Ok(Value::Bytes(x.into()))
    }

    fn serialize_none(self) -> Result<Value, Failure> {
        Ok(Value::Nil)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, x: &T) -> Result<Value, Failure> {
        x.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Failure> {
        Ok(Value::Nil)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Failure> {
        Ok(Value::Nil)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Failure> {
        Ok(keyword(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, x: &T) -> Result<Value, Failure> {
        let value = x.serialize(self.below()?)?;
        match name {
            as_keyword::MARKER | as_uuid::MARKER | as_instant::MARKER | as_ref::MARKER => mark(name, value),
            _ => Ok(value),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        x: &T,
    ) -> Result<Value, Failure> {
        let content = x.serialize(self.below()?).map_err(|failure| failure.at_key(variant))?;
        Ok(Value::Map([(keyword(variant), content)].into()))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Sequence, Failure> {
        Sequence::new(self, len, None)
    }

    fn serialize_tuple(self, len: usize) -> Result<Sequence, Failure> {
        Sequence::new(self, Some(len), None)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Sequence, Failure> {
        Sequence::new(self, Some(len), None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Sequence, Failure> {
        Sequence::new(self.below()?, Some(len), Some(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Pairs, Failure> {
        Pairs::new(self, None)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Pairs, Failure> {
        Pairs::new(self, None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Pairs, Failure> {
        Pairs::new(self.below()?, Some(variant))
    }
}

/// Turns a value, or the members of a collection, into what a field says it is.
fn mark(marker: &str, value: Value) -> Result<Value, Failure> {
    let wrong = |value: &Value| Failure::new(format_args!("{marker} was wanted, got {}", value.to_form()));
    Ok(match (marker, &value) {
        (_, Value::Nil) => value,
        (_, Value::Tuple(members)) => {
            let members: Result<Vec<Value>, Failure> =
                members.iter().map(|member| mark(marker, member.clone())).collect();
            members?.into()
        }
        (as_keyword::MARKER, Value::Str(s)) if !s.is_empty() => keyword(s),
        (as_keyword::MARKER, Value::Keyword(_)) => value,
        (as_uuid::MARKER, Value::Str(s)) => Value::Uuid(Uuid::parse_str(s).map_err(|_| wrong(&value))?),
        (as_instant::MARKER, Value::Long(ms)) => Value::Instant(*ms),
        (as_ref::MARKER, Value::Long(e @ 1..)) => Value::Ref(EntityId(*e as u64)),
        _ => return Err(wrong(&value)),
    })
}

/// Wraps the content of a variant in a map.
fn variant_of(name: Option<&'static str>, content: Value) -> Value {
    match name {
        None => content,
        Some(name) => Value::Map([(keyword(name), content)].into()),
    }
}

struct Sequence {
    inner: Writer,
    members: Vec<Value>,
    variant: Option<&'static str>,
}

impl Sequence {
    fn new(writer: Writer, len: Option<usize>, variant: Option<&'static str>) -> Result<Sequence, Failure> {
        let members = Vec::with_capacity(len.unwrap_or(0).min(4096));
        Ok(Sequence { inner: writer.below()?, members, variant })
    }

    fn push<T: Serialize + ?Sized>(&mut self, x: &T) -> Result<(), Failure> {
        let at = self.members.len();
        self.members.push(x.serialize(self.inner).map_err(|failure| failure.at_index(at))?);
        Ok(())
    }

    fn finish(self) -> Result<Value, Failure> {
        Ok(variant_of(self.variant, self.members.into()))
    }
}

macro_rules! sequence {
    ($($name:ident :: $method:ident),*) => {
        $(impl $name for Sequence {
            type Ok = Value;
            type Error = Failure;

            fn $method<T: Serialize + ?Sized>(&mut self, x: &T) -> Result<(), Failure> {
                self.push(x)
            }

            fn end(self) -> Result<Value, Failure> {
                self.finish()
            }
        })*
    };
}

sequence! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
}

struct Pairs {
    inner: Writer,
    pairs: Vec<(Value, Value)>,
    key: Option<Value>,
    variant: Option<&'static str>,
}

impl Pairs {
    fn new(writer: Writer, variant: Option<&'static str>) -> Result<Pairs, Failure> {
        Ok(Pairs { inner: writer.below()?, pairs: Vec::new(), key: None, variant })
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, x: &T) -> Result<(), Failure> {
        let value = x.serialize(self.inner).map_err(|failure| failure.at_key(name))?;
        if !matches!(value, Value::Nil) {
            self.pairs.push((keyword(name), value));
        }
        Ok(())
    }

    fn finish(self) -> Result<Value, Failure> {
        Ok(variant_of(self.variant, Value::Map(self.pairs.into())))
    }
}

impl SerializeMap for Pairs {
    type Ok = Value;
    type Error = Failure;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failure> {
        self.key = Some(key.serialize(self.inner)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, x: &T) -> Result<(), Failure> {
        let Some(key) = self.key.take() else { return Err(Failure::new("a value without a key")) };
        let value = x.serialize(self.inner).map_err(|failure| failure.at_key(&key.to_form().to_string()))?;
        self.pairs.push((key, value));
        Ok(())
    }

    fn end(self) -> Result<Value, Failure> {
        self.finish()
    }
}

macro_rules! fields {
    ($($name:ident),*) => {
        $(impl $name for Pairs {
            type Ok = Value;
            type Error = Failure;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, x: &T) -> Result<(), Failure> {
                self.field(name, x)
            }

            fn end(self) -> Result<Value, Failure> {
                self.finish()
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);
