//! Pull: a tree of maps out of a database, in the shape that a pattern tells.
//!
//! ```text
//! [:person/name
//!  [:person/email :as :mail :default "none"]
//!  {:person/friend [:person/name {:person/address [*]}]}
//!  {:person/parent ...}
//!  :person/_friend]
//! ```
//!
//! A pattern is read once ([`parse`]) and can be used for any number of entities ([`pull_pattern`], [`pull_many`]). It
//! belongs to the database it was read for, and to later values of that database.

mod along;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;
mod walk;

pub use along::{IndexPull, IndexPulled, index_pull};
pub(crate) use parse::parse_at;
pub use parse::{parse, parse_with};
pub use pattern::{Pattern, Xform};
pub use walk::{pull_many, pull_pattern};

use crate::datom::Value;
use crate::db::{Db, EntityRef};
use crate::edn;
use crate::error::{Error, Result};
use crate::schema::SchemaFlexibility;

/// Pulls one entity with a pattern in EDN. The result is a map with the keys of the pattern, [`Value::Nil`] when nothing
/// was found or the entity reference names no entity. `:xform` names a built-in function (`docs/functions.md`) or one of
/// the registry that the database was opened with; [`parse_with`] takes others.
///
/// ```
/// # fn show(db: &treering::Db) -> treering::Result<()> {
/// use treering::{EntityId, edn::Keyword, pull::pull};
/// let by_id = pull(db, "[:person/name {:person/friend [*]}]", EntityId(7))?;
/// let by_name = pull(db, "[*]", (Keyword::new("person/name"), "Ann"))?;
/// println!("{by_id:?} {by_name:?}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Syntax` for text that is no pattern (with its place), `Argument` for a lookup ref by an attribute that is not
/// unique and for a history database, `Limit` for a tree that is too deep or too large, and those of reading the store.
pub fn pull(db: &Db, pattern: &str, entity: impl Into<EntityRef>) -> Result<Value> {
    let pattern = read(db, pattern)?;
    match db.entid(&entity.into())? {
        Some(e) => pull_pattern(db, &pattern, e),
        None => Ok(Value::Nil),
    }
}

/// The pattern of a text; its functions are those that the database knows.
fn read(db: &Db, text: &str) -> Result<Pattern> {
    let functions = db.snapshot().library.tables().functions;
    parse_at(&edn::read(text)?, db, &|name| functions.xform(name)).map_err(|misplaced| {
        let (error, span) = *misplaced;
        error.at(span, text)
    })
}

/// The error of a pattern that names an attribute which the schema of the database does not know; there is none in a
/// database that takes any attribute.
pub(crate) fn unknown_attribute(db: &Db, pattern: &Pattern) -> Option<Error> {
    if db.schema().flexibility() == SchemaFlexibility::Read {
        return None;
    }
    pattern.unknown().into_iter().find_map(|name| db.attribute(name).err())
}

/// Pulls one entity into a Rust type, as [`typed`](crate::typed) tells; an `Option` takes an entity that is not there.
///
/// # Errors
/// As [`pull`], and `Argument`, code `:typed/mismatch`, where the result does not fit the type.
///
/// ```
/// # fn show(db: &treering::Db) -> treering::Result<()> {
/// #[derive(serde::Deserialize)]
/// struct Person {
///     #[serde(rename = "person/name")]
///     name: String,
/// }
/// let person: Option<Person> = treering::pull::pull_as(db, "[:person/name]", treering::EntityId(7))?;
/// # let _ = person.map(|p| p.name);
/// # Ok(())
/// # }
/// ```
pub fn pull_as<T: serde::de::DeserializeOwned>(db: &Db, pattern: &str, entity: impl Into<EntityRef>) -> Result<T> {
    crate::typed::from_value(pull(db, pattern, entity)?)
}
