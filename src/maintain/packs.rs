//! The blobs of a database that are copied as they are, and those that a head leads to.

use std::collections::HashSet;
use std::sync::Arc;

use super::options::{BackupReport, Watcher};
use crate::commit::{self, Commit, Head, cached_nodes, check_pack, pack_key};
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::NodeSource;
use crate::registry::Registry;
use crate::store::Store;

/// The commits that lead up to a head's and that the target lacks, oldest first, and the head's, which is the last. Where one
/// is in the target, those before it are, too, or were collected.
pub(super) fn commits_of(from: &Store, to: &Store, head: &Head) -> Result<Vec<Commit>> {
    let last = commit::read_commit(from, head.commit)?;
    let (mut seen, mut pending) = (HashSet::from([last.id]), last.parents.clone());
    let mut commits = vec![last];
    while let Some(id) = pending.pop() {
        let key = Commit::key(id);
        if !seen.insert(id) || to.size(&key)?.is_some() {
            continue;
        }
        // Collected before, or meanwhile.
        let Some(bytes) = from.get(&key, None)? else { continue };
        let commit = Commit::decode(&bytes, id)?;
        pending.extend(&commit.parents);
        commits.push(commit);
    }
    commits.reverse();
    Ok(commits)
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
        check_pack(&bytes, key, &mut Err)?;
        report.blobs += 1;
        report.bytes += bytes.len() as u64;
        to.put(key, bytes)?;
    }
    watcher.tell("packs", keys.len() as u64, keys.len() as u64, report.bytes);
    Ok(())
}
