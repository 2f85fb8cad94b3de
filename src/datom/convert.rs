//! Values from and to Rust types and EDN forms.

use std::fmt;
use std::sync::Arc;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use uuid::Uuid;

use super::id::EntityId;
use super::value::Value;
use crate::edn::{Form, FormKind, Keyword, Symbol};

macro_rules! from {
    ($($type:ty => |$x:ident| $value:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($x: $type) -> Value {
                $value
            }
        })*
    };
}

from! {
    bool => |x| Value::Bool(x);
    i64 => |x| Value::Long(x);
    i32 => |x| Value::Long(i64::from(x));
    u32 => |x| Value::Long(i64::from(x));
    f64 => |x| Value::Double(x);
    f32 => |x| Value::Float(x);
    &str => |x| Value::Str(x.into());
    String => |x| Value::Str(x.into());
    Arc<str> => |x| Value::Str(x);
    Keyword => |x| Value::Keyword(x);
    Symbol => |x| Value::Symbol(x);
    EntityId => |x| Value::Ref(x);
    Uuid => |x| Value::Uuid(x);
    BigInt => |x| Value::BigInt(Arc::new(x));
    BigDecimal => |x| Value::BigDec(Arc::new(x));
    Vec<Value> => |x| Value::Tuple(x.into());
}

impl Value {
    /// The value that a form tells. Vectors and lists become tuples; `None` for a tagged element that is unknown.
    ///
    /// Never a ref: an integer is a long until a schema says otherwise. `#bytes "hex"` and `#uri "…"` are read.
    pub fn from_form(form: &Form) -> Option<Value> {
        Some(match &form.kind {
            FormKind::Nil => Value::Nil,
            FormKind::Bool(x) => Value::Bool(*x),
            FormKind::Int(x) => Value::Long(*x),
            FormKind::BigInt(x) => Value::BigInt(Arc::new(x.clone())),
            FormKind::Float(x) => Value::Double(*x),
            FormKind::Decimal(x) => Value::BigDec(Arc::new(x.clone())),
            FormKind::Str(x) => Value::Str(Arc::clone(x)),
            FormKind::Char(x) => Value::Char(*x),
            FormKind::Keyword(x) => Value::Keyword(*x),
            FormKind::Symbol(x) => Value::Symbol(*x),
            FormKind::List(xs) | FormKind::Vector(xs) => Value::Tuple(from_forms(xs)?.into()),
            FormKind::Set(xs) => Value::set(from_forms(xs)?),
            FormKind::Map(entries) => {
                let entries = entries.iter().map(|(k, v)| Some((Value::from_form(k)?, Value::from_form(v)?)));
                Value::Map(entries.collect::<Option<Vec<_>>>()?.into())
            }
            FormKind::Inst(x) => Value::Instant(*x),
            FormKind::Uuid(x) => Value::Uuid(*x),
            FormKind::Tagged(tag, inner) => from_tagged(*tag, inner)?,
        })
    }

    /// The form that tells the value. Refs become integers, arrays vectors of numbers, bytes `#bytes "hex"`, URIs
    /// `#uri "…"`.
    pub fn to_form(&self) -> Form {
        let forms = |xs: &[Value]| xs.iter().map(Value::to_form).collect();
        Form::from(match self {
            Value::Nil => FormKind::Nil,
            Value::Bool(x) => FormKind::Bool(*x),
            Value::Long(x) => FormKind::Int(*x),
            Value::BigInt(x) => FormKind::BigInt(BigInt::clone(x)),
            Value::Float(x) => FormKind::Float(f64::from(*x)),
            Value::Double(x) => FormKind::Float(*x),
            Value::BigDec(x) => FormKind::Decimal(BigDecimal::clone(x)),
            Value::Ref(x) => FormKind::Int(x.0 as i64),
            Value::Instant(x) => FormKind::Inst(*x),
            Value::Keyword(x) => FormKind::Keyword(*x),
            Value::Symbol(x) => FormKind::Symbol(*x),
            Value::Str(x) => FormKind::Str(Arc::clone(x)),
            Value::Uri(x) => FormKind::Tagged(Symbol::new("uri"), Box::new(FormKind::Str(Arc::clone(x)).into())),
            Value::Uuid(x) => FormKind::Uuid(*x),
            Value::Bytes(x) => {
                let hex: String = x.iter().map(|b| format!("{b:02x}")).collect();
                FormKind::Tagged(Symbol::new("bytes"), Box::new(FormKind::Str(hex.into()).into()))
            }
            Value::Char(x) => FormKind::Char(*x),
            Value::Tuple(xs) => FormKind::Vector(forms(xs)),
            Value::FloatArray(xs) => {
                FormKind::Vector(xs.iter().map(|x| FormKind::Float(f64::from(*x)).into()).collect())
            }
            Value::DoubleArray(xs) => FormKind::Vector(xs.iter().map(|x| FormKind::Float(*x).into()).collect()),
            Value::Set(xs) => FormKind::Set(forms(xs)),
            Value::Map(entries) => FormKind::Map(entries.iter().map(|(k, v)| (k.to_form(), v.to_form())).collect()),
        })
    }
}

fn from_forms(forms: &[Form]) -> Option<Vec<Value>> {
    forms.iter().map(Value::from_form).collect()
}

fn from_tagged(tag: Symbol, inner: &Form) -> Option<Value> {
    let FormKind::Str(text) = &inner.kind else { return None };
    match tag.as_str() {
        "uri" => Some(Value::Uri(Arc::clone(text))),
        "bytes" if text.len().is_multiple_of(2) && text.is_ascii() => {
            let byte = |i: usize| u8::from_str_radix(text.get(i..i + 2)?, 16).ok();
            let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
            Some(Value::Bytes(bytes?.into()))
        }
        _ => None,
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Bool(x) => write!(f, "{x}"),
            Value::Long(x) => write!(f, "{x}"),
            Value::BigInt(x) => write!(f, "{x}N"),
            Value::Float(x) => write!(f, "{x:?}f"),
            Value::Double(x) => write!(f, "{x:?}"),
            Value::BigDec(x) => write!(f, "{x}M"),
            Value::Ref(x) => write!(f, "#{}", x.0),
            Value::Instant(x) => write!(f, "{x}ms"),
            Value::Keyword(x) => write!(f, "{x}"),
            Value::Symbol(x) => write!(f, "{x}"),
            Value::Str(x) => write!(f, "{x:?}"),
            Value::Uri(x) => write!(f, "<{x}>"),
            Value::Uuid(x) => write!(f, "{x}"),
            Value::Bytes(x) => write!(f, "{x:02x?}"),
            Value::Char(x) => write!(f, "{x:?}"),
            Value::Tuple(xs) => f.debug_list().entries(xs.iter()).finish(),
            Value::FloatArray(xs) => write!(f, "{xs:?}"),
            Value::DoubleArray(xs) => write!(f, "{xs:?}"),
            Value::Set(xs) => f.debug_set().entries(xs.iter()).finish(),
            Value::Map(entries) => f.debug_map().entries(entries.iter().map(|(k, v)| (k, v))).finish(),
        }
    }
}
