//! The blobs of a database that are copied as they are, and those that a head leads to.

use std::collections::HashSet;
use std::sync::Arc;

use super::options::{BackupReport, Watcher};
use crate::commit::{self, Commit, Head, cached_nodes, check_pack, pack_key};
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::NodeSource;
use crate::log::LogPosition;
use crate::registry::Registry;
use crate::store::Store;

/// The commits that a head leads to.
pub(super) struct Commits {
    /// Those of the branch's own log, oldest first; the head's is the last.
    pub own: Vec<Commit>,
    /// Those of other branches: that it began with, that were merged, that are kept for merges.
    pub others: Vec<Commit>,
}

/// The commits that a head leads to and that the target lacks, and the head's. Where one is in the target, those before it
/// are, too, or were collected.
pub(super) fn commits_of(from: &Store, to: &Store, head: &Head) -> Result<Commits> {
    let mut last = commit::read_commit(from, head.commit)?;
    let (mut seen, mut pending) = (HashSet::from([last.id]), head.kin.kept.clone());
    let mut lacking = |id: u128| -> Result<Option<Commit>> {
        let key = Commit::key(id);
        if !seen.insert(id) || to.size(&key)?.is_some() {
            return Ok(None);
        }
        // Collected before, or meanwhile.
        from.get(&key, None)?.map(|bytes| Commit::decode(from.encoding(), &bytes, id)).transpose()
    };
    let mut own = Vec::new();
    loop {
        // What the first commit of a log follows is of another.
        let is_first = last.log == LogPosition::START;
        let (first, rest) = last.parents.split_at(usize::from(!is_first).min(last.parents.len()));
        pending.extend(rest);
        let before = first.first().copied();
        own.push(last);
        match before.map(&mut lacking).transpose()?.flatten() {
            Some(commit) => last = commit,
            None => break,
        }
    }
    own.reverse();
    let mut others = Vec::new();
    while let Some(id) = pending.pop() {
        if let Some(commit) = lacking(id)? {
            pending.extend(&commit.parents);
            others.push(commit);
        }
    }
    Ok(Commits { own, others })
}

/// The keys of the packs that commits refer to.
pub(super) fn packs_of(registry: &Registry, store: &Store, commits: &[Commit]) -> Result<HashSet<String>> {
    let source: Arc<dyn NodeSource> = Arc::new(cached_nodes(store.clone(), CACHE));
    let (mut nodes, mut packs) = (HashSet::new(), HashSet::new());
    for commit in commits {
        let kind = registry.index(Keyword::new(&commit.index))?;
        for index in commit::restore(commit, kind.as_ref(), &source)?.indexes {
            index.walk(&mut |address| {
                packs.insert(address.pack);
                Ok(nodes.insert(address))
            })?;
        }
    }
    Ok(packs.into_iter().map(pack_key).collect())
}

/// Bytes of nodes that are kept while a tree is walked.
const CACHE: usize = 8 << 20;

/// Copies the packs that the target lacks: all, or those that are `wanted`. Each is verified on the way.
pub(super) fn copy_packs(
    from: &Store,
    to: &Store,
    wanted: Option<&HashSet<String>>,
    report: &mut BackupReport,
    watcher: &Watcher,
) -> Result<()> {
    let there: HashSet<String> = to.list("pack/")?.into_iter().collect();
    let mut keys = from.list("pack/")?;
    keys.retain(|key| wanted.is_none_or(|wanted| wanted.contains(key)));
    let total = keys.len();
    keys.retain(|key| !there.contains(key));
    report.skipped = (total - keys.len()) as u64;
    for (done, key) in keys.iter().enumerate() {
        watcher.tell("packs", done as u64, keys.len() as u64, report.bytes);
        // One that is gone was collected since: no commit that is still there needs it.
        let Some(bytes) = from.get(key, None)? else { continue };
        check_pack(from.encoding(), &bytes, key, &mut Err)?;
        report.blobs += 1;
        report.bytes += bytes.len() as u64;
        to.put(key, bytes)?;
    }
    watcher.tell("packs", keys.len() as u64, keys.len() as u64, report.bytes);
    Ok(())
}
