//! The end of a backup: commits and heads are written, and what they replace is deleted.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::job::{Job, Ready};
use super::note::{self, Note};
use crate::commit::{Commit, StoredNodes, branches, gc, read_commit};
use crate::datom::EntityId;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::world;

impl Job<'_> {
    /// Writes the commits, and then the heads.
    pub fn publish(&mut self, ready: Vec<Ready>) -> Result<()> {
        for commit in self.still_there(&ready)? {
            let key = Commit::key(commit.id);
            let stands = self.to.get(&key, None)?.map(|bytes| Commit::decode(self.to.encoding(), &bytes, commit.id));
            if stands.transpose()?.as_ref() == Some(commit) {
                continue;
            }
            let bytes = commit.encode(self.to.encoding())?;
            self.report.blobs += 1;
            self.report.bytes += bytes.len() as u64;
            self.to.put(&key, bytes)?;
        }
        for Ready { key, before, head, note, .. } in &ready {
            let bytes = head.encode_at(self.to.encoding(), key)?;
            if !self.restoring {
                note.write(self.to, &bytes)?;
            }
            let expected = before.as_ref().map(|standing| standing.bytes.as_slice());
            if !self.to.swap(key, expected, bytes.clone())? && self.to.get(key, None)?.as_ref() != Some(&bytes) {
                let message =
                    format!("somebody else has written {key:?} in the target meanwhile; run the backup again");
                return Err(Error::new(ErrorKind::Fenced, "backup/fenced", message));
            }
        }
        self.tidy(&ready)?;
        self.report.branches.extend(ready.iter().map(|ready| (ready.name, EntityId(ready.note.basis))));
        self.report.branches.sort_unstable();
        self.report.branches.dedup();
        Ok(())
    }

    /// The commits that the source still has, each after those that it follows: where one is in the target, those before it
    /// are, too. A collection that deleted anything of what was copied has deleted the commit before.
    fn still_there<'r>(&self, ready: &'r [Ready]) -> Result<Vec<&'r Commit>> {
        let own: HashSet<u128> = ready.iter().flat_map(|ready| &ready.commits).map(|commit| commit.id).collect();
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        // The branch that a commit is of knows its place.
        let others = ready.iter().flat_map(|ready| &ready.others).filter(|commit| !own.contains(&commit.id));
        for commit in others.chain(ready.iter().flat_map(|ready| &ready.commits)) {
            let key = Commit::key(commit.id);
            if !seen.insert(commit.id) {
                continue;
            }
            if self.from.size(&key)?.is_some() {
                found.push(commit);
            } else if ready.iter().any(|ready| ready.head.commit == commit.id) {
                let message = format!("the commit {key:?} was collected before it was copied");
                return Err(Error::new(ErrorKind::Corrupt, "backup/overtaken", message));
            }
        }
        Ok(found)
    }

    /// Deletes what was replaced: logs that were copied anew, notes, and heads of another database.
    pub fn tidy(&mut self, ready: &[Ready]) -> Result<()> {
        let replaced = |ready: &Ready| {
            let before = ready.before.as_ref().map(|standing| standing.head.incarnation);
            before.filter(|incarnation| *incarnation != ready.head.incarnation)
        };
        for incarnation in ready.iter().filter_map(replaced) {
            for key in self.to.list(&format!("log/{incarnation:032x}/"))? {
                self.report.deleted += u64::from(self.to.delete(&key)?);
            }
        }
        let mut heads = Vec::new();
        for key in self.to.list("head/")? {
            let Some(bytes) = self.to.get(&key, None)? else { continue };
            let is_other = !ready.iter().any(|ready| ready.key == key);
            if is_other && self.options.overwrite && (self.replaces_all || Note::of(self.to, &bytes)?.is_none()) {
                self.report.deleted += u64::from(self.to.delete(&key)?);
            } else {
                heads.push(bytes);
            }
        }
        note::sweep(self.to, if self.restoring { &[] } else { &heads })?;
        self.to.sync()
    }

    /// Deletes what the branches of the target do not need any more and what was replaced before so long.
    pub fn prune(&mut self, age: Duration) -> Result<()> {
        let Some((_, head)) = branches::heads(self.to)?.into_iter().next() else { return Ok(()) };
        let index = read_commit(self.to, head.commit)?.index;
        let kind = self.registry.index(Keyword::new(&index))?;
        let nodes = Arc::new(StoredNodes::uncached(self.to.clone()));
        let blobs = gc::Blobs::list(self.to)?;
        let cutoff = world::now().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let marked = gc::mark(&nodes, (&index, kind.as_ref()), &gc::roots(self.to, cutoff)?, cutoff)?;
        let garbage = marked.garbage(self.to, &blobs, cutoff, None)?;
        self.report.deleted += garbage.blobs().count() as u64;
        garbage.sweep(self.to)
    }
}
