//! The places that keep bytes, one file each.

mod file;
#[cfg(feature = "lmdb")]
mod lmdb;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "s3")]
mod s3;
mod tiered;

pub use file::FileBackend;
pub(crate) use file::FileKind;
#[cfg(feature = "lmdb")]
pub use lmdb::{LmdbBackend, LmdbKind};
pub use memory::MemoryBackend;
pub(crate) use memory::MemoryKind;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBackend, PostgresKind};
#[cfg(feature = "redis")]
pub use redis::{RedisBackend, RedisKind};
#[cfg(feature = "s3")]
pub use s3::{ObjectBackend, ObjectKind};
pub use tiered::{TieredBackend, TieredKind, WritePolicy};

#[cfg(any(feature = "postgres", feature = "redis", feature = "s3"))]
pub(crate) use place::Place;

/// What the clients of servers share.
#[cfg(any(feature = "postgres", feature = "redis", feature = "s3"))]
mod place {
    use std::error::Error as Cause;
    use std::fmt;

    use crate::error::{Error, ErrorKind};

    /// A server as errors name it, and what no error may say of it.
    #[derive(Clone)]
    pub(crate) struct Place {
        name: String,
        secrets: Vec<String>,
    }

    impl Place {
        /// The place with this name; `secrets` are cut out of all that a client says.
        pub fn new(name: impl Into<String>, secrets: impl IntoIterator<Item = String>) -> Place {
            Place { name: name.into(), secrets: secrets.into_iter().filter(|secret| !secret.is_empty()).collect() }
        }

        /// The error of a client with what was tried. The client's own error is told and not kept: it may hold secrets.
        pub fn failed(&self, code: &'static str, what: impl fmt::Display, cause: &dyn Cause) -> Error {
            let mut text = cause.to_string();
            let mut next = cause.source();
            while let Some(cause) = next {
                let inner = cause.to_string();
                if !text.contains(&inner) {
                    text = format!("{text}: {inner}");
                }
                next = cause.source();
            }
            for secret in &self.secrets {
                text = text.replace(secret, "…");
            }
            self.error(code, format!("cannot {what}: {text}"))
        }

        /// An error at this place.
        pub fn error(&self, code: &'static str, message: impl fmt::Display) -> Error {
            Error::new(ErrorKind::Storage, code, format!("{}: {message}", self.name))
        }
    }

    impl fmt::Display for Place {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.name)
        }
    }

    impl fmt::Debug for Place {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.name)
        }
    }
}
