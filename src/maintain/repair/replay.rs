//! The log of a damaged store: as far as its entries follow each other.

use super::{Patient, unless_damaged};
use crate::datom::{OPEN, Order, Row};
use crate::error::{ErrorKind, Result};
use crate::log::{Entry, LogPosition, LogReader, number_after};
use crate::transact::TxRecord;

use super::salvage::Salvage;

/// A walk over the entries of a log up to the first that is missing or damaged.
pub(super) struct Walk {
    reader: LogReader,
    /// Why the walk ended where it did, if not at the end of the log.
    pub broken: Option<String>,
}

impl Walk {
    /// From the entry at a position on.
    pub fn from(patient: &Patient<'_>, incarnation: u128, at: LogPosition) -> Result<Walk> {
        let reader = LogReader::new(patient.store.clone(), incarnation, at);
        let broken = match reader.check_start() {
            Err(error) if error.kind() == ErrorKind::Corrupt => Some(error.message().to_owned()),
            checked => checked.map(|()| None)?,
        };
        Ok(Walk { reader, broken })
    }

    /// Where the next entry begins.
    pub fn position(&self) -> LogPosition {
        self.reader.position()
    }

    /// The next entry with its transactions.
    pub fn next(&mut self) -> Result<Option<(Entry, Vec<TxRecord>)>> {
        if self.broken.is_some() {
            return Ok(None);
        }
        let position = self.reader.position();
        let next = self.reader.next().and_then(|entry| entry.map(decoded).transpose());
        match next {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => {
                self.broken = self.reader.tail().err().map(|error| error.message().to_owned());
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.reader.back_to(position);
                self.broken = Some(error.message().to_owned());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The last transaction that the log still shows after the place where the walk ended.
    pub fn last_after(&self, patient: &Patient<'_>, incarnation: u128) -> Result<Option<u64>> {
        number_after(patient.store, incarnation, &self.reader.position())
    }
}

fn decoded(entry: Entry) -> Result<(Entry, Vec<TxRecord>)> {
    let records = entry.transactions.iter().map(|transaction| TxRecord::decode(&transaction.bytes));
    let records = records.collect::<Result<Vec<_>>>()?;
    Ok((entry, records))
}

/// Whether the log leads from a position to entry `end`. What was purged is no more in rewritten entries, but would be in a
/// commit before them.
pub(super) fn leads_to(patient: &Patient<'_>, incarnation: u128, at: LogPosition, end: u64) -> Result<bool> {
    let mut walk = Walk::from(patient, incarnation, at)?;
    while walk.position().seq < end {
        match walk.next()? {
            Some((entry, _)) if at == LogPosition::START || !entry.rewritten => {}
            _ => return Ok(false),
        }
    }
    Ok(walk.broken.is_none())
}

/// Looks in the log before the commit for rows that its indexes have lost.
pub(super) fn supplement(
    patient: &Patient<'_>,
    incarnation: u128,
    start: LogPosition,
    end: u64,
    salvage: &mut Salvage,
) -> Result<()> {
    let mut walk = Walk::from(patient, incarnation, start)?;
    let mut open: Vec<Row> = Vec::new();
    let mut closed: Vec<Row> = Vec::new();
    while walk.position().seq < end {
        let Some((_, records)) = walk.next()? else {
            // Whether what was found still holds is not known.
            return Ok(());
        };
        for record in records {
            for row in record.purged().iter().flat_map(|purged| &purged.rows) {
                open.retain(|other| !is_same(other, row));
                closed.retain(|other| !is_same(other, row) || other.until != row.until);
            }
            for i in 0..record.closed().len() {
                let row = record.closed().row(i);
                open.retain(|other| !is_same(other, &row));
                let ended = Row { until: if row.until == OPEN { record.t() } else { row.until }, ..row };
                let is_kept = salvage.snapshot.settings.keep_history
                    && salvage.snapshot.schema.get(ended.a).is_none_or(|attribute| !attribute.no_history);
                if is_kept && salvage.is_wanted(Order::HistoryEavt, &ended) {
                    closed.push(ended);
                }
            }
            let opened = (0..record.opened().len()).map(|i| record.opened().row(i));
            open.extend(opened.filter(|row| salvage.is_wanted(Order::Eavt, row)));
        }
    }
    open.iter().for_each(|row| salvage.offer(row, |order| !order.is_history()));
    closed.iter().for_each(|row| salvage.offer(row, Order::is_history));
    salvage.settle();
    Ok(())
}

fn is_same(one: &Row, other: &Row) -> bool {
    (one.e, one.a, one.tx) == (other.e, other.a, other.tx) && one.v == other.v
}

/// A value, or `None` where a transaction does not follow from the database before it.
pub(super) fn unless_broken<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Transact) => Ok(None),
        other => unless_damaged(other),
    }
}
