//! The care of whole stores: copying a database to another store and back, checking it, saving what a damaged one still has.
//!
//! All of it reads what others write, beside them: nothing here becomes the writer of the database that it looks at.

mod backup;
mod log;
mod note;
mod options;
mod packs;
mod repair;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

pub use backup::{backup, backup_async, backup_in, restore, restore_async, restore_in};
pub use options::{BackupOptions, BackupReport, Progress};
pub use repair::{Loss, RepairOptions, RepairReport, repair, repair_async, repair_in};
pub use verify::{Problem, VerifyOptions, VerifyReport, verify, verify_async, verify_in};
