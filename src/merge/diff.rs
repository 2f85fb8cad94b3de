//! What differs between two databases of one line.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::datom::{Datom, Order, compare};
use crate::db::Db;
use crate::error::Result;
use crate::index::{Chunk, Cursor, Direction};

/// What holds in `to` and not in `from`, as assertions, and what holds in `from` and not in `to`, as retractions; by entity,
/// attribute and value. Each has the transaction that asserted it. A fact that was retracted and asserted again does not differ.
///
/// The ids of both must mean the same: one of them comes from the other, or both come from `shared` ids (see [`MergeBase`](super::MergeBase)). Both
/// are read whole, but for the leaves that they share.
///
/// ```
/// use treering::{Config, connect, create_database, diff};
/// let config = Config::memory("diff-example");
/// create_database(&config)?;
/// let conn = connect(&config)?;
/// let before = conn.db();
/// let after = conn.transact("[[:db/add 1 :db/doc \"one\"]]")?.db_after.clone();
/// let docs: Vec<_> = diff(&before, &after)?.into_iter().filter(|datom| !datom.e.is_transaction()).collect();
/// assert_eq!((docs.len(), docs[0].e.0, docs[0].added), (1, 1, true));
/// # conn.release()?;
/// # treering::delete_database(&config)?;
/// # Ok::<(), treering::Error>(())
/// ```
///
/// # Errors
/// Those of reading the databases.
pub fn diff(from: &Db, to: &Db) -> Result<Vec<Datom>> {
    let mut from = Walk::new(from)?;
    let mut to = Walk::new(to)?;
    let mut found = Vec::new();
    loop {
        let order = match (from.chunk()?, to.chunk()?) {
            (None, None) => return Ok(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(x), Some(y)) if Arc::ptr_eq(&x.columns, &y.columns) && x.start == y.start => {
                let end = x.end.min(y.end);
                (x.start, y.start) = (end, end);
                continue;
            }
            (Some(x), Some(y)) => order_of_facts(x, y),
        };
        match order {
            Ordering::Less => found.extend(from.take()?.map(|datom| Datom { added: false, ..datom })),
            Ordering::Greater => found.extend(to.take()?),
            Ordering::Equal => {
                from.pass();
                to.pass();
            }
        }
    }
}

/// The first facts of two chunks, without their transactions.
fn order_of_facts(x: &Chunk, y: &Chunk) -> Ordering {
    let (i, j) = (x.start, y.start);
    let (x, y) = (&x.columns, &y.columns);
    let by_place = x.e.get(i).cmp(&y.e.get(j)).then_with(|| x.a.get(i).cmp(&y.a.get(j)));
    by_place.then_with(|| compare(&x.v.get(i), &y.v.get(j)))
}

/// A walk over what holds, fact by fact.
struct Walk {
    cursor: Box<dyn Cursor>,
    chunk: Option<Chunk>,
}

impl Walk {
    fn new(db: &Db) -> Result<Walk> {
        Ok(Walk { cursor: db.cursor(Order::Eavt, None, None, Direction::Forward)?, chunk: None })
    }

    /// What is left of the chunk at hand, at least a fact of it; `None` at the end.
    fn chunk(&mut self) -> Result<Option<&mut Chunk>> {
        if self.chunk.as_ref().is_none_or(Chunk::is_empty) {
            self.chunk = self.cursor.next()?;
        }
        Ok(self.chunk.as_mut())
    }

    fn pass(&mut self) {
        if let Some(chunk) = &mut self.chunk {
            chunk.start += 1;
        }
    }

    fn take(&mut self) -> Result<Option<Datom>> {
        let datom = self.chunk()?.map(|chunk| Db::datom(&chunk.columns.row(chunk.start)));
        self.pass();
        Ok(datom)
    }
}
