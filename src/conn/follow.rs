//! Following the log of a writer in another process.

use std::sync::Arc;

use crate::commit::{Loaded, replay};
use crate::db::{Db, Snapshot};
use crate::error::Result;
use crate::log::LogReader;

/// A reader's place in the log.
pub(super) struct Follower {
    snapshot: Snapshot,
    log: LogReader,
}

impl Follower {
    pub fn new(loaded: Loaded) -> Follower {
        Follower { snapshot: loaded.snapshot, log: loaded.log }
    }

    /// Reads what the log has gained since, and gives the database with it.
    pub fn follow(&mut self) -> Result<Db> {
        replay(&mut self.snapshot, &mut self.log)?;
        Ok(Db::new(Arc::new(self.snapshot.clone())))
    }
}
