//! Views by a predicate on datoms.

use std::sync::Arc;

use super::Db;
use crate::datom::{Columns, Cut, Datom};
use crate::error::Result;
use crate::index::{Chunk, Cursor};

/// A predicate on datoms. The database it gets is the one that the filter was put on, without any filter.
pub type DatomFilter = Arc<dyn Fn(&Db, &Datom) -> bool + Send + Sync>;

/// The filters of a database; all must agree.
#[derive(Clone, Default)]
pub(super) struct Filters(Option<Arc<[DatomFilter]>>);

impl Filters {
    pub fn with(&self, filter: DatomFilter) -> Filters {
        let all = self.0.iter().flat_map(|filters| filters.iter().cloned()).chain([filter]);
        Filters(Some(all.collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether these are the same filters, put on in the same call.
    pub fn is_same(&self, other: &Filters) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(x), Some(y)) => Arc::ptr_eq(x, y),
            _ => false,
        }
    }

    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |filters| filters.len())
    }

    fn accept(&self, db: &Db, datom: &Datom) -> bool {
        self.0.iter().flat_map(|filters| filters.iter()).all(|filter| filter(db, datom))
    }
}

/// Drops the datoms that a filter refuses.
pub(super) struct FilterCursor {
    inner: Box<dyn Cursor>,
    db: Db,
    filters: Filters,
}

impl FilterCursor {
    pub fn new(inner: Box<dyn Cursor>, db: Db, filters: Filters) -> FilterCursor {
        FilterCursor { inner, db, filters }
    }
}

impl Cursor for FilterCursor {
    fn next(&mut self) -> Result<Option<Chunk>> {
        while let Some(chunk) = self.inner.next()? {
            let mut kept = Columns::default();
            for i in chunk.rows() {
                if self.filters.accept(&self.db, &Db::datom(&chunk.columns.row(i))) {
                    kept.extend(&chunk.columns, i..i + 1);
                }
            }
            if !kept.is_empty() {
                return Ok(Some(Chunk::whole(kept)));
            }
        }
        Ok(None)
    }

    fn seek(&mut self, cut: &Cut) -> Result<()> {
        self.inner.seek(cut)
    }
}
