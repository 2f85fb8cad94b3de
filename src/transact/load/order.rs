//! Datoms gathered into the transactions that said them, oldest first.

use crate::datom::TX0;
use crate::error::{Error, ErrorKind, Result};

use super::raw::RawDatom;
use super::{LoadIds, LoadOptions};

/// The datoms of one transaction and its id in the source.
pub(crate) type Said = (u64, Vec<RawDatom>);

/// The transactions of a load. Errors of the source end it.
pub(crate) struct Transactions<'a> {
    datoms: Box<dyn Iterator<Item = Result<RawDatom>> + 'a>,
    keep: bool,
    /// The first datom of the next transaction.
    ahead: Option<RawDatom>,
    last: u64,
}

impl<'a> Transactions<'a> {
    /// Reads all datoms and sorts them, unless they are said to come in order.
    ///
    /// # Errors
    /// Those of the datoms.
    pub fn new(datoms: impl Iterator<Item = Result<RawDatom>> + 'a, options: &LoadOptions) -> Result<Transactions<'a>> {
        let datoms: Box<dyn Iterator<Item = Result<RawDatom>> + 'a> = if options.in_order {
            Box::new(datoms)
        } else {
            let mut all = datoms.collect::<Result<Vec<_>>>()?;
            all.sort_by_key(|datom| datom.tx);
            Box::new(all.into_iter().map(Ok))
        };
        Ok(Transactions { datoms, keep: options.ids == LoadIds::Keep, ahead: None, last: 0 })
    }

    /// The transaction that a datom is put into. What a source keeps from before its first transaction belongs to the
    /// first.
    fn transaction(&self, datom: &RawDatom) -> u64 {
        if self.keep && datom.tx.0 == TX0 { TX0 + 1 } else { datom.tx.0 }
    }

    fn next_said(&mut self) -> Result<Option<Said>> {
        let first = match self.ahead.take() {
            Some(datom) => datom,
            None => match self.datoms.next().transpose()? {
                Some(datom) => datom,
                None => return Ok(None),
            },
        };
        let tx = self.transaction(&first);
        if tx < self.last {
            let message =
                format!("the datoms were said to come in order: {first:?} stands after transaction {}", self.last);
            return Err(Error::new(ErrorKind::Argument, "load/order", message));
        }
        self.last = tx;
        let mut datoms = vec![first];
        while let Some(datom) = self.datoms.next().transpose()? {
            if self.transaction(&datom) != tx {
                self.ahead = Some(datom);
                break;
            }
            datoms.push(datom);
        }
        Ok(Some((tx, datoms)))
    }
}

impl Iterator for Transactions<'_> {
    type Item = Result<Said>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_said().transpose()
    }
}
