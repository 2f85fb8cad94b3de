//! How the branches of the target are related.
//!
//! Branches know each other by their incarnations, and a branch whose log was copied anew has another one than in the source.

use hashbrown::HashMap;

use super::job::{Job, Ready, Standing};
use super::log::merges_after;
use super::note::Note;
use crate::commit::kin::Kin;
use crate::commit::{Head, branches, head_key, read_commit};
use crate::error::Result;
use crate::log::LogPosition;

impl Job<'_> {
    /// Lets the heads of the target know each other by the incarnations that they have there. Those that are not copied this
    /// time have to be written for that, too, where they know one that gets another incarnation now.
    pub fn relate(&self, ready: &mut Vec<Ready>) -> Result<()> {
        let unchanged = if self.replaces_all { Vec::new() } else { self.unchanged(ready)? };
        let mut names = HashMap::new();
        for Ready { before, head, note, .. } in ready.iter().chain(&unchanged) {
            names.insert(note.incarnation, head.incarnation);
            if let Some(Standing { head: before, note: Some(earlier), .. }) = before {
                // One that was replaced is called as in the source from now on.
                let now = if earlier.incarnation == note.incarnation { head.incarnation } else { earlier.incarnation };
                names.insert(before.incarnation, now);
            }
        }
        names.retain(|known, now| known != now);
        if names.is_empty() {
            return Ok(());
        }
        for ready in ready.iter_mut() {
            let at = ready.commits.last().map_or(LogPosition::START, |commit| commit.log);
            ready.head.kin = self.renamed(&ready.head, at, &names)?;
        }
        for mut other in unchanged {
            let at = read_commit(self.to, other.head.commit)?.log;
            let kin = self.renamed(&other.head, at, &names)?;
            if kin != other.head.kin {
                other.head.kin = kin;
                ready.push(other);
            }
        }
        Ok(())
    }

    /// The branches in the target that are copies and are not copied now.
    fn unchanged(&self, ready: &[Ready]) -> Result<Vec<Ready>> {
        let mut unchanged = Vec::new();
        for (name, head) in branches::heads(self.to)? {
            let key = head_key(name);
            let Some(note) = Note::of(self.to, &head.stored)?.filter(|_| ready.iter().all(|ready| ready.key != key))
            else {
                continue;
            };
            let before = Standing { bytes: head.stored.clone(), head: head.clone(), note: Some(note.clone()) };
            let (commits, others) = (Vec::new(), Vec::new());
            unchanged.push(Ready { key, name, before: Some(before), head, note, commits, others });
        }
        Ok(unchanged)
    }

    /// What a head knows of others, by other names. What its log, where they have the names of the source, has merged after its
    /// commit, at a position, is told there, too.
    fn renamed(&self, head: &Head, at: LogPosition, names: &HashMap<u128, u128>) -> Result<Kin> {
        let (mut kin, mut later) = (head.kin.clone(), Kin::default());
        later.merges = merges_after(self.to, head.incarnation, at)?;
        kin.rename(names);
        later.rename(names);
        Ok(kin.merged(&later.merges))
    }
}
