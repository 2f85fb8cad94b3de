//! Values: what an attribute takes, what becomes of a value of another kind (see [`crate::schema::coerce`]), and how
//! long a value may be.

use crate::datom::{AttrId, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, Schema, SchemaFlexibility, TupleShape, ValueCaps, ValueType, coerce};

use super::apply::Change;
use super::fact::{Context, Fact};

/// Longest text or bytes of one value, in bytes.
const MAX_BYTES: usize = 1 << 30;

/// Deepest nesting of vectors in a value.
const MAX_NESTING: usize = 64;

/// Most members of a homogeneous tuple.
const MAX_TUPLE: usize = 8;

/// The value as the attribute keeps it. Refs are not for this function, but for tuples that hold them.
pub(super) fn convert(attribute: &Attribute, value: Value) -> Result<Value> {
    match (attribute.value_type, &attribute.tuple) {
        (Some(ValueType::Tuple), Some(shape)) => tuple(attribute, shape, value),
        (Some(value_type), _) => coerce(value_type, value).map_err(|got| mismatch(attribute, value_type, &got)),
        (None, _) => any(attribute, value),
    }
}

/// A value of an attribute without a type.
fn any(attribute: &Attribute, value: Value) -> Result<Value> {
    let storable = value != Value::Nil && is_member(&value, 0);
    if storable {
        return Ok(value);
    }
    if value == Value::Nil {
        return Err(nil(attribute));
    }
    let message = format!("{}: {} cannot be stored: {value:?}", attribute.ident, kind_name(&value));
    Err(Error::new(ErrorKind::Transact, "transact/schema", message))
}

fn is_member(value: &Value, depth: usize) -> bool {
    match value {
        Value::Char(_) | Value::Set(_) | Value::Map(_) => false,
        Value::Tuple(members) => depth < MAX_NESTING && members.iter().all(|v| is_member(v, depth + 1)),
        _ => true,
    }
}

fn tuple(attribute: &Attribute, shape: &TupleShape, value: Value) -> Result<Value> {
    let members = match value {
        Value::Tuple(members) => members,
        other => return Err(mismatch(attribute, ValueType::Tuple, &other)),
    };
    let member = |(i, (value_type, v)): (usize, (ValueType, &Value))| match v {
        Value::Nil => Ok(Value::Nil),
        v => coerce(value_type, v.clone())
            .map_err(|got| mismatch(attribute, value_type, &got).context(format_args!("member {i} of the tuple"))),
    };
    let wrong = |wanted: String| {
        let message = format!("{}: a tuple of {wanted} was wanted, got {}", attribute.ident, members.len());
        Error::new(ErrorKind::Transact, "transact/schema", message)
    };
    let converted: Vec<Value> = match shape {
        TupleShape::Heterogeneous(types) if types.len() == members.len() => {
            types.iter().copied().zip(members.iter()).enumerate().map(member).collect::<Result<_>>()?
        }
        TupleShape::Heterogeneous(types) => return Err(wrong(format!("{} members", types.len()))),
        TupleShape::Homogeneous(value_type) if (1..=MAX_TUPLE).contains(&members.len()) => {
            members.iter().map(|v| (*value_type, v)).enumerate().map(member).collect::<Result<_>>()?
        }
        TupleShape::Homogeneous(_) => return Err(wrong(format!("1 to {MAX_TUPLE} members"))),
        TupleShape::Composite(_) => {
            let message = format!("{} is a composite tuple: the transactor keeps its value", attribute.ident);
            return Err(Error::new(ErrorKind::Transact, "transact/schema", message));
        }
    };
    Ok(Value::Tuple(converted.into()))
}

/// Refuses values that begin with the transaction and are longer than their attribute or the database allows. What is
/// there already may be longer: bounds can be set at any time.
pub(super) fn lengths(context: Context<'_>, schema: &Schema, facts: &[Fact], changes: &[Change]) -> Result<()> {
    let caps = context.snapshot.settings.caps;
    let mut known: Option<(AttrId, Bounds<'_>)> = None;
    for change in changes.iter().filter(|change| change.added && has_length(&change.row.v)) {
        let a = change.row.a;
        let bounds = match known {
            Some((last, bounds)) if last == a => bounds,
            _ => {
                let Some(attribute) = schema.get(a) else { continue };
                let capped = schema.flexibility() == SchemaFlexibility::Write && !attribute.is_builtin();
                Bounds { attribute, caps: if capped { caps } else { ValueCaps::default() } }
            }
        };
        known = Some((a, bounds));
        let op = facts[change.fact as usize].op;
        let (ident, v) = (bounds.attribute.ident, &change.row.v);
        bounds.check(v).map_err(|error| context.locate_value(op, ident, v, error))?;
    }
    Ok(())
}

fn has_length(value: &Value) -> bool {
    use Value as V;
    matches!(value, V::Str(_) | V::Uri(_) | V::Bytes(_) | V::FloatArray(_) | V::DoubleArray(_) | V::Tuple(_))
}

/// How long values of an attribute may be.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    attribute: &'a Attribute,
    caps: ValueCaps,
}

impl Bounds<'_> {
    fn check(self, value: &Value) -> Result<()> {
        match value {
            Value::Str(text) | Value::Uri(text) => self.text(text, self.caps.string, "max-string-length"),
            Value::Bytes(bytes) => self.within(bytes.len(), "bytes", self.caps.bytes, "max-bytes-length"),
            Value::FloatArray(xs) => self.within(xs.len(), "floats", self.caps.float_array, "max-float-array-length"),
            Value::DoubleArray(xs) => {
                self.within(xs.len(), "doubles", self.caps.double_array, "max-double-array-length")
            }
            // Its members are values of attributes with bounds of their own.
            Value::Tuple(_) if matches!(self.attribute.tuple, Some(TupleShape::Composite(_))) => Ok(()),
            Value::Tuple(members) => members.iter().try_for_each(|member| match member {
                Value::Str(text) => self.text(text, self.caps.tuple_string, "max-tuple-string-length"),
                _ => Ok(()),
            }),
            _ => Ok(()),
        }
    }

    fn text(self, text: &str, cap: Option<u32>, key: &str) -> Result<()> {
        if text.len() > MAX_BYTES {
            return self.within(text.len(), "bytes of text", None, key);
        }
        // A text has at most as many characters as bytes, so most need no counting.
        let least = self.attribute.max_length.or(cap).filter(|n| *n > 0).map_or(usize::MAX, |n| n as usize);
        let length = if text.len() <= least { text.len() } else { text.chars().count() };
        self.within(length, "characters", cap, key)
    }

    /// `:db/maxLength` comes before the cap of the database; 0 of either is no bound.
    fn within(self, length: usize, unit: &str, cap: Option<u32>, key: &str) -> Result<()> {
        let own = self.attribute.max_length;
        let most = own.or(cap).filter(|n| *n > 0).map_or(MAX_BYTES, |n| (n as usize).min(MAX_BYTES));
        if length <= most {
            return Ok(());
        }
        let whose = match (own, cap) {
            (Some(1..), _) => "its :db/maxLength".to_owned(),
            (None, Some(1..)) => format!("the :{key} of the database's config"),
            _ => "the most that a value can hold".to_owned(),
        };
        let message = format!("{}: a value of {length} {unit} is longer than {most}, {whose}", self.attribute.ident);
        Err(Error::new(ErrorKind::Transact, "transact/max-length", message))
    }
}

pub(super) fn mismatch(attribute: &Attribute, wanted: ValueType, got: &Value) -> Error {
    if *got == Value::Nil {
        return nil(attribute);
    }
    let message = format!(
        "{}: a value of {} was wanted, got {}: {}{}",
        attribute.ident,
        wanted.keyword(),
        kind_name(got),
        shorten(got),
        hint(wanted, got)
    );
    Error::new(ErrorKind::Transact, "transact/schema", message)
}

/// How to write what was meant.
fn hint(wanted: ValueType, got: &Value) -> &'static str {
    match (wanted, got) {
        (ValueType::Instant, Value::Str(_)) => "; text is not read as a date, write #inst \"…\"",
        (ValueType::Uuid, Value::Str(_)) => "; text is not read as a uuid, write #uuid \"…\"",
        (ValueType::Uri, Value::Str(_)) => "; text is not a uri, write #uri \"…\"",
        (ValueType::Bytes, Value::Str(_)) => "; text is not bytes, write #bytes \"hex\"",
        (ValueType::Keyword, Value::Str(_)) => "; text is not a keyword, write it with a colon and without quotes",
        (ValueType::Symbol, Value::Str(_)) => "; text is not a symbol, write it without quotes",
        (ValueType::Double | ValueType::Float, Value::Long(_) | Value::BigInt(_)) => {
            "; it would be rounded: write it with a point if that is meant"
        }
        (ValueType::Long, Value::BigInt(_)) => "; a long has 64 bits, take :db.type/bigint",
        _ => "",
    }
}

fn nil(attribute: &Attribute) -> Error {
    let message = format!("{}: nil cannot be a value; leave the attribute out, or retract it", attribute.ident);
    Error::new(ErrorKind::Transact, "transact/nil", message)
}

/// The value as text, cut where it is long.
pub(super) fn shorten(value: &Value) -> String {
    const MOST: usize = 120;
    let text = format!("{value:?}");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Bool(_) => "a boolean",
        Value::Long(_) => "a long",
        Value::BigInt(_) => "a bigint",
        Value::Float(_) => "a float",
        Value::Double(_) => "a double",
        Value::BigDec(_) => "a bigdec",
        Value::Ref(_) => "a ref",
        Value::Instant(_) => "an instant",
        Value::Keyword(_) => "a keyword",
        Value::Symbol(_) => "a symbol",
        Value::Str(_) => "a string",
        Value::Uri(_) => "a uri",
        Value::Uuid(_) => "a uuid",
        Value::Bytes(_) => "bytes",
        Value::Char(_) => "a character",
        Value::Tuple(_) => "a vector",
        Value::FloatArray(_) => "a float array",
        Value::DoubleArray(_) => "a double array",
        Value::Set(_) => "a set",
        Value::Map(_) => "a map",
    }
}
