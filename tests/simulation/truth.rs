//! What was acknowledged and what was seen, by branch: it must stay so.

use std::collections::{BTreeMap, HashMap, HashSet};

use treering::{Connection, Datom, EntityId, LoggedTransaction, Result, TX0, Value};

use crate::support::{Content, Model, content};

#[derive(Default, Clone)]
struct Branch {
    /// Transactions that were acknowledged, or were there when the branch was made.
    acknowledged: BTreeMap<u64, Vec<Datom>>,
    /// What somebody has read of the branch after a transaction.
    seen: BTreeMap<u64, Content>,
}

#[derive(Default)]
pub struct Truth {
    branches: HashMap<String, Branch>,
    /// The marks of transactions that were tried.
    tried: HashSet<String>,
    /// Merges that were tried: they have no mark.
    merges: usize,
}

/// The last transaction that a branch must have.
pub type Least = u64;

fn sorted(datoms: &[Datom]) -> Vec<Datom> {
    let mut datoms = datoms.to_vec();
    datoms.sort_by(|x, y| (x.e, x.a, &x.v, x.added).cmp(&(y.e, y.a, &y.v, y.added)));
    datoms
}

fn mark_of(datoms: &[Datom]) -> Option<&str> {
    datoms.iter().find_map(|datom| match &datom.v {
        Value::Str(text) if text.starts_with("mark ") => Some(&**text),
        _ => None,
    })
}

impl Truth {
    /// A mark for a transaction that is about to be tried.
    pub fn mark(&mut self) -> String {
        let mark = format!("mark {}", self.tried.len());
        self.tried.insert(mark.clone());
        mark
    }

    pub fn merge(&mut self) {
        self.merges += 1;
    }

    pub fn tries(&self) -> usize {
        self.tried.len()
    }

    pub fn acknowledge(&mut self, branch: &str, t: u64, datoms: &[Datom]) {
        let branch = self.branches.entry(branch.to_owned()).or_default();
        let earlier = branch.acknowledged.insert(t, sorted(datoms));
        assert!(earlier.is_none(), "two transactions were acknowledged as {t}");
    }

    pub fn least(&self, branch: &str) -> Least {
        let last = self.branches.get(branch).and_then(|branch| branch.acknowledged.keys().next_back());
        last.copied().unwrap_or(TX0)
    }

    /// A branch that was made of another, which had transactions up to `least` at least.
    pub fn fork(&mut self, from: &str, new: &str, least: Least) {
        let mut acknowledged = self.branches.get(from).cloned().unwrap_or_default().acknowledged;
        acknowledged.retain(|t, _| *t <= least);
        self.branches.insert(new.to_owned(), Branch { acknowledged, seen: BTreeMap::new() });
    }

    /// Takes in what somebody reads.
    pub fn see(&mut self, branch: &str, found: Content) {
        let seen = self.branches.entry(branch.to_owned()).or_default().seen.entry(found.basis).or_insert(found);
        assert_eq!(*seen, found, "the branch {branch} after transaction {} is another than before", found.basis);
    }

    /// Compares a branch with its log, and both with what was acknowledged and seen.
    pub fn check(&mut self, name: &str, found: Content, log: &[LoggedTransaction], least: Least) {
        self.see(name, found);
        assert!(found.basis >= least, "the branch {name} ends at {}, but {least} was acknowledged", found.basis);
        let branch = self.branches.entry(name.to_owned()).or_default();
        let mut model = Model::default();
        let (mut marks, mut unmarked) = (HashSet::new(), 0);
        for LoggedTransaction { t, datoms } in log {
            model.apply(datoms);
            assert_eq!(t.0, model.last().basis, "a transaction of {name} is missing");
            if let Some(acknowledged) = branch.acknowledged.get(&t.0) {
                assert_eq!(*acknowledged, sorted(datoms), "transaction {t} of {name} is another than was acknowledged");
            }
            match mark_of(datoms) {
                Some(mark) => {
                    assert!(self.tried.contains(mark), "nobody has tried {mark}");
                    assert!(marks.insert(mark), "{mark} is there twice");
                }
                None => unmarked += 1,
            }
        }
        // The schema, and merges: those of the branch that this one was made from count, too.
        assert!(unmarked <= 1 + self.merges, "{unmarked} transactions without a mark, {} merges", self.merges);
        assert_eq!(found, model.last(), "the indexes of {name} are not what its log says");
        for (t, seen) in branch.seen.iter().take_while(|(t, _)| **t <= found.basis) {
            assert_eq!(*seen, model.after[(t - TX0) as usize], "what was seen of {name} after {t}");
        }
    }
}

/// What a connection shows, and its log.
pub fn read(conn: &Connection) -> Result<(Content, Vec<LoggedTransaction>)> {
    let db = conn.db();
    let log = conn.tx_range(EntityId(TX0), Some(db.basis_t()))?.collect::<Result<Vec<_>>>()?;
    Ok((content(&db)?, log))
}
