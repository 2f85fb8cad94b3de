//! What goes wrong between values and Rust types, and where.

use std::fmt::{self, Display};

use serde::de::{Expected, Unexpected};

use crate::error::{Error, ErrorKind};

/// An error on its way up: each level adds its part of the path.
#[derive(Debug)]
pub(super) struct Failure {
    /// Innermost first.
    path: Vec<String>,
    message: String,
    too_deep: bool,
}

impl Failure {
    pub fn new(message: impl Display) -> Failure {
        Failure { path: Vec::new(), message: message.to_string(), too_deep: false }
    }

    pub fn too_deep() -> Failure {
        let message = format!("nested more than {} levels deep", super::MAX_DEPTH);
        Failure { path: Vec::new(), message, too_deep: true }
    }

    /// The failure happened in the member number `i`.
    pub fn at_index(self, i: usize) -> Failure {
        self.at(format!("[{i}]"))
    }

    /// The failure happened under a key.
    pub fn at_key(self, key: &str) -> Failure {
        self.at(key.to_owned())
    }

    fn at(mut self, part: String) -> Failure {
        // A path of 256 parts helps nobody.
        if self.path.len() < 16 {
            self.path.push(part);
        }
        self
    }

    pub fn into_error(self) -> Error {
        let mut path = String::new();
        for part in self.path.iter().rev() {
            if !path.is_empty() && !part.starts_with('[') {
                path.push('.');
            }
            path.push_str(part);
        }
        let (kind, code) = match self.too_deep {
            true => (ErrorKind::Limit, "typed/depth"),
            false => (ErrorKind::Argument, "typed/mismatch"),
        };
        let error = Error::new(kind, code, self.message);
        if path.is_empty() { error } else { error.context(path) }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: Display>(message: T) -> Self {
        Failure::new(message)
    }

    fn invalid_type(got: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        match got {
            // Serde's word for it says nothing to who asks a database.
            Unexpected::Unit => Failure::new(format_args!("wanted {wanted}, got nil")),
            got => Failure::new(format_args!("wanted {wanted}, got {got}")),
        }
    }

    fn invalid_value(got: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Failure::new(format_args!("wanted {wanted}, got {got}"))
    }

    fn invalid_length(length: usize, wanted: &dyn Expected) -> Self {
        Failure::new(format_args!("wanted {wanted}, got {length} members"))
    }

    fn missing_field(field: &'static str) -> Self {
        Failure::new(format_args!("the key :{field} is missing"))
    }
}

impl serde::ser::Error for Failure {
    fn custom<T: Display>(message: T) -> Self {
        Failure::new(message)
    }
}
