//! Merging branches of a connection's database.

use std::sync::Arc;

use super::Connection;
use super::home::Home;
use super::listen::check_may_wait;
use super::revision::Revision;
use super::writer::Writer;
use crate::commit::kin::{has_taken, parting};
use crate::db::{Db, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::merge::{self, MergeBase};
use crate::transact::{IntoTxData, Merge, TxData, TxReport};
use crate::world;

impl Connection {
    /// Makes a transaction and a commit of it that follows the last commit of this branch and `parents`: what was merged, in
    /// the eyes of who asks for the history later. What is transacted is for the caller to say;
    /// [`merge`](crate::merge()) computes it. Of a parent that is a branch its last commit is meant.
    ///
    /// # Errors
    /// `Existence`: `:branch-does-not-exist`, `:commit-not-found`; `Argument`, code `:must-provide-at-least-one-parent`;
    /// else as [`transact`](Self::transact).
    pub fn merge_db<R: Into<Revision>>(
        &self,
        parents: impl IntoIterator<Item = R>,
        tx_data: impl IntoTxData,
    ) -> Result<Arc<TxReport>> {
        check_may_wait()?;
        let writer = self.writer()?;
        let data = tx_data.into_tx_data()?;
        let parents = self.parents(parents)?;
        writer.merge(data, &parents, &self.shared.home, self.shared.branch)
    }

    /// What a merge of a branch or a commit into this branch comes to, as tx-data for [`merge_db`](Self::merge_db) and a list
    /// of conflicts: [`merge`](crate::merge()) from [`merge_base`](Self::merge_base) on. Nothing is written.
    ///
    /// # Errors
    /// As [`merge_base`](Self::merge_base).
    pub fn merge_from(&self, from: impl Into<Revision>) -> Result<merge::Merge> {
        let (base, theirs) = self.base_and_theirs(from.into())?;
        merge::merge(base, &self.db(), &theirs)
    }

    /// Where a merge of a branch or a commit into this branch starts from: the commit at which the two parted, or the last
    /// one of theirs that was merged into this branch. A branch keeps both kinds of commits for that.
    ///
    /// # Errors
    /// `Existence`: `:branch-does-not-exist`, `:commit-not-found`, also where a purge has let go of the commit that is
    /// wanted; `Argument`, code `:merge/no-common-ancestor`, for what is not known to come from where this branch comes
    /// from; those of reading the store.
    pub fn merge_base(&self, from: impl Into<Revision>) -> Result<MergeBase> {
        Ok(self.base_and_theirs(from.into())?.0)
    }

    fn base_and_theirs(&self, from: Revision) -> Result<(MergeBase, Db)> {
        check_may_wait()?;
        let home = self.home()?;
        if from != Revision::Branch(self.shared.branch) {
            self.settle(from)?;
        }
        let ours = home.resolve(Revision::Branch(self.shared.branch))?.source;
        let Merge { source: theirs, commit } = home.resolve(from)?;
        let their_db = home.commit(commit)?;
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Err(no_ancestor(from)) };
        if ours == theirs {
            return Ok((MergeBase::from(&their_db), their_db));
        }
        let kin = home.kin()?;
        let forks = parting(ours, theirs, &kin).ok_or_else(|| no_ancestor(from))?;
        let forks = forks.iter().flatten().map(|fork| home.commit(fork.parted)).collect::<Result<Vec<Db>>>()?;
        let fork = forks.into_iter().min_by_key(Db::basis_t).ok_or_else(|| no_ancestor(from))?;
        let last = kin.get(&ours).and_then(|kin| kin.merge_of(Some(theirs)));
        let merged = last.map(|commit| home.commit(commit)).transpose()?;
        // An older commit than the last that was merged brings nothing new.
        let db = match merged {
            Some(merged) if merged.basis_t() > their_db.basis_t() => their_db.clone(),
            Some(merged) => merged,
            None => fork.clone(),
        };
        let mutual = has_taken(ours, theirs, &kin);
        Ok((MergeBase { db, shared: fork.max_eid(), shared_t: fork.basis_t(), mutual }, their_db))
    }

    pub(super) fn parents<R: Into<Revision>>(&self, parents: impl IntoIterator<Item = R>) -> Result<Vec<Merge>> {
        let mut resolved = Vec::new();
        for parent in parents {
            let parent = parent.into();
            self.settle(parent)?;
            let parent = self.shared.home.resolve(parent)?;
            if !resolved.contains(&parent) {
                resolved.push(parent);
            }
        }
        if resolved.is_empty() {
            let message = "a commit that follows others wants at least one of them: a branch or a commit id";
            return Err(Error::new(ErrorKind::Argument, "must-provide-at-least-one-parent", message));
        }
        Ok(resolved)
    }
}

fn no_ancestor(from: Revision) -> Error {
    let message = format!(
        "it is not known where this branch and {from} have parted: one of them was not made from the other, nor both from a \
         branch that is still there; compute the merge from a database that both come from"
    );
    Error::new(ErrorKind::Argument, "merge/no-common-ancestor", message)
}

impl Writer {
    /// Makes a transaction that merges commits, and a commit of it.
    fn merge(&self, data: TxData, merges: &[Merge], home: &Home, branch: Keyword) -> Result<Arc<TxReport>> {
        let report = self.transact(data.merging(merges.to_vec()))?;
        // The commit is made by who made the transaction durable, under this lock.
        let _committed = self.committed.lock();
        if let Home::Memory(database) = home {
            let mut applied = self.applied.lock();
            let (_, db) = database.commit_on(branch, &report.db_after, merges, world::now());
            if applied.db.basis_t() == db.basis_t() {
                self.replace(&mut applied, Snapshot::clone(db.snapshot()));
            }
        }
        Ok(report)
    }
}
