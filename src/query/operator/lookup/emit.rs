//! What a look-up puts out: rows on the left that were chosen, and columns of datoms.

use std::sync::Arc;

use super::{LookupOp, SHARED, Slot, Source};
use crate::datom::{AttrId, Columns, OPEN, Value, ValueKind};
use crate::db::Db;
use crate::query::operator::Exec;
use crate::query::operator::batch::{Batch, Column};
use crate::query::plan::{A, E, OP, TX, V};

/// Rows of the left side in sequence: first a run of neighbours, of which only the ends are kept.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub start: usize,
    pub straight: usize,
    pub rest: Vec<u32>,
}

impl Chosen {
    #[inline]
    pub fn push(&mut self, row: u32) {
        if self.rest.is_empty() && self.straight == 0 {
            (self.start, self.straight) = (row as usize, 1);
        } else if self.rest.is_empty() && row as usize == self.start + self.straight {
            self.straight += 1;
        } else {
            self.rest.push(row);
        }
    }

    pub fn push_run(&mut self, start: usize, n: usize) {
        if self.rest.is_empty() && self.straight == 0 {
            (self.start, self.straight) = (start, n);
        } else if self.rest.is_empty() && start == self.start + self.straight {
            self.straight += n;
        } else {
            self.rest.extend(start as u32..(start + n) as u32);
        }
    }

    pub fn repeat(&mut self, row: u32, n: usize) {
        if n == 1 {
            self.push(row);
        } else {
            self.rest.resize(self.rest.len() + n, row);
        }
    }

    pub fn rows(&self) -> Vec<u32> {
        let straight = self.start as u32..(self.start + self.straight) as u32;
        straight.chain(self.rest.iter().copied()).collect()
    }

    pub fn is_straight(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn clear(&mut self) {
        (self.start, self.straight) = (0, 0);
        self.rest.clear();
    }
}

impl LookupOp {
    /// Puts out the datoms `start..end` for the rows of the run. False when the run needs no more (one match is enough).
    pub(super) fn emit(&mut self, columns: &Arc<Columns>, start: usize, end: usize, cx: &mut Exec<'_>) -> bool {
        if self.exists {
            return self.emit_existing(columns, start, end, cx);
        }
        for n in self.next..self.next + self.run {
            let row = self.rows[n];
            if self.checks.is_empty() {
                self.chosen.repeat(row, end - start);
                self.put_run(columns, start, end, cx);
                continue;
            }
            self.matches.clear();
            self.matches.extend(start as u32..end as u32);
            self.picks.clear();
            self.picks.resize(end - start, n as u32);
            self.put_matches(columns, cx);
        }
        true
    }

    /// Marks rows of the run that have a match. Only those that have none yet stay in it.
    fn emit_existing(&mut self, columns: &Arc<Columns>, start: usize, end: usize, cx: &Exec<'_>) -> bool {
        let mut left = self.next;
        for n in self.next..self.next + self.run {
            let row = self.rows[n];
            if (start..end).any(|at| self.passes(columns, at, row as usize, cx)) {
                self.chosen.push(row);
                self.made += 1;
            } else {
                self.in_order = false;
                self.rows[left] = row;
                left += 1;
            }
        }
        // The answered ones go to the front, where the run begins no more.
        let answered = self.next + self.run - left;
        self.rows.copy_within(self.next..left, self.next + answered);
        self.next += answered;
        self.run -= answered;
        self.run > 0
    }

    /// Appends neighbouring datoms to the new columns.
    pub(super) fn put_run(&mut self, columns: &Arc<Columns>, start: usize, end: usize, cx: &mut Exec<'_>) {
        let pin = self.pin(columns, cx);
        let share = end - start >= SHARED && self.made == 0;
        for (position, column) in self.news.iter().zip(&mut self.columns) {
            match *position {
                E if share => *column = Column::of_entities(columns, start..end),
                V if share => *column = Column::of_values(columns, start..end, pin),
                _ => extend_part(column, &self.db, columns, *position, start, end, pin),
            }
        }
        self.made += end - start;
    }

    /// Puts out those of `matches` that pass the checks, for the rows that `picks` tells.
    pub(super) fn put_matches(&mut self, columns: &Arc<Columns>, cx: &mut Exec<'_>) {
        self.check_matches(columns, cx);
        if self.exists {
            self.picks.dedup();
            self.matches.truncate(self.picks.len());
        }
        for pick in &self.picks {
            self.chosen.push(self.rows[*pick as usize]);
        }
        self.made += self.matches.len();
        if self.matches.is_empty() || self.news.is_empty() {
            return;
        }
        let pin = self.pin(columns, cx);
        for (position, column) in self.news.iter().zip(&mut self.columns) {
            match *position {
                E => column.gather_ints(ValueKind::Ref, &columns.e, &self.matches),
                TX => column.gather_ints(ValueKind::Ref, &columns.tx, &self.matches),
                V => column.gather_values(&columns.v, &self.matches, pin),
                position => self.matches.iter().for_each(|datom| {
                    let datom = *datom as usize;
                    extend_part(column, &self.db, columns, position, datom, datom + 1, pin);
                }),
            }
        }
    }

    /// Drops the matches that do not pass a check.
    fn check_matches(&mut self, columns: &Columns, cx: &Exec<'_>) {
        let (mut matches, mut picks) = (std::mem::take(&mut self.matches), std::mem::take(&mut self.picks));
        for check in &self.checks {
            let kind = columns.v.kind();
            match &self.slots[*check] {
                Slot::Const(value, cell) if *check == V && kind == Some(value.kind()) && value.kind().is_inline() => {
                    let cells = columns.v.cells();
                    keep(&mut matches, &mut picks, |datom, _| cells[datom] == *cell);
                }
                Slot::Const(Value::Bool(wanted), _) if *check == OP => match columns.until.plain() {
                    Some(ends) => keep(&mut matches, &mut picks, |datom, _| (ends[datom] == OPEN) == *wanted),
                    None => keep(&mut matches, &mut picks, |datom, _| columns.added(datom) == *wanted),
                },
                Slot::Left(column) if *check == V && self.named.is_empty() => {
                    let column = &self.left.columns[*column];
                    if kind.is_some_and(|kind| kind.is_inline() && column.kind() == Some(kind)) {
                        let (cells, own) = (columns.v.cells(), column.cells());
                        keep(&mut matches, &mut picks, |datom, pick| cells[datom] == own[self.rows[pick] as usize]);
                    } else {
                        let passes =
                            |datom, pick: usize| self.passes_at(*check, columns, datom, self.rows[pick] as usize, cx);
                        keep(&mut matches, &mut picks, passes);
                    }
                }
                _ => {
                    let passes =
                        |datom, pick: usize| self.passes_at(*check, columns, datom, self.rows[pick] as usize, cx);
                    keep(&mut matches, &mut picks, passes);
                }
            }
        }
        (self.matches, self.picks) = (matches, picks);
    }

    /// Whether enough rows are made for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.full || (!self.exists && self.made >= self.most)
    }

    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.anti {
            self.turn_round();
        }
        self.full = false;
        if self.made == 0 {
            return None;
        }
        let made = std::mem::take(&mut self.made);
        let chosen = std::mem::take(&mut self.chosen);
        let mut news: Vec<Option<Column>> =
            self.columns.iter_mut().map(|column| Some(std::mem::take(column))).collect();
        let all = chosen.is_straight() && made == self.left.len && chosen.straight == made;
        let done = self.next >= self.rows.len();
        let uses_left = self.out.iter().any(|source| matches!(source, Source::Left(_)));
        let rows = if chosen.is_straight() || !uses_left { Vec::new() } else { chosen.rows() };
        let in_order = self.in_order || self.anti;
        let mut columns = Vec::with_capacity(self.out.len());
        for source in &self.out {
            columns.push(match source {
                Source::Left(column) if all && done => std::mem::take(&mut self.left.columns[*column]),
                Source::Left(column) if all => self.left.columns[*column].clone(),
                Source::Left(column) if chosen.is_straight() => {
                    self.left.columns[*column].slice(chosen.start..chosen.start + chosen.straight)
                }
                Source::Left(column) if in_order => self.left.columns[*column].gather_ascending(&rows),
                Source::Left(column) => self.left.columns[*column].gather(&rows),
                Source::New(n) => {
                    let mut column = news[*n].take().unwrap_or_default();
                    if self.ascends && self.left.len == 1 && self.news[*n] == E {
                        column.set_ascending();
                    }
                    column
                }
            });
        }
        let mut spare = chosen;
        spare.clear();
        self.chosen = spare;
        Some(Batch { len: made, columns })
    }

    /// From the rows that have a match to those that have none, once all are known.
    fn turn_round(&mut self) {
        if self.next < self.rows.len() {
            return;
        }
        let matched = std::mem::take(&mut self.chosen);
        let left = std::mem::replace(&mut self.unanswered, 0);
        if matched.straight == 0 && matched.rest.is_empty() {
            self.chosen.push_run(0, left);
        } else {
            let mut answered = vec![false; left];
            answered[matched.start..matched.start + matched.straight].fill(true);
            matched.rest.iter().for_each(|row| answered[*row as usize] = true);
            let rows = (0..left as u32).filter(|row| !answered[*row as usize]);
            rows.for_each(|row| self.chosen.push(row));
        }
        self.made = self.chosen.straight + self.chosen.rest.len();
    }

    /// Most datoms to be put out at once, so that a batch stays a batch.
    pub(super) fn piece(&self) -> usize {
        (self.most / self.run.max(1)).max(1)
    }

    /// The number of the leaf in the heap, where its values go out and do not fit a cell.
    fn pin(&self, columns: &Arc<Columns>, cx: &mut Exec<'_>) -> u32 {
        let far = self.news.contains(&V) && columns.v.kind().is_none_or(|kind| !kind.is_inline());
        if far { cx.heap.pin(columns) } else { 0 }
    }
}

/// Appends a position of datoms to a column.
fn extend_part(column: &mut Column, db: &Db, columns: &Columns, position: usize, start: usize, end: usize, pin: u32) {
    match position {
        E => column.extend_ints(ValueKind::Ref, &columns.e, start..end),
        V if end == start + 1 => column.push_value(&columns.v, start, pin),
        V => column.extend_values(&columns.v, start..end, pin),
        TX => column.extend_ints(ValueKind::Ref, &columns.tx, start..end),
        A => {
            for at in start..end {
                match db.schema().shown(AttrId(columns.a.get(at) as u32)) {
                    Some(Value::Keyword(ident)) => column.push(ValueKind::Keyword, u64::from(ident.id())),
                    Some(Value::Ref(entity)) => column.push(ValueKind::Ref, entity.0),
                    _ => column.push(ValueKind::Nil, 0),
                }
            }
        }
        _ => (start..end).for_each(|at| column.push(ValueKind::Bool, u64::from(columns.added(at)))),
    }
}

/// Keeps the matches that pass, and their picks, without a branch for each.
#[inline]
fn keep(matches: &mut Vec<u32>, picks: &mut Vec<u32>, passes: impl Fn(usize, usize) -> bool) {
    let mut kept = 0;
    for i in 0..matches.len() {
        let (datom, pick) = (matches[i], picks[i]);
        (matches[kept], picks[kept]) = (datom, pick);
        kept += usize::from(passes(datom as usize, pick as usize));
    }
    matches.truncate(kept);
    picks.truncate(kept);
}
