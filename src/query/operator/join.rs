//! Pairs that agree in the keys, by hashing one side.

use super::batch::{BATCH, Batch, Column};
use super::build::{build, build_steps, place, places};
use super::key::{KeyColumn, RowIndex, growing_bytes};
use super::pipeline::Pipeline;
use super::{Exec, Operator};
use crate::error::Result;
use crate::query::logic::Var;
use crate::query::plan::{Plan, reduces_early};

/// Where a column of the output comes from.
#[derive(Debug)]
enum Source {
    Left(usize),
    Right(usize),
}

pub(super) struct JoinOp<'q> {
    right_plan: &'q Plan,
    right_width: usize,
    left_keys: Vec<usize>,
    right_keys: Vec<usize>,
    exists: bool,
    build_left: bool,
    out: Vec<Source>,
    /// What is hashed: the right side, or what was fed.
    built: Option<(Batch, RowIndex)>,
    fed: Batch,
    left_width: usize,
    /// With the left side hashed: the right side, which is streamed.
    stream: Option<Stream<'q>>,
    matched: Vec<bool>,
    probe: Batch,
    probe_keys: Vec<KeyColumn>,
    at: usize,
    /// The built row that the probe row at `at` is paired with next.
    partner: Option<u32>,
}

impl<'q> JoinOp<'q> {
    pub fn new(
        right: &'q Plan,
        keys: &[Var],
        exists: bool,
        build_left: bool,
        layout: &[Var],
        next: &[Var],
        _: &mut Exec<'q>,
    ) -> Result<JoinOp<'q>> {
        let right_layout = right.layout();
        let left_keys = keys.iter().map(|var| place(layout, *var)).collect::<Result<_>>()?;
        let right_keys = keys.iter().map(|var| place(right_layout, *var)).collect::<Result<_>>()?;
        let mut out = Vec::with_capacity(next.len());
        for (var, at) in next.iter().zip(places(layout, next)) {
            out.push(match at {
                Some(at) => Source::Left(at),
                None => Source::Right(place(right_layout, *var)?),
            });
        }
        Ok(JoinOp {
            right_plan: right,
            right_width: right_layout.len(),
            left_keys,
            right_keys,
            exists,
            build_left,
            out,
            built: None,
            fed: Batch::empty(layout.len()),
            left_width: layout.len(),
            stream: None,
            matched: Vec::new(),
            probe: Batch::default(),
            probe_keys: Vec::new(),
            at: 0,
            partner: None,
        })
    }

    /// Hashes the right side, once.
    fn build_right(&mut self, cx: &mut Exec<'q>) -> Result<()> {
        if self.built.is_none() {
            let mut pipeline = build(self.right_plan, None, cx)?;
            let batch = pipeline.run(Batch::unit(), self.right_width, cx)?;
            self.built = Some(index(batch, &self.right_keys, cx)?);
        }
        Ok(())
    }

    fn begin_probe(&mut self, batch: Batch, keys: &[usize], cx: &mut Exec<'q>) -> Result<()> {
        let columns: Vec<&Column> = keys.iter().map(|key| &batch.columns[*key]).collect();
        self.probe_keys = KeyColumn::of_all(&columns, &mut cx.heap)?;
        self.probe = batch;
        self.at = 0;
        self.partner = None;
        Ok(())
    }

    /// Pairs of the probe batch; `None` when it is used up.
    fn pair(&mut self) -> Option<Batch> {
        let (built, index) = self.built.as_ref()?;
        let mut probe_rows: Vec<u32> = Vec::new();
        let mut built_rows: Vec<u32> = Vec::new();
        let cross = self.probe_keys.is_empty();
        let all_at_once =
            self.at == 0 && self.probe.len > 0 && self.partner.is_none() && !(self.exists && self.build_left);
        if all_at_once && !cross && index.pair_all(&self.probe_keys, &mut probe_rows, &mut built_rows) {
            self.at = self.probe.len;
        }
        while self.at < self.probe.len && probe_rows.len() < BATCH {
            if self.partner.is_none() {
                self.partner =
                    if cross { (built.len > 0).then_some(0) } else { index.first(&self.probe_keys, self.at) };
            }
            let Some(partner) = self.partner else {
                self.at += 1;
                continue;
            };
            let mut after =
                if cross { Some(partner + 1).filter(|n| (*n as usize) < built.len) } else { index.after(partner) };
            match (self.exists, self.build_left) {
                (true, true) => {
                    if !std::mem::replace(&mut self.matched[partner as usize], true) {
                        built_rows.push(partner);
                        probe_rows.push(self.at as u32);
                    }
                }
                (true, false) => {
                    after = None;
                    probe_rows.push(self.at as u32);
                }
                _ => {
                    probe_rows.push(self.at as u32);
                    built_rows.push(partner);
                }
            }
            self.partner = after;
            if after.is_none() {
                self.at += 1;
            }
        }
        if probe_rows.is_empty() {
            return None;
        }
        let (left, right) = if self.build_left { (built, &self.probe) } else { (&self.probe, built) };
        let (left_rows, right_rows) =
            if self.build_left { (&built_rows, &probe_rows) } else { (&probe_rows, &built_rows) };
        // Rows of the probe that all go out once, in their order.
        let whole =
            probe_rows.len() == self.probe.len && probe_rows.iter().enumerate().all(|(i, row)| i as u32 == *row);
        let ascends = probe_rows.is_sorted();
        let pick = |columns: &[Column], column: usize, rows: &[u32], is_probe: bool| match is_probe {
            true if whole => columns[column].clone(),
            true if ascends => columns[column].gather_ascending(rows),
            _ => columns[column].gather(rows),
        };
        let columns = self.out.iter().map(|source| match source {
            Source::Left(column) => pick(&left.columns, *column, left_rows, !self.build_left),
            Source::Right(column) => pick(&right.columns, *column, right_rows, self.build_left),
        });
        Some(Batch { len: probe_rows.len(), columns: columns.collect() })
    }
}

/// The right side of a join whose left side is hashed. Where its first step gives all keys, the rows that have no partner
/// are dropped before the steps that follow (predicate transfer: Yang, Zhao, Yu and Koutris 2024).
struct Stream<'q> {
    source: Pipeline<'q>,
    /// The steps after the first, and the keys among the columns of the first.
    rest: Option<(Pipeline<'q>, Vec<usize>)>,
    done: bool,
}

impl<'q> Stream<'q> {
    fn new(plan: &'q Plan, keys: &[usize], cx: &mut Exec<'q>) -> Result<Stream<'q>> {
        let vars: Vec<Var> = keys.iter().map(|key| plan.layout()[*key]).collect();
        let (mut source, rest) = if reduces_early(plan, &vars) {
            let layout = plan.layout_before(1);
            let keys = vars.iter().map(|var| place(layout, *var)).collect::<Result<_>>()?;
            let rest = build_steps(plan, 1..plan.steps.len(), None, cx)?;
            (build_steps(plan, 0..1, None, cx)?, Some((rest, keys)))
        } else {
            (build(plan, None, cx)?, None)
        };
        source.start(Batch::unit(), cx)?;
        Ok(Stream { source, rest, done: false })
    }

    fn poll(&mut self, index: Option<&RowIndex>, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        let (Some((rest, keys)), Some(index)) = (&mut self.rest, index) else { return self.source.poll(cx) };
        loop {
            if let Some(batch) = rest.poll(cx)? {
                return Ok(Some(batch));
            }
            match self.source.poll(cx)? {
                Some(batch) => {
                    let batch = reduced(batch, keys, index, cx)?;
                    if batch.len > 0 {
                        rest.feed(batch, cx)?;
                    }
                }
                None if self.done => return Ok(None),
                None => {
                    self.done = true;
                    rest.finish();
                }
            }
        }
    }
}

/// The rows that have a partner.
fn reduced(batch: Batch, keys: &[usize], index: &RowIndex, cx: &mut Exec<'_>) -> Result<Batch> {
    let columns: Vec<&Column> = keys.iter().map(|key| &batch.columns[*key]).collect();
    let keys = KeyColumn::of_all(&columns, &mut cx.heap)?;
    let kept: Vec<u32> = (0..batch.len as u32).filter(|row| index.first(&keys, *row as usize).is_some()).collect();
    if kept.len() == batch.len {
        return Ok(batch);
    }
    let columns = batch.columns.iter().map(|column| column.gather_ascending(&kept)).collect();
    Ok(Batch { len: kept.len(), columns })
}

fn index(batch: Batch, keys: &[usize], cx: &mut Exec<'_>) -> Result<(Batch, RowIndex)> {
    cx.budget.hold(RowIndex::bytes(batch.len, keys.len()))?;
    let columns: Vec<&Column> = keys.iter().map(|key| &batch.columns[*key]).collect();
    let keys = KeyColumn::of_all(&columns, &mut cx.heap)?;
    let len = if keys.is_empty() { 0 } else { batch.len };
    Ok((batch, RowIndex::new(keys, len)))
}

impl<'q> Operator<'q> for JoinOp<'q> {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        if self.build_left {
            cx.budget.hold(growing_bytes(batch.len, batch.columns.len()))?;
            self.fed.append(&batch);
            return Ok(());
        }
        self.build_right(cx)?;
        let keys = self.left_keys.clone();
        self.begin_probe(batch, &keys, cx)
    }

    fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        loop {
            if let Some(batch) = self.pair() {
                return Ok(Some(batch));
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let index = self.built.as_ref().map(|(_, index)| index);
            match stream.poll(index, cx)? {
                Some(batch) => {
                    let keys = self.right_keys.clone();
                    self.begin_probe(batch, &keys, cx)?;
                }
                None => {
                    self.stream = None;
                    self.built = None;
                    return Ok(None);
                }
            }
        }
    }

    fn finish(&mut self, cx: &mut Exec<'q>) -> Result<()> {
        self.probe = Batch::default();
        self.probe_keys.clear();
        self.at = 0;
        if !self.build_left {
            return Ok(());
        }
        let fed = std::mem::replace(&mut self.fed, Batch::empty(self.left_width));
        if fed.len == 0 {
            return Ok(());
        }
        self.matched = vec![false; fed.len];
        self.built = Some(index(fed, &self.left_keys, cx)?);
        self.stream = Some(Stream::new(self.right_plan, &self.right_keys, cx)?);
        Ok(())
    }
}
