//! A transaction as the log keeps it: enough to make the snapshot after it from the one before, without any check.

use serde::{Deserialize, Serialize};

use crate::datom::codec::{MAX_ROWS, decode_columns, encode_columns};
use crate::datom::{AttrId, Columns, EntityId, Row, TX0};
use crate::db::{Changes, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};

use super::declare;

/// What one transaction did. Keywords and symbols are kept as text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TxRecord {
    head: Head,
    opened: Columns,
    closed: Columns,
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
    /// The record of `changes`, in which the attributes `interned` got their numbers.
    pub fn of(changes: &Changes, interned: &[(Keyword, AttrId)]) -> TxRecord {
        let columns = |rows: &[Row]| {
            let mut columns = Columns::default();
            rows.iter().for_each(|row| columns.push_row(row));
            columns
        };
        let blocks = |rows: &[Row]| rows.len().div_ceil(MAX_ROWS) as u32;
        let head = Head {
            t: changes.t.0 - TX0,
            instant: changes.instant,
            interned: interned.iter().map(|(ident, id)| (ident.as_str().to_owned(), id.0)).collect(),
            max_eid: changes.max_eid.0,
            opened_blocks: blocks(&changes.opened),
            closed_blocks: blocks(&changes.closed),
        };
        TxRecord { head, opened: columns(&changes.opened), closed: columns(&changes.closed) }
    }

    /// The rows that began.
    pub fn opened(&self) -> &Columns {
        &self.opened
    }

    /// The rows that ended.
    pub fn closed(&self) -> &Columns {
        &self.closed
    }

    /// The bytes that the log keeps.
    ///
    /// # Errors
    /// `Internal`, for a record that cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = postcard::to_stdvec(&self.head).map_err(|e| {
            Error::new(ErrorKind::Internal, "log/encode", "a transaction cannot be encoded").caused_by(e)
        })?;
        encode_blocks(&self.opened, &mut bytes);
        encode_blocks(&self.closed, &mut bytes);
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
        if !rest.is_empty() {
            return Err(damaged("bytes stand after its rows"));
        }
        Ok(TxRecord { head, opened, closed })
    }

    /// What the transaction did to `before`, the snapshot that it was made on.
    ///
    /// # Errors
    /// `Corrupt` for a record that no transaction on this snapshot made.
    pub fn changes(&self, before: &Snapshot) -> Result<Changes> {
        // Ids of transactions ascend; a load that keeps ids leaves gaps where its source had them.
        let t = TX0.checked_add(self.head.t).filter(|t| *t > before.basis_t.0 && EntityId(*t).is_transaction());
        let t = t.ok_or_else(|| damaged("it does not follow the last transaction"))?;
        let rows = |columns: &Columns| (0..columns.len()).map(|i| columns.row(i)).collect::<Vec<Row>>();
        let (opened, closed) = (rows(&self.opened), rows(&self.closed));
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
        before.apply(&self.changes(before)?)
    }
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
