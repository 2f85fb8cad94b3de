//! What is left of heads, commits and logs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::replay::Walk;
use super::{Patient, RepairReport, unless_damaged};
use crate::commit::{Commit, Head, branch_of_key, branches};
use crate::edn::Keyword;
use crate::error::Result;
use crate::log::LogPosition;

/// A branch that can be looked for.
pub(super) struct Branch {
    pub name: Keyword,
    /// Absent if it cannot be read.
    pub head: Option<Head>,
    /// The log that is the branch's, or may be.
    pub incarnation: Option<u128>,
    /// The commits that are the branch's, or may be, the best first: the head's, then others from the newest on.
    pub commits: Vec<Commit>,
}

/// The branches of a store. Where no head is left, there is the one that the config names.
pub(super) fn find(patient: &Patient<'_>, report: &mut RepairReport) -> Result<Vec<Branch>> {
    let commits = commits(patient, report)?;
    let mut heads: Vec<(Keyword, Option<Head>)> = Vec::new();
    for key in patient.store.list("head/")? {
        let Some(name) = branch_of_key(&key) else { continue };
        let bytes = patient.store.get(&key, None)?.unwrap_or_default();
        let head = unless_damaged(Head::decode_at(patient.store.encoding(), bytes, &key))?;
        if head.as_ref().is_some_and(Head::is_removed) {
            continue;
        }
        if head.is_none() {
            report.note(format!("{key:?} cannot be read: the newest commit and the log after it take its place"));
        }
        heads.push((name, head));
    }
    if heads.is_empty() {
        let name = patient.config.branch_name();
        report.note(format!("the store has no head: what is found becomes the branch {name}"));
        heads.push((name, None));
    }
    let mut logs = logs(patient)?;
    let mut claimed = HashSet::new();
    // What is of a branch that was removed or replaced is no other branch's, and comes to life no more.
    let gone = gone(patient)?;
    for head in heads.iter().filter_map(|(_, head)| head.as_ref()).chain(&gone) {
        logs.remove(&head.incarnation);
        claimed.extend(line(head, &commits));
    }
    // Nothing but a head tells the name of a branch, and which commits are of which log, if not of the only one.
    let are_many = logs.len() > 1;
    let lost = heads.iter().filter(|(_, head)| head.is_none()).count();
    let mut nameless: Vec<u128> = logs.into_iter().rev().collect();
    if nameless.len() > lost {
        let told = nameless.iter().map(|incarnation| has_transactions(patient, *incarnation));
        let told = told.collect::<Result<Vec<bool>>>()?;
        nameless =
            nameless.into_iter().zip(told).filter_map(|(incarnation, told)| told.then_some(incarnation)).collect();
    }
    for incarnation in nameless.iter().skip(lost) {
        let name = Keyword::new(&format!("lost-{incarnation:032x}"));
        report.note(format!("the log {incarnation:032x} is of no branch with a head: it becomes the branch {name}"));
        heads.push((name, None));
    }
    let mut nameless = nameless.into_iter();
    let mut branches = Vec::new();
    for (name, head) in heads {
        let own: HashSet<u128> = head.as_ref().map(|head| line(head, &commits)).unwrap_or_default();
        let is_known = head.as_ref().is_some_and(|head| own.contains(&head.commit));
        // Commits of which nobody knows whose they are may be the branch's if its own is not there.
        let may_be = |id: &u128| own.contains(id) || (!is_known && !claimed.contains(id));
        let mut candidates: Vec<Commit> =
            commits.iter().rev().filter(|(id, _)| may_be(id)).map(|(_, c)| c.clone()).collect();
        if let Some(head) = &head {
            candidates.sort_by_key(|commit| commit.id != head.commit);
            if !is_known {
                let key = Commit::key(head.commit);
                report.note(format!(
                    "{key:?}, which the head of {name} names, cannot be read: an older commit takes its place"
                ));
            }
        }
        let incarnation = head.as_ref().map(|head| head.incarnation).or_else(|| nameless.next());
        if let Some(incarnation) = incarnation.filter(|_| head.is_none() && are_many) {
            let places = places(patient, incarnation)?;
            candidates.sort_by_key(|commit| !places.contains(&(commit.log.seq, commit.log.previous)));
            report.note(format!(
                "the branch {name} is what the log {incarnation:032x} leads to; it may have had another name"
            ));
        }
        branches.push(Branch { name, head, incarnation, commits: candidates });
    }
    Ok(branches)
}

fn has_transactions(patient: &Patient<'_>, incarnation: u128) -> Result<bool> {
    let mut walk = Walk::from(patient, incarnation, LogPosition::START)?;
    while let Some((_, records)) = walk.next()? {
        if !records.is_empty() {
            return Ok(true);
        }
    }
    Ok(walk.last_after(patient, incarnation)?.is_some())
}

/// What commits say of their places in a log: the numbers of entries, and the hashes of those before. The first commit of every
/// log has the same place.
fn places(patient: &Patient<'_>, incarnation: u128) -> Result<HashSet<(u64, u64)>> {
    let mut walk = Walk::from(patient, incarnation, LogPosition::START)?;
    let mut places = HashSet::from([(0, 0)]);
    while walk.next()?.is_some() {
        places.insert((walk.position().seq, walk.position().previous));
    }
    Ok(places)
}

/// The heads that were removed or replaced.
fn gone(patient: &Patient<'_>) -> Result<Vec<Head>> {
    let mut heads = Vec::new();
    for (_, key) in branches::gone(patient.store)? {
        let bytes = patient.store.get(&key, None)?.unwrap_or_default();
        heads.extend(unless_damaged(Head::decode_at(patient.store.encoding(), bytes, &key))?);
    }
    Ok(heads)
}

/// The commits that can be read, oldest first: their ids begin with a time.
fn commits(patient: &Patient<'_>, report: &mut RepairReport) -> Result<BTreeMap<u128, Commit>> {
    let mut commits = BTreeMap::new();
    for key in patient.store.list("commit/")? {
        let Some(id) = key.strip_prefix("commit/").and_then(|id| u128::from_str_radix(id, 16).ok()) else { continue };
        let Some(bytes) = patient.store.get(&key, None)? else { continue };
        match unless_damaged(Commit::decode(patient.store.encoding(), &bytes, id))? {
            Some(commit) => drop(commits.insert(id, commit)),
            None => report.note(format!("{key:?} cannot be read")),
        }
    }
    Ok(commits)
}

/// The commits of a branch's own log, as far as they follow each other.
fn line(head: &Head, commits: &BTreeMap<u128, Commit>) -> HashSet<u128> {
    let (mut found, mut pending) = (HashSet::new(), vec![head.commit]);
    pending.extend(head.kin.fork.map(|fork| fork.first));
    while let Some(id) = pending.pop() {
        if let Some(commit) = commits.get(&id).filter(|_| !found.contains(&id)) {
            found.insert(id);
            // What the first commit of a log follows, or what was merged, is of another branch.
            pending.extend(commit.parents.first().filter(|_| commit.log != LogPosition::START));
        }
    }
    found
}

/// The incarnations of the logs.
fn logs(patient: &Patient<'_>) -> Result<BTreeSet<u128>> {
    let incarnation = |key: &String| u128::from_str_radix(key.strip_prefix("log/")?.split('/').next()?, 16).ok();
    Ok(patient.store.list("log/")?.iter().filter_map(incarnation).collect())
}
