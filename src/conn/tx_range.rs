//! Transactions in order, as the log has them.

use std::collections::VecDeque;

use crate::datom::{Columns, Datom, EntityId, Order};
use crate::db::Db;
use crate::error::Result;
use crate::index::Direction;
use crate::log::{LogReader, Transaction};
use crate::transact::TxRecord;

/// A transaction that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedTransaction {
    /// Its id.
    pub t: EntityId,
    /// What it asserted and retracted.
    pub datoms: Vec<Datom>,
}

/// Transactions, oldest first: see [`Connection::tx_range`](super::Connection::tx_range).
#[derive(Debug)]
pub struct TxRange {
    after: u64,
    to: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Log { reader: LogReader, entry: VecDeque<Transaction> },
    Memory(VecDeque<LoggedTransaction>),
}

impl TxRange {
    /// From a log that is read from its beginning.
    pub(super) fn of_log(reader: LogReader, after: EntityId, to: EntityId) -> TxRange {
        TxRange { after: after.0, to: to.0, source: Source::Log { reader, entry: VecDeque::new() } }
    }

    /// From the indexes of a database that has no log.
    ///
    /// # Errors
    /// `Argument` when it keeps no history.
    pub(super) fn of_db(db: &Db, after: EntityId, to: EntityId) -> Result<TxRange> {
        let events = db.history()?.since(after)?.as_of(to)?;
        let mut cursor = events.cursor(Order::Eavt, None, None, Direction::Forward)?;
        let mut datoms = Vec::new();
        while let Some(chunk) = cursor.next()? {
            datoms.extend(chunk.rows().map(|i| Db::datom(&chunk.columns.row(i))));
        }
        datoms.sort_by_key(|datom| (datom.tx, datom.added));
        let made = datoms.chunk_by(|x, y| x.tx == y.tx);
        let made = made.filter_map(|datoms| Some(LoggedTransaction { t: datoms.first()?.tx, datoms: datoms.to_vec() }));
        Ok(TxRange { after: after.0, to: to.0, source: Source::Memory(made.collect()) })
    }

    fn next_made(&mut self) -> Result<Option<LoggedTransaction>> {
        let (reader, entry) = match &mut self.source {
            Source::Memory(made) => return Ok(made.pop_front()),
            Source::Log { reader, entry } => (reader, entry),
        };
        loop {
            while let Some(transaction) = entry.pop_front() {
                if transaction.t > self.to {
                    return Ok(None);
                }
                if transaction.t > self.after {
                    return TxRecord::decode(&transaction.bytes).map(|record| Some(logged(transaction.t, &record)));
                }
            }
            match reader.next()? {
                Some(next) => *entry = next.transactions.into(),
                None => return Ok(None),
            }
        }
    }
}

impl Iterator for TxRange {
    type Item = Result<LoggedTransaction>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_made().transpose()
    }
}

fn logged(t: u64, record: &TxRecord) -> LoggedTransaction {
    let t = EntityId(t);
    let datoms = |columns: &Columns, added| -> Vec<Datom> {
        (0..columns.len()).map(|i| Datom { tx: t, added, ..Db::datom(&columns.row(i)) }).collect()
    };
    let mut all = datoms(record.closed(), false);
    all.extend(datoms(record.opened(), true));
    LoggedTransaction { t, datoms: all }
}
