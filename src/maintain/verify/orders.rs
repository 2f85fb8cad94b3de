//! The six orders of a database: each as it must be, and all of the same rows.

use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::{HashMap, HashSet};

use super::facts;
use super::findings::Findings;
use crate::datom::{AttrId, Cut, Key, OPEN, Order, Row};
use crate::db::Snapshot;
use crate::error::Result;
use crate::index::{Chunk, Cursor, Direction, Index};
use crate::schema::Schema;

/// Checks the indexes of a commit; `key` is where that is found.
pub(super) fn check(snapshot: &Snapshot, key: &str, findings: &mut Findings) -> Result<()> {
    for index in &snapshot.indexes {
        findings.note(key, index.check())?;
    }
    let mut sums = Vec::new();
    for order in Order::ALL {
        let of_order = sums_of(snapshot, order, key, findings);
        sums.push(findings.note(key, of_order)?);
    }
    let is_in_avet = |a: AttrId| snapshot.schema.get(a).is_some_and(|attribute| attribute.in_avet());
    for (eavt, aevt, avet) in
        [(Order::Eavt, Order::Aevt, Order::Avet), (Order::HistoryEavt, Order::HistoryAevt, Order::HistoryAvet)]
    {
        let of = |order: Order| sums.get(order as usize).and_then(Option::as_ref);
        let Some(all) = of(eavt) else { continue };
        let some = all.iter().filter(|(a, _)| is_in_avet(**a)).map(|(a, sum)| (*a, *sum)).collect();
        for (other, wanted) in [(aevt, all), (avet, &some)] {
            if let Some(found) = of(other)
                && found != wanted
            {
                let told = differences(snapshot, (eavt, other), (wanted, found), key, findings);
                findings.note(key, told)?;
            }
        }
    }
    let has_closed = snapshot.indexes.iter().any(|index| index.order().is_history() && !index.is_empty());
    if has_closed && !snapshot.settings.keep_history {
        findings.found("verify/interval", key, "the database keeps no history and has closed rows".to_owned());
    }
    facts::check(snapshot, key, findings)
}

/// A sum over rows that does not depend on their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    rows: u64,
    hashes: u64,
    mixed: u64,
}

type Sums = HashMap<AttrId, Sum>;

impl Sum {
    fn add(&mut self, row: &Row) {
        let mut hasher = DefaultHasher::new();
        (row.e, row.v.kind(), &row.v, row.tx, row.until).hash(&mut hasher);
        let hash = hasher.finish();
        self.rows += 1;
        self.hashes = self.hashes.wrapping_add(hash);
        self.mixed = self.mixed.wrapping_add(hash.rotate_left(31).wrapping_mul(hash | 1));
    }
}

/// The sum of each attribute's rows in an order.
fn sums_of(snapshot: &Snapshot, order: Order, key: &str, findings: &mut Findings) -> Result<Sums> {
    let mut sums = Sums::new();
    let mut rows = Rows::all(snapshot.index(order))?;
    let mut before: Option<Row> = None;
    let mut done: u64 = 0;
    while let Some(row) = rows.next()? {
        sums.entry(row.a).or_default().add(&row);
        if order == Order::Avet {
            check_unique(&snapshot.schema, before.as_ref(), &row, key, findings);
            before = Some(row);
        }
        done += 1;
        if done.is_multiple_of(1 << 16) {
            findings.tell("rows", findings.report.rows + done, 0);
        }
    }
    findings.report.rows += done;
    Ok(sums)
}

fn check_unique(schema: &Schema, before: Option<&Row>, row: &Row, key: &str, findings: &mut Findings) {
    let Some(before) = before.filter(|before| before.a == row.a && before.v == row.v && before.e != row.e) else {
        return;
    };
    if let Some(attribute) = schema.get(row.a).filter(|attribute| attribute.unique.is_some()) {
        let what = format!(
            "{} is unique, and the entities {} and {} have the value {}",
            attribute.ident,
            before.e,
            row.e,
            row.v.to_form()
        );
        findings.found("verify/unique", key, what);
    }
}

/// Names the rows that stand in one of two orders alone.
fn differences(
    snapshot: &Snapshot,
    (first, other): (Order, Order),
    (wanted, found): (&Sums, &Sums),
    key: &str,
    findings: &mut Findings,
) -> Result<()> {
    let differing: HashSet<AttrId> =
        wanted.keys().chain(found.keys()).filter(|a| wanted.get(*a) != found.get(*a)).copied().collect();
    for (here, there) in [(first, other), (other, first)] {
        let is_due = |a: AttrId| differing.contains(&a) && (here == other || wanted.contains_key(&a));
        let absent = snapshot.index(there);
        let mut rows = Rows::all(snapshot.index(here))?;
        while let Some(row) = rows.next()? {
            if !is_due(row.a) || findings.is_full() {
                continue;
            }
            let place = Key::of(&row);
            if absent.count(Some(&Cut::before(place.clone())), Some(&Cut::after(place)))? != 1
                || !belongs(&snapshot.schema, other, row.a)
            {
                let what = format!("the row {} stands in {here:?} and not in {there:?}", shown(snapshot, &row));
                findings.found("verify/orders-differ", key, what);
            }
        }
    }
    Ok(())
}

fn belongs(schema: &Schema, order: Order, a: AttrId) -> bool {
    !matches!(order, Order::Avet | Order::HistoryAvet) || schema.get(a).is_some_and(|attribute| attribute.in_avet())
}

/// A row as people read it.
pub(super) fn shown(snapshot: &Snapshot, row: &Row) -> String {
    let a = snapshot.schema.get(row.a).map_or_else(|| format!("#{}", row.a.0), |attribute| attribute.ident.to_string());
    let mut value = row.v.to_form().to_string();
    if let Some((end, _)) = value.char_indices().nth(80) {
        value.truncate(end);
        value.push('…');
    }
    let until = if row.until == OPEN { String::new() } else { format!(" until {}", row.until) };
    format!("[{} {a} {value} {}{until}]", row.e, row.tx)
}

/// The rows of an index, one after the other.
pub(super) struct Rows {
    cursor: Box<dyn Cursor>,
    chunk: Option<Chunk>,
    at: usize,
}

impl Rows {
    pub fn all(index: &std::sync::Arc<dyn Index>) -> Result<Rows> {
        Ok(Rows { cursor: index.cursor(None, None, Direction::Forward)?, chunk: None, at: 0 })
    }

    /// Makes sure that there is a row at `at`; whether there is.
    fn fill(&mut self) -> Result<bool> {
        while self.chunk.as_ref().is_none_or(|chunk| self.at >= chunk.end) {
            self.chunk = self.cursor.next()?;
            let Some(chunk) = &self.chunk else { return Ok(false) };
            self.at = chunk.start;
        }
        Ok(true)
    }

    /// Entity and attribute of the next row.
    pub fn peek(&mut self) -> Result<Option<(u64, AttrId)>> {
        let there = self.fill()?;
        let chunk = self.chunk.as_ref().filter(|_| there);
        Ok(chunk.map(|chunk| (chunk.columns.e.get(self.at), AttrId(chunk.columns.a.get(self.at) as u32))))
    }

    pub fn next(&mut self) -> Result<Option<Row>> {
        if !self.fill()? {
            return Ok(None);
        }
        let row = self.chunk.as_ref().map(|chunk| chunk.columns.row(self.at));
        self.at += 1;
        Ok(row)
    }
}
