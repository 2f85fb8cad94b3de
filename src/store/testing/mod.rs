//! For authors of backends: a suite that every backend passes, and the tools to break one.

mod conformance;

pub use conformance::conformance;
