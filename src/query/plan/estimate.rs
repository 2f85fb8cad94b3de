//! How many rows a pattern gives, from the counts of index ranges and a sample of the values.

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use super::shape::{Shape, shape};
use super::{A, E, Part, V, ValueRange};
use crate::datom::{AttrId, Component, Cut, Key, Order, Side, Value};
use crate::db::{Db, Mode};
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::Direction;
use crate::query::logic::Term;

/// What is expected of a pattern by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    /// Rows.
    pub rows: f64,
    /// Different values at each position, as far as the pattern leaves it open.
    pub distinct: [f64; 5],
    /// The rows that must be read to find them.
    pub read: f64,
}

/// Rows of a sample, and the stretches of neighbours that it is taken in.
const SAMPLE: usize = 256;
const STRETCHES: usize = 4;

/// The order in which a pattern by itself is best read.
pub(super) fn scan_order(shape: &Shape, range: &ValueRange) -> Order {
    let is_const = |i: usize| matches!(shape.parts[i], Part::Const(_));
    let indexed = shape.attribute.as_ref().is_some_and(|a| a.in_avet());
    if is_const(E) {
        Order::Eavt
    } else if is_const(A) && indexed && (is_const(V) || !range.is_all()) {
        Order::Avet
    } else if is_const(A) {
        Order::Aevt
    } else {
        Order::Eavt
    }
}

/// The longest key of constants that rows in the order begin with, and how many components it has.
pub(super) fn constant_key(parts: &[Part; 5], order: Order) -> (Key, usize) {
    let mut key = Key::default();
    for (n, component) in order.components().iter().enumerate() {
        let part = match component {
            Component::E => &parts[E],
            Component::A => &parts[A],
            Component::V => &parts[V],
            Component::Tx | Component::Until => return (key, n),
        };
        let Part::Const(value) = part else { return (key, n) };
        match component {
            Component::E => key.e = number(value),
            Component::A => key.a = number(value).map(|a| AttrId(a as u32)),
            _ => key.v = Some(value.clone()),
        }
    }
    (key, 3)
}

pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Ref(id) => Some(id.0),
        Value::Long(n) => Some(*n as u64),
        _ => None,
    }
}

/// The cuts of a range: a prefix, and bounds of the value after it.
pub(in crate::query) fn cuts(key: Key, range: &ValueRange) -> (Cut, Cut) {
    let bound = |bound: &Option<(Value, bool)>, inside: Side, outside: Side| match bound {
        Some((v, included)) => {
            Cut { key: Key { v: Some(v.clone()), ..key.clone() }, side: if *included { inside } else { outside } }
        }
        None => Cut { key: key.clone(), side: inside },
    };
    (bound(&range.low, Side::Before, Side::After), bound(&range.high, Side::After, Side::Before))
}

/// What a prepared query remembers of the values of attributes from run to run. It steers the order of clauses alone, so
/// what is out of date costs time at most.
#[derive(Debug, Default)]
pub(in crate::query) struct Samples(Mutex<HashMap<SampleOf, (f64, Sample)>>);

/// An attribute in a mode of views, and whether datoms are filtered.
type SampleOf = (Keyword, Mode, bool);

impl Samples {
    /// Most attributes that are remembered.
    const MOST: usize = 256;

    /// The sample that was taken when there were between half and twice as many rows.
    fn get(&self, of: &SampleOf, rows: f64) -> Option<Sample> {
        self.0.lock().get(of).filter(|(then, _)| rows <= then * 2.0 && *then <= rows * 2.0).map(|(_, sample)| *sample)
    }

    fn put(&self, of: SampleOf, rows: f64, sample: Sample) {
        let mut known = self.0.lock();
        if known.len() >= Samples::MOST {
            known.clear();
        }
        known.insert(of, (rows, sample));
    }
}

/// What is remembered of a pattern: of one attribute with everything else open.
fn sample_of(db: &Db, shape: &Shape, order: Order) -> Option<SampleOf> {
    let open = |i: usize| !matches!(shape.parts[i], Part::Const(_));
    let attribute = shape.attribute.as_ref().filter(|_| order == Order::Aevt && open(E) && open(V))?;
    Some((attribute.ident, db.mode(), db.is_filtered()))
}

pub(super) fn estimate(db: &Db, shape: &Shape, range: &ValueRange, samples: Option<&Samples>) -> Result<Estimate> {
    let order = scan_order(shape, range);
    let (key, len) = constant_key(&shape.parts, order);
    let all = ValueRange::default();
    let (from, to) = cuts(key.clone(), if order == Order::Avet && len == 1 { range } else { &all });
    let bounded = len > 0;
    let (from, to) = (bounded.then_some(&from), bounded.then_some(&to));
    let most = db.count(order, from, to)?.rows;
    let read = most as f64;
    let remembered = samples.and_then(|samples| Some((samples, sample_of(db, shape, order)?)));
    let known = remembered.as_ref().and_then(|(samples, of)| samples.get(of, read));
    let sample = match known {
        _ if read <= 1.0 => Sample::default(),
        Some(sample) => sample,
        None => {
            let sample = sample(db, order, from, to, shape, read)?;
            if let Some((samples, of)) = remembered {
                samples.put(of, read, sample);
            }
            sample
        }
    };
    let expected = db.expected(order, from, to, most)?;
    let rows = (expected * sample.kept()).max(if read > 0.0 { 0.5 } else { 0.0 });
    // Equal values of what the order goes by first stand together.
    let clustered = match order {
        Order::Avet if len == 1 => Some(V),
        _ if len < 2 => Some(E),
        _ => None,
    };
    let mut distinct = [1.0; 5];
    for (i, slot) in distinct.iter_mut().enumerate() {
        if !matches!(shape.parts[i], Part::Const(_)) {
            *slot = sample.distinct(i, rows, clustered == Some(i));
        }
    }
    if let Some(attribute) = &shape.attribute {
        if !attribute.is_many() {
            distinct[E] = if matches!(shape.parts[E], Part::Const(_)) { 1.0 } else { rows.max(1.0) };
        }
        if attribute.unique.is_some() && !matches!(shape.parts[V], Part::Const(_)) {
            distinct[V] = rows.max(1.0);
        }
    }
    Ok(Estimate { rows, distinct, read })
}

/// How many datoms lie behind a pattern, comparisons left out; `None` where they cannot be many.
pub(in crate::query) fn read_of(db: &Db, terms: &[Term], constants: &[Value]) -> Result<Option<f64>> {
    let Ok(shape) = shape(db, terms, constants)? else { return Ok(Some(0.0)) };
    let is_const = |i: usize| matches!(shape.parts[i], Part::Const(_));
    let few = match &shape.attribute {
        Some(attribute) => (is_const(V) && attribute.unique.is_some()) || (is_const(E) && !attribute.is_many()),
        None => is_const(E),
    };
    if few {
        return Ok(None);
    }
    let order = scan_order(&shape, &ValueRange::default());
    let (key, len) = constant_key(&shape.parts, order);
    let (from, to) = cuts(key, &ValueRange::default());
    let bounded = len > 0;
    Ok(Some(db.count(order, bounded.then_some(&from), bounded.then_some(&to))?.rows as f64))
}

#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    seen: usize,
    passed: usize,
    distinct: [usize; 5],
}

impl Sample {
    /// The share of rows that match constants which are no part of the key.
    fn kept(&self) -> f64 {
        if self.seen == 0 { 1.0 } else { (self.passed as f64 / self.seen as f64).max(0.5 / self.seen as f64) }
    }

    /// How many different values `rows` rows have, going by those in the sample.
    fn distinct(&self, position: usize, rows: f64, clustered: bool) -> f64 {
        let (n, d) = (self.seen as f64, self.distinct[position] as f64);
        if n == 0.0 || rows <= n {
            return d.clamp(1.0, rows.max(1.0));
        }
        if clustered {
            return (d / n * rows).clamp(1.0, rows);
        }
        // Few repeats: the number grows with the rows. Many repeats: the sample has seen most of them.
        let share = d / n;
        let grown = d * (rows / n).powf(share * share);
        grown.clamp(1.0, rows.max(1.0))
    }
}

/// Where a sample goes on after its first stretch: at entities that part those of an attribute evenly. What stands at the
/// start of a large range tells little of the rest.
fn stretches(db: &Db, order: Order, from: Option<&Cut>, to: Option<&Cut>, read: f64) -> Result<Vec<Cut>> {
    let Some(from) = from.filter(|_| order == Order::Aevt && read > (2 * SAMPLE) as f64) else {
        return Ok(Vec::new());
    };
    let end = |direction| -> Result<Option<u64>> {
        let chunk = db.cursor(order, Some(from), to, direction)?.next()?;
        Ok(chunk.map(|chunk| {
            chunk.columns.e.get(if direction == Direction::Forward { chunk.start } else { chunk.end - 1 })
        }))
    };
    let (Some(least), Some(most)) = (end(Direction::Forward)?, end(Direction::Reverse)?) else { return Ok(Vec::new()) };
    let cut = |i: u64| {
        let e = least + (most.saturating_sub(least) / STRETCHES as u64) * i;
        Cut::before(Key { e: Some(e), ..from.key.clone() })
    };
    Ok((1..STRETCHES as u64).map(cut).collect())
}

fn sample(db: &Db, order: Order, from: Option<&Cut>, to: Option<&Cut>, shape: &Shape, read: f64) -> Result<Sample> {
    let mut sample = Sample::default();
    let mut seen: [HashSet<Value>; 2] = [HashSet::new(), HashSet::new()];
    let mut ints: [HashSet<u64>; 2] = [HashSet::new(), HashSet::new()];
    let mut cursor = db.cursor(order, from, to, Direction::Forward)?;
    let mut later = stretches(db, order, from, to, read)?.into_iter();
    let mut until = if later.len() > 0 { SAMPLE / STRETCHES } else { SAMPLE };
    while sample.seen < SAMPLE {
        let Some(chunk) = cursor.next()? else { break };
        for row in chunk.rows().take(until - sample.seen) {
            let columns = &chunk.columns;
            sample.seen += 1;
            ints[0].insert(columns.e.get(row));
            ints[1].insert(columns.a.get(row));
            let v = columns.v.get(row).to_value();
            let fits = |i: usize, n: u64| !matches!(&shape.parts[i], Part::Const(c) if number(c) != Some(n));
            let v_fits = !matches!(&shape.parts[V], Part::Const(c) if *c != v);
            if v_fits && fits(E, columns.e.get(row)) && fits(A, columns.a.get(row)) {
                sample.passed += 1;
            }
            seen[0].insert(v);
        }
        if sample.seen == until
            && let Some(cut) = later.next()
        {
            cursor.seek(&cut)?;
            until += SAMPLE / STRETCHES;
        }
    }
    sample.distinct = [ints[0].len(), ints[1].len(), seen[0].len(), sample.seen, 2];
    Ok(sample)
}
