//! For authors of backends: a suite that every backend passes, and the tools to break one.
//!
//! [`conformance()`] checks a backend, [`konserve_conformance`] the keys and values on it. [`FaultBackend`] makes its operations fail. [`SimFs`] is a file system that can
//! lose power and fail, to run the file backend and all above it on.

mod conformance;
mod crash;
mod fault;
mod konserve;
mod sim_fs;

pub use conformance::conformance;
pub use crash::{Crash, Replay};
pub use fault::{Failure, Fault, FaultBackend};
pub use konserve::konserve_conformance;
pub use sim_fs::SimFs;
