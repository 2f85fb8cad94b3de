//! What the rows say: that facts have the types, numbers and times that they must have, and define the schema.

use hashbrown::HashSet;

use super::findings::Findings;
use super::orders::{Rows, shown};
use super::times::Times;
use crate::datom::{AttrId, EntityId, OPEN, Order, Row, TX0, Value};
use crate::db::Snapshot;
use crate::error::Result;
use crate::schema::{FIRST_USER_ATTRIBUTE, change, system};

/// Checks the facts of a commit, entity by entity.
pub(super) fn check(snapshot: &Snapshot, key: &str, findings: &mut Findings) -> Result<()> {
    // Without these there is nothing to compare with; what is wrong with the index is told.
    let Ok(times) = Times::of(snapshot) else { return Ok(()) };
    check_last(snapshot, &times, key, findings);
    let mut facts = Facts { snapshot, times, key, findings, defining: (0, Vec::new()), defined: HashSet::new() };
    let walked = facts.walk();
    let complete = facts.findings.note(key, walked)?.is_some();
    if complete {
        facts.undefined();
    }
    Ok(())
}

/// The last transaction is the one that the commit names. Without history transactions leave nothing of their own.
fn check_last(snapshot: &Snapshot, times: &Times, key: &str, findings: &mut Findings) {
    if !snapshot.settings.keep_history {
        return;
    }
    let (t, instant) = (snapshot.basis_t.0, snapshot.last_instant);
    match times.last {
        Some(last) if last != (t, instant) => {
            let (at, when) = last;
            let what = format!(
                "the last transaction is {at} at {when} ms, and the commit says that it is {t} at {instant} ms"
            );
            findings.found("verify/basis", key, what);
        }
        None if t > TX0 => {
            findings.found("verify/basis", key, format!("the commit is of transaction {t}, and there is none"));
        }
        _ => {}
    }
}

struct Facts<'a> {
    snapshot: &'a Snapshot,
    times: Times,
    key: &'a str,
    findings: &'a mut Findings,
    /// An entity and what there is of a definition.
    defining: (u64, Vec<(AttrId, Value)>),
    /// Attributes that an entity defines.
    defined: HashSet<AttrId>,
}

impl Facts<'_> {
    fn found(&mut self, code: &'static str, row: &Row, what: &str) {
        let what = format!("the row {} {what}", shown(self.snapshot, row));
        self.findings.found(code, self.key, what);
    }

    /// Goes through current and closed rows side by side.
    fn walk(&mut self) -> Result<()> {
        let mut current = Rows::all(self.snapshot.index(Order::Eavt))?;
        let mut closed = Rows::all(self.snapshot.index(Order::HistoryEavt))?;
        loop {
            let next = match (current.peek()?, closed.peek()?) {
                (Some(one), Some(other)) => one.min(other),
                (one, other) => match one.or(other) {
                    Some(only) => only,
                    None => break,
                },
            };
            let open = take(&mut current, next)?;
            let mut rows = take(&mut closed, next)?;
            open.iter().for_each(|row| self.row(row, false));
            rows.iter().for_each(|row| self.row(row, true));
            self.cardinality(&open);
            self.define(next, &open);
            if !rows.is_empty() {
                rows.extend(open);
                self.intervals(rows);
            }
        }
        self.end_definition();
        Ok(())
    }

    /// Checks one row by itself.
    fn row(&mut self, row: &Row, is_closed: bool) {
        let Some(attribute) = self.snapshot.schema.get(row.a) else {
            return self.found("verify/attribute", row, "has an attribute that the schema does not know");
        };
        let wanted = attribute.value_type.and_then(|value_type| value_type.kind());
        if wanted.is_some_and(|kind| kind != row.v.kind()) {
            self.found("verify/type", row, "has a value of another type than its attribute");
        }
        if is_closed != (row.until != OPEN) || row.tx >= row.until || (is_closed && row.until > self.snapshot.basis_t.0)
        {
            self.found("verify/interval", row, "has an end that it cannot have");
        }
        let is_known = !self.snapshot.settings.keep_history;
        let is_missing = |t: u64| t != TX0 && !is_known && !self.times.has(t);
        let named = match row.v {
            Value::Ref(target) if target.is_transaction() => Some(target.0),
            _ => None,
        };
        let subject = EntityId(row.e).is_transaction().then_some(row.e);
        let end = Some(row.until).filter(|_| is_closed);
        let named = [Some(row.tx), end, named, subject].into_iter().flatten().find(|t| is_missing(*t));
        if let Some(t) = named {
            self.found("verify/transaction", row, &format!("names the transaction {t}, which does not exist"));
        }
    }

    fn cardinality(&mut self, open: &[Row]) {
        if let [row, _, ..] = open
            && self.snapshot.schema.get(row.a).is_some_and(|attribute| !attribute.is_many())
        {
            self.found("verify/cardinality", row, "is one of several of an attribute with one value");
        }
    }

    /// Of one fact the intervals are disjoint.
    fn intervals(&mut self, mut rows: Vec<Row>) {
        rows.sort_by(|x, y| x.v.cmp(&y.v).then(x.tx.cmp(&y.tx)));
        for pair in rows.windows(2) {
            if let [one, next] = pair
                && one.v == next.v
                && one.until > next.tx
            {
                self.found("verify/interval", next, &format!("begins before {} has ended", shown(self.snapshot, one)));
            }
        }
    }

    fn define(&mut self, (e, a): (u64, AttrId), open: &[Row]) {
        if self.defining.0 != e {
            self.end_definition();
            self.defining.0 = e;
        }
        if a < FIRST_USER_ATTRIBUTE && change::is_definition(a) {
            self.defining.1.extend(open.iter().map(|row| (row.a, row.v.clone())));
        }
    }

    /// The definition of an entity is in the schema.
    fn end_definition(&mut self) {
        let (e, mut datoms) = std::mem::take(&mut self.defining);
        let settings = self.snapshot.settings;
        if datoms.is_empty() || (settings.attribute_refs && e <= system::LAST_SYSTEM_ENTITY) {
            return;
        }
        datoms.sort();
        let known = self.snapshot.schema.of_entity(e);
        let id = known.map_or(AttrId(0), |attribute| attribute.id);
        let what = match (change::define(id, e, &datoms, settings.flexibility), known) {
            (Ok(None), None) => return,
            (Ok(Some(defined)), Some(known)) if defined == **known => {
                self.defined.insert(id);
                return;
            }
            (Ok(Some(defined)), _) => {
                format!("the entity {e} defines {}, and the schema of the commit differs", defined.ident)
            }
            (Ok(None), Some(known)) => format!("the entity {e} does not define {}, as the schema says", known.ident),
            (Err(error), _) => format!("the entity {e} defines no attribute: {error}"),
        };
        self.defined.insert(id);
        self.findings.found("verify/schema", self.key, what);
    }

    /// Attributes of the schema that nothing defines.
    fn undefined(&mut self) {
        for attribute in self.snapshot.schema.attributes() {
            if attribute.entity != 0 && !attribute.is_builtin() && !self.defined.contains(&attribute.id) {
                let what =
                    format!("the entity {} does not define {}, as the schema says", attribute.entity, attribute.ident);
                self.findings.found("verify/schema", self.key, what);
            }
        }
    }
}

/// The rows of an entity and an attribute.
fn take(rows: &mut Rows, group: (u64, AttrId)) -> Result<Vec<Row>> {
    let mut taken = Vec::new();
    while rows.peek()? == Some(group) {
        taken.extend(rows.next()?);
    }
    Ok(taken)
}
