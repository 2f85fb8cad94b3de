//! How branches are related: where each began, and what was merged into it. Merges start from there.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::transact::Merge;

/// What is known of a branch beside its database.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub incarnation: u128,
    /// Its last commit.
    pub commit: u128,
    pub kin: Kin,
}

/// What a branch knows of its relation to others. Branches are known by their incarnations: a name may come to mean
/// another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kin {
    /// Absent for the branch that a database was created with.
    pub fork: Option<Fork>,
    /// One for each branch that was merged into this one: the last time.
    pub merges: Vec<Merge>,
    /// Those of the commits above that are kept as long as the branch is there.
    pub kept: Vec<u128>,
}

/// How a branch began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fork {
    /// The branch that it was made from, if that is known.
    pub source: Option<u128>,
    /// Its first commit.
    pub first: u128,
    /// The commit from which on it differs from the branch that it was made from: the first, unless that says more.
    pub parted: u128,
}

impl Kin {
    /// That of a branch that begins with the commit `first`, made from the branch `source`, from which it parted at the commit
    /// `parted` if that is not the first.
    pub fn begun(first: u128, source: Option<u128>, parted: Option<u128>) -> Kin {
        let parted = parted.unwrap_or(first);
        Kin { fork: Some(Fork { source, first, parted }), merges: Vec::new(), kept: vec![parted] }
    }

    /// The same after more merges. Of a branch that is not known nothing more will be merged.
    #[must_use]
    pub fn merged(mut self, merges: &[Merge]) -> Kin {
        for merge in merges.iter().filter(|merge| merge.source.is_some()) {
            let earlier = self.merge_of(merge.source);
            self.kept.retain(|commit| Some(*commit) != earlier);
            self.kept.push(merge.commit);
            self.merges.retain(|earlier| earlier.source != merge.source);
            self.merges.push(*merge);
        }
        self
    }

    /// The commits from which merges start, kept or not.
    pub fn bases(&self) -> Vec<u128> {
        let merged = self.merges.iter().map(|merge| merge.commit);
        self.fork.iter().map(|fork| fork.parted).chain(merged).collect()
    }

    /// Calls branches by the names that they have in another store.
    pub fn rename(&mut self, names: &HashMap<u128, u128>) {
        let fork = self.fork.iter_mut().filter_map(|fork| fork.source.as_mut());
        for source in fork.chain(self.merges.iter_mut().filter_map(|merge| merge.source.as_mut())) {
            *source = names.get(source).copied().unwrap_or(*source);
        }
    }

    /// The commit of the last merge of a branch into this one.
    pub fn merge_of(&self, source: Option<u128>) -> Option<u128> {
        self.merges.iter().find(|merge| merge.source == source).map(|merge| merge.commit)
    }
}

/// Where the lines of two branches part: the first commits of the two that lie on the branch that both come from, `None` for
/// one that is that branch itself. `None` where they come from no common branch that is known.
pub(crate) fn parting(ours: u128, theirs: u128, all: &HashMap<u128, Kin>) -> Option<[Option<Fork>; 2]> {
    let (ours, theirs) = (lineage(ours, all), lineage(theirs, all));
    ours.iter().find_map(|(incarnation, fork)| {
        let (_, other) = theirs.iter().find(|(other, _)| other == incarnation)?;
        Some([*fork, *other])
    })
}

/// The branches that a branch comes from, itself first, each with how the one before it began.
fn lineage(incarnation: u128, all: &HashMap<u128, Kin>) -> Vec<(u128, Option<Fork>)> {
    let mut lineage = vec![(incarnation, None)];
    let mut last = incarnation;
    while let Some(fork) = all.get(&last).and_then(|kin| kin.fork)
        && let Some(source) = fork.source
        // Damage must not lead in a circle.
        && lineage.iter().all(|(known, _)| *known != source)
    {
        lineage.push((source, Some(fork)));
        last = source;
    }
    lineage
}

/// Whether a branch has taken in, by merges, what another has made since they parted: from that one, from a branch that comes
/// from it, or from one that it comes from.
pub(crate) fn has_taken(from: u128, theirs: u128, all: &HashMap<u128, Kin>) -> bool {
    let line = |incarnation| lineage(incarnation, all).into_iter().map(|(incarnation, _)| incarnation);
    let ours: Vec<u128> = line(from).collect();
    let (mut seen, mut pending) = (vec![theirs], vec![theirs]);
    while let Some(branch) = pending.pop() {
        for source in all.get(&branch).into_iter().flat_map(|kin| &kin.merges).filter_map(|merge| merge.source) {
            if seen.contains(&source) {
                continue;
            }
            if ours.contains(&source) || line(source).any(|incarnation| incarnation == from) {
                return true;
            }
            seen.push(source);
            pending.push(source);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Fork, Kin, Merge, has_taken, parting};
    use hashbrown::HashMap;

    fn fork(source: u128, commit: u128) -> Option<Fork> {
        Some(Fork { source: Some(source), first: commit, parted: commit })
    }

    #[test]
    fn lines_part_on_the_branch_that_both_come_from() {
        let mut all: HashMap<u128, Kin> = [(1, None), (2, Some(1)), (3, Some(1)), (4, Some(2)), (6, None)]
            .into_iter()
            .map(|(branch, source)| {
                (branch, source.map_or_else(Kin::default, |s| Kin::begun(10 + branch, Some(s), None)))
            })
            .collect();
        assert_eq!(parting(1, 2, &all), Some([None, fork(1, 12)]));
        assert_eq!(parting(3, 2, &all), Some([fork(1, 13), fork(1, 12)]));
        assert_eq!(parting(3, 4, &all), Some([fork(1, 13), fork(1, 12)]));
        assert_eq!(parting(4, 2, &all), Some([fork(2, 14), None]));
        assert_eq!(parting(4, 4, &all), Some([None, None]));
        assert_eq!(parting(4, 6, &all), None);
        all.remove(&1);
        assert_eq!(parting(3, 4, &all), Some([fork(1, 13), fork(1, 12)]), "a branch that is gone is still known");
        all.insert(2, Kin::begun(12, Some(4), None));
        assert_eq!(parting(3, 4, &all), None, "no circle");
    }

    #[test]
    fn merges_bring_what_others_have_made() {
        let begun = |source| Kin::begun(10, Some(source), None);
        let mut all: HashMap<u128, Kin> =
            [(1, Kin::default()), (2, begun(1)), (3, begun(1)), (4, begun(2)), (5, begun(1))].into_iter().collect();
        let mut merge = |into: u128, source| {
            let kin = all.get_mut(&into).unwrap();
            *kin = kin.clone().merged(&[Merge { source: Some(source), commit: 20 }]);
            [1, 2, 4, 5].map(|ours| has_taken(ours, 3, &all))
        };
        assert_eq!(merge(3, 5), [true, false, false, true], "5 comes from 1");
        assert_eq!(merge(5, 4), [true, true, true, true], "4 comes from 2, by way of 5");
    }

    #[test]
    fn the_last_merge_of_a_branch_counts() {
        let merge = |source, commit| Merge { source, commit };
        let kin = Kin::begun(1, None, Some(9)).merged(&[merge(Some(7), 2), merge(Some(8), 3), merge(None, 4)]);
        let kin = kin.merged(&[merge(Some(7), 5)]);
        assert_eq!([kin.merge_of(Some(7)), kin.merge_of(Some(8)), kin.merge_of(Some(9))], [Some(5), Some(3), None]);
        assert_eq!(kin.kept, [9, 3, 5]);
    }
}
