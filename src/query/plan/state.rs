//! What is known of the rows at some point of a plan.

use crate::query::logic::Var;

/// A set of small numbers: of variables, or of clauses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(in crate::query) struct Set {
    low: u128,
    /// Those from 128 on; never ends with a zero.
    more: Vec<u128>,
}

const BITS: usize = u128::BITS as usize;

impl Set {
    pub fn contains(&self, n: usize) -> bool {
        let word = if n < BITS { self.low } else { self.more.get(n / BITS - 1).copied().unwrap_or(0) };
        word >> (n % BITS) & 1 == 1
    }

    /// Adds a number; whether it is new.
    pub fn insert(&mut self, n: usize) -> bool {
        let word = if n < BITS {
            &mut self.low
        } else {
            if self.more.len() < n / BITS {
                self.more.resize(n / BITS, 0);
            }
            &mut self.more[n / BITS - 1]
        };
        let is_new = *word >> (n % BITS) & 1 == 0;
        *word |= 1 << (n % BITS);
        is_new
    }

    pub fn add_all(&mut self, other: &Set) {
        self.low |= other.low;
        if self.more.len() < other.more.len() {
            self.more.resize(other.more.len(), 0);
        }
        self.more.iter_mut().zip(&other.more).for_each(|(word, other)| *word |= other);
    }

    /// Whether a number is in both, those in `except` aside.
    pub fn meets(&self, other: &Set, except: &Set) -> bool {
        let more = |i: usize| except.more.get(i).copied().unwrap_or(0);
        let mut words = self.more.iter().zip(&other.more).enumerate();
        self.low & other.low & !except.low != 0 || words.any(|(i, (a, b))| a & b & !more(i) != 0)
    }

    pub fn len(&self) -> usize {
        (self.low.count_ones() + self.more.iter().map(|word| word.count_ones()).sum::<u32>()) as usize
    }
}

impl FromIterator<usize> for Set {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Set {
        let mut set = Set::default();
        numbers.into_iter().for_each(|n| {
            set.insert(n);
        });
        set
    }
}

/// The number of a variable in a [`Set`]; [`ROW`](super::ROW), which is the greatest of all, comes first.
#[inline]
pub(super) fn place(var: Var) -> usize {
    var.wrapping_add(1) as usize
}

/// Most rows that are told apart.
const MOST_ROWS: f64 = 1e60;

/// What is known of the rows at some point of a plan.
#[derive(Debug, Clone)]
pub(super) struct State {
    bound: Set,
    pub rows: f64,
    /// How many different values a bound variable has.
    distinct: Vec<(Var, f64)>,
    /// The column by which the rows ascend.
    pub sorted: Option<Var>,
    /// Whether this is the one row without columns that a plan begins with.
    pub unit: bool,
    /// About the nanoseconds that the rows took.
    pub cost: f64,
}

impl State {
    pub fn new(input: &[Var], rows: f64) -> State {
        let unit = input.is_empty() && rows <= 1.0;
        let mut state = State { bound: Set::default(), rows, distinct: Vec::new(), sorted: None, unit, cost: 0.0 };
        input.iter().for_each(|var| state.bind(*var, rows.max(1.0)));
        state
    }

    pub fn bound(&self) -> &Set {
        &self.bound
    }

    pub fn is_bound(&self, var: Var) -> bool {
        self.bound.contains(place(var))
    }

    /// Adds a variable of so many values; one that is bound keeps what it has. Whether it is new.
    pub fn bind_new(&mut self, var: Var, distinct: f64) -> bool {
        let is_new = self.bound.insert(place(var));
        if is_new {
            self.distinct.push((var, distinct));
        }
        is_new
    }

    /// Adds a variable of so many values; one that is bound has no more of them from now on.
    pub fn bind(&mut self, var: Var, distinct: f64) {
        if !self.bind_new(var, distinct)
            && let Some((_, known)) = self.distinct.iter_mut().find(|(other, _)| *other == var)
        {
            *known = known.min(distinct);
        }
    }

    pub fn distinct_of(&self, var: Var) -> f64 {
        let known = self.distinct.iter().find(|(other, _)| *other == var);
        known.map_or(self.rows, |(_, distinct)| *distinct).clamp(1.0, self.rows.max(1.0))
    }

    pub fn narrow(&mut self, rows: f64) {
        // Beyond that all is equally bad, and infinities would make costs that cannot be compared.
        let rows = if rows.is_nan() { MOST_ROWS } else { rows.min(MOST_ROWS) };
        self.rows = rows;
        self.distinct.iter_mut().for_each(|(_, distinct)| *distinct = distinct.min(rows.max(1.0)));
    }

    /// The variables that rows have, with how many values each has.
    pub fn columns(&self) -> &[(Var, f64)] {
        &self.distinct
    }

    /// Drops the columns that are not among `wanted`; they stay bound. Whether there were any.
    pub fn drop_columns(&mut self, wanted: &Set) -> bool {
        let before = self.distinct.len();
        self.distinct.retain(|(var, _)| wanted.contains(place(*var)));
        if self.sorted.is_some_and(|var| !wanted.contains(place(var))) {
            self.sorted = None;
        }
        self.distinct.len() < before
    }

    /// How many rows there can be that differ in their columns.
    pub fn most_distinct(&self) -> f64 {
        self.distinct.iter().map(|(_, distinct)| distinct.max(1.0)).product()
    }
}

#[cfg(test)]
mod tests {
    use super::Set;

    #[test]
    fn sets_hold_what_was_put_in() {
        let numbers = [0, 5, 127, 128, 300, 511];
        let mut set = Set::from_iter(numbers);
        assert!((0..700).all(|n| set.contains(n) == numbers.contains(&n)));
        assert_eq!(set.len(), numbers.len());
        assert!(!set.insert(300) && set.insert(301));
        assert!(
            set.meets(&Set::from_iter([301]), &Set::default())
                && !set.meets(&Set::from_iter([302, 6, 5]), &Set::from_iter([5]))
        );
        let mut other = Set::from_iter([1]);
        other.add_all(&set);
        assert_eq!(other.len(), numbers.len() + 2);
    }
}
