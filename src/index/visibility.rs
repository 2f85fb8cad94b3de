//! Which rows a view of the past shows, as far as an index may care.

use crate::datom::OPEN;

/// The rows that a view shows: a hint by which an index passes over nodes (see
/// [`Index::cursor_within`](super::Index::cursor_within)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visibility {
    /// Facts asserted at or before this transaction are not shown (`since`); 0 shows all.
    pub low: u64,
    /// Facts asserted after this transaction are not shown (`as-of`); [`OPEN`] shows all.
    pub high: u64,
    /// Whether the view shows events, assertions and retractions, rather than the state at `high`.
    pub events: bool,
}

impl Visibility {
    /// Whether the view shows a row valid from `tx` to `until`.
    pub fn shows(&self, tx: u64, until: u64) -> bool {
        self.may_show(tx, tx, until)
    }

    /// Whether the view can show one of some rows, of which are known the least and the greatest transaction and the
    /// greatest end of validity.
    pub fn may_show(&self, min_tx: u64, max_tx: u64, max_until: u64) -> bool {
        let asserted = min_tx <= self.high && max_tx > self.low;
        if self.events {
            // A row that is asserted too early can still be retracted in time. An end after `high` says nothing of
            // the ends of other rows.
            asserted || (min_tx <= self.high && max_until > self.low && max_until != OPEN)
        } else {
            asserted && max_until > self.high.min(OPEN - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Visibility;
    use crate::datom::OPEN;

    #[test]
    fn rows_are_shown_as_the_views_say() {
        let state = Visibility { low: 10, high: 20, events: false };
        assert!(state.shows(11, OPEN) && state.shows(20, 21) && state.shows(15, 30));
        assert!(!state.shows(10, OPEN) && !state.shows(21, OPEN) && !state.shows(15, 20));
        let events = Visibility { events: true, ..state };
        assert!(events.shows(5, 15) && events.shows(15, 16) && events.shows(15, OPEN));
        assert!(!events.shows(5, 10) && !events.shows(21, 22) && !events.shows(5, OPEN));
        let all = Visibility { low: 0, high: OPEN, events: false };
        assert!(all.shows(1, OPEN) && !all.shows(1, 2));
    }
}
