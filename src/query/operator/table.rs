//! Tables of recursive rules, and joins with them.

use hashbrown::HashTable;

use super::batch::{BATCH, Batch, Column};
use super::build::place;
use super::key::{KeyColumn, RowSet, growing_bytes, hash_row, same_row, table_bytes};
use super::{Exec, Heap, Operator};
use crate::error::{Error, ErrorKind, Result};
use crate::query::logic::{TableRef, Var};
use crate::query::options::Budget;
use crate::query::plan::{Operand, RuleArg, TableCall};

/// What is known of a rule that is asked in one way.
#[derive(Debug)]
pub(in crate::query) struct Table {
    pub demand: Relation,
    pub answers: Relation,
}

/// A growing set of rows, with indexes.
#[derive(Debug)]
pub(in crate::query) struct Relation {
    rows: Batch,
    seen: RowSet,
    indexes: Vec<GrowingIndex>,
    /// How many of the rows were passed on as new.
    pub passed: usize,
    /// The bytes that the budget knows of.
    held: usize,
}

/// Rows by some of their columns.
#[derive(Debug)]
struct GrowingIndex {
    columns: Vec<usize>,
    keys: Vec<KeyColumn>,
    heads: HashTable<u32>,
    next: Vec<u32>,
}

const END: u32 = u32::MAX;

impl GrowingIndex {
    fn new(columns: Vec<usize>) -> GrowingIndex {
        let keys = vec![KeyColumn::empty(); columns.len()];
        GrowingIndex { columns, keys, heads: HashTable::new(), next: Vec::new() }
    }

    fn push(&mut self, from: &[KeyColumn], row: usize) {
        for (key, column) in self.keys.iter_mut().zip(&self.columns) {
            key.push_from(&from[*column], row);
        }
        let number = self.next.len() as u32;
        if self.columns.is_empty() {
            self.next.push(number.checked_sub(1).unwrap_or(END));
            return;
        }
        let keys = &self.keys;
        let hash = hash_row(keys, number as usize);
        match self.heads.find_mut(hash, |other| same_row(keys, number as usize, keys, *other as usize)) {
            Some(head) => self.next.push(std::mem::replace(head, number)),
            None => {
                self.next.push(END);
                self.heads.insert_unique(hash, number, |other| hash_row(keys, *other as usize));
            }
        }
    }

    fn first(&self, probe: &[KeyColumn], row: usize) -> Option<u32> {
        if self.columns.is_empty() {
            return (self.next.len() as u32).checked_sub(1);
        }
        let keys = &self.keys;
        self.heads.find(hash_row(probe, row), |other| same_row(probe, row, keys, *other as usize)).copied()
    }
}

impl Relation {
    pub fn new(width: usize) -> Relation {
        Relation { rows: Batch::empty(width), seen: RowSet::new(width), indexes: Vec::new(), passed: 0, held: 0 }
    }

    pub fn len(&self) -> usize {
        self.rows.len
    }

    pub fn slice(&self, rows: std::ops::Range<usize>) -> Batch {
        self.rows.slice(rows)
    }

    /// Adds the rows that are new.
    pub fn add(&mut self, batch: &Batch, heap: &mut Heap, budget: &mut Budget) -> Result<()> {
        let columns: Vec<&Column> = batch.columns.iter().collect();
        let keys = KeyColumn::of_all(&columns, heap)?;
        let fresh = self.seen.fresh(&keys, batch.len);
        for index in &mut self.indexes {
            fresh.iter().for_each(|row| index.push(&keys, *row as usize));
        }
        self.rows.append(&batch.gather(&fresh));
        self.hold(budget)
    }

    /// Tells the budget of the most bytes that the relation takes while it grows to its size.
    fn hold(&mut self, budget: &mut Budget) -> Result<()> {
        let index = |index: &GrowingIndex| {
            let rows = index.next.len();
            table_bytes(rows) + growing_bytes(rows, index.columns.len()) + growing_bytes(rows, 1) / 2
        };
        let indexes: usize = self.indexes.iter().map(index).sum();
        let bytes = growing_bytes(self.rows.len, self.rows.columns.len()) + self.seen.bytes() + indexes;
        budget.hold(bytes.saturating_sub(std::mem::replace(&mut self.held, bytes)))
    }

    /// The number of the index by these columns, made when there is none.
    fn index(&mut self, columns: &[usize], heap: &mut Heap, budget: &mut Budget) -> Result<usize> {
        if let Some(found) = self.indexes.iter().position(|index| index.columns == columns) {
            return Ok(found);
        }
        let mut index = GrowingIndex::new(columns.to_vec());
        let keys = KeyColumn::of_all(&self.rows.columns.iter().collect::<Vec<_>>(), heap)?;
        (0..self.rows.len).for_each(|row| index.push(&keys, row));
        self.indexes.push(index);
        self.hold(budget)?;
        Ok(self.indexes.len() - 1)
    }
}

/// Where a column of the output comes from.
enum Source {
    Left(usize),
    Table(usize),
}

/// Joins with what a table holds now; asks it first, where it is asked for answers.
pub(super) struct TableOp<'q> {
    call: &'q TableCall,
    /// The nesting of the component that the table belongs to.
    level: usize,
    /// Columns of the table that are known, and what they are equal to.
    known: Vec<(usize, Operand, Option<usize>)>,
    /// Columns that hold the same new variable as an earlier one.
    same: Vec<(usize, usize)>,
    out: Vec<Source>,
    left: Batch,
    keys: Vec<KeyColumn>,
    index: usize,
    at: usize,
    partner: Option<u32>,
}

impl<'q> TableOp<'q> {
    pub fn new(call: &'q TableCall, layout: &[Var], next: &[Var], cx: &Exec<'q>) -> Result<TableOp<'q>> {
        Self::at_level(call, layout, next, cx.solving.len().saturating_sub(1))
    }

    pub fn at_level(call: &'q TableCall, layout: &[Var], next: &[Var], level: usize) -> Result<TableOp<'q>> {
        let mut known = Vec::new();
        let mut same = Vec::new();
        let mut news: Vec<(Var, usize)> = Vec::new();
        for (column, arg) in call.args.iter().enumerate() {
            match arg {
                RuleArg::Known(Operand::Var(var)) => {
                    known.push((column, Operand::Var(*var), Some(place(layout, *var)?)));
                }
                RuleArg::Known(constant) => known.push((column, constant.clone(), None)),
                RuleArg::Out(var) => match news.iter().find(|(other, _)| other == var) {
                    Some((_, first)) => same.push((*first, column)),
                    None => news.push((*var, column)),
                },
                RuleArg::Any => {}
            }
        }
        let mut out = Vec::with_capacity(next.len());
        for var in next {
            out.push(match layout.iter().position(|other| other == var) {
                Some(column) => Source::Left(column),
                None => {
                    let found = news.iter().find(|(other, _)| other == var).ok_or_else(|| {
                        Error::new(ErrorKind::Internal, "query/plan", "a table was planned without one of its columns")
                    })?;
                    Source::Table(found.1)
                }
            });
        }
        Ok(TableOp {
            call,
            level,
            known,
            same,
            out,
            left: Batch::default(),
            keys: Vec::new(),
            index: 0,
            at: 0,
            partner: None,
        })
    }

    /// The known arguments, a column each, over the rows on the left.
    fn known_columns(&self, batch: &Batch, cx: &mut Exec<'_>) -> Result<Vec<Column>> {
        let mut columns = Vec::with_capacity(self.known.len());
        for (_, operand, place) in &self.known {
            columns.push(match (operand, place) {
                (Operand::Const(value), _) => {
                    let (kind, cell) = cx.heap.cell(&value.as_ref())?;
                    let mut column = Column::default();
                    column.extend_same(kind, cell, batch.len);
                    column
                }
                (_, Some(place)) => batch.columns[*place].clone(),
                _ => Column::default(),
            });
        }
        Ok(columns)
    }
}

fn relation(tables: &mut [Table], table: TableRef) -> &mut Relation {
    match table {
        TableRef::Demand(table) => &mut tables[table].demand,
        TableRef::Answers(table) => &mut tables[table].answers,
    }
}

impl TableOp<'_> {
    /// Asks for the rows of a batch, and makes ready to join them.
    pub fn take(&mut self, batch: Batch, cx: &mut Exec<'_>) -> Result<()> {
        let known = self.known_columns(&batch, cx)?;
        if let TableRef::Answers(table) = self.call.table {
            let asked = self.known.iter().zip(&known).filter(|((column, ..), _)| self.call.required[*column]);
            let asked = Batch { len: batch.len, columns: asked.map(|(_, column)| column.clone()).collect() };
            cx.solving[self.level][table].demand.add(&asked, &mut cx.heap, &mut cx.budget)?;
        }
        let columns: Vec<usize> = self.known.iter().map(|(column, ..)| *column).collect();
        let relation = relation(&mut cx.solving[self.level], self.call.table);
        self.index = relation.index(&columns, &mut cx.heap, &mut cx.budget)?;
        self.keys = KeyColumn::of_all(&known.iter().collect::<Vec<_>>(), &mut cx.heap)?;
        self.left = batch;
        self.at = 0;
        self.partner = None;
        Ok(())
    }

    /// The next rows of the join.
    pub fn pull(&mut self, cx: &mut Exec<'_>) -> Result<Option<Batch>> {
        if self.at >= self.left.len {
            return Ok(None);
        }
        let relation = relation(&mut cx.solving[self.level], self.call.table);
        let index = &relation.indexes[self.index];
        let (mut left_rows, mut table_rows): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let keys: Vec<KeyColumn> = if self.same.is_empty() {
            Vec::new()
        } else {
            let columns: Vec<&Column> = relation.rows.columns.iter().collect();
            KeyColumn::of_all(&columns, &mut cx.heap)?
        };
        while self.at < self.left.len && left_rows.len() < BATCH {
            let partner = match self.partner {
                Some(partner) => Some(partner),
                None => index.first(&self.keys, self.at),
            };
            let Some(partner) = partner else {
                self.at += 1;
                continue;
            };
            let row = partner as usize;
            if self.same.iter().all(|(a, b)| same_row(&keys[*a..=*a], row, &keys[*b..=*b], row)) {
                left_rows.push(self.at as u32);
                table_rows.push(partner);
            }
            self.partner = Some(index.next[row]).filter(|next| *next != END);
            if self.partner.is_none() {
                self.at += 1;
            }
        }
        if left_rows.is_empty() {
            return Ok(None);
        }
        let columns = self.out.iter().map(|source| match source {
            Source::Left(column) => self.left.columns[*column].gather(&left_rows),
            Source::Table(column) => relation.rows.columns[*column].gather(&table_rows),
        });
        Ok(Some(Batch { len: left_rows.len(), columns: columns.collect() }))
    }
}

impl<'q> Operator<'q> for TableOp<'q> {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        self.take(batch, cx)
    }

    fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        self.pull(cx)
    }
}
