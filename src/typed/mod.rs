//! Values from and to Rust types, with serde.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use treering::typed;
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! struct Person {
//!     #[serde(rename = "person/name")]
//!     name: String,
//!     #[serde(rename = "person/age")]
//!     age: Option<u8>,
//!     #[serde(rename = "person/state", with = "typed::as_keyword")]
//!     state: String,
//! }
//! let ann = Person { name: "Ann".into(), age: Some(30), state: "state/active".into() };
//! let value = typed::to_value(&ann)?;
//! let text = value.to_form().to_string();
//! assert_eq!(text, r#"{:person/name "Ann", :person/age 30, :person/state :state/active}"#);
//! assert_eq!(typed::from_value::<Person>(value)?, ann);
//! # Ok::<(), treering::Error>(())
//! ```
//!
//! | Value | Rust |
//! |---|---|
//! | nil | `None`, `()`; a field of a struct may be missing instead |
//! | boolean | `bool` |
//! | long, instant, ref, bigint | integers that can hold it; bigints beyond 128 bits as decimal text |
//! | double, float | `f64`, `f32` where it has the same value there; also from integers |
//! | bigdec | text, or a float that has the same value |
//! | string, uri, uuid, keyword, symbol | `String`, `Uuid`; keywords without their colon |
//! | keyword | unit variants of enums, by their serde name |
//! | tuple, set, arrays | `Vec`, tuples, sets |
//! | bytes | `Vec<u8>`, byte buffers |
//! | map | structs by serde name (`person/name` with `rename`), and maps |
//!
//! No number is rounded silently: what does not fit is an error that names the path, such as
//! `[2].person/age: wanted u8, got integer 300`.
//!
//! Rust has no type of its own for some values. [`as_keyword`], [`as_uuid`], [`as_instant`] and [`as_ref`] say what a
//! field is to become: `#[serde(with = "treering::typed::as_ref")]`.

mod de;
mod failure;
pub mod json;
mod ser;
#[cfg(test)]
mod tests;

pub use de::from_value;
pub use ser::to_value;

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 256;

macro_rules! marker {
    ($(#[$doc:meta])* $name:ident, $marker:literal) => {
        $(#[$doc])*
        pub mod $name {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            /// The name that the serializer knows.
            pub(super) const MARKER: &str = $marker;

            /// For `#[serde(with)]`.
            ///
            /// # Errors
            /// Those of the serializer.
            pub fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_newtype_struct(MARKER, value)
            }

            /// For `#[serde(with)]`.
            ///
            /// # Errors
            /// Those of the deserializer.
            pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
                T::deserialize(deserializer)
            }
        }
    };
}

marker! {
    /// For `#[serde(with)]`: strings of the field become keywords, given without their colon.
    as_keyword, "treering::keyword"
}
marker! {
    /// For `#[serde(with)]`: the field, a `uuid::Uuid` or its text, becomes a uuid.
    as_uuid, "treering::uuid"
}
marker! {
    /// For `#[serde(with)]`: integers of the field become instants, in milliseconds since 1970-01-01T00:00Z.
    as_instant, "treering::instant"
}
marker! {
    /// For `#[serde(with)]`: integers of the field become entities.
    as_ref, "treering::ref"
}
