//! A column of numbers.

use std::ops::Range;

use super::order::Side;

/// A column of unsigned integers; one value for all rows takes no room. Columns are equal when their rows are, however
/// they are kept.
#[derive(Debug, Clone)]
pub enum IntColumn {
    /// The same number in every row.
    Constant {
        /// The number.
        value: u64,
        /// How many rows.
        len: usize,
    },
    /// A number for each row.
    Plain(Vec<u64>),
}

impl PartialEq for IntColumn {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|i| self.get(i) == other.get(i))
    }
}

impl Eq for IntColumn {}

impl Default for IntColumn {
    fn default() -> Self {
        IntColumn::Constant { value: 0, len: 0 }
    }
}

impl IntColumn {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            IntColumn::Constant { len, .. } => *len,
            IntColumn::Plain(xs) => xs.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number in row `i`.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Self::len) and the column is plain.
    #[inline]
    pub fn get(&self, i: usize) -> u64 {
        match self {
            IntColumn::Constant { value, .. } => *value,
            IntColumn::Plain(xs) => xs[i],
        }
    }

    /// The numbers, where each row has its own.
    pub fn plain(&self) -> Option<&[u64]> {
        match self {
            IntColumn::Constant { .. } => None,
            IntColumn::Plain(xs) => Some(xs),
        }
    }

    /// Appends `x`.
    #[inline]
    pub fn push(&mut self, x: u64) {
        match self {
            IntColumn::Plain(xs) => xs.push(x),
            IntColumn::Constant { len: len @ 0, value } => {
                *value = x;
                *len = 1;
            }
            IntColumn::Constant { value, len } if *value == x => *len += 1,
            IntColumn::Constant { .. } => self.widen().push(x),
        }
    }

    /// Puts `x` before row `i`.
    pub fn insert(&mut self, i: usize, x: u64) {
        match self {
            IntColumn::Plain(xs) => xs.insert(i, x),
            IntColumn::Constant { value, len } if *len == 0 || *value == x => {
                *value = x;
                *len += 1;
            }
            IntColumn::Constant { .. } => self.widen().insert(i, x),
        }
    }

    /// Removes row `i`.
    pub fn remove(&mut self, i: usize) {
        match self {
            IntColumn::Plain(xs) => {
                xs.remove(i);
            }
            IntColumn::Constant { len, .. } => *len -= 1,
        }
    }

    /// Appends the rows `range` of `other`.
    pub fn extend(&mut self, other: &IntColumn, range: Range<usize>) {
        match other {
            IntColumn::Plain(xs) => self.extend_plain(&xs[range]),
            IntColumn::Constant { value, .. } => match self {
                IntColumn::Constant { value: own, len } if *len == 0 || own == value => {
                    *own = *value;
                    *len += range.len();
                }
                _ if range.is_empty() => {}
                _ => {
                    let own = self.widen();
                    own.resize(own.len() + range.len(), *value);
                }
            },
        }
    }

    fn extend_plain(&mut self, xs: &[u64]) {
        let constant = match self {
            IntColumn::Plain(own) => return own.extend_from_slice(xs),
            IntColumn::Constant { len: 0, .. } => xs.first().copied().unwrap_or(0),
            IntColumn::Constant { value, .. } => *value,
        };
        // One pass that needs no branches to see whether the column stays as it is.
        if xs.iter().all(|x| *x == constant) {
            *self = IntColumn::Constant { value: constant, len: self.len() + xs.len() };
        } else {
            let own = self.widen();
            own.extend_from_slice(xs);
        }
    }

    fn widen(&mut self) -> &mut Vec<u64> {
        if let IntColumn::Constant { value, len } = self {
            *self = IntColumn::Plain(vec![*value; *len]);
        }
        match self {
            IntColumn::Plain(xs) => xs,
            IntColumn::Constant { .. } => unreachable!("made plain above"),
        }
    }

    /// Where in the sorted rows `range` the number `x` would go: before or after its equals.
    #[inline]
    pub fn partition(&self, range: Range<usize>, x: u64, side: Side) -> usize {
        let goes_before = |y: u64| if side == Side::Before { y < x } else { y <= x };
        match self {
            IntColumn::Constant { value, .. } => {
                if goes_before(*value) {
                    range.end
                } else {
                    range.start
                }
            }
            IntColumn::Plain(xs) => range.start + xs[range].partition_point(|y| goes_before(*y)),
        }
    }

    /// The rows of the sorted rows `range` that have the number `x`, or the place where they would be.
    #[inline]
    pub fn equal_range(&self, range: Range<usize>, x: u64) -> Range<usize> {
        let IntColumn::Plain(xs) = self else {
            return self.partition(range.clone(), x, Side::Before)..self.partition(range, x, Side::After);
        };
        let xs = &xs[..range.end];
        let start = range.start + xs[range.start..].partition_point(|y| *y < x);
        // Equals are few as a rule: doubling steps find their end near their start.
        let (mut low, mut step) = (start, 1);
        while xs.get(low + step - 1) == Some(&x) {
            low += step;
            step *= 2;
        }
        let high = xs.len().min(low + step);
        start..low + xs[low..high].partition_point(|y| *y <= x)
    }

    /// The first number of the rows `range` where they are consecutive: each one more than that before it. The rows
    /// must ascend strictly, as the entities of an attribute with one value each do; then this takes no time.
    pub fn consecutive_from(&self, range: Range<usize>) -> Option<u64> {
        let (first, last) = (self.get(range.start), self.get(range.end.checked_sub(1)?));
        (last.wrapping_sub(first) == (range.len() as u64).wrapping_sub(1)).then_some(first)
    }

    /// The rows of `parts`, one part after the other, in the room that they need; constant where all are the same.
    pub(super) fn concat<'a>(parts: impl Iterator<Item = (&'a IntColumn, Range<usize>)> + Clone) -> IntColumn {
        let len = parts.clone().map(|(_, range)| range.len()).sum();
        let mut filled = parts.clone().filter(|(_, range)| !range.is_empty());
        let Some(first) = filled.next().map(|(column, range)| column.get(range.start)) else {
            return IntColumn::default();
        };
        let is_first = |(column, range): (&IntColumn, Range<usize>)| match column {
            IntColumn::Constant { value, .. } => range.is_empty() || *value == first,
            IntColumn::Plain(xs) => xs[range].iter().all(|x| *x == first),
        };
        if parts.clone().all(is_first) {
            return IntColumn::Constant { value: first, len };
        }
        let mut all = Vec::with_capacity(len);
        for (column, range) in parts {
            match column {
                IntColumn::Constant { value, .. } => all.resize(all.len() + range.len(), *value),
                IntColumn::Plain(xs) => all.extend_from_slice(&xs[range]),
            }
        }
        IntColumn::Plain(all)
    }

    /// A column without rows and with room for `n`, for rows like those of `model`.
    pub(crate) fn with_room_like(model: &IntColumn, n: usize) -> IntColumn {
        match model {
            IntColumn::Constant { .. } => IntColumn::default(),
            IntColumn::Plain(_) => IntColumn::Plain(Vec::with_capacity(n)),
        }
    }

    /// Becomes constant where all rows have one number.
    pub(crate) fn unify(&mut self) {
        if let IntColumn::Plain(xs) = self {
            let first = xs.first().copied().unwrap_or(0);
            if xs.iter().all(|x| *x == first) {
                *self = IntColumn::Constant { value: first, len: xs.len() };
            }
        }
    }

    /// The least and the greatest number of the rows `range`; `None` where there are no rows.
    pub fn extremes(&self, range: Range<usize>) -> Option<(u64, u64)> {
        match self {
            _ if range.is_empty() => None,
            IntColumn::Constant { value, .. } => Some((*value, *value)),
            IntColumn::Plain(xs) => {
                let both = |(least, most): (u64, u64), x: &u64| (least.min(*x), most.max(*x));
                Some(xs[range].iter().fold((u64::MAX, 0), both))
            }
        }
    }

    /// The rows `rows`, in that sequence.
    pub(crate) fn gather(&self, rows: &[u32]) -> IntColumn {
        match self {
            IntColumn::Constant { value, .. } => IntColumn::Constant { value: *value, len: rows.len() },
            IntColumn::Plain(xs) => IntColumn::Plain(rows.iter().map(|row| xs[*row as usize]).collect()),
        }
    }

    /// Makes room for `more` rows, where rows take room.
    pub fn reserve(&mut self, more: usize) {
        if let IntColumn::Plain(xs) = self {
            xs.reserve(more);
        }
    }

    /// Bytes held on the heap.
    pub fn weight(&self) -> usize {
        match self {
            IntColumn::Constant { .. } => 0,
            IntColumn::Plain(xs) => xs.capacity() * 8,
        }
    }
}
