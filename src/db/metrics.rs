//! How many datoms a database has, by attribute and by entity.

use std::collections::BTreeMap;

use super::Db;
use crate::datom::{AttrId, EntityId, Order};
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::Direction;

/// Numbers of datoms; see [`Db::metrics`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Datoms that the database shows.
    pub count: u64,
    /// Those of attributes that the value index holds.
    pub avet_count: u64,
    /// By attribute.
    pub per_attribute: BTreeMap<Keyword, u64>,
    /// By entity, in the order of ids.
    pub per_entity: Vec<(EntityId, u64)>,
    /// Datoms that only the history shows: what does not hold any more, and its retractions; `None` where no history is
    /// kept.
    pub temporal_count: Option<u64>,
    /// Those of attributes that the value index holds.
    pub temporal_avet_count: Option<u64>,
}

impl Db {
    /// Counts the datoms that this database shows, and those that only its history shows. Reads all of them.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn metrics(&self) -> Result<Metrics> {
        let mut metrics = Metrics::default();
        let mut by_attribute: BTreeMap<AttrId, u64> = BTreeMap::new();
        self.each_datom(&mut |e, a| {
            metrics.count += 1;
            *by_attribute.entry(a).or_default() += 1;
            match metrics.per_entity.last_mut() {
                Some((last, count)) if *last == e => *count += 1,
                _ => metrics.per_entity.push((e, 1)),
            }
        })?;
        let in_avet = |a: AttrId| self.schema().get(a).is_some_and(|attribute| attribute.in_avet());
        metrics.avet_count = by_attribute.iter().filter(|(a, _)| in_avet(**a)).map(|(_, count)| count).sum();
        if let Ok(history) = self.history() {
            let (mut all, mut of_avet) = (0_u64, 0_u64);
            history.each_datom(&mut |_, a| {
                all += 1;
                of_avet += u64::from(in_avet(a));
            })?;
            metrics.temporal_count = Some(all.saturating_sub(metrics.count));
            metrics.temporal_avet_count = Some(of_avet.saturating_sub(metrics.avet_count));
        }
        let named = by_attribute.into_iter().filter_map(|(a, count)| Some((self.ident(a)?, count)));
        metrics.per_attribute = named.collect();
        Ok(metrics)
    }

    /// Calls `f` with entity and attribute of each datom, in the order of entities.
    fn each_datom(&self, f: &mut dyn FnMut(EntityId, AttrId)) -> Result<()> {
        let mut cursor = self.cursor(Order::Eavt, None, None, Direction::Forward)?;
        while let Some(chunk) = cursor.next()? {
            for i in chunk.rows() {
                f(EntityId(chunk.columns.e.get(i)), AttrId(chunk.columns.a.get(i) as u32));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::datom::{EntityId, TX0, Value};
    use crate::db::testing::db_of;
    use crate::edn::Keyword;

    #[test]
    fn datoms_are_counted() {
        let s = |text: &str| Value::from(text);
        let db = db_of(
            &["name string index", "age long"],
            &[
                &[(1, "name", s("a"), true), (1, "age", Value::Long(1), true), (2, "name", s("b"), true)],
                &[(1, "name", s("c"), true), (2, "name", s("b"), false)],
            ],
        );
        let metrics = db.metrics().unwrap();
        let of = |name: &str| metrics.per_attribute.get(&Keyword::new(name)).copied();
        assert_eq!((of("name"), of("age"), of("nothing")), (Some(1), Some(1), None));
        let entity = |e| metrics.per_entity.iter().find(|(id, _)| *id == EntityId(e)).map(|(_, count)| *count);
        assert_eq!((entity(1), entity(2)), (Some(2), None));
        assert_eq!(metrics.count, metrics.per_entity.iter().map(|(_, count)| count).sum::<u64>());
        assert_eq!(metrics.count, metrics.per_attribute.values().sum::<u64>());
        // Two names that ended, each with its assertion and its retraction.
        assert_eq!((metrics.temporal_count, metrics.temporal_avet_count), (Some(4), Some(4)));
        let before = db.as_of(EntityId(TX0 + 1)).unwrap().metrics().unwrap();
        assert_eq!(before.per_attribute.get(&Keyword::new("name")), Some(&2));
        assert_eq!(before.temporal_count, Some(0));
    }
}
