//! From values to Rust types.

use bigdecimal::ToPrimitive;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::MAX_DEPTH;
use super::failure::Failure;
use crate::datom::Value;
use crate::error::Result;

/// Makes a Rust value of a database value, as the [module](super) tells.
///
/// # Errors
/// `Argument`, code `:typed/mismatch`, with the path to what does not fit; `Limit`, code `:typed/depth`.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T> {
    T::deserialize(Reader { value: &value, depth: 0 }).map_err(Failure::into_error)
}

/// One value, and how deep it lies.
#[derive(Clone, Copy)]
struct Reader<'a> {
    value: &'a Value,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn below(self, value: &'a Value) -> Result<Reader<'a>, Failure> {
        if self.depth >= MAX_DEPTH {
            return Err(Failure::too_deep());
        }
        Ok(Reader { value, depth: self.depth + 1 })
    }

    /// The number as a double, where one has the same value.
    fn exact_double(self) -> Option<f64> {
        match self.value {
            Value::Double(x) => Some(*x),
            Value::Float(x) => Some(f64::from(*x)),
            Value::Long(n) => Some(*n as f64).filter(|x| *x < i64::MAX as f64 && *x as i64 == *n),
            Value::BigInt(n) => n.to_f64().filter(|x| same_decimal(*x, &bigdecimal::BigDecimal::from((**n).clone()))),
            Value::BigDec(n) => n.to_f64().filter(|x| same_decimal(*x, n)),
            _ => None,
        }
    }

    fn is_number(self) -> bool {
        matches!(self.value, Value::Double(_) | Value::Float(_) | Value::Long(_) | Value::BigInt(_) | Value::BigDec(_))
    }

    fn visit_float<'de, V: Visitor<'de>>(self, wanted: &str, x: Option<f64>, visitor: V) -> Result<V::Value, Failure> {
        match x {
            Some(x) => visitor.visit_f64(x),
            None if self.is_number() => {
                let text = self.value.to_form();
                Err(Failure::new(format_args!("wanted {wanted}, got {text}, which has no equal there")))
            }
            None => self.deserialize_any(visitor),
        }
    }
}

/// Whether the shortest text of a double is the decimal: `0.1` for `0.1M`.
fn same_decimal(x: f64, n: &bigdecimal::BigDecimal) -> bool {
    x.is_finite() && format!("{x:e}").parse::<bigdecimal::BigDecimal>().is_ok_and(|y| y == *n)
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Nil => visitor.visit_unit(),
            Value::Bool(x) => visitor.visit_bool(*x),
            Value::Long(n) | Value::Instant(n) => visitor.visit_i64(*n),
            Value::Ref(e) => visitor.visit_u64(e.0),
            Value::BigInt(n) => match (n.to_i64(), n.to_u64(), n.to_i128(), n.to_u128()) {
                (Some(n), ..) => visitor.visit_i64(n),
                (_, Some(n), ..) => visitor.visit_u64(n),
                (_, _, Some(n), _) => visitor.visit_i128(n),
                (_, _, _, Some(n)) => visitor.visit_u128(n),
                _ => visitor.visit_string(n.to_string()),
            },
            Value::Float(x) => visitor.visit_f32(*x),
            Value::Double(x) => visitor.visit_f64(*x),
            Value::BigDec(n) => visitor.visit_string(n.to_string()),
            Value::Keyword(k) => visitor.visit_str(k.as_str()),
            Value::Symbol(s) => visitor.visit_str(s.as_str()),
            Value::Str(s) | Value::Uri(s) => visitor.visit_str(s),
            Value::Uuid(u) => visitor.visit_string(u.to_string()),
            Value::Bytes(b) => visitor.visit_bytes(b),
            Value::Char(c) => visitor.visit_char(*c),
            Value::Tuple(_) | Value::Set(_) | Value::FloatArray(_) | Value::DoubleArray(_) => {
                self.deserialize_seq(visitor)
            }
            Value::Map(entries) => visitor.visit_map(Entries { reader: self, entries: entries.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_float("f64", self.exact_double(), visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let fits = |x: &f64| x.is_nan() || f64::from(*x as f32) == *x;
        self.visit_float("f32", self.exact_double().filter(fits), visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let members: Vec<Value> = match self.value {
            Value::Tuple(xs) | Value::Set(xs) => return Members::new(self, xs).visit(visitor),
            Value::FloatArray(xs) => xs.iter().map(|x| Value::Float(*x)).collect(),
            Value::DoubleArray(xs) => xs.iter().map(|x| Value::Double(*x)).collect(),
            Value::Bytes(xs) => xs.iter().map(|x| Value::Long(i64::from(*x))).collect(),
            _ => return self.deserialize_any(visitor),
        };
        Members::new(self, &members).visit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.value {
            Value::Keyword(_) | Value::Symbol(_) | Value::Str(_) => {
                visitor.visit_enum(Variant { name: self, content: None })
            }
            Value::Map(entries) => match entries.as_ref() {
                [(name, content)] => {
                    visitor.visit_enum(Variant { name: self.below(name)?, content: Some(self.below(content)?) })
                }
                _ => Err(Failure::new("wanted a keyword, or a map of one variant and its content")),
            },
            _ => Err(Failure::new(format_args!("wanted a keyword for a variant, got {}", self.value.to_form()))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf unit unit_struct map struct
        identifier ignored_any
    }
}

struct Members<'a> {
    reader: Reader<'a>,
    members: std::slice::Iter<'a, Value>,
    at: usize,
}

impl<'a> Members<'a> {
    /// `reader` tells the depth.
    fn new<'b: 'a>(reader: Reader<'b>, members: &'a [Value]) -> Members<'a> {
        Members { reader, members: members.iter(), at: 0 }
    }

    /// Hands all members over; what the type leaves untaken would be lost without a word.
    fn visit<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Failure> {
        let found = visitor.visit_seq(&mut self)?;
        match self.members.len() {
            0 => Ok(found),
            left => Err(Failure::new(format_args!("wanted {} members, got {}", self.at, self.at + left))),
        }
    }
}

impl<'de> SeqAccess<'de> for Members<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some(member) = self.members.next() else { return Ok(None) };
        let at = self.at;
        self.at += 1;
        let member = self.reader.below(member)?;
        seed.deserialize(member).map(Some).map_err(|failure| failure.at_index(at))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.members.len())
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    entries: std::slice::Iter<'a, (Value, Value)>,
    /// The entry whose key was given.
    value: Option<&'a (Value, Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        seed.deserialize(self.reader.below(key)?).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Failure> {
        let Some((key, value)) = self.value.take() else { return Err(Failure::new("a value without a key")) };
        let result = seed.deserialize(self.reader.below(value)?);
        result.map_err(|failure| match key {
            Value::Keyword(k) => failure.at_key(k.as_str()),
            other => failure.at_key(&other.to_form().to_string()),
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

struct Variant<'a> {
    name: Reader<'a>,
    content: Option<Reader<'a>>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Failure;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'a>), Failure> {
        let text = match self.name.value {
            Value::Keyword(k) => k.as_str(),
            Value::Symbol(s) => s.as_str(),
            Value::Str(s) => s.as_ref(),
            other => return Err(Failure::new(format_args!("wanted the name of a variant, got {}", other.to_form()))),
        };
        let name: StrDeserializer<'_, Failure> = text.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self.content)))
    }
}

struct Content<'a>(Option<Reader<'a>>);

impl<'a> Content<'a> {
    fn required(self) -> Result<Reader<'a>, Failure> {
        self.0.ok_or_else(|| Failure::invalid_type(Unexpected::UnitVariant, &"a variant with content"))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.0 {
            None => Ok(()),
            Some(content) => {
                Err(Failure::new(format_args!("wanted a variant without content, got {}", content.value.to_form())))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        seed.deserialize(self.required()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.required()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        self.required()?.deserialize_any(visitor)
    }
}
