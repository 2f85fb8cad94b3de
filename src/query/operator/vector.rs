//! Comparison and arithmetic over whole columns, for the common kinds. What comes out is what the functions of the same
//! names would give; where that is not certain, nothing comes out and the functions are called.

use std::cmp::Ordering;

use super::batch::{Batch, Column};
use super::call::Slot;
use super::heap::Heap;
use crate::datom::{ValueKind, ValueRef, compare, compare_numbers};

/// The rows that pass a comparison of two arguments.
pub(super) fn filter(name: &str, slots: &[Slot], batch: &Batch, heap: &Heap) -> Option<Vec<u32>> {
    let [a, b] = slots else { return None };
    let passes: fn(Ordering) -> bool = match name {
        "<" => Ordering::is_lt,
        "<=" => Ordering::is_le,
        ">" => Ordering::is_gt,
        ">=" => Ordering::is_ge,
        "=" | "==" => Ordering::is_eq,
        "not=" | "!=" => Ordering::is_ne,
        _ => return None,
    };
    let (kind_a, kind_b) = (kind(a, batch)?, kind(b, batch)?);
    let is_whole = |kind| matches!(kind, ValueKind::Long | ValueKind::Ref);
    let whole = (is_whole(kind_a) && is_whole(kind_b)) || (kind_a == ValueKind::Instant && kind_b == kind_a);
    if whole {
        return Some(match (a, b) {
            (Slot::Column(a), Slot::Column(b)) => {
                let (a, b) = (batch.columns[*a].cells(), batch.columns[*b].cells());
                select(batch.len, |i| passes((a[i] as i64).cmp(&(b[i] as i64))))
            }
            (Slot::Column(a), _) => against(batch.columns[*a].cells(), cell(b)?, name),
            (_, Slot::Column(b)) => against(batch.columns[*b].cells(), cell(a)?, flip(name)),
            _ => return None,
        });
    }
    let numbers = |kind| matches!(kind, ValueKind::Long | ValueKind::Ref | ValueKind::Double | ValueKind::Float);
    let same_text = kind_a == kind_b && matches!(kind_a, ValueKind::Str | ValueKind::Keyword | ValueKind::Uuid);
    let comparable = same_text || (numbers(kind_a) && numbers(kind_b));
    if !comparable {
        return None;
    }
    let value = |slot: &'_ Slot, row: usize| -> ValueRef<'_> {
        match slot {
            Slot::Column(column) => heap.get(batch.columns[*column].kind_at(row), batch.columns[*column].cells()[row]),
            _ => ValueRef::Nil,
        }
    };
    let order = if same_text { compare } else { compare_numbers };
    Some(match (a, b) {
        (Slot::Const(a), _) => select(batch.len, |i| passes(order(&a.as_ref(), &value(b, i)))),
        (_, Slot::Const(b)) => select(batch.len, |i| passes(order(&value(a, i), &b.as_ref()))),
        _ => select(batch.len, |i| passes(order(&value(a, i), &value(b, i)))),
    })
}

fn kind(slot: &Slot, batch: &Batch) -> Option<ValueKind> {
    match slot {
        Slot::Column(column) => batch.columns[*column].kind(),
        Slot::Const(value) => Some(value.kind()),
        Slot::Db(_) => None,
    }
}

fn cell(slot: &Slot) -> Option<i64> {
    match slot {
        Slot::Const(value) => value.as_ref().cell().map(|cell| cell as i64),
        _ => None,
    }
}

fn flip(name: &str) -> &str {
    match name {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

fn against(cells: &[u64], bound: i64, name: &str) -> Vec<u32> {
    match name {
        "<" => select(cells.len(), |i| (cells[i] as i64) < bound),
        "<=" => select(cells.len(), |i| (cells[i] as i64) <= bound),
        ">" => select(cells.len(), |i| (cells[i] as i64) > bound),
        ">=" => select(cells.len(), |i| (cells[i] as i64) >= bound),
        "=" | "==" => select(cells.len(), |i| (cells[i] as i64) == bound),
        _ => select(cells.len(), |i| (cells[i] as i64) != bound),
    }
}

/// The rows that pass, without a branch for each.
#[inline]
fn select(len: usize, passes: impl Fn(usize) -> bool) -> Vec<u32> {
    let mut rows = vec![0; len];
    let mut kept = 0;
    for i in 0..len {
        rows[kept] = i as u32;
        kept += usize::from(passes(i));
    }
    rows.truncate(kept);
    rows
}

/// The column of an arithmetic function of longs; `None` also where a result does not fit, so that the function says so.
pub(super) fn compute(name: &str, slots: &[Slot], batch: &Batch) -> Option<Column> {
    let operation: fn(i64, i64) -> Option<i64> = match name {
        "+" => i64::checked_add,
        "-" => i64::checked_sub,
        "*" => i64::checked_mul,
        "inc" => |a, _| a.checked_add(1),
        "dec" => |a, _| a.checked_sub(1),
        _ => return None,
    };
    let unary = matches!(name, "inc" | "dec");
    let (a, b) = match slots {
        [a] if unary => (a, a),
        [a, b] if !unary => (a, b),
        _ => return None,
    };
    if kind(a, batch)? != ValueKind::Long || kind(b, batch)? != ValueKind::Long {
        return None;
    }
    let read = |slot: &Slot, row: usize| match slot {
        Slot::Column(column) => Some(batch.columns[*column].cells()[row] as i64),
        other => cell(other),
    };
    let cells = (0..batch.len).map(|row| Some(operation(read(a, row)?, read(b, row)?)? as u64));
    Some(Column::of(ValueKind::Long, cells.collect::<Option<Vec<u64>>>()?))
}
