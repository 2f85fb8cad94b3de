//! Pulling along an index.

use super::{Pattern, pull_many};
use crate::datom::{EntityId, Order, Value};
use crate::db::{Components, Datoms, Db};
use crate::edn::Keyword;
use crate::error::Result;

/// Entities that are pulled together.
const BATCH: usize = 256;

/// Where [`index_pull`] begins, and which way it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexPull {
    /// AVET: by the values of the attribute, which must be indexed. AEVT: by entity.
    pub index: Order,
    /// The attribute whose datoms are followed.
    pub attribute: Keyword,
    /// The value (AVET) or the entity id (AEVT) to begin at; `None` for the first one.
    pub start: Option<Value>,
    /// From `start`, or the end, downwards.
    pub reverse: bool,
}

impl IndexPull {
    /// By the values of an attribute, upwards from the least.
    pub fn avet(attribute: Keyword) -> IndexPull {
        IndexPull { index: Order::Avet, attribute, start: None, reverse: false }
    }
}

/// Pulls the entity of each datom of an attribute, in the order of an index: one result for each datom, so that an
/// entity with several values comes several times. Lazy: entities are pulled some hundred at a time, as they are asked for.
///
/// ```
/// # fn show(db: &treering::Db) -> treering::Result<()> {
/// use treering::{IndexPull, edn::Keyword, index_pull};
/// let oldest = IndexPull { reverse: true, ..IndexPull::avet(Keyword::new("person/age")) };
/// for person in index_pull(db, "[:person/name :person/age]", &oldest)?.take(10) {
///     println!("{:?}", person?);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Syntax` for a text that is no pattern; `Argument`: `:attribute/unknown`, `:attribute/not-indexed`,
/// `:datoms/components` for an order that does not begin with an attribute. Every item can be an error of
/// [`pull_many`](super::pull_many).
pub fn index_pull(db: &Db, pattern: &str, along: &IndexPull) -> Result<IndexPulled> {
    let attribute = db.attribute(along.attribute)?.id;
    let pattern = super::read(db, pattern)?;
    let mut components = Components::default().a(along.attribute);
    if let Some(start) = &along.start {
        components = match (along.index, start) {
            (Order::Aevt, Value::Ref(e)) => components.e(*e),
            (Order::Aevt, Value::Long(e)) if *e >= 0 => components.e(EntityId(*e as u64)),
            _ => components.v(start.clone()),
        };
    }
    let datoms = match along.reverse {
        false => db.seek_datoms(along.index, &components)?,
        true => db.rseek_datoms(along.index, &components)?,
    };
    Ok(IndexPulled { db: db.clone(), pattern, attribute, datoms: Some(datoms), ready: Vec::new().into_iter() })
}

/// The results of [`index_pull`].
pub struct IndexPulled {
    db: Db,
    pattern: Pattern,
    attribute: crate::datom::AttrId,
    /// `None` when all were read.
    datoms: Option<Datoms>,
    ready: std::vec::IntoIter<Value>,
}

impl std::fmt::Debug for IndexPulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexPulled").field("attribute", &self.attribute).finish_non_exhaustive()
    }
}

impl IndexPulled {
    fn refill(&mut self) -> Result<()> {
        let mut entities = Vec::with_capacity(BATCH);
        while let Some(datoms) = &mut self.datoms
            && entities.len() < BATCH
        {
            match datoms.next().transpose()? {
                Some(datom) if datom.a == self.attribute => entities.push(datom.e),
                _ => self.datoms = None,
            }
        }
        self.ready = pull_many(&self.db, &self.pattern, &entities)?.into_iter();
        Ok(())
    }
}

impl Iterator for IndexPulled {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Result<Value>> {
        loop {
            if let Some(value) = self.ready.next() {
                return Some(Ok(value));
            }
            self.datoms.as_ref()?;
            if let Err(error) = self.refill() {
                self.datoms = None;
                return Some(Err(error));
            }
        }
    }
}
