//! Garbage collection: what no retained commit refers to is deleted.
//!
//! A commit is retained while it is a head or kept for merges, and until its minimum age is over since another took its place:
//! so long a reader who took it may go on with it. The same holds for the head and the log of a branch that was removed or
//! replaced. Whatever the commits refer to is marked; of the blobs that were there before
//! the marking, those that are neither marked nor younger than the minimum age are swept. A blob that a flush writes
//! meanwhile was not there before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::branches::{gone, heads};
use super::load::{read_commit, read_retained, restore};
use super::nodes::StoredNodes;
use super::record::{Commit, Head};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Address, IndexKind, NodeSource};
use crate::log::{LogPosition, is_mark};
use crate::store::Store;

/// The blobs that garbage collection knows, by what their keys say.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    commits: Vec<(String, u128)>,
    packs: Vec<(String, u128)>,
    /// Segments or entries of logs: incarnation and number.
    logs: Vec<(String, u128, u64)>,
    /// Heads that were replaced or removed.
    gone: Vec<(String, u128)>,
}

impl Blobs {
    /// Those that are in the store.
    pub fn list(store: &Store) -> Result<Blobs> {
        let mut blobs = Blobs::default();
        let id = |text: &str| u128::from_str_radix(text, 16).ok();
        for key in store.list("commit/")? {
            blobs.commits.extend(key.strip_prefix("commit/").and_then(id).map(|id| (key.clone(), id)));
        }
        for key in store.list("pack/")? {
            blobs.packs.extend(key.strip_prefix("pack/").and_then(id).map(|id| (key.clone(), id)));
        }
        for key in store.list("log/")? {
            let parts = key.strip_prefix("log/").and_then(|rest| rest.split_once('/'));
            let parsed = parts.and_then(|(log, n)| Some((id(log)?, u64::from_str_radix(n, 16).ok()?)));
            blobs.logs.extend(parsed.map(|(log, n)| (key.clone(), log, n)));
        }
        blobs.gone = gone(store)?.into_iter().map(|(id, key)| (key, id)).collect();
        Ok(blobs)
    }
}

/// What is in use.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    commits: HashSet<u128>,
    nodes: HashSet<Address>,
    /// Bytes in use of each pack.
    packs: HashMap<u128, u64>,
    /// The logs of heads.
    logs: HashSet<u128>,
    /// The incarnation of a head, and where the log of its oldest retained commit goes on.
    floors: HashMap<u128, LogPosition>,
}

/// The heads that make commits and logs reachable: those of branches, and those that were replaced or removed after `cutoff`
/// (milliseconds since 1970-01-01T00:00Z).
pub(crate) fn roots(store: &Store, cutoff: i64) -> Result<Vec<Head>> {
    let mut roots: Vec<Head> = heads(store)?.into_iter().map(|(_, head)| head).collect();
    for (id, key) in gone(store)? {
        if !is_old(id, cutoff)
            && let Some(bytes) = store.get(&key, None)?
        {
            let head = Head::decode_at(store.encoding(), bytes, &key)?;
            // A collection that was interrupted may have left the one without the other.
            if store.size(&Commit::key(head.commit))?.is_some() {
                roots.push(head);
            }
        }
    }
    Ok(roots)
}

/// Marks what heads refer to, and what commits do that were still a head after `cutoff` (milliseconds since
/// 1970-01-01T00:00Z). The indexes are of one kind, which has a name in the commits.
pub(crate) fn mark(
    nodes: &Arc<StoredNodes>,
    kind: (&str, &dyn IndexKind),
    roots: &[Head],
    cutoff: i64,
) -> Result<Marked> {
    let mut marked = Marked::default();
    for head in roots {
        marked.logs.insert(head.incarnation);
        let mut pending: Vec<u128> = head.kin.kept.clone();
        pending.extend(mark_line(nodes, kind, head, cutoff, &mut marked)?);
        while let Some(id) = pending.pop() {
            // Those that are marked have led to their parents.
            if marked.commits.contains(&id) {
                continue;
            }
            if let Some(commit) = read_retained(nodes.store(), id)? {
                marked.commits.insert(id);
                mark_nodes(&commit, nodes, kind, &mut marked)?;
                pending.extend(commit.parents.iter().filter(|_| commit.created_at > cutoff));
            }
        }
    }
    Ok(marked)
}

/// Marks the commits of a head's own log. Returns the retained ones that these follow beside their own.
fn mark_line(
    nodes: &Arc<StoredNodes>,
    kind: (&str, &dyn IndexKind),
    head: &Head,
    cutoff: i64,
    marked: &mut Marked,
) -> Result<Vec<u128>> {
    let (mut others, mut next) = (Vec::new(), Some(head.commit));
    while let Some(id) = next.take() {
        let commit =
            if id == head.commit { Some(read_commit(nodes.store(), id)?) } else { read_retained(nodes.store(), id)? };
        let Some(commit) = commit else { break };
        marked.floors.insert(head.incarnation, commit.log);
        if commit.created_at > cutoff {
            // What the first commit of a log follows is of another.
            let own = if commit.log == LogPosition::START { 0 } else { 1 };
            let (first, rest) = commit.parents.split_at(own.min(commit.parents.len()));
            next = first.first().copied();
            others.extend(rest);
        }
        if marked.commits.insert(id) {
            mark_nodes(&commit, nodes, kind, marked)?;
        }
    }
    Ok(others)
}

fn mark_nodes(
    commit: &Commit,
    nodes: &Arc<StoredNodes>,
    (index, kind): (&str, &dyn IndexKind),
    marked: &mut Marked,
) -> Result<()> {
    if commit.index != index {
        let message =
            format!("the store holds a branch with indexes of the kind :{}, which is not at hand", commit.index);
        return Err(Error::new(ErrorKind::Config, "missing-index-implementation", message));
    }
    let source: Arc<dyn NodeSource> = Arc::clone(nodes) as _;
    for index in restore(commit, kind, &source)?.indexes {
        index.walk(&mut |address| {
            let is_new = marked.nodes.insert(address);
            if is_new {
                *marked.packs.entry(address.pack).or_default() += u64::from(address.len);
            }
            Ok(is_new)
        })?;
    }
    Ok(())
}

/// Most bytes of nodes that are moved by one flush.
const BATCH: u64 = 64 << 20;

impl Marked {
    /// Packs that are to be emptied of the nodes that this marks, in batches: mostly dead ones of which the `others` use
    /// nothing, since such a pack could not be deleted; with `all`, those with any node that is not in use.
    pub fn sparse(&self, others: &Marked, store: &Store, blobs: &Blobs, all: bool) -> Result<Vec<Batch>> {
        let mut in_use = self.packs.clone();
        for address in others.nodes.difference(&self.nodes) {
            *in_use.entry(address.pack).or_default() += u64::from(address.len);
        }
        let mut batches: Vec<Batch> = Vec::new();
        for (key, id) in &blobs.packs {
            let Some(live) = self.packs.get(id).copied() else { continue };
            let Some(size) = store.size(key)? else { continue };
            let in_use = in_use.get(id).copied().unwrap_or(0);
            if in_use >= size || (!all && (live * 2 >= size || others.packs.contains_key(id))) {
                continue;
            }
            match batches.last_mut() {
                Some(batch) if batch.bytes + live <= BATCH => {
                    batch.bytes += live;
                    batch.packs.insert(*id);
                }
                _ => batches.push(Batch { packs: HashSet::from([*id]), bytes: live }),
            }
        }
        Ok(batches)
    }

    /// Where the log of a head's oldest retained commit goes on.
    pub fn floor(&self, incarnation: u128) -> Option<LogPosition> {
        self.floors.get(&incarnation).copied()
    }

    /// The keys of the blobs that are not in use and not younger than `cutoff`, in the order in which they may go: no
    /// commit stays whose nodes went. `trimmed` is the log that begins at a position.
    pub fn garbage(
        &self,
        store: &Store,
        blobs: &Blobs,
        cutoff: i64,
        trimmed: Option<(u128, LogPosition)>,
    ) -> Result<Garbage> {
        let mut garbage = Garbage::default();
        let is_old = |id: u128| is_old(id, cutoff);
        for (key, id) in &blobs.commits {
            if !self.commits.contains(id) && is_old(*id) {
                garbage.commits.push((key.clone(), store.size(key)?.unwrap_or(0)));
            }
        }
        for (key, id) in &blobs.gone {
            if is_old(*id) {
                garbage.others.push((key.clone(), store.size(key)?.unwrap_or(0)));
            }
        }
        for (key, id) in &blobs.packs {
            if !self.packs.contains_key(id) && is_old(*id) {
                garbage.others.push((key.clone(), store.size(key)?.unwrap_or(0)));
            }
        }
        let in_segments = store.capabilities().write_at;
        for (key, log, number) in &blobs.logs {
            let goes = match trimmed {
                Some((trimmed, start)) if trimmed == *log && in_segments => *number < u64::from(start.segment),
                // The mark of a session stands where an older writer would write: it fences that one for ever.
                Some((trimmed, start)) if trimmed == *log => *number < start.seq && !is_mark(store, key)?,
                _ => !self.logs.contains(log) && is_old(*log),
            };
            if goes {
                garbage.others.push((key.clone(), store.size(key)?.unwrap_or(0)));
            }
        }
        Ok(garbage)
    }
}

/// Packs whose nodes are moved together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub packs: HashSet<u128>,
    /// Bytes of nodes in use.
    pub bytes: u64,
}

/// What can go: keys and sizes.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    commits: Vec<(String, u64)>,
    others: Vec<(String, u64)>,
}

impl Garbage {
    /// All of it.
    pub fn blobs(&self) -> impl Iterator<Item = &(String, u64)> {
        self.commits.iter().chain(&self.others)
    }

    /// Deletes it, commits first, so that after a loss of power no commit lacks its nodes.
    pub fn sweep(&self, store: &Store) -> Result<()> {
        for blobs in [&self.commits, &self.others] {
            for (key, _) in blobs {
                store.delete(key)?;
            }
            store.sync()?;
        }
        Ok(())
    }
}

/// Whether an id tells that it was drawn at or before `cutoff`.
fn is_old(id: u128, cutoff: i64) -> bool {
    created(id).is_some_and(|at| at <= cutoff)
}

/// When an id was drawn, if it tells: milliseconds since 1970-01-01T00:00Z.
fn created(id: u128) -> Option<i64> {
    let uuid = uuid::Uuid::from_u128(id);
    let (seconds, nanos) = uuid.get_timestamp().filter(|_| uuid.get_version_num() == 7)?.to_unix();
    i64::try_from(seconds).ok()?.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000))
}
