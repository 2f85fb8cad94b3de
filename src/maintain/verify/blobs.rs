//! The blobs of a store, and what leads from one to another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::findings::Findings;
use super::{journal, orders};
use crate::commit::{self, Commit, Head, StoredNodes, branch_of_key, check_pack, pack_key};
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::{Address, NodeSource};
use crate::registry::Registry;
use crate::store::Store;

/// The heads as they are now, by key.
pub(super) fn heads(store: &Store) -> Result<Vec<(String, Vec<u8>)>> {
    let mut heads = Vec::new();
    for key in store.list("head/")? {
        let bytes = store.get(&key, None)?;
        heads.extend(bytes.map(|bytes| (key, bytes)));
    }
    Ok(heads)
}

/// Checks all blobs; `heads` were read before.
pub(super) fn check(
    registry: &Registry,
    store: &Store,
    heads: &[(String, Vec<u8>)],
    cache_bytes: usize,
    findings: &mut Findings,
) -> Result<()> {
    let nodes = Arc::new(commit::cached_nodes(store.clone(), cache_bytes));
    let mut check = Check { registry, store, nodes, findings, seen: HashSet::new(), packs: HashMap::new() };
    let lines = check.heads(heads)?;
    check.packs()?;
    let commits = check.commits()?;
    let gone = check.gone()?;
    let reached = check.trees(&lines, &gone, &commits)?;
    let mut logs = journal::Logs::list(store)?;
    for head in &gone {
        logs.leave(head.incarnation);
    }
    for line in &lines {
        let commit = check.commit(line.head.commit)?;
        journal::check(&check.source(), line, commit.as_ref(), &mut logs, check.findings)?;
    }
    check.garbage(&commits, &reached, logs)
}

/// A branch: its head, under a key.
pub(super) struct Line {
    pub key: String,
    pub head: Head,
}

/// What is read from.
pub(super) struct Source<'a> {
    pub registry: &'a Registry,
    pub store: &'a Store,
    pub nodes: Arc<dyn NodeSource>,
}

struct Check<'a, 'f> {
    registry: &'a Registry,
    store: &'a Store,
    nodes: Arc<StoredNodes>,
    findings: &'f mut Findings,
    /// Nodes that something refers to.
    seen: HashSet<Address>,
    /// The packs and their lengths.
    packs: HashMap<u128, u64>,
}

impl<'a> Check<'a, '_> {
    fn source(&self) -> Source<'a> {
        Source { registry: self.registry, store: self.store, nodes: Arc::clone(&self.nodes) as _ }
    }

    fn read(&mut self, bytes: usize) {
        self.findings.report.blobs += 1;
        self.findings.report.bytes += bytes as u64;
    }

    fn heads(&mut self, heads: &[(String, Vec<u8>)]) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for (key, bytes) in heads {
            self.read(bytes.len());
            if branch_of_key(key).is_none() {
                self.findings.found("store/corrupt", key, format!("{key:?} is the key of no branch"));
            }
            let head = self.findings.note(key, Head::decode_at(self.store.encoding(), bytes.clone(), key))?;
            let head = head.filter(|head| !head.is_removed());
            lines.extend(head.map(|head| Line { key: key.clone(), head }));
        }
        if heads.is_empty() {
            let message = "the store has no head: it holds no database, or has lost it".to_owned();
            self.findings.found("db-does-not-exist", "head/db", message);
        }
        Ok(lines)
    }

    /// The heads that were replaced or removed, which readers may still follow.
    fn gone(&mut self) -> Result<Vec<Head>> {
        let mut gone = Vec::new();
        for (_, key) in commit::branches::gone(self.store)? {
            let Some(bytes) = self.store.get(&key, None)? else { continue };
            self.read(bytes.len());
            gone.extend(self.findings.note(&key, Head::decode_at(self.store.encoding(), bytes, &key))?);
        }
        Ok(gone)
    }

    fn packs(&mut self) -> Result<()> {
        let keys = self.store.list("pack/")?;
        for (done, key) in keys.iter().enumerate() {
            self.findings.tell("packs", done as u64, keys.len() as u64);
            let Some(bytes) = self.store.get(key, None)? else { continue };
            self.read(bytes.len());
            let findings = &mut *self.findings;
            let nodes = check_pack(self.store.encoding(), &bytes, key, &mut |error| findings.error(key, error))?;
            findings.report.nodes += nodes;
            match id_of(key, "pack/") {
                Some(id) => drop(self.packs.insert(id, bytes.len() as u64)),
                None => findings.found("store/corrupt", key, format!("{key:?} is the key of no pack")),
            }
        }
        Ok(())
    }

    /// The commits that can be read, and what they follow.
    fn commits(&mut self) -> Result<HashMap<u128, Vec<u128>>> {
        let mut commits = HashMap::new();
        for key in self.store.list("commit/")? {
            let Some(bytes) = self.store.get(&key, None)? else { continue };
            self.read(bytes.len());
            let Some(id) = id_of(&key, "commit/") else {
                self.findings.found("store/corrupt", &key, format!("{key:?} is the key of no commit"));
                continue;
            };
            if let Some(commit) = self.findings.note(&key, Commit::decode(self.store.encoding(), &bytes, id))? {
                if commit.id != id {
                    self.findings.found("store/corrupt", &key, format!("{key:?} holds the commit {:032x}", commit.id));
                }
                commits.insert(id, commit.parents);
            }
        }
        Ok(commits)
    }

    fn commit(&mut self, id: u128) -> Result<Option<Commit>> {
        let commit = commit::read_commit(self.store, id);
        self.findings.note(&Commit::key(id), commit)
    }

    /// Checks the indexes of all commits that heads lead to: all of the heads' own, and of others what is theirs alone.
    fn trees(&mut self, lines: &[Line], gone: &[Head], commits: &HashMap<u128, Vec<u128>>) -> Result<HashSet<u128>> {
        let mut reached = HashSet::new();
        let mut pending: Vec<u128> = Vec::new();
        for head in gone {
            pending.push(head.commit);
            pending.extend(&head.kin.kept);
        }
        for Line { head, .. } in lines {
            pending.extend(&head.kin.kept);
            if !reached.insert(head.commit) {
                continue;
            }
            let Some(commit) = self.commit(head.commit)? else { continue };
            pending.extend(&commit.parents);
            self.findings.report.commits += 1;
            let key = Commit::key(commit.id);
            self.walk(&commit, &key, false)?;
            let source = self.source();
            let kind = self.registry.index(Keyword::new(&commit.index))?;
            let restored = commit::restore(&commit, kind.as_ref(), &source.nodes);
            if let Some(snapshot) = self.findings.note(&key, restored)? {
                orders::check(&snapshot, &key, self.findings)?;
            }
        }
        while let Some(id) = pending.pop() {
            // What is not there was collected.
            let Some(parents) = commits.get(&id).filter(|_| reached.insert(id)) else { continue };
            pending.extend(parents);
            if let Some(commit) = self.commit(id)? {
                self.findings.report.commits += 1;
                self.walk(&commit, &Commit::key(id), true)?;
            }
        }
        Ok(reached)
    }

    /// Marks the nodes of a commit; with `leaves` the bytes of those that were not met before are checked.
    fn walk(&mut self, commit: &Commit, key: &str, leaves: bool) -> Result<()> {
        let kind = self.registry.index(Keyword::new(&commit.index))?;
        let nodes: Arc<dyn NodeSource> = Arc::clone(&self.nodes) as _;
        let Some(snapshot) = self.findings.note(key, commit::restore(commit, kind.as_ref(), &nodes))? else {
            return Ok(());
        };
        for index in &snapshot.indexes {
            let (seen, packs, store) = (&mut self.seen, &self.packs, self.store);
            let mut damage = Vec::new();
            let walked = index.walk(&mut |address| {
                let is_new = seen.insert(address);
                if !packs.contains_key(&address.pack) {
                    let pack = pack_key(address.pack);
                    damage.push((pack.clone(), format!("the pack {pack:?} is not in the store, but {key:?} needs it")));
                    return Ok(false);
                }
                if is_new && leaves {
                    let checked = commit::check_node(store, address);
                    damage.extend(checked.err().map(|error| (pack_key(address.pack), error.to_string())));
                }
                Ok(is_new)
            });
            for (pack, what) in damage {
                self.findings.found("index/node-not-found", &pack, what);
            }
            self.findings.note(key, walked)?;
        }
        Ok(())
    }

    /// Lists what nothing refers to.
    fn garbage(
        &mut self,
        commits: &HashMap<u128, Vec<u128>>,
        reached: &HashSet<u128>,
        logs: journal::Logs,
    ) -> Result<()> {
        let used: HashSet<u128> = self.seen.iter().map(|address| address.pack).collect();
        let mut keys: Vec<String> =
            commits.keys().filter(|id| !reached.contains(id)).map(|id| Commit::key(*id)).collect();
        keys.extend(self.packs.keys().filter(|pack| !used.contains(pack)).map(|pack| pack_key(*pack)));
        keys.extend(logs.unused());
        keys.sort_unstable();
        for key in keys {
            if let Some(size) = self.store.size(&key)? {
                self.findings.report.garbage.push((key, size));
            }
        }
        Ok(())
    }
}

fn id_of(key: &str, prefix: &str) -> Option<u128> {
    u128::from_str_radix(key.strip_prefix(prefix)?, 16).ok()
}
