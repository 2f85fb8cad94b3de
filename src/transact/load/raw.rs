//! Datoms as dumps hold them.

use std::fmt;

use crate::datom::{EntityId, Value};
use crate::edn::{Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};

/// A datom of any database: the attribute is a name or an entity of that database, and refs may be plain integers.
///
/// ```
/// use treering::{EntityId, RawDatom, Value};
/// let datom = RawDatom::from_form(&treering::edn::read(r#"[1 :name "Ann" 536870913 true]"#)?)?;
/// assert_eq!((datom.e, datom.v), (EntityId(1), Value::from("Ann")));
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct RawDatom {
    /// The entity that the fact is about.
    pub e: EntityId,
    /// The attribute.
    pub a: RawAttribute,
    /// The value. An integer is a ref where the attribute says so.
    pub v: Value,
    /// The transaction that said so.
    pub tx: EntityId,
    /// True for an assertion, false for a retraction.
    pub added: bool,
}

/// How a dump names an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RawAttribute {
    /// By its name.
    Ident(Keyword),
    /// By the entity whose `:db/ident` is the name.
    Id(EntityId),
}

impl RawDatom {
    /// The datom that a vector `[e a v tx added]` tells.
    ///
    /// # Errors
    /// `Syntax`, code `:load/syntax`, for another form.
    pub fn from_form(form: &Form) -> Result<RawDatom> {
        let id = |form: &Form| match form.kind {
            FormKind::Int(n) => u64::try_from(n).ok().map(EntityId),
            _ => None,
        };
        let attribute = |form: &Form| match form.kind {
            FormKind::Keyword(ident) => Some(RawAttribute::Ident(ident)),
            _ => id(form).map(RawAttribute::Id),
        };
        let datom = match form.items() {
            Some([e, a, v, tx, added]) => id(e).zip(attribute(a)).and_then(|(e, a)| {
                Some(RawDatom { e, a, v: Value::from_form(v)?, tx: id(tx)?, added: added.as_bool()? })
            }),
            _ => None,
        };
        datom.ok_or_else(|| {
            let message = format!(
                "a datom is a vector [e a v tx added] of an id, a keyword or id, a value, an id, and true or false; \
                 got {form}"
            );
            Error::new(ErrorKind::Syntax, "load/syntax", message)
        })
    }
}

impl fmt::Debug for RawDatom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} {:?} {:?} {} {}]", self.e, self.a, self.v, self.tx, self.added)
    }
}

impl fmt::Debug for RawAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawAttribute::Ident(ident) => write!(f, "{ident}"),
            RawAttribute::Id(id) => write!(f, "{id}"),
        }
    }
}
