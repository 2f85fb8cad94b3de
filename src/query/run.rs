//! One run of a query: what its inputs are, and what it may use.

use super::aggregate::Aggregates;
use super::builtin::Functions;
use super::input::Input;
use super::logic::{Bind, Clause, Constant, Kind, Program, Term};
use super::operator::{Batch, Column, Heap, KeyColumn, RowSet};
use super::options::QueryOptions;
use super::strict;
use crate::datom::{EntityId, Value};
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};

/// What a source of a query is.
#[derive(Debug)]
pub(super) enum Source {
    Db(Db),
    /// A place in [`Run::relations`].
    Relation(usize),
}

/// The inputs of a run, taken in.
pub(super) struct Run<'a> {
    pub program: &'a Program,
    pub functions: &'a Functions,
    pub aggregates: &'a Aggregates,
    pub options: &'a QueryOptions,
    pub sources: Vec<Source>,
    pub constants: Vec<Value>,
    /// First the rows of inputs, in the sequence of [`Program::input_rows`], then sources that are collections.
    pub relations: Vec<Batch>,
    /// How many queries this one is nested in.
    pub depth: usize,
    inputs: &'a [Input],
}

impl<'a> Run<'a> {
    pub fn new(
        program: &'a Program,
        inputs: &'a [Input],
        functions: &'a Functions,
        aggregates: &'a Aggregates,
        options: &'a QueryOptions,
        depth: usize,
        heap: &mut Heap,
    ) -> Result<Run<'a>> {
        if inputs.len() != program.inputs.len() {
            let wanted = (program.inputs.len(), program.inputs.join(" "));
            let message = format!("the query wants {} inputs, :in {}, got {}", wanted.0, wanted.1, inputs.len());
            return Err(Error::new(ErrorKind::Query, "query/arity", message));
        }
        let mut run = Run {
            program,
            functions,
            aggregates,
            options,
            sources: Vec::new(),
            constants: Vec::new(),
            relations: Vec::new(),
            depth,
            inputs,
        };
        for constant in &program.constants {
            run.constants.push(match constant {
                Constant::Literal(value) => value.clone(),
                Constant::Input { input, path } => member(&inputs[*input], path)?,
            });
        }
        for rows in &program.input_rows {
            let relation = match (&inputs[rows.input], rows.path.as_slice()) {
                (Input::Relation(tuples), []) => relation_of_tuples(tuples, &rows.bind, rows.vars.len(), heap)?,
                (input, path) => {
                    let value = member(input, path)?;
                    bind_value(&rows.bind, &value, rows.vars.len(), heap)?
                }
            };
            run.relations.push(relation);
        }
        let mut databases = 0;
        for source in &program.sources {
            run.sources.push(match &inputs[source.input] {
                Input::Db(db) => {
                    databases += 1;
                    Source::Db(match &options.after {
                        Some(after) => after.database(db, databases - 1)?,
                        None => db.clone(),
                    })
                }
                other => {
                    run.relations.push(source_relation(other, source.name.as_str(), heap)?);
                    Source::Relation(run.relations.len() - 1)
                }
            });
        }
        if let Some(after) = &options.after {
            after.check(program, databases)?;
        }
        if options.strict {
            strict::check(&run)?;
        }
        run.check_lookup_refs(&program.clauses)?;
        for branch in program.rules.iter().flat_map(|rule| &rule.branches) {
            run.check_lookup_refs(&branch.body)?;
        }
        Ok(run)
    }

    /// A vector that is written where a pattern has its entity must be a lookup ref. In a source that is a collection it
    /// is a value like others.
    fn check_lookup_refs(&self, clauses: &[Clause]) -> Result<()> {
        for clause in clauses {
            match &clause.kind {
                Kind::Pattern { source, terms } => {
                    let Some(Term::Const(constant)) = terms.first() else { continue };
                    let Constant::Literal(Value::Tuple(members)) = &self.program.constants[*constant] else { continue };
                    if self.db(*source).is_some() && !matches!(members.as_ref(), [Value::Keyword(_), _]) {
                        let got = Value::Tuple(members.clone()).to_form();
                        let message = format!("a lookup ref [:unique-attribute value] was wanted, got {got}");
                        return Err(clause.place.mark(Error::new(ErrorKind::Syntax, "query/syntax", message)));
                    }
                }
                Kind::Not { body, .. } => self.check_lookup_refs(body)?,
                Kind::Or { branches, .. } => branches.iter().try_for_each(|body| self.check_lookup_refs(body))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A source that is a collection, as a value.
    pub fn source_value(&self, source: usize) -> Result<Value> {
        member(&self.inputs[self.program.sources[source].input], &[])
    }

    /// The last transaction that each database shows, in the sequence of `:in`.
    pub fn bases(&self) -> Vec<EntityId> {
        let base = |source: &Source| match source {
            Source::Db(db) => Some(db.as_of_t().unwrap_or_else(|| db.basis_t())),
            Source::Relation(_) => None,
        };
        self.sources.iter().filter_map(base).collect()
    }

    pub fn db(&self, source: usize) -> Option<&Db> {
        match self.sources.get(source) {
            Some(Source::Db(db)) => Some(db),
            _ => None,
        }
    }
}

fn type_error(message: String) -> Error {
    Error::new(ErrorKind::Query, "query/type", message)
}

/// A scalar input, or a member of a tuple.
fn member(input: &Input, path: &[usize]) -> Result<Value> {
    let mut value = match input {
        Input::Value(value) => value.clone(),
        Input::Form(form) => Value::from_form(form)
            .ok_or_else(|| type_error(format!("the input {form} holds a tagged element that is no value")))?,
        Input::Relation(rows) => Value::Tuple(rows.iter().map(|row| Value::Tuple(row.as_slice().into())).collect()),
        Input::Db(_) => return Err(type_error("a value was wanted as an input, got a database".to_owned())),
    };
    for index in path {
        let found = members(&value).and_then(|members| members.get(*index).cloned());
        value = found.ok_or_else(|| {
            type_error(format!("a tuple of at least {} members was wanted as an input, got {value:?}", index + 1))
        })?;
    }
    Ok(value)
}

fn members(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Tuple(xs) | Value::Set(xs) => Some(xs.to_vec()),
        Value::Map(entries) => Some(entries.iter().map(|(k, v)| Value::Tuple([k.clone(), v.clone()].into())).collect()),
        Value::DoubleArray(xs) => Some(xs.iter().map(|x| Value::Double(*x)).collect()),
        Value::FloatArray(xs) => Some(xs.iter().map(|x| Value::Float(*x)).collect()),
        _ => None,
    }
}

/// Takes `value` apart into rows of `slots` values.
pub(super) fn destructure(bind: &Bind, value: &Value, slots: usize) -> Result<Vec<Vec<Value>>> {
    let rows = spread(bind, value, vec![vec![None; slots]])?;
    Ok(rows.into_iter().map(|row| row.into_iter().map(|v| v.unwrap_or(Value::Nil)).collect()).collect())
}

type Partial = Vec<Option<Value>>;

fn spread(bind: &Bind, value: &Value, mut rows: Vec<Partial>) -> Result<Vec<Partial>> {
    match bind {
        Bind::Blank => Ok(rows),
        Bind::Slot(slot) => {
            // A name that stands twice must mean the same.
            rows.retain_mut(|row| match &mut row[*slot] {
                Some(known) => known == value,
                empty => {
                    *empty = Some(value.clone());
                    true
                }
            });
            Ok(rows)
        }
        Bind::Tuple(binds) => {
            let members =
                members(value).ok_or_else(|| type_error(format!("a tuple was wanted to be bound, got {value:?}")))?;
            if members.len() < binds.len() {
                let message = format!("a tuple of {} members was wanted to be bound, got {value:?}", binds.len());
                return Err(type_error(message));
            }
            for (bind, member) in binds.iter().zip(&members) {
                rows = spread(bind, member, rows)?;
            }
            Ok(rows)
        }
        Bind::Collection(inner) => {
            if *value == Value::Nil {
                return Ok(Vec::new());
            }
            let members = members(value)
                .ok_or_else(|| type_error(format!("a collection was wanted to be bound, got {value:?}")))?;
            let mut out = Vec::new();
            for member in &members {
                out.extend(spread(inner, member, rows.clone())?);
            }
            Ok(out)
        }
    }
}

fn bind_value(bind: &Bind, value: &Value, slots: usize, heap: &mut Heap) -> Result<Batch> {
    relation(destructure(bind, value, slots)?.iter().map(Vec::as_slice), slots, heap)
}

/// The common relation input, `[[?x ?y]]`, without a detour.
fn relation_of_tuples(tuples: &[Vec<Value>], bind: &Bind, slots: usize, heap: &mut Heap) -> Result<Batch> {
    let plain = |inner: &Bind| match inner {
        Bind::Tuple(members) => members.iter().enumerate().all(|(i, m)| matches!(m, Bind::Slot(slot) if *slot == i)),
        _ => false,
    };
    if let Bind::Collection(inner) = bind
        && plain(inner)
    {
        if let Some(short) = tuples.iter().find(|tuple| tuple.len() < slots) {
            return Err(type_error(format!("a tuple of {slots} members was wanted to be bound, got {short:?}")));
        }
        return relation(tuples.iter().map(|tuple| &tuple[..slots]), slots, heap);
    }
    let mut rows = Vec::new();
    if let Bind::Collection(inner) = bind {
        for tuple in tuples {
            rows.extend(destructure(inner, &Value::Tuple(tuple.as_slice().into()), slots)?);
        }
    }
    relation(rows.iter().map(Vec::as_slice), slots, heap)
}

/// Columns of distinct rows.
fn relation<'v>(rows: impl Iterator<Item = &'v [Value]>, width: usize, heap: &mut Heap) -> Result<Batch> {
    let mut batch = Batch::empty(width);
    for row in rows {
        for (column, value) in batch.columns.iter_mut().zip(row) {
            let (kind, cell) = heap.cell(&value.as_ref())?;
            column.push(kind, cell);
        }
        batch.len += 1;
    }
    let columns: Vec<&Column> = batch.columns.iter().collect();
    let keys = KeyColumn::of_all(&columns, heap)?;
    let mut seen = RowSet::new(width);
    let kept = seen.fresh(&keys, batch.len);
    Ok(if kept.len() == batch.len { batch } else { batch.gather(&kept) })
}

/// A collection that stands where a database could: its tuples as rows, short ones filled up with nil.
fn source_relation(input: &Input, name: &str, heap: &mut Heap) -> Result<Batch> {
    let value = member(input, &[])?;
    let tuples = members(&value).ok_or_else(|| {
        type_error(format!("a database or a collection of tuples was wanted as the source {name}, got {value:?}"))
    })?;
    let rows: Vec<Vec<Value>> =
        tuples.iter().map(|tuple| members(tuple).unwrap_or_else(|| vec![tuple.clone()])).collect();
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let rows: Vec<Vec<Value>> = rows
        .into_iter()
        .map(|mut row| {
            row.resize(width, Value::Nil);
            row
        })
        .collect();
    relation(rows.iter().map(Vec::as_slice), width, heap)
}

/// Names of functions that constants hold.
pub(super) fn function_name(value: &Value) -> Option<crate::edn::Symbol> {
    match value {
        Value::Symbol(symbol) => Some(*symbol),
        Value::Keyword(keyword) => Some(crate::edn::Symbol::new(keyword.as_str())),
        Value::Str(text) => Some(crate::edn::Symbol::new(text)),
        _ => None,
    }
}
