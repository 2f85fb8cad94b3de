//! Places in what is sorted.

use std::ops::Range;

/// The first place of `range` for which `goes_before` is false, where it is true up to some place and false from there.
pub(crate) fn partition(range: Range<usize>, goes_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if goes_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// [`partition`] for a place that is likely near the start: doubling steps first.
pub(crate) fn gallop(range: Range<usize>, goes_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut step) = (range.start, 1);
    while low + step <= range.end && goes_before(low + step - 1) {
        low += step;
        step *= 2;
    }
    partition(low..range.end.min(low + step), goes_before)
}
