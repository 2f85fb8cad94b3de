//! Transactions in order, as the log has them.

use std::collections::VecDeque;

use crate::commit;
use crate::datom::{Columns, Datom, EntityId, Order, TX0};
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Direction;
use crate::log::{LogReader, Transaction};
use crate::store::Store;
use crate::transact::TxRecord;

/// Where a log is found.
#[derive(Debug)]
pub(super) struct LogOf {
    pub store: Store,
    pub branch: Keyword,
}

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
    /// What is not in the log because it was transacted before the branch began.
    before: VecDeque<LoggedTransaction>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Log {
        reader: LogReader,
        entry: VecDeque<Transaction>,
        /// The last transaction that was read.
        last: u64,
    },
    Memory(VecDeque<LoggedTransaction>),
}

impl TxRange {
    /// From a log, as far as it is still there; what was transacted before the branch began is in the indexes, if the
    /// database keeps history.
    pub(super) fn of_log(log: &LogOf, db: &Db, after: EntityId, to: EntityId) -> Result<TxRange> {
        let head = commit::read_head(&log.store, log.branch)?;
        let reader = LogReader::new(log.store.clone(), head.incarnation, head.log_start);
        let mut before = VecDeque::new();
        if head.kin.fork.is_some() && db.snapshot().settings.keep_history {
            let last = first_transaction(reader.clone())?.map_or(to, |first| EntityId(first - 1).min(to));
            if after < last
                && let Source::Memory(made) = TxRange::of_db(db, after, last)?.source
            {
                before = made;
            }
        }
        let source = Source::Log { reader, entry: VecDeque::new(), last: TX0 };
        Ok(TxRange { after: after.0, to: to.0, before, source })
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
        let source = Source::Memory(made.collect());
        Ok(TxRange { after: after.0, to: to.0, before: VecDeque::new(), source })
    }

    fn next_made(&mut self) -> Result<Option<LoggedTransaction>> {
        if let Some(made) = self.before.pop_front() {
            return Ok(Some(made));
        }
        let (reader, entry, last) = match &mut self.source {
            Source::Memory(made) => return Ok(made.pop_front()),
            Source::Log { reader, entry, last } => (reader, entry, last),
        };
        loop {
            while let Some(transaction) = entry.pop_front() {
                *last = transaction.t;
                if transaction.t > self.to {
                    return Ok(None);
                }
                if transaction.t > self.after {
                    return TxRecord::decode(&transaction.bytes).map(|record| Some(logged(transaction.t, &record)));
                }
            }
            match reader.next()? {
                Some(next) => *entry = next.transactions.into(),
                None if *last >= self.to || *last == TX0 => return Ok(None),
                None => {
                    self.to = *last;
                    let message = format!(
                        "the log was changed by a purge or a collection while it was read, after transaction {last}: ask \
                         again for what follows"
                    );
                    return Err(Error::new(ErrorKind::Closed, "log/rewritten", message));
                }
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

/// The first transaction of a log.
fn first_transaction(mut reader: LogReader) -> Result<Option<u64>> {
    while let Some(entry) = reader.next()? {
        if let Some(first) = entry.transactions.first() {
            return Ok(Some(first.t));
        }
    }
    Ok(None)
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
