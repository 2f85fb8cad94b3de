//! Writing what was saved.

use std::sync::Arc;

use super::branches::Branch;
use super::choose::Chosen;
use super::replay::{Walk, unless_broken};
use super::{Loss, Patient, RepairReport};
use crate::commit::{self, Head, Packs, Provenance, Purges, StoredNodes, head_key};
use crate::datom::{EntityId, Order, TX0};
use crate::db::Snapshot;
use crate::error::Result;
use crate::index::NodeSource;
use crate::log::{LogCopy, LogPosition};
use crate::maintain::{Side, config_in};
use crate::store::Store;
use crate::world;

/// Bytes of new nodes after which they are stored.
const NOVELTY: usize = 64 << 20;

/// Builds the indexes anew, makes the transactions of the log again, copies the log, and writes commit and head.
pub(super) fn rebuild(
    patient: &Patient<'_>,
    branch: &Branch,
    chosen: Chosen,
    (target, to): Side<'_>,
    report: &mut RepairReport,
) -> Result<()> {
    let nodes = Arc::new(commit::cached_nodes(to.clone(), super::CACHE));
    let mut work = Work { patient, branch, nodes, to, report };
    let Chosen { provenance, log, .. } = &chosen;
    let provenance = Provenance { config: config_in(target.store_config(), &provenance.config)?, ..provenance.clone() };
    let built = work.build(&chosen)?;
    let replayed = work.replay(built, *log)?;
    let copied = work.copy_log(*log, &replayed)?;
    let snapshot = replayed.snapshot;
    let (_, commit, _) =
        commit::write_commit(&work.nodes, &snapshot, &provenance, Vec::new(), copied.end, world::now())?;
    let head = Head {
        commit: commit.id,
        closed_at: Some(copied.end),
        log_start: copied.start,
        purges: copied.purges,
        ..Head::new(copied.incarnation)
    };
    let key = head_key(branch.name);
    to.put(&key, head.encode_at(to.encoding(), &key)?)?;
    let rows = |order: Order| snapshot.index(order).len();
    work.report.rows += rows(Order::Eavt) + rows(Order::HistoryEavt);
    work.report.branches.push((branch.name, snapshot.basis_t));
    Ok(())
}

/// A snapshot after the transactions that could be made again.
struct Replayed {
    snapshot: Snapshot,
    /// The number of the entry that comes next.
    end: u64,
}

/// A log in the target.
struct Copied {
    incarnation: u128,
    start: LogPosition,
    end: LogPosition,
    purges: Option<Purges>,
}

struct Work<'a> {
    patient: &'a Patient<'a>,
    branch: &'a Branch,
    nodes: Arc<StoredNodes>,
    to: &'a Store,
    report: &'a mut RepairReport,
}

impl Work<'_> {
    /// The chosen commit with all that was saved of it, in new packs.
    fn build(&mut self, chosen: &Chosen) -> Result<Snapshot> {
        let source: Arc<dyn NodeSource> = Arc::clone(&self.nodes) as _;
        let settings = &chosen.provenance.index_settings;
        let mut snapshot = chosen.salvage.snapshot.clone();
        let mut packs = Packs::new(&self.nodes);
        for (done, order) in Order::ALL.into_iter().enumerate() {
            self.patient.watcher.tell("orders", done as u64, 6, 0);
            let mut rows = chosen.salvage.rows(order)?;
            let index = chosen.kind.build(order, settings, Arc::clone(&source), &mut rows, Some(&mut packs))?;
            snapshot.indexes[order as usize] = index.flush(&mut packs)?.0;
        }
        packs.finish()?.into_iter().for_each(|told| told());
        Ok(snapshot)
    }

    fn replay(&mut self, mut snapshot: Snapshot, at: LogPosition) -> Result<Replayed> {
        let Some(incarnation) = self.branch.incarnation else { return Ok(Replayed { snapshot, end: at.seq }) };
        let mut walk = Walk::from(self.patient, incarnation, at)?;
        let mut end = at.seq;
        'entries: while let Some((entry, records)) = walk.next()? {
            if entry.rewritten && at != LogPosition::START {
                walk.broken =
                    Some(format!("entry {} was rewritten by a purge, which the commit is older than", entry.seq));
                break;
            }
            let mut after = snapshot.clone();
            for record in &records {
                match unless_broken(record.replay(&after))? {
                    Some(next) => after = next,
                    None => {
                        walk.broken = Some(format!("entry {} does not follow from what is before it", entry.seq));
                        break 'entries;
                    }
                }
            }
            self.report.replayed += records.len() as u64;
            self.patient.watcher.tell("log", self.report.replayed, 0, 0);
            (snapshot, end) = (after, entry.seq + 1);
            if snapshot.indexes.iter().map(|index| index.novelty()).sum::<usize>() > NOVELTY {
                self.store(&mut snapshot)?;
            }
        }
        self.tell_end(&walk, incarnation, snapshot.basis_t, end)?;
        Ok(Replayed { snapshot, end })
    }

    fn store(&self, snapshot: &mut Snapshot) -> Result<()> {
        let mut packs = Packs::new(&self.nodes);
        for index in &mut snapshot.indexes {
            *index = index.flush(&mut packs)?.0;
        }
        packs.finish()?.into_iter().for_each(|told| told());
        Ok(())
    }

    /// Says what the log would have had after the end that was reached.
    fn tell_end(&mut self, walk: &Walk, incarnation: u128, basis: EntityId, end: u64) -> Result<()> {
        let closed = self.branch.head.as_ref().and_then(|head| head.closed_at).map_or(0, |end| end.seq);
        let known = walk.last_after(self.patient, incarnation)?;
        if end >= closed && walk.broken.is_none() && known.is_none() {
            return Ok(());
        }
        let first = EntityId(basis.0.max(TX0) + 1);
        let last = EntityId(known.unwrap_or(0).max(first.0));
        let why = walk.broken.clone().unwrap_or_else(|| format!("the log ends before entry {end}"));
        let what = format!("the transactions from {first} on (the last that is known of is {last}): {why}");
        let transactions = Some((first, last));
        self.report.losses.push(Loss { branch: self.branch.name, rows: 0, transactions, what });
        Ok(())
    }

    /// Copies the entries before the end, as far back from there as they follow each other.
    fn copy_log(&mut self, chosen: LogPosition, replayed: &Replayed) -> Result<Copied> {
        let begin = self.branch.head.as_ref().map_or(LogPosition::START, |head| head.log_start);
        let end = replayed.end;
        let fresh = world::ordered_id();
        let Some(incarnation) = self.branch.incarnation else {
            let start = LogPosition { seq: end, ..LogPosition::START };
            return Ok(Copied { incarnation: fresh, start, end: start, purges: None });
        };
        if let Some(copied) = self.copy_from(incarnation, fresh, begin, end)? {
            return Ok(copied);
        }
        self.tell_gap(chosen, replayed);
        let fresh = world::ordered_id();
        let copied = self.copy_from(incarnation, fresh, chosen, end)?;
        let start = LogPosition { seq: end, ..LogPosition::START };
        Ok(copied.unwrap_or(Copied { incarnation: world::ordered_id(), start, end: start, purges: None }))
    }

    /// Says that the log has a gap before the commit, behind which its end may have been.
    fn tell_gap(&mut self, chosen: LogPosition, replayed: &Replayed) {
        let mut what =
            format!("what transactions before entry {} did, one by one: the log before it is damaged", chosen.seq);
        let is_closed = self.branch.head.as_ref().is_some_and(|head| head.closed_at.is_some());
        let next = EntityId(replayed.snapshot.basis_t.0.max(TX0) + 1);
        let mut transactions = None;
        if !is_closed && replayed.end == chosen.seq {
            what.push_str(&format!("; and the transactions from {next} on, if there were any"));
            transactions = Some((next, next));
        }
        self.report.losses.push(Loss { branch: self.branch.name, rows: 0, transactions, what });
    }

    /// Copies the entries from a position to `end`; `None` if they are not all there.
    fn copy_from(&mut self, from: u128, to: u128, at: LogPosition, end: u64) -> Result<Option<Copied>> {
        let start = LogPosition { seq: at.seq, ..LogPosition::START };
        let mut copy = LogCopy::onto(self.to.clone(), to, start);
        let mut walk = Walk::from(self.patient, from, at)?;
        let (mut purges, mut transactions) = (None, 0);
        while walk.position().seq < end {
            let Some((entry, records)) = walk.next()? else { return Ok(None) };
            // What was purged still stands before it, unless that was taken out.
            if !entry.rewritten && records.iter().any(|record| record.purged().is_some()) {
                purges = Some(Purges::OfAny);
            }
            transactions += records.len() as u64;
            copy.append(entry, walk.position().previous)?;
        }
        let end = copy.finish()?;
        self.report.transactions += transactions;
        Ok(Some(Copied { incarnation: to, start, end, purges }))
    }
}
