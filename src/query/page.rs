//! Pages of an ordered result: where one ended, so that the next begins there, over the same state of the database.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::logic::{Program, SortKey};
use super::operator::{Batch, Heap};
use crate::datom::{EntityId, Value, compare};
use crate::db::Db;
use crate::edn::{Form, FormKind, Symbol, read};
use crate::error::{Error, ErrorKind, Result};

/// Where a page of a query with `:order-by` and `:limit` ended. `Display` gives a text that [`FromStr`] takes and that
/// can stand after `:after` in a query.
///
/// A cursor belongs to the databases that the first page was made of, as of their last transactions then: whatever is
/// transacted in between, the pages are those of one result, and no row is left out or comes twice. Fetching a page does
/// not count the rows of those before it.
///
/// ```
/// use treering::{Cursor, QueryOptions, Value, inputs, q_with};
/// let query = "[:find ?n :in [?n ...] :order-by [?n] :limit 2]";
/// let mut options = QueryOptions { after: Some(Cursor::start()), ..QueryOptions::default() };
/// let mut pages = Vec::new();
/// while options.after.is_some() {
///     let page = q_with(query, inputs![vec![3, 1, 2, 5, 4]], &options)?;
///     pages.push(page.to_form().to_string());
///     options.after = page.cursor().cloned();
/// }
/// assert_eq!(pages, ["[[1] [2]]", "[[3] [4]]", "[[5]]"]);
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor(Option<Arc<Position>>);

#[derive(Debug, PartialEq)]
struct Position {
    /// The order that the pages have: column and whether it descends.
    order: Vec<(usize, bool)>,
    /// The last transaction of each database, in the sequence of `:in`.
    bases: Vec<EntityId>,
    /// The last row of the page.
    row: Vec<Value>,
    /// How many rows equal to that one were given out, where equal rows may come.
    given: usize,
}

impl Cursor {
    /// Before the first page.
    pub fn start() -> Cursor {
        Cursor(None)
    }

    /// The database as it was when the first page was made; `i` counts the databases of `:in`.
    pub(super) fn database(&self, db: &Db, i: usize) -> Result<Db> {
        let Some(position) = &self.0 else { return Ok(db.clone()) };
        let t = *position.bases.get(i).ok_or_else(|| foreign("it is of another number of databases"))?;
        match db.basis_t().cmp(&t) {
            Ordering::Equal => Ok(db.clone()),
            Ordering::Greater => db.as_of(t).map_err(|error| error.context(format_args!("the cursor is of {t}"))),
            Ordering::Less => Err(foreign(&format!("it is of transaction {t}, the database ends at {}", db.basis_t()))),
        }
    }

    /// Checks that the query has the order that the cursor was made for.
    pub(super) fn check(&self, program: &Program, bases: usize) -> Result<()> {
        if program.order_by.is_empty() {
            let message = ":after wants an :order-by, which says what comes after";
            return Err(Error::new(ErrorKind::Query, "query/cursor", message));
        }
        let Some(position) = &self.0 else { return Ok(()) };
        let same_order = position.order.iter().copied().eq(program.order_by.iter().map(|k| (k.column, k.descending)));
        if !same_order || position.row.len() != program.visible || position.bases.len() != bases {
            return Err(foreign("it is of a query with another :find, :in or :order-by"));
        }
        Ok(())
    }
}

fn foreign(why: &str) -> Error {
    Error::new(ErrorKind::Query, "query/cursor", format!("the cursor does not fit the query: {why}"))
}

/// The order of whole rows: the keys of `:order-by`, then all columns.
struct RowOrder<'a> {
    keys: &'a [SortKey],
    rows: &'a Batch,
    heap: &'a Heap,
}

impl RowOrder<'_> {
    fn fold(&self, compare: impl Fn(usize) -> Ordering) -> Ordering {
        let by_keys = self.keys.iter().fold(Ordering::Equal, |so_far, key| {
            so_far.then_with(|| if key.descending { compare(key.column).reverse() } else { compare(key.column) })
        });
        (0..self.rows.columns.len()).fold(by_keys, |so_far, column| so_far.then_with(|| compare(column)))
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        self.fold(|column| {
            let column = &self.rows.columns[column];
            let value = |row: u32| self.heap.get(column.kind_at(row as usize), column.cells()[row as usize]);
            compare(&value(a), &value(b))
        })
    }

    fn compare_to(&self, a: u32, row: &[Value]) -> Ordering {
        self.fold(|i| {
            let column = &self.rows.columns[i];
            let value = self.heap.get(column.kind_at(a as usize), column.cells()[a as usize]);
            row.get(i).map_or(Ordering::Equal, |other| compare(&value, &other.as_ref()))
        })
    }
}

/// The rows of the page after `after`, and the cursor at its end, if the page is full.
pub(super) fn page(
    program: &Program,
    rows: Batch,
    heap: &Heap,
    after: &Cursor,
    bases: Vec<EntityId>,
) -> (Batch, Option<Cursor>) {
    let by = RowOrder { keys: &program.order_by, rows: &rows, heap };
    let mut order: Vec<u32> = (0..rows.len as u32).collect();
    let mut start = program.offset;
    if let Some(position) = &after.0 {
        order.retain(|row| by.compare_to(*row, &position.row).is_ge());
        start = start.saturating_add(position.given);
    }
    let start = start.min(order.len());
    let end = program.limit.map_or(order.len(), |limit| start.saturating_add(limit)).min(order.len());
    if end < order.len() && end > 0 {
        order.select_nth_unstable_by(end - 1, |a, b| by.compare(*a, *b));
        order.truncate(end);
    }
    order.sort_unstable_by(|a, b| by.compare(*a, *b));
    let is_full = program.limit.is_some_and(|limit| limit > 0 && end - start == limit);
    let cursor = order.last().filter(|_| is_full).map(|last| {
        let cell = |column: &super::operator::Column| {
            heap.get(column.kind_at(*last as usize), column.cells()[*last as usize]).to_value()
        };
        Cursor(Some(Arc::new(Position {
            order: program.order_by.iter().map(|key| (key.column, key.descending)).collect(),
            bases,
            row: rows.columns.iter().map(cell).collect(),
            given: order.iter().rev().take_while(|row| by.compare(**row, *last).is_eq()).count(),
        })))
    });
    (rows.gather(order.get(start..end).unwrap_or_default()), cursor)
}

fn symbol(name: &str) -> Symbol {
    Symbol::new(name)
}

/// As EDN that tells kinds apart which EDN alone does not.
fn written(value: &Value) -> Form {
    let tagged = |name: &str, kind: FormKind| FormKind::Tagged(symbol(name), Box::new(kind.into())).into();
    match value {
        Value::Ref(e) => tagged("ref", FormKind::Int(e.0 as i64)),
        Value::Float(x) => tagged("float", FormKind::Float(f64::from(*x))),
        Value::Tuple(members) => FormKind::Vector(members.iter().map(written).collect()).into(),
        other => other.to_form(),
    }
}

fn unwritten(form: &Form) -> Option<Value> {
    match &form.kind {
        FormKind::Tagged(tag, inner) => match (tag.as_str(), &inner.kind) {
            ("ref", FormKind::Int(e)) => Some(Value::Ref(EntityId(u64::try_from(*e).ok()?))),
            ("float", FormKind::Float(x)) => Some(Value::Float(*x as f32)),
            _ => Value::from_form(form),
        },
        FormKind::Vector(members) => {
            Some(Value::Tuple(members.iter().map(unwritten).collect::<Option<Vec<_>>>()?.into()))
        }
        _ => Value::from_form(form),
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(position) = &self.0 else { return f.write_str("nil") };
        let int = |n: u64| Form::from(FormKind::Int(n as i64));
        let vector = |items: Vec<Form>| Form::from(FormKind::Vector(items));
        let order =
            position.order.iter().flat_map(|(column, down)| [int(*column as u64), FormKind::Bool(*down).into()]);
        let parts = vec![
            vector(order.collect()),
            vector(position.bases.iter().map(|t| int(t.0)).collect()),
            vector(position.row.iter().map(written).collect()),
            int(position.given as u64),
        ];
        vector(parts).fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// Reads the text of a cursor.
    fn from_str(text: &str) -> Result<Cursor> {
        let wrong = || Error::new(ErrorKind::Syntax, "query/cursor", "the text is that of no cursor");
        let form = read(text).map_err(|error| wrong().caused_by(error))?;
        if form.is_nil() {
            return Ok(Cursor::start());
        }
        let parse = || {
            let [order, bases, row, given] = form.items()? else { return None };
            let order = order
                .items()?
                .chunks_exact(2)
                .map(|pair| Some((usize::try_from(pair.first()?.as_int()?).ok()?, pair.get(1)?.as_bool()?)));
            let base = |form: &Form| Some(EntityId(u64::try_from(form.as_int()?).ok()?));
            Some(Position {
                order: order.collect::<Option<_>>()?,
                bases: bases.items()?.iter().map(base).collect::<Option<_>>()?,
                row: row.items()?.iter().map(unwritten).collect::<Option<_>>()?,
                given: usize::try_from(given.as_int()?).ok()?,
            })
        };
        Ok(Cursor(Some(Arc::new(parse().ok_or_else(wrong)?))))
    }
}
