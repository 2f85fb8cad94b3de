//! The blobs of a database that are copied as they are, and those that a head leads to.

use std::collections::HashSet;
use std::sync::Arc;

use crate::commit::{self, Commit, Head, cached_nodes, check_pack, pack_key};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::NodeSource;
use crate::log::LogPosition;
use crate::maintain::options::{BackupReport, Watcher};
use crate::registry::Registry;
use crate::store::Store;
use crate::store::frame::Sealed;

/// The commits that a head leads to.
pub(super) struct Commits {
    /// Those of the branch's own log, oldest first; the head's is the last.
    pub own: Vec<Commit>,
    /// Those of other branches, parents first: that it began with, that were merged, that are kept for merges.
    pub others: Vec<Commit>,
}

/// The commits that a head leads to and that the target lacks, and the head's. Where one is in the target, those before it
/// are, too, or were collected.
pub(super) fn commits_of(from: &Store, to: &Store, head: &Head) -> Result<Commits> {
    let mut last = commit::read_commit(from, head.commit)?;
    let (mut seen, mut pending) = (HashSet::from([last.id]), head.kin.bases());
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
    others.reverse();
    Ok(Commits { own, others })
}

/// The keys of the packs that commits refer to.
pub(super) fn packs_of<'a>(
    registry: &Registry,
    store: &Store,
    commits: impl Iterator<Item = &'a Commit>,
) -> Result<HashSet<String>> {
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
        let bytes = if from.encoding().encrypts() { encrypted_anew(from, to, &bytes, key)? } else { bytes };
        report.blobs += 1;
        report.bytes += bytes.len() as u64;
        to.put(key, bytes)?;
    }
    watcher.tell("packs", keys.len() as u64, keys.len() as u64, report.bytes);
    Ok(())
}

/// A pack under the key of another store. Its nodes keep their places, by which others refer to them.
fn encrypted_anew(from: &Store, to: &Store, bytes: &[u8], key: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (sealed, after) = Sealed::verify(rest, key, out.len() as u64)?;
        out.extend(to.encoding().sealed_anew(from.encoding(), &sealed)?.ok_or_else(encrypted_alone)?);
        rest = after;
    }
    Ok(out)
}

/// The error for two stores of which one is encrypted. A node that is encrypted is longer, so it would lie elsewhere, and all that
/// refers to it would be another.
pub(super) fn encrypted_alone() -> Error {
    let message = "one of source and target is encrypted, or all of it is, and the other is not: give both an :encryptor, each \
                   with a key of its own (and :mixed? true if the source has it), or none; `repair` makes an encrypted database of \
                   one that is not, and the other way round";
    Error::new(ErrorKind::Config, "backup/encrypted", message)
}
