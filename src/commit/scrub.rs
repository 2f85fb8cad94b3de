//! After a purge: the log says no more of the purged entities than the indexes do.

use hashbrown::{HashMap, HashSet};

use super::record::{Head, Purges};
use crate::datom::{AttrId, Cut, Key, Order, Row, Value, ValueKind};
use crate::db::Snapshot;
use crate::error::Result;
use crate::index::Direction;
use crate::log::{self, Transaction};
use crate::store::Store;
use crate::transact::TxRecord;

/// Rewrites the entries of a branch's log before entry `end`, all of which lie before its commit, so that of the
/// entities purged only what `snapshot` has stays in them. It can be begun again after a loss of power.
///
/// # Errors
/// `Corrupt` for damage, and those of the store.
pub(crate) fn scrub(store: &Store, head: &Head, purges: &Purges, snapshot: &Snapshot, end: u64) -> Result<()> {
    let span = tracing::debug_span!("scrub", entries = end);
    let _entered = span.enter();
    let mut kept = Kept { snapshot, rows: 0, of: HashMap::new() };
    let keeps_name =
        |ident: &str, id: AttrId| snapshot.schema.get(id).is_some_and(|attribute| attribute.ident.as_str() == ident);
    let mut reduce = |transaction: &Transaction| -> Result<Option<Vec<u8>>> {
        let record = TxRecord::decode(&transaction.bytes)?;
        let keeps_row = |row: &Row| if purges.concern(row.e) { kept.has(row) } else { Ok(true) };
        record.reduced(keeps_row, keeps_name)?.map(|reduced| reduced.encode()).transpose()
    };
    log::rewrite(store, head.incarnation, head.log_start, end, &mut reduce)
}

/// Most rows of entities that are remembered.
const MOST_ROWS: usize = 1 << 20;

/// The rows that the indexes have of an entity, without their ends: a fact begins once in a transaction.
type RowsOf = HashSet<(AttrId, ValueKind, Value, u64)>;

struct Kept<'a> {
    snapshot: &'a Snapshot,
    rows: usize,
    of: HashMap<u64, RowsOf>,
}

impl Kept<'_> {
    fn has(&mut self, row: &Row) -> Result<bool> {
        if !self.of.contains_key(&row.e) {
            if self.rows > MOST_ROWS {
                self.rows = 0;
                self.of.clear();
            }
            let found = self.read(row.e)?;
            self.rows += found.len();
            self.of.insert(row.e, found);
        }
        let key = (row.a, row.v.kind(), row.v.clone(), row.tx);
        Ok(self.of.get(&row.e).is_some_and(|rows| rows.contains(&key)))
    }

    fn read(&self, e: u64) -> Result<RowsOf> {
        let mut found = RowsOf::new();
        let key = Key { e: Some(e), ..Key::default() };
        let (from, to) = (Cut::before(key.clone()), Cut::after(key));
        for order in [Order::Eavt, Order::HistoryEavt] {
            let mut cursor = self.snapshot.index(order).cursor(Some(&from), Some(&to), Direction::Forward)?;
            while let Some(chunk) = cursor.next()? {
                let rows = chunk.rows().map(|i| chunk.columns.row(i));
                found.extend(rows.map(|row| (row.a, row.v.kind(), row.v, row.tx)));
            }
        }
        Ok(found)
    }
}
