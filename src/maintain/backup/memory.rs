//! A database that lives in memory has neither blobs nor a log: it is stored as it is now.

use super::job::{Job, Ready, foreign};
use super::note::Note;
use crate::commit::{self, Head, StoredNodes, head_key};
use crate::config::Config;
use crate::conn::connect_in;
use crate::datom::EntityId;
use crate::edn::Keyword;
use crate::error::Result;
use crate::log::LogPosition;
use crate::maintain::config_in;
use crate::world;

impl Job<'_> {
    pub fn copy_memory(&mut self, source: &Config) -> Result<()> {
        let conn = connect_in(self.registry, source)?;
        let db = conn.db();
        conn.release()?;
        let key = head_key(source.branch_name());
        let before = self.standing(&key)?;
        // The copies of a database in memory have no more in common than that.
        let is_of_store =
            before.as_ref().and_then(|before| before.note.as_ref()).is_some_and(|note| !note.head.is_empty());
        if is_of_store && !self.options.overwrite {
            return Err(foreign(&key));
        }
        let nodes = StoredNodes::uncached(self.to.clone());
        let provenance = commit::Provenance {
            config: config_in(self.target, &source.to_form().to_string())?,
            index: source.index_kind().unwrap_or_else(|| Keyword::new("datahike.index/persistent-set")),
            index_settings: source.index_settings(),
        };
        let (parents, log) = (Vec::new(), LogPosition::START);
        // The nodes of the database stay where they are.
        let (_, commit, _) = commit::write_commit(&nodes, db.snapshot(), &provenance, parents, log, world::now())?;
        self.report.blobs += 1;
        let incarnation = world::ordered_id();
        let head = Head { commit: commit.id, closed_at: Some(log), ..Head::new(incarnation) };
        let basis = commit.basis_t;
        let note = Note { incarnation, head: Vec::new(), end: log, basis, is_stale: true };
        let bytes = head.encode_at(self.to.encoding(), &key)?;
        if !self.restoring {
            note.write(self.to, &bytes)?;
        }
        if !self.to.swap(&key, before.as_ref().map(|standing| standing.bytes.as_slice()), bytes)? {
            return Err(foreign(&key));
        }
        let name = source.branch_name();
        self.tidy(&[Ready { key, name, before, head, note, commits: vec![commit], others: Vec::new() }])?;
        self.report.branches.push((name, EntityId(basis)));
        Ok(())
    }
}
