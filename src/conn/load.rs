//! Loads: many transactions at once, with every other writer held out.

use std::sync::Arc;

use super::Connection;
use super::flush::How;
use super::listen::{Running, check_may_wait};
use super::writer::{Pending, Writer};
use crate::db::Db;
use crate::error::Result;
use crate::log::Transaction;
use crate::store::BoxFuture;
use crate::transact::{LoadOptions, LoadReport, Loader, RawDatom, Transactions};

/// Datoms, and transactions, after which a batch is made durable.
const BATCH_DATOMS: usize = 1 << 16;
const BATCH_TRANSACTIONS: usize = 1 << 10;

impl Connection {
    /// Makes the transactions of another database again, from its datoms: what a dump of Datahike, DataScript, Datomic
    /// or this database holds, retractions included. `docs/import.md` tells the rules.
    ///
    /// ```
    /// use treering::{Config, LoadOptions, RawDatom, connect, create_database, edn, q};
    /// let config = Config::memory("load-example");
    /// create_database(&config)?;
    /// let conn = connect(&config)?;
    /// let dump = r#"[1 :db/ident :age 536870913 true]
    ///               [1 :db/valueType :db.type/long 536870913 true]
    ///               [1 :db/cardinality :db.cardinality/one 536870913 true]
    ///               [2 :age 30 536870914 true]
    ///               [2 :age 30 536870915 false]
    ///               [2 :age 31 536870915 true]"#;
    /// let datoms = edn::read_all(dump)?;
    /// let report = conn.load(datoms.iter().map(RawDatom::from_form), &LoadOptions::default())?;
    /// assert_eq!((report.transactions, report.asserted, report.retracted), (3, 5, 1));
    /// let then = conn.db().as_of(treering::EntityId(536_870_914))?;
    /// assert_eq!(q("[:find ?a . :where [2 :age ?a]]", &then)?.to_form().to_string(), "30");
    /// # conn.release()?;
    /// # treering::delete_database(&config)?;
    /// # Ok::<(), treering::Error>(())
    /// ```
    ///
    /// The datoms are gathered and sorted first, which takes about 80 bytes for each and its texts, unless the options
    /// say that they come in order. Then batches of transactions become durable, visible and told to listeners, each
    /// batch at once. Other transactions wait until the load is done. After a crash, or an error, the database holds the
    /// transactions up to some point, each whole; [`Db::basis_t`] tells which was the last, and a load of what is left
    /// goes on from there.
    ///
    /// # Errors
    /// Those of the datoms; `Transact` or `Limit` for a transaction that breaks a rule, naming it: those before it are
    /// loaded. Else as [`transact`](Self::transact). Datoms that come in order are read while the writer waits, so
    /// their iterator must not write to this connection, which is an error, nor wait for a thread that does.
    pub fn load(
        &self,
        datoms: impl IntoIterator<Item = Result<RawDatom>>,
        options: &LoadOptions,
    ) -> Result<LoadReport> {
        check_may_wait()?;
        let span = tracing::debug_span!("load", branch = %self.shared.branch);
        let _entered = span.enter();
        let writer = self.writer()?;
        writer.load(&mut Transactions::new(datoms.into_iter(), options)?, Loader::new(options))
    }

    /// [`load`](Self::load) as a future, for any executor. Dropping the future does not take the load back.
    ///
    /// # Errors
    /// As there.
    pub fn load_async<I>(&self, datoms: I, options: &LoadOptions) -> BoxFuture<'static, Result<LoadReport>>
    where
        I: IntoIterator<Item = Result<RawDatom>> + Send + 'static,
    {
        let (this, options) = (self.clone(), options.clone());
        self.shared.pool.run(move || this.load(datoms, &options))
    }
}

/// Transactions that are made and not yet durable.
struct Batch {
    db: Db,
    pending: Vec<Pending>,
    datoms: usize,
}

impl Batch {
    /// Makes transactions until there are enough of them; whether there are more.
    fn fill(&mut self, transactions: &mut Transactions<'_>, loader: &mut Loader, stored: bool) -> Result<bool> {
        while self.datoms < BATCH_DATOMS && self.pending.len() < BATCH_TRANSACTIONS {
            // The source is foreign code; the writer's locks are held.
            let said = {
                let _running = Running::Load.begin();
                transactions.next().transpose()?
            };
            let Some(said) = said else { return Ok(false) };
            let Some(made) = loader.make(&self.db, said)? else { continue };
            let t = made.report.db_after.basis_t().0;
            let transaction = if stored { Some(Transaction { t, bytes: made.record().encode()? }) } else { None };
            self.datoms += made.report.tx_data.len();
            self.db = made.report.db_after.clone();
            self.pending.push(Pending { transaction, report: Arc::new(made.report), purges: None, merged: Vec::new() });
        }
        Ok(true)
    }
}

impl Writer {
    pub(super) fn load(&self, transactions: &mut Transactions<'_>, mut loader: Loader) -> Result<LoadReport> {
        let mut committed = self.committed.lock();
        let mut applied = self.applied.lock();
        self.check_working()?;
        self.settle_applied(&mut committed)?;
        loop {
            let mut batch = Batch { db: applied.db.clone(), pending: Vec::new(), datoms: 0 };
            let filled = batch.fill(transactions, &mut loader, self.stored);
            self.settle(&mut committed, batch.pending)?;
            applied.db = batch.db;
            // The transactions before one that fails are whole.
            if !filled? {
                return Ok(loader.report());
            }
            if committed.is_due() {
                self.flush_due(&mut committed, |committed| self.flush(committed, &mut applied, How::default()));
            }
            if committed.is_behind() {
                self.take_in(&mut committed, &mut applied)?;
            }
            self.check_working()?;
        }
    }
}
