//! A transaction as the log keeps it: enough to make the snapshot after it from the one before, without any check.

use serde::{Deserialize, Serialize};

use crate::datom::{AttrId, EntityId, OPEN, Row, TX0, Value, wide};
use crate::db::{Changes, Snapshot};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};

use super::declare;

/// What one transaction did. Keywords and symbols are kept as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TxRecord {
    /// The number of the transaction: its id less [`TX0`].
    pub t: u64,
    /// `:db/txInstant`, milliseconds since 1970-01-01T00:00Z.
    pub instant: i64,
    pub opened: Vec<RowRecord>,
    pub closed: Vec<RowRecord>,
    /// Attributes that the transaction brought, and their numbers.
    pub interned: Vec<(String, u32)>,
    /// The largest entity id after it.
    pub max_eid: u64,
}

/// A row without its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RowRecord {
    e: u64,
    a: u32,
    /// See [`wide`].
    v: Vec<u8>,
    /// How many transactions before this one the row began.
    age: u64,
}

impl TxRecord {
    /// The record of `changes`, in which the attributes `interned` got their numbers.
    pub fn of(changes: &Changes, interned: &[(Keyword, AttrId)]) -> TxRecord {
        let rows = |rows: &[Row]| rows.iter().map(|row| RowRecord::of(row, changes.t)).collect();
        TxRecord {
            t: changes.t.0 - TX0,
            instant: changes.instant,
            opened: rows(&changes.opened),
            closed: rows(&changes.closed),
            interned: interned.iter().map(|(ident, id)| (ident.as_str().to_owned(), id.0)).collect(),
            max_eid: changes.max_eid.0,
        }
    }

    /// The bytes that the log keeps.
    ///
    /// # Errors
    /// `Internal`, for a record that cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self)
            .map_err(|e| Error::new(ErrorKind::Internal, "log/encode", "a transaction cannot be encoded").caused_by(e))
    }

    /// The inverse of [`encode`](Self::encode).
    ///
    /// # Errors
    /// `Corrupt` for bytes that it does not make.
    pub fn decode(bytes: &[u8]) -> Result<TxRecord> {
        postcard::from_bytes(bytes).map_err(|e| damaged("it cannot be decoded").caused_by(e))
    }

    /// What the transaction did to `before`, the snapshot that it was made on.
    ///
    /// # Errors
    /// `Corrupt` for a record that no transaction on this snapshot made.
    pub fn changes(&self, before: &Snapshot) -> Result<Changes> {
        let t = TX0.checked_add(self.t).filter(|t| *t == before.basis_t.0 + 1);
        let t = t.ok_or_else(|| damaged("it does not follow the last transaction"))?;
        let rows = |rows: &[RowRecord]| rows.iter().map(|row| row.row(t)).collect::<Result<Vec<Row>>>();
        let (opened, closed) = (rows(&self.opened)?, rows(&self.closed)?);
        let mut interned: Vec<_> = self.interned.iter().map(|(ident, id)| (Keyword::new(ident), AttrId(*id))).collect();
        let known = interned.len();
        let schema = declare::derive(before, &mut interned, &opened, &closed)?;
        if interned.len() != known {
            return Err(damaged("it defines an attribute that has no number"));
        }
        Ok(Changes { t: EntityId(t), instant: self.instant, opened, closed, schema, max_eid: EntityId(self.max_eid) })
    }

    /// The snapshot after the transaction.
    ///
    /// # Errors
    /// As [`changes`](Self::changes), and those of reading the store.
    pub fn replay(&self, before: &Snapshot) -> Result<Snapshot> {
        before.apply(&self.changes(before)?)
    }
}

impl RowRecord {
    fn of(row: &Row, t: EntityId) -> RowRecord {
        let mut v = Vec::with_capacity(16);
        wide::encode(&row.v, &mut v);
        RowRecord { e: row.e, a: row.a.0, v, age: t.0 - row.tx }
    }

    fn row(&self, t: u64) -> Result<Row> {
        let mut bytes = &self.v[..];
        let v: Value = wide::decode(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(damaged("a value is followed by other bytes"));
        }
        let tx = t.checked_sub(self.age).ok_or_else(|| damaged("a row is older than the first transaction"))?;
        Ok(Row { e: self.e, a: AttrId(self.a), v, tx, until: OPEN })
    }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "log/corrupt", format!("a transaction of the log is damaged: {what}"))
}
