//! Call: transaction functions are called with the database before, in the order of the tx-data, and what they give
//! takes the place of the call. It may call functions in turn.

use crate::datom::{Key, Order, Value};
use crate::db::Db;
use crate::edn::{Keyword, Symbol};
use crate::error::{Error, ErrorKind, Result};
use crate::library::{Named, Tables};
use crate::schema::builtin;

use super::function::{Callee, TxFunction};
use super::input::{Op, TxData};
use super::place::{Place, Source};
use super::probe::Probe;
use super::read;
use super::resolve::holder;

/// Deepest nesting of calls: a function may give calls, whose results have calls.
const MAX_DEPTH: usize = 64;

/// Most calls that come of one operation.
const MAX_CALLS: usize = 1 << 16;

pub(super) fn call(db: &Db, tables: &Tables, data: TxData) -> Result<TxData> {
    if !data.ops.iter().any(|op| matches!(op, Op::Call { .. })) {
        return Ok(data);
    }
    let TxData { ops, meta, source, merges } = data;
    let out = TxData {
        ops: Vec::with_capacity(ops.len()),
        meta,
        source: Source { text: source.text.clone(), places: Vec::with_capacity(ops.len()) },
        merges,
    };
    let mut caller = Caller { db, tables, out };
    for (n, op) in ops.into_iter().enumerate() {
        let place = source.place(n as u32);
        caller.splice(op, place).map_err(|error| source.locate(n as u32, error))?;
    }
    Ok(caller.out)
}

struct Caller<'a> {
    db: &'a Db,
    tables: &'a Tables,
    out: TxData,
}

impl Caller<'_> {
    /// Puts out the operation, or all that comes of it where it is a call.
    fn splice(&mut self, op: Op, place: Place) -> Result<()> {
        // What is left of the results of the calls that are under way, and the functions that gave them.
        let mut frames: Vec<(std::vec::IntoIter<Op>, Option<Symbol>)> = Vec::new();
        let (mut next, mut calls) = (Some((op, None)), 0);
        while let Some((op, function)) = next {
            if let Op::Call { function: callee, args } = op {
                calls += 1;
                if frames.len() >= MAX_DEPTH || calls > MAX_CALLS {
                    let message = format!(
                        "transaction functions call each other more than {MAX_DEPTH} deep, or more than {MAX_CALLS} \
                         times for one operation"
                    );
                    return Err(Error::new(ErrorKind::Limit, "transact/depth", message));
                }
                let (name, function) = self.find(&callee)?;
                let made = function.call(self.db, &args).map_err(|error| failed(name, error))?;
                self.out.meta.attributes.extend(made.meta.attributes);
                frames.push((made.ops.into_iter(), name));
            } else {
                self.out.ops.push(op);
                self.out.source.places.push(Place { function, ..place });
            }
            next = None;
            while let (None, Some((ops, function))) = (&next, frames.last_mut()) {
                next = ops.next().map(|op| (op, *function));
                if next.is_none() {
                    frames.pop();
                }
            }
        }
        Ok(())
    }

    /// The function, and its name where it has one.
    fn find(&self, callee: &Callee) -> Result<(Option<Symbol>, TxFunction)> {
        let name = match callee {
            Callee::Function(function) => return Ok((None, function.clone())),
            Callee::Registered(name) => *name,
            Callee::Installed(ident) => self.installed(*ident)?,
        };
        match self.tables.transaction.get(name) {
            Some(function) => Ok((Some(name), function.clone())),
            None => {
                let message = format!(
                    "no transaction function is registered as {name}{}",
                    did_you_mean(&self.tables.transaction, name)
                );
                Err(Error::new(ErrorKind::Transact, "transact/fn-unresolved", message))
            }
        }
    }

    /// The name of an installed function.
    fn installed(&self, ident: Keyword) -> Result<Symbol> {
        let snapshot = &**self.db.snapshot();
        let key = Key { a: Some(builtin::IDENT), v: Some(Value::Keyword(ident)), ..Key::default() };
        let entity = holder(snapshot, key)?;
        let named = match entity {
            Some(e) => {
                let key = Key { e: Some(e), a: Some(builtin::FN), ..Key::default() };
                Probe::new(&**snapshot.index(Order::Eavt)).first(key)?
            }
            None => None,
        };
        match (named.map(|row| row.v), entity) {
            (Some(Value::Symbol(name)), _) => Ok(name),
            (_, entity) => {
                let what = if entity.is_some() { "its entity has no :db/fn" } else { "no entity has this ident" };
                let message = format!(
                    "{}; as a transaction function it is not installed: {what}",
                    read::unknown_operation(&ident.to_string())
                );
                Err(Error::new(ErrorKind::Transact, "transact/syntax", message))
            }
        }
    }
}

/// `; did you mean f?` for the name nearest to an unknown one.
pub(super) fn did_you_mean<T>(table: &Named<T>, name: Symbol) -> String {
    table.nearest(name).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

fn failed(name: Option<Symbol>, error: Error) -> Error {
    let what = name.map_or("a transaction function".to_owned(), |name| format!("the transaction function {name}"));
    refused("transact/fn", format!("{what} failed"), error)
}

/// The error for users' code that failed. A store that failed says so itself: the transaction may succeed later.
pub(super) fn refused(code: &'static str, what: String, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Storage | ErrorKind::Corrupt => error.context(what),
        _ => Error::new(ErrorKind::Transact, code, format!("{what}: {}", error.message())).caused_by(error),
    }
}
