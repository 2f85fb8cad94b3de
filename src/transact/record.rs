//! A transaction as the log keeps it: enough to make the snapshot after it from the one before, without any check.

use serde::{Deserialize, Serialize};

use crate::datom::codec::{MAX_ROWS, decode_columns, encode_columns};
use crate::datom::{AttrId, Columns, EntityId, Row, TX0};
use crate::db::{Changes, Purged, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};

use super::{declare, purge};

/// What one transaction did. Keywords and symbols are kept as text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TxRecord {
    head: Head,
    opened: Columns,
    closed: Columns,
    purged: Option<Purged>,
    merged: Vec<Merge>,
}

/// A commit that a transaction merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Merge {
    /// The incarnation of the branch that it is of, if that is known.
    pub source: Option<u128>,
    pub commit: u128,
}

/// What follows the rows in the record of a transaction that purged or merged; the merged commits come last.
#[derive(Serialize, Deserialize)]
struct PurgeHead {
    entities: Vec<u64>,
    quiet: Vec<u32>,
    /// Blocks of purged rows that follow.
    blocks: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Head {
    /// The number of the transaction: its id less [`TX0`].
    t: u64,
    /// `:db/txInstant`, milliseconds since 1970-01-01T00:00Z.
    instant: i64,
    /// Attributes that the transaction brought, and their numbers.
    interned: Vec<(String, u32)>,
    /// The largest entity id after it.
    max_eid: u64,
    /// Blocks of opened rows that follow; the blocks after them are of closed rows.
    opened_blocks: u32,
    closed_blocks: u32,
}

impl TxRecord {
    /// The record of `changes`, in which the attributes `interned` got their numbers, after `purged` went.
    pub fn of(changes: &Changes, interned: &[(Keyword, AttrId)], purged: Option<&Purged>) -> TxRecord {
        let blocks = |rows: &Columns| rows.len().div_ceil(MAX_ROWS) as u32;
        let head = Head {
            t: changes.t.0 - TX0,
            instant: changes.instant,
            interned: interned.iter().map(|(ident, id)| (ident.as_str().to_owned(), id.0)).collect(),
            max_eid: changes.max_eid.0,
            opened_blocks: blocks(&changes.opened),
            closed_blocks: blocks(&changes.closed),
        };
        let (opened, closed) = (changes.opened.clone(), changes.closed.clone());
        TxRecord { head, opened, closed, purged: purged.cloned(), merged: Vec::new() }
    }

    /// The same for a transaction that merges commits.
    pub fn merging(self, merged: &[Merge]) -> TxRecord {
        TxRecord { merged: merged.to_vec(), ..self }
    }

    /// The commits that the transaction merges.
    pub fn merged(&self) -> &[Merge] {
        &self.merged
    }

    /// The id of the transaction.
    pub fn t(&self) -> u64 {
        TX0.saturating_add(self.head.t)
    }

    /// The rows that began.
    pub fn opened(&self) -> &Columns {
        &self.opened
    }

    /// The rows that ended.
    pub fn closed(&self) -> &Columns {
        &self.closed
    }

    /// What went before all else.
    pub fn purged(&self) -> Option<&Purged> {
        self.purged.as_ref()
    }

    /// What is left of the record when only the rows and attributes that `keeps_row` and `keeps_name` know may stay, and
    /// nothing of what was purged; `None` if that is all of it.
    pub fn reduced(
        &self,
        mut keeps_row: impl FnMut(&Row) -> Result<bool>,
        keeps_name: impl Fn(&str, AttrId) -> bool,
    ) -> Result<Option<TxRecord>> {
        let mut kept = |rows: &Columns| -> Result<Columns> {
            let mut kept = Columns::default();
            for i in 0..rows.len() {
                if keeps_row(&rows.row(i))? {
                    kept.extend(rows, i..i + 1);
                }
            }
            Ok(kept)
        };
        let (opened, closed) = (kept(&self.opened)?, kept(&self.closed)?);
        let mut head = self.head.clone();
        head.interned.retain(|(ident, id)| keeps_name(ident, AttrId(*id)));
        let is_whole = (opened.len(), closed.len()) == (self.opened.len(), self.closed.len())
            && head.interned.len() == self.head.interned.len()
            && self.purged.is_none();
        head.opened_blocks = opened.len().div_ceil(MAX_ROWS) as u32;
        head.closed_blocks = closed.len().div_ceil(MAX_ROWS) as u32;
        Ok((!is_whole).then_some(TxRecord { head, opened, closed, purged: None, merged: Vec::new() }))
    }

    /// The bytes that the log keeps.
    ///
    /// # Errors
    /// `Internal`, for a record that cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let failed = |e| Error::new(ErrorKind::Internal, "log/encode", "a transaction cannot be encoded").caused_by(e);
        let mut bytes = postcard::to_stdvec(&self.head).map_err(failed)?;
        encode_blocks(&self.opened, &mut bytes);
        encode_blocks(&self.closed, &mut bytes);
        let nothing = (!self.merged.is_empty()).then(Purged::default);
        if let Some(Purged { rows, entities, quiet }) = self.purged.as_ref().or(nothing.as_ref()) {
            let quiet = quiet.iter().map(|a| a.0).collect();
            let head = PurgeHead { entities: entities.clone(), quiet, blocks: rows.len().div_ceil(MAX_ROWS) as u32 };
            bytes = postcard::to_extend(&head, bytes).map_err(failed)?;
            encode_blocks(&rows.iter().collect(), &mut bytes);
        }
        if !self.merged.is_empty() {
            bytes = postcard::to_extend(&self.merged, bytes).map_err(failed)?;
        }
        Ok(bytes)
    }

    /// The inverse of [`encode`](Self::encode).
    ///
    /// # Errors
    /// `Corrupt` for bytes that it does not make.
    pub fn decode(bytes: &[u8]) -> Result<TxRecord> {
        let (head, mut rest) =
            postcard::take_from_bytes::<Head>(bytes).map_err(|e| damaged("its head cannot be decoded").caused_by(e))?;
        let opened = decode_blocks(&mut rest, head.opened_blocks)?;
        let closed = decode_blocks(&mut rest, head.closed_blocks)?;
        let purged = if rest.is_empty() { None } else { Some(decode_purged(&mut rest)?) };
        let mut merged = Vec::new();
        if !rest.is_empty() {
            (merged, rest) = postcard::take_from_bytes::<Vec<Merge>>(rest)
                .map_err(|e| damaged("what it merged cannot be decoded").caused_by(e))?;
        }
        if !rest.is_empty() {
            return Err(damaged("bytes stand after its rows"));
        }
        let purged = purged.filter(|purged| merged.is_empty() || *purged != Purged::default());
        Ok(TxRecord { head, opened, closed, purged, merged })
    }

    /// What the transaction did to `before`, the snapshot that it was made on, less what it purged.
    ///
    /// # Errors
    /// `Corrupt` for a record that no transaction on this snapshot made.
    fn changes(&self, before: &Snapshot) -> Result<Changes> {
        // Ids of transactions ascend; a load that keeps ids leaves gaps where its source had them.
        let t = TX0.checked_add(self.head.t).filter(|t| *t > before.basis_t.0 && EntityId(*t).is_transaction());
        let t = t.ok_or_else(|| damaged("it does not follow the last transaction"))?;
        let (opened, closed) = (self.opened.clone(), self.closed.clone());
        let mut interned: Vec<_> =
            self.head.interned.iter().map(|(ident, id)| (Keyword::new(ident), AttrId(*id))).collect();
        let known = interned.len();
        let schema = declare::derive(before, &mut interned, &opened, &closed)?;
        if interned.len() != known {
            return Err(damaged("it defines an attribute that has no number"));
        }
        let (instant, max_eid) = (self.head.instant, EntityId(self.head.max_eid));
        Ok(Changes { t: EntityId(t), instant, opened, closed, schema, max_eid })
    }

    /// The snapshot after the transaction.
    ///
    /// # Errors
    /// As [`changes`](Self::changes), and those of reading the store.
    pub fn replay(&self, before: &Snapshot) -> Result<Snapshot> {
        match &self.purged {
            None => before.apply(&self.changes(before)?),
            Some(purged) => {
                let without = purge::without(before, purged)?;
                without.apply(&self.changes(&without)?)
            }
        }
    }
}

fn rows(columns: &Columns) -> Vec<Row> {
    (0..columns.len()).map(|i| columns.row(i)).collect()
}

fn decode_purged(bytes: &mut &[u8]) -> Result<Purged> {
    let (head, rest) = postcard::take_from_bytes::<PurgeHead>(bytes)
        .map_err(|e| damaged("what it purged cannot be decoded").caused_by(e))?;
    *bytes = rest;
    let purged = decode_blocks(bytes, head.blocks)?;
    let quiet = head.quiet.into_iter().map(AttrId).collect();
    Ok(Purged { rows: rows(&purged), entities: head.entities, quiet })
}

fn encode_blocks(rows: &Columns, bytes: &mut Vec<u8>) {
    for start in (0..rows.len()).step_by(MAX_ROWS) {
        let mut block = Columns::default();
        block.extend(rows, start..rows.len().min(start + MAX_ROWS));
        encode_columns(&block, bytes);
    }
}

fn decode_blocks(bytes: &mut &[u8], blocks: u32) -> Result<Columns> {
    let mut rows = Columns::default();
    for _ in 0..blocks {
        let block = decode_columns(bytes)?;
        rows.extend(&block, 0..block.len());
    }
    Ok(rows)
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "log/corrupt", format!("a transaction of the log is damaged: {what}"))
}
