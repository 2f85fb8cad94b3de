//! The transactions that a database knows.

use crate::datom::{Cut, Key, Order, Value};
use crate::db::Snapshot;
use crate::error::Result;
use crate::index::Direction;
use crate::schema::builtin::TX_INSTANT;

/// The transactions that have an instant, as runs of neighbours.
#[derive(Debug, Default)]
pub(super) struct Times {
    runs: Vec<(u64, u64)>,
    /// The last one and its instant.
    pub last: Option<(u64, i64)>,
}

impl Times {
    pub fn of(snapshot: &Snapshot) -> Result<Times> {
        let key = Key { a: Some(TX_INSTANT), ..Key::default() };
        let (from, to) = (Cut::before(key.clone()), Cut::after(key));
        let mut cursor = snapshot.index(Order::Aevt).cursor(Some(&from), Some(&to), Direction::Forward)?;
        let mut times = Times::default();
        while let Some(chunk) = cursor.next()? {
            for i in chunk.rows() {
                let row = chunk.columns.row(i);
                match times.runs.last_mut() {
                    Some((_, end)) if *end + 1 == row.e => *end = row.e,
                    _ => times.runs.push((row.e, row.e)),
                }
                if let Value::Instant(instant) = row.v {
                    times.last = Some((row.e, instant));
                }
            }
        }
        Ok(times)
    }

    pub fn has(&self, t: u64) -> bool {
        let after = self.runs.partition_point(|(start, _)| *start <= t);
        after.checked_sub(1).and_then(|i| self.runs.get(i)).is_some_and(|(_, end)| t <= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::Times;

    #[test]
    fn runs_have_their_ends() {
        let times = Times { runs: vec![(3, 5), (9, 9)], last: None };
        let had: Vec<u64> = (0..12).filter(|t| times.has(*t)).collect();
        assert_eq!(had, [3, 4, 5, 9]);
        assert!(!Times::default().has(1));
    }
}
