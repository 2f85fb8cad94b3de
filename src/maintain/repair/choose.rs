//! Which commit a repaired branch begins at.
//!
//! 1. The head's, if its rows can all be read, in one order or another.
//! 2. An older one of which that is so, if the log leads from it to the head's.
//! 3. No commit at all: the whole log, if it is there from its beginning.
//! 4. The head's with what can be read of it, and what the log still has of the rest.

use std::sync::Arc;

use super::branches::Branch;
use super::replay::{leads_to, supplement};
use super::salvage::Salvage;
use super::{Loss, Patient, RepairReport, unless_damaged};
use crate::commit::{self, Commit, Provenance};
use crate::datom::{EntityId, TX0};
use crate::db::{Settings, Snapshot};
use crate::edn::{self, Keyword};
use crate::error::Result;
use crate::index::{IndexKind, NoNodes, NodeSource};
use crate::log::LogPosition;

/// Where a repaired branch begins.
pub(super) struct Chosen {
    pub salvage: Salvage,
    pub provenance: Provenance,
    pub kind: Arc<dyn IndexKind>,
    /// Where the log goes on.
    pub log: LogPosition,
}

/// Chooses a beginning; `None` where there is none.
pub(super) fn choose(patient: &Patient<'_>, branch: &Branch, report: &mut RepairReport) -> Result<Option<Chosen>> {
    let named = branch.head.as_ref().map(|head| head.commit);
    // Entries before this one are in the head's commit, which may be all that has them.
    let mut end = branch.commits.iter().map(|commit| commit.log.seq).max().unwrap_or(0);
    end = end.max(branch.head.as_ref().and_then(|head| head.closed_at).map_or(0, |end| end.seq));
    let mut fallback: Option<Chosen> = None;
    for (i, commit) in branch.commits.iter().enumerate() {
        let Some(chosen) = begin(patient, commit)? else { continue };
        for reason in chosen.salvage.holes.iter().flat_map(|holes| &holes.reasons) {
            report.note(reason.clone());
        }
        let is_last = i == 0 && named.is_none_or(|named| named == commit.id);
        if chosen.salvage.missing() == 0 && (is_last || leads(patient, branch, commit.log, end)?) {
            return Ok(Some(chosen));
        }
        fallback = fallback.or(Some(chosen));
    }
    let start = branch.head.as_ref().map_or(LogPosition::START, |head| head.log_start);
    // The log of a branch that was made from another says nothing of what that had.
    let is_fork = branch.head.as_ref().is_some_and(|head| head.kin.fork.is_some());
    if start == LogPosition::START
        && !is_fork
        && let Some(fresh) = from_nothing(patient, branch, report)?
        && (fallback.is_none() || leads(patient, branch, LogPosition::START, end)?)
    {
        report.note(format!("the branch {} was made again from its log alone", branch.name));
        return Ok(Some(fresh));
    }
    let Some(mut chosen) = fallback else { return Ok(None) };
    if let Some(incarnation) = branch.incarnation {
        supplement(patient, incarnation, start, chosen.log.seq, &mut chosen.salvage)?;
    }
    tell_losses(branch.name, &chosen, report);
    Ok(Some(chosen))
}

fn leads(patient: &Patient<'_>, branch: &Branch, from: LogPosition, end: u64) -> Result<bool> {
    match branch.incarnation {
        Some(incarnation) => leads_to(patient, incarnation, from, end),
        None => Ok(from.seq >= end),
    }
}

/// Begins at a commit; `None` where its roots are damaged.
fn begin(patient: &Patient<'_>, commit: &Commit) -> Result<Option<Chosen>> {
    let kind = patient.registry.index(Keyword::new(&commit.index))?;
    let source: Arc<dyn NodeSource> = Arc::clone(&patient.nodes) as _;
    let Some(snapshot) = unless_damaged(commit::restore(commit, kind.as_ref(), &source))? else { return Ok(None) };
    let provenance = provenance(commit)?;
    Ok(Some(Chosen { salvage: Salvage::of(snapshot)?, provenance, kind, log: commit.log }))
}

fn provenance(commit: &Commit) -> Result<Provenance> {
    Ok(Provenance {
        config: commit.config.clone(),
        index: Keyword::new(&commit.index),
        index_settings: edn::read(&commit.index_settings).map_err(|e| e.context("stored index settings"))?,
    })
}

/// Begins before the first transaction. What was fixed when the database was created is told by any commit, or else by the
/// config.
fn from_nothing(patient: &Patient<'_>, branch: &Branch, report: &mut RepairReport) -> Result<Option<Chosen>> {
    if branch.incarnation.is_none() {
        return Ok(None);
    }
    let config = patient.config;
    let (settings, provenance) = match branch.commits.first() {
        Some(commit) => (commit.settings, provenance(commit)?),
        None => {
            report.note("no commit can be read: the settings of the database are those of the given config".to_owned());
            let settings = Settings {
                keep_history: config.keeps_history(),
                flexibility: config.flexibility(),
                attribute_refs: config.has_attribute_refs(),
                caps: config.caps(),
            };
            let index = config.index_kind().unwrap_or_else(|| Keyword::new("datahike.index/persistent-set"));
            let index_settings = config.index_settings();
            (settings, Provenance { config: config.to_form().to_string(), index, index_settings })
        }
    };
    let kind = patient.registry.index(provenance.index)?;
    let nodes: Arc<dyn NodeSource> = Arc::new(NoNodes);
    let snapshot = Snapshot::empty(settings, kind.as_ref(), &provenance.index_settings, &nodes)?;
    Ok(Some(Chosen { salvage: Salvage::of(snapshot)?, provenance, kind, log: LogPosition::START }))
}

fn tell_losses(branch: Keyword, chosen: &Chosen, report: &mut RepairReport) {
    let rows = chosen.salvage.missing();
    if rows == 0 {
        return;
    }
    let basis = chosen.salvage.snapshot.basis_t;
    let what = format!(
        "{rows} rows of the commit after transaction {} are in no index and in no transaction of the log that can be read",
        basis.0
    );
    debug_assert!(basis >= EntityId(TX0));
    report.losses.push(Loss { branch, rows, transactions: None, what });
}
