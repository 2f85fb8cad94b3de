//! Aggregates: what a find makes of all the values of a group.
//!
//! Sums of longs are exact inside and must fit a long in the end, so that they do not depend on the order of the rows;
//! sums of doubles are compensated (Neumaier). `avg`, `median`, `variance` and `stddev` are always doubles; variance is
//! that of the population. `docs/functions.md` lists them all.

use std::any::Any;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashSet;
use num_bigint::BigInt;

use crate::datom::{Value, ValueKind, ValueRef};
use crate::edn::Symbol;
use crate::error::{Error, ErrorKind, Result};
use crate::library::Named;

use super::builtin::math::{Number, Operation, Random, apply};
use super::builtin::shown;
use super::operator::{growing_bytes, weigh_wide};

/// An aggregate: makes a [`State`] for each group.
pub trait Aggregate: Send + Sync {
    /// A state that has seen nothing. `args` are the constant arguments before the last one: the 3 of `(min 3 ?x)`.
    ///
    /// # Errors
    /// `Query`, code `:query/aggregate`, for arguments that the aggregate does not take.
    fn state(&self, args: &[Value]) -> Result<Box<dyn State>>;
}

/// What an aggregate knows of one group.
pub trait State: Any + Send {
    /// Takes in one value.
    ///
    /// # Errors
    /// `Query`, code `:query/type`, for a value that the aggregate cannot take.
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()>;

    /// Takes in many values of one kind that is inline, told by their cells (see `ValueRef::cell`). What comes out in the
    /// end is the same as after so many calls of [`add`](Self::add).
    ///
    /// # Errors
    /// As [`add`](Self::add).
    fn add_cells(&mut self, kind: ValueKind, cells: &[u64]) -> Result<()> {
        cells.iter().filter_map(|cell| ValueRef::from_cell(kind, *cell)).try_for_each(|value| self.add(&value))
    }

    /// Whether a state that took in values of this kind alone can be [`merge`](Self::merge)d into another, with exactly
    /// the same result as if one had taken in all. No, unless said otherwise.
    fn merges(&self, _kind: ValueKind) -> bool {
        false
    }

    /// Takes in what another state of the same aggregate, with the same arguments, took in after this one.
    ///
    /// # Errors
    /// `Internal`, code `:query/aggregate`, for states that do not merge.
    fn merge(&mut self, _later: Box<dyn State>) -> Result<()> {
        Err(Error::new(ErrorKind::Internal, "query/aggregate", "states were merged that do not merge"))
    }

    /// The most bytes that it took beside its own size, to grow to what it is; for budgets. None, unless said otherwise.
    fn weight(&self) -> usize {
        0
    }

    /// The result.
    ///
    /// # Errors
    /// `Query`, code `:query/overflow`, for a sum that does not fit.
    fn finish(self: Box<Self>) -> Result<Value>;
}

/// A state as what it is.
fn same<S: State>(state: Box<dyn State>) -> Result<Box<S>> {
    let state: Box<dyn Any> = state;
    let wrong = |_| Error::new(ErrorKind::Internal, "query/aggregate", "states of different aggregates were merged");
    state.downcast().map_err(wrong)
}

/// Whether sums of values of a kind are exact.
fn is_exact(kind: ValueKind) -> bool {
    matches!(kind, ValueKind::Long | ValueKind::Ref)
}

/// The aggregates that a find can name. A value: cheap to clone, never changed.
#[derive(Clone, Debug)]
pub struct Aggregates(Named<Arc<dyn Aggregate>>);

impl Aggregates {
    /// Whether both are one table.
    pub(crate) fn is_same(&self, other: &Aggregates) -> bool {
        self.0.is_same(&other.0)
    }

    /// The built-in aggregates.
    pub fn standard() -> Aggregates {
        let table = STANDARD.iter().map(|builtin| {
            let aggregate: Arc<dyn Aggregate> = Arc::new(*builtin);
            (Symbol::new(builtin.name), aggregate)
        });
        Aggregates(table.collect())
    }

    /// These aggregates and one more, which takes the place of one with the same name.
    #[must_use]
    pub fn with(&self, name: Symbol, aggregate: impl Aggregate + 'static) -> Aggregates {
        Aggregates(self.0.with(name, Arc::new(aggregate)))
    }

    /// The aggregate of that name; `clojure.core/count` is `count`.
    pub fn get(&self, name: Symbol) -> Option<&Arc<dyn Aggregate>> {
        self.0.get(name)
    }

    /// The known name that is nearest to an unknown one, for "did you mean".
    pub fn nearest(&self, name: Symbol) -> Option<Symbol> {
        self.0.nearest(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<Symbol> {
        self.0.names()
    }
}

impl Default for Aggregates {
    fn default() -> Self {
        Aggregates::standard()
    }
}

/// Whether an aggregate takes a number before the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Never,
    Perhaps,
    Always,
}

#[derive(Clone, Copy)]
struct Builtin {
    name: &'static str,
    amount: Amount,
    state: fn(Option<usize>) -> Box<dyn State>,
}

const STANDARD: [Builtin; 13] = [
    Builtin { name: "count", amount: Amount::Never, state: |_| Box::new(Counted(0)) },
    Builtin { name: "count-distinct", amount: Amount::Never, state: |_| Box::new(CountDistinct(Different::default())) },
    Builtin { name: "distinct", amount: Amount::Never, state: |_| Box::new(Distinct(Different::default())) },
    Builtin { name: "sum", amount: Amount::Never, state: |_| Box::new(Sum { name: "sum", total: Total::default() }) },
    Builtin { name: "avg", amount: Amount::Never, state: |_| Box::new(Average { total: Total::default(), count: 0 }) },
    Builtin {
        name: "min",
        amount: Amount::Perhaps,
        state: |n| match n {
            None => Box::new(Min(None)),
            Some(n) => Box::new(LeastN { n, least: BinaryHeap::new() }),
        },
    },
    Builtin {
        name: "max",
        amount: Amount::Perhaps,
        state: |n| match n {
            None => Box::new(Max(None)),
            Some(n) => Box::new(GreatestN { n, greatest: BinaryHeap::new() }),
        },
    },
    Builtin { name: "median", amount: Amount::Never, state: |_| Box::new(Median(Vec::new())) },
    Builtin { name: "variance", amount: Amount::Never, state: |_| Box::new(Variance::new("variance", |v| v)) },
    Builtin { name: "stddev", amount: Amount::Never, state: |_| Box::new(Variance::new("stddev", f64::sqrt)) },
    Builtin {
        name: "rand",
        amount: Amount::Perhaps,
        state: |n| match n {
            None => Box::new(Sample { seen: 0, n: 1, kept: Vec::new(), random: Random::seeded(), single: true }),
            Some(n) => Box::new(WithReplacement { n, values: Vec::new() }),
        },
    },
    Builtin {
        name: "sample",
        amount: Amount::Always,
        state: |n| {
            let n = n.unwrap_or(1);
            Box::new(Sample { seen: 0, n, kept: Vec::new(), random: Random::seeded(), single: false })
        },
    },
    Builtin { name: "sum-distinct", amount: Amount::Never, state: |_| Box::new(SumDistinct(Different::default())) },
];

/// Most values that `(rand n ?x)` draws, and most that other aggregates with a number keep.
const MAX_AMOUNT: i64 = 10_000_000;

impl Aggregate for Builtin {
    fn state(&self, args: &[Value]) -> Result<Box<dyn State>> {
        let name = self.name;
        let refuse = |what: String| Err(Error::new(ErrorKind::Query, "query/aggregate", what));
        match (args, self.amount) {
            ([], Amount::Never | Amount::Perhaps) => Ok((self.state)(None)),
            ([Value::Long(n @ 0..=MAX_AMOUNT)], Amount::Perhaps | Amount::Always) => {
                Ok((self.state)(Some(*n as usize)))
            }
            ([], Amount::Always) => refuse(format!("{name} wants a number of values first: ({name} 3 ?x)")),
            ([other], Amount::Perhaps | Amount::Always) => {
                refuse(format!("{name} wants a number of values from 0 to {MAX_AMOUNT} first, got {}", shown(other)))
            }
            (_, Amount::Never) => refuse(format!("{name} takes one variable, got {} arguments", args.len() + 1)),
            _ => refuse(format!("{name} takes a number of values and one variable, got {} arguments", args.len() + 1)),
        }
    }
}

fn type_error(name: &str, value: &ValueRef<'_>) -> Error {
    let message = format!("{name}: a number was wanted, got {}", shown(&value.to_value()));
    Error::new(ErrorKind::Query, "query/type", message)
}

struct Counted(i64);

impl State for Counted {
    fn add(&mut self, _: &ValueRef<'_>) -> Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn add_cells(&mut self, _: ValueKind, cells: &[u64]) -> Result<()> {
        self.0 += cells.len() as i64;
        Ok(())
    }

    fn merges(&self, _: ValueKind) -> bool {
        true
    }

    fn merge(&mut self, later: Box<dyn State>) -> Result<()> {
        self.0 += same::<Counted>(later)?.0;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        Ok(Value::Long(self.0))
    }
}

/// Different values.
#[derive(Default)]
struct Different {
    values: HashSet<Value>,
    /// Of the values that lie elsewhere.
    bytes: usize,
}

impl Different {
    fn insert(&mut self, value: &ValueRef<'_>) {
        let value = value.to_value();
        let bytes = weigh_wide(&value);
        self.bytes += if self.values.insert(value) { bytes } else { 0 };
    }

    /// A table that was just doubled, with what it grew from.
    fn weight(&self) -> usize {
        self.values.len() * 4 * (size_of::<Value>() + 1) + self.bytes
    }
}

struct CountDistinct(Different);

impl State for CountDistinct {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        self.0.insert(value);
        Ok(())
    }

    fn weight(&self) -> usize {
        self.0.weight()
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        Ok(Value::Long(self.0.values.len() as i64))
    }
}

struct Distinct(Different);

impl State for Distinct {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        self.0.insert(value);
        Ok(())
    }

    fn weight(&self) -> usize {
        self.0.weight()
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        Ok(Value::set(self.0.values.into_iter().collect()))
    }
}

/// A sum of numbers of any types: longs apart from doubles apart from the rest, put together at the end.
#[derive(Default)]
struct Total {
    longs: i128,
    /// Sum and lost low-order part of the doubles; `None` while there are none.
    doubles: Option<(f64, f64)>,
    exact: Option<Number>,
}

impl Total {
    fn add_cells(&mut self, name: &str, kind: ValueKind, cells: &[u64]) -> Result<()> {
        match kind {
            ValueKind::Long | ValueKind::Ref => {
                // Halves apart, so that sums of 2^31 cells fit a word.
                for part in cells.chunks(1 << 30) {
                    let (low, high) = part.iter().fold((0_u64, 0_i64), |(low, high), cell| {
                        (low + (cell & 0xFFFF_FFFF), high + ((*cell as i64) >> 32))
                    });
                    self.longs += (i128::from(high) << 32) + i128::from(low);
                }
            }
            ValueKind::Double => cells.iter().for_each(|cell| self.add_double(f64::from_bits(*cell))),
            _ => {
                let mut values = cells.iter().filter_map(|cell| ValueRef::from_cell(kind, *cell));
                values.try_for_each(|value| self.add(name, &value))?;
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, value: &ValueRef<'_>) -> Result<()> {
        match value {
            // 2^64 longs fit an i128.
            ValueRef::Long(n) => self.longs += i128::from(*n),
            ValueRef::Ref(e) => self.longs += i128::from(e.0),
            ValueRef::Double(x) => self.add_double(*x),
            ValueRef::Float(x) => self.add_double(f64::from(*x)),
            other => {
                let number = Number::of(&other.to_value()).ok_or_else(|| type_error(name, other))?;
                self.exact = Some(match self.exact.take() {
                    None => number,
                    Some(sum) => apply(Operation::Add, sum, number).map_err(|failure| failure.error(name))?,
                });
            }
        }
        Ok(())
    }

    fn add_double(&mut self, x: f64) {
        let (sum, lost) = self.doubles.unwrap_or((0.0, 0.0));
        let next = sum + x;
        let residue = if sum.abs() >= x.abs() { (sum - next) + x } else { (x - next) + sum };
        // Infinities leave no residue.
        self.doubles = Some((next, if residue.is_finite() { lost + residue } else { lost }));
    }

    fn finish(self, name: &str) -> Result<Number> {
        let longs = match i64::try_from(self.longs) {
            Ok(sum) => Number::Long(sum),
            // Beyond a long only where wider operands are part of the sum.
            Err(_) if self.exact.is_some() || self.doubles.is_some() => {
                Number::BigInt(Arc::new(BigInt::from(self.longs)))
            }
            Err(_) => return Err(super::builtin::math::Failure::Overflow.error(name)),
        };
        let doubles = self.doubles.map(|(sum, lost)| Number::Double(sum + lost));
        let add = |x, y| apply(Operation::Add, x, y).map_err(|failure| failure.error(name));
        let only_doubles = self.longs == 0 && self.exact.is_none();
        match (doubles, only_doubles) {
            (Some(sum), true) => Ok(sum),
            (doubles, _) => self.exact.into_iter().chain(doubles).try_fold(longs, add),
        }
    }
}

struct Sum {
    name: &'static str,
    total: Total,
}

impl State for Sum {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        self.total.add(self.name, value)
    }

    fn add_cells(&mut self, kind: ValueKind, cells: &[u64]) -> Result<()> {
        self.total.add_cells(self.name, kind, cells)
    }

    fn merges(&self, kind: ValueKind) -> bool {
        is_exact(kind)
    }

    fn merge(&mut self, later: Box<dyn State>) -> Result<()> {
        self.total.longs += same::<Sum>(later)?.total.longs;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        Ok(self.total.finish(self.name)?.into_value())
    }
}

struct SumDistinct(Different);

impl State for SumDistinct {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        self.0.insert(value);
        Ok(())
    }

    fn weight(&self) -> usize {
        self.0.weight()
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        let mut values: Vec<Value> = self.0.values.into_iter().collect();
        values.sort_unstable();
        let mut total = Total::default();
        values.iter().try_for_each(|value| total.add("sum-distinct", &value.as_ref()))?;
        Ok(total.finish("sum-distinct")?.into_value())
    }
}

struct Average {
    total: Total,
    count: u64,
}

impl State for Average {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        self.count += 1;
        self.total.add("avg", value)
    }

    fn add_cells(&mut self, kind: ValueKind, cells: &[u64]) -> Result<()> {
        self.count += cells.len() as u64;
        self.total.add_cells("avg", kind, cells)
    }

    fn merges(&self, kind: ValueKind) -> bool {
        is_exact(kind)
    }

    fn merge(&mut self, later: Box<dyn State>) -> Result<()> {
        let later = same::<Average>(later)?;
        self.count += later.count;
        self.total.longs += later.total.longs;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Value> {
        if self.count == 0 {
            return Ok(Value::Nil);
        }
        let longs = std::mem::take(&mut self.total.longs) as f64;
        Ok(Value::Double((self.total.finish("avg")?.to_double() + longs) / self.count as f64))
    }
}

struct Min(Option<Value>);

impl State for Min {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        let less = |best: &Value| crate::datom::compare(value, &best.as_ref()).is_lt();
        if self.0.as_ref().is_none_or(less) {
            self.0 = Some(value.to_value());
        }
        Ok(())
    }

    fn add_cells(&mut self, kind: ValueKind, cells: &[u64]) -> Result<()> {
        extreme_cell(kind, cells, Ordering::is_lt).map_or(Ok(()), |value| self.add(&value))
    }

    fn merges(&self, kind: ValueKind) -> bool {
        is_exact(kind)
    }

    fn merge(&mut self, later: Box<dyn State>) -> Result<()> {
        same::<Min>(later)?.0.map_or(Ok(()), |value| self.add(&value.as_ref()))
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        Ok(self.0.unwrap_or(Value::Nil))
    }
}

/// The least or greatest of many values, as the order of values has it.
fn extreme_cell(kind: ValueKind, cells: &[u64], wins: fn(Ordering) -> bool) -> Option<ValueRef<'static>> {
    if matches!(kind, ValueKind::Long | ValueKind::Instant) {
        let best = cells.iter().map(|cell| *cell as i64).reduce(|a, b| if wins(b.cmp(&a)) { b } else { a })?;
        return ValueRef::from_cell(kind, best as u64);
    }
    let values = cells.iter().filter_map(|cell| ValueRef::from_cell(kind, *cell));
    values.reduce(|a, b| if wins(crate::datom::compare(&b, &a)) { b } else { a })
}

struct Max(Option<Value>);

impl State for Max {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        let greater = |best: &Value| crate::datom::compare(value, &best.as_ref()).is_gt();
        if self.0.as_ref().is_none_or(greater) {
            self.0 = Some(value.to_value());
        }
        Ok(())
    }

    fn add_cells(&mut self, kind: ValueKind, cells: &[u64]) -> Result<()> {
        extreme_cell(kind, cells, Ordering::is_gt).map_or(Ok(()), |value| self.add(&value))
    }

    fn merges(&self, kind: ValueKind) -> bool {
        is_exact(kind)
    }

    fn merge(&mut self, later: Box<dyn State>) -> Result<()> {
        same::<Max>(later)?.0.map_or(Ok(()), |value| self.add(&value.as_ref()))
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        Ok(self.0.unwrap_or(Value::Nil))
    }
}

/// The n least values; the greatest of them is on top.
struct LeastN {
    n: usize,
    least: BinaryHeap<Value>,
}

impl State for LeastN {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        let beats = |top: &Value| crate::datom::compare(value, &top.as_ref()).is_lt();
        if self.least.len() < self.n {
            self.least.push(value.to_value());
        } else if self.least.peek().is_some_and(beats) {
            self.least.pop();
            self.least.push(value.to_value());
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        Ok(self.least.into_sorted_vec().into())
    }
}

/// The n greatest values; the least of them is on top.
struct GreatestN {
    n: usize,
    greatest: BinaryHeap<Reverse<Value>>,
}

impl State for GreatestN {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        let beats = |top: &Reverse<Value>| crate::datom::compare(value, &top.0.as_ref()).is_gt();
        if self.greatest.len() < self.n {
            self.greatest.push(Reverse(value.to_value()));
        } else if self.greatest.peek().is_some_and(beats) {
            self.greatest.pop();
            self.greatest.push(Reverse(value.to_value()));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        let mut values: Vec<Value> = self.greatest.into_iter().map(|Reverse(value)| value).collect();
        values.sort_unstable();
        Ok(values.into())
    }
}

fn double(name: &str, value: &ValueRef<'_>) -> Result<f64> {
    match value {
        ValueRef::Long(n) => Ok(*n as f64),
        ValueRef::Double(x) => Ok(*x),
        other => Number::of(&other.to_value()).map(|n| n.to_double()).ok_or_else(|| type_error(name, other)),
    }
}

struct Median(Vec<f64>);

impl State for Median {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        self.0.push(double("median", value)?);
        Ok(())
    }

    fn add_cells(&mut self, kind: ValueKind, cells: &[u64]) -> Result<()> {
        match kind {
            ValueKind::Long => self.0.extend(cells.iter().map(|cell| *cell as i64 as f64)),
            ValueKind::Double => self.0.extend(cells.iter().map(|cell| f64::from_bits(*cell))),
            _ => {
                let mut values = cells.iter().filter_map(|cell| ValueRef::from_cell(kind, *cell));
                values.try_for_each(|value| self.add(&value))?;
            }
        }
        Ok(())
    }

    fn weight(&self) -> usize {
        growing_bytes(self.0.len(), 1)
    }

    fn finish(mut self: Box<Self>) -> Result<Value> {
        if self.0.is_empty() {
            return Ok(Value::Nil);
        }
        let middle = self.0.len() / 2;
        let even = self.0.len().is_multiple_of(2);
        let (below, upper, _) = self.0.select_nth_unstable_by(middle, f64::total_cmp);
        let upper = *upper;
        let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| even);
        // Halved before they are added: the sum of two doubles may be infinite.
        Ok(Value::Double(lower.map_or(upper, |lower| lower / 2.0 + upper / 2.0)))
    }
}

/// Mean and squared deviations as values come (Welford 1962), both of the distances from the first value: values that are
/// large and close together, such as ids and instants, would lose their differences otherwise.
///
/// Values are taken in a part at a time, mean and deviations of the part joined to those so far (Chan, Golub and LeVeque
/// 1979). Parts have a fixed length, so that the result does not depend on how many values come at once.
struct Variance {
    name: &'static str,
    first: f64,
    count: f64,
    mean: f64,
    deviations: f64,
    /// What came since the last part.
    pending: Vec<f64>,
    result: fn(f64) -> f64,
}

/// Values of a part.
const PART: usize = 256;

impl Variance {
    fn new(name: &'static str, result: fn(f64) -> f64) -> Variance {
        Variance { name, first: 0.0, count: 0.0, mean: 0.0, deviations: 0.0, pending: Vec::new(), result }
    }

    fn push(&mut self, x: f64) {
        self.pending.push(x);
        if self.pending.len() == PART {
            self.take_pending();
        }
    }

    fn take_cells(&mut self, cells: &[u64], of: impl Fn(u64) -> f64) {
        let missing = if self.pending.is_empty() { 0 } else { PART - self.pending.len() };
        let (begun, rest) = cells.split_at(missing.min(cells.len()));
        begun.iter().for_each(|cell| self.push(of(*cell)));
        let mut parts = rest.chunks_exact(PART);
        let mut part = [0.0; PART];
        for whole in &mut parts {
            part.iter_mut().zip(whole).for_each(|(x, cell)| *x = of(*cell));
            self.take_part(&part);
        }
        parts.remainder().iter().for_each(|cell| self.push(of(*cell)));
    }

    fn take_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.take_part(&pending);
        self.pending = pending;
        self.pending.clear();
    }

    /// Takes in a part.
    fn take_part(&mut self, part: &[f64]) {
        let Some(first) = part.first() else { return };
        if self.count == 0.0 {
            self.first = *first;
        }
        let (first, n, so_far) = (self.first, part.len() as f64, self.count);
        let mean = by_four(part, |x| x - first) / n;
        let deviations = by_four(part, |x| {
            let from_mean = x - first - mean;
            from_mean * from_mean
        });
        let apart = mean - self.mean;
        self.count += n;
        self.mean += apart * n / self.count;
        self.deviations += deviations + apart * apart * so_far * n / self.count;
    }
}

impl State for Variance {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        let x = double(self.name, value)?;
        self.push(x);
        Ok(())
    }

    fn add_cells(&mut self, kind: ValueKind, cells: &[u64]) -> Result<()> {
        match kind {
            ValueKind::Long => self.take_cells(cells, |cell| cell as i64 as f64),
            ValueKind::Double => self.take_cells(cells, f64::from_bits),
            _ => {
                let mut values = cells.iter().filter_map(|cell| ValueRef::from_cell(kind, *cell));
                values.try_for_each(|value| self.add(&value))?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Value> {
        self.take_pending();
        if self.count == 0.0 {
            return Ok(Value::Nil);
        }
        Ok(Value::Double((self.result)(self.deviations / self.count)))
    }
}

/// A sum in four strands, so that one addition need not wait for another.
fn by_four(xs: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; 4];
    let fours = xs.chunks_exact(4);
    let rest: f64 = fours.remainder().iter().map(|x| of(*x)).sum();
    for four in fours {
        sums.iter_mut().zip(four).for_each(|(sum, x)| *sum += of(*x));
    }
    sums.iter().sum::<f64>() + rest
}

/// `n` values at random, no row twice: a reservoir, shuffled at the end.
struct Sample {
    seen: u64,
    n: usize,
    kept: Vec<Value>,
    random: Random,
    /// Give the value itself, not a vector.
    single: bool,
}

impl State for Sample {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        self.seen += 1;
        if self.kept.len() < self.n {
            self.kept.push(value.to_value());
        } else {
            let place = self.random.below(self.seen) as usize;
            if let Some(kept) = self.kept.get_mut(place) {
                *kept = value.to_value();
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Value> {
        if self.single {
            return Ok(self.kept.pop().unwrap_or(Value::Nil));
        }
        for i in (1..self.kept.len()).rev() {
            let j = self.random.below(i as u64 + 1) as usize;
            self.kept.swap(i, j);
        }
        Ok(self.kept.into())
    }
}

struct WithReplacement {
    n: usize,
    values: Vec<Value>,
}

impl State for WithReplacement {
    fn add(&mut self, value: &ValueRef<'_>) -> Result<()> {
        self.values.push(value.to_value());
        Ok(())
    }

    fn weight(&self) -> usize {
        growing_bytes(self.values.len(), size_of::<Value>() / 8)
    }

    fn finish(self: Box<Self>) -> Result<Value> {
        let mut random = Random::seeded();
        let count = self.values.len() as u64;
        let n = if count == 0 { 0 } else { self.n };
        let drawn = (0..n).filter_map(|_| self.values.get(random.below(count) as usize).cloned());
        Ok(drawn.collect::<Vec<_>>().into())
    }
}

#[cfg(test)]
mod tests;
