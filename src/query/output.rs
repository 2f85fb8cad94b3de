//! What a query found.

use std::sync::Arc;

use super::ast::FindShape;
use super::operator::{Batch, Column, Heap, Rows};
use super::page::Cursor;
use serde::de::DeserializeOwned;

use crate::datom::Value;
use crate::edn::Form;
use crate::error::{Error, Result};

/// The shape of a result.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `:find ?x ?y`: rows.
    Relation,
    /// `:find [?x ...]`: values.
    Collection,
    /// `:find [?x ?y]`: one row, or nothing.
    Tuple,
    /// `:find ?x .`: one value, or nothing.
    Scalar,
    /// With `:keys`, `:strs` or `:syms`: maps; for a tuple one map, or nothing.
    Maps,
}

/// The result of a query, in columns. It keeps the parts of the database alive that its values lie in, and turns cells
/// into values only when they are asked for. A clone shares them.
#[derive(Clone)]
pub struct Output {
    pub(super) find: FindShape,
    pub(super) keys: Option<Arc<[Value]>>,
    pub(super) names: Arc<[String]>,
    /// Whether the rows are a set, in no order that means anything.
    pub(super) is_set: bool,
    pub(super) rows: Arc<Rows>,
    pub(super) heap: Arc<Heap>,
    pub(super) cursor: Option<Cursor>,
    /// Whether rows were left out, or may have been.
    pub(super) was_cut: bool,
    pub(super) warnings: Vec<String>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("shape", &self.shape()).field("rows", &self.rows.len()).finish()
    }
}

impl Output {
    /// A result that is one value.
    pub(super) fn scalar(name: &str, value: &Value) -> Result<Output> {
        let mut heap = Heap::default();
        let (kind, cell) = heap.cell(&value.as_ref())?;
        Ok(Output {
            find: FindShape::Scalar,
            keys: None,
            names: [name.to_owned()].into(),
            is_set: false,
            rows: Arc::new(Rows::of(Batch { len: 1, columns: vec![Column::of(kind, vec![cell])] })),
            heap: Arc::new(heap),
            cursor: None,
            was_cut: false,
            warnings: Vec::new(),
        })
    }

    /// Bytes held, roughly.
    pub(super) fn weight(&self) -> usize {
        self.rows.weight() + self.heap.weight()
    }

    /// The most bytes that the rows take as values while they are made: lists become slices of their own.
    pub(super) fn bytes_as_values(&self) -> usize {
        let columns = self.rows.batches().iter().flat_map(|batch| &batch.columns);
        let (cells, far) =
            columns.fold((0, 0), |(cells, far), column| (cells + column.len(), far + self.heap.far_bytes(column)));
        2 * (self.len() + cells) * size_of::<Value>() + 32 * self.len() + far
    }

    /// Where a page of a query with `:after` ended, if it is full: what the next page begins after.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// What is suspicious about the query: attributes that the schema does not know, Cartesian products, patterns that
    /// read the whole database, rules that nothing calls. They are logged (as `tracing` warnings) too.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The shape that `:find` asked for.
    pub fn shape(&self) -> Shape {
        match self.find {
            _ if self.keys.is_some() => Shape::Maps,
            FindShape::Relation => Shape::Relation,
            FindShape::Collection => Shape::Collection,
            FindShape::Tuple => Shape::Tuple,
            FindShape::Scalar => Shape::Scalar,
        }
    }

    /// The names of the columns, as `:find` has them: `?x`, `(sum ?x)`.
    pub fn columns(&self) -> &[String] {
        &self.names
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// The value in a row and a column; `None` beyond them.
    pub fn get(&self, row: usize, column: usize) -> Option<Value> {
        let (batch, row) = self.rows.find(row)?;
        let column = batch.columns.get(column)?;
        Some(self.heap.get(column.kind_at(row), column.cells()[row]).to_value())
    }

    /// Row by row.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Vec<Value>> + '_ {
        (0..self.rows.len()).map(|row| self.row(row))
    }

    fn row(&self, row: usize) -> Vec<Value> {
        let Some((batch, row)) = self.rows.find(row) else { return Vec::new() };
        let value = |column: &Column| self.heap.get(column.kind_at(row), column.cells()[row]).to_value();
        batch.columns.iter().map(value).collect()
    }

    /// The result as one value: for a relation the set of its tuples (a tuple of tuples where duplicates or the order
    /// count), for a collection a tuple of values, for a tuple or a scalar itself or nil; maps for `:keys`.
    pub fn into_value(self) -> Value {
        self.to_value()
    }

    /// As [`into_value`](Self::into_value), leaving the output as it is.
    pub fn to_value(&self) -> Value {
        if let Some(keys) = &self.keys {
            let map = |row: Vec<Value>| Value::Map(keys.iter().cloned().zip(row).collect());
            return match self.find {
                FindShape::Tuple => self.rows().next().map_or(Value::Nil, map),
                _ => Value::Tuple(self.rows().map(map).collect()),
            };
        }
        match self.find {
            FindShape::Relation => {
                let tuples: Vec<Value> = self.rows().map(Value::from).collect();
                if self.is_set { Value::set(tuples) } else { Value::Tuple(tuples.into()) }
            }
            FindShape::Collection => Value::Tuple(self.rows().filter_map(|row| row.into_iter().next()).collect()),
            FindShape::Tuple => self.rows().next().map_or(Value::Nil, Value::from),
            FindShape::Scalar => self.get(0, 0).unwrap_or(Value::Nil),
        }
    }

    /// The rows as a Rust type: a tuple or a struct of its columns; the values of a collection or a scalar by themselves; a
    /// struct or a map for `:keys` and `:strs`.
    ///
    /// # Errors
    /// `Argument`, code `:typed/mismatch`, for values that the type cannot hold, and for another number of columns than it
    /// has.
    pub fn rows_as<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let one = |mut row: Vec<Value>| match (&self.keys, self.find) {
            (Some(keys), _) => Value::Map(keys.iter().cloned().zip(row).collect()),
            (None, FindShape::Collection | FindShape::Scalar) => row.pop().unwrap_or(Value::Nil),
            _ => Value::from(row),
        };
        let typed = |(i, row)| {
            let place = |error: Error| error.context(format_args!("row {i} of the columns {}", self.names.join(", ")));
            crate::typed::from_value(one(row)).map_err(place)
        };
        self.rows().enumerate().map(typed).collect()
    }

    /// The whole result as a Rust type: `Option<i64>` for a scalar, `Vec<(String, i64)>` for a relation.
    ///
    /// # Errors
    /// `Argument`, for values that the type cannot hold.
    pub fn value_as<T: DeserializeOwned>(&self) -> Result<T> {
        crate::typed::from_value(self.to_value())
    }

    /// The result as EDN.
    pub fn to_form(&self) -> Form {
        self.to_value().to_form()
    }
}

/// The rows, as [`Output::rows_as`] makes them.
impl<T: DeserializeOwned> TryFrom<Output> for Vec<T> {
    type Error = Error;

    fn try_from(output: Output) -> Result<Vec<T>> {
        output.rows_as()
    }
}
