//! Following the log of a writer in another process.

use std::sync::Arc;

use crate::commit::{Head, Loaded, load, read_head, replay};
use crate::db::{Db, Snapshot};
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::{IndexKind, NodeSource};
use crate::log::LogReader;
use crate::store::Store;

/// A reader's place in the log.
pub(super) struct Follower {
    store: Store,
    branch: Keyword,
    nodes: Arc<dyn NodeSource>,
    kind: Arc<dyn IndexKind>,
    /// The head that the reading began at.
    head: Head,
    snapshot: Snapshot,
    log: LogReader,
}

impl Follower {
    pub fn new(store: Store, branch: Keyword, nodes: Arc<dyn NodeSource>, loaded: Loaded) -> Follower {
        let Loaded { snapshot, log, head, kind, .. } = loaded;
        Follower { store, branch, nodes, kind, head, snapshot, log }
    }

    /// Reads what the log has gained since, and gives the database with it. Where another commit is the head's by now, the
    /// database is read anew: the nodes of the one before are kept for the minimum age and no longer, and the log before the
    /// new one may have been changed.
    pub fn follow(&mut self) -> Result<Db> {
        let replayed = replay(&mut self.snapshot, &mut self.log);
        let head = read_head(&self.store, self.branch)?;
        if (head.incarnation, head.commit) != (self.head.incarnation, self.head.commit) {
            let mut loaded = load(&self.store, self.branch, true, &|_| Ok(Arc::clone(&self.kind)), &self.nodes)?;
            loaded.snapshot.succeed(&self.snapshot);
            (self.head, self.snapshot, self.log) = (loaded.head, loaded.snapshot, loaded.log);
        } else {
            replayed?;
        }
        Ok(Db::new(Arc::new(self.snapshot.clone())))
    }
}
