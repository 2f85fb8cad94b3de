//! Paths over one ref attribute: a search from each start that is asked for, over lists of neighbours.

use super::batch::{BATCH, Batch, Column};
use super::build::place;
use super::graph::{Neighbours, Nodes, edges};
use super::{Exec, Operator};
use crate::datom::{EntityId, Value, ValueKind};
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};
use crate::query::logic::Var;
use crate::query::plan::{Closure, Operand, RuleArg, resolve_entity};

/// An end of the paths.
enum End {
    /// A column on the left says it.
    Column(usize),
    Const(Value),
    Free,
}

/// Where a column of the output comes from.
enum Source {
    Left(usize),
    Start,
    End,
}

pub(super) struct ClosureOp<'q> {
    plan: &'q Closure,
    db: Db,
    /// Where the search begins, and where it leads.
    near: End,
    far: End,
    /// Whether both ends are one variable.
    circles: bool,
    out: Vec<Source>,
    graph: Option<(Nodes, Neighbours)>,
    left: Batch,
    /// The row on the left, and with a free start the node, that comes next.
    row: usize,
    node: u32,
    /// Nodes seen by the search with the number `search`.
    stamps: Vec<u32>,
    search: u32,
    stack: Vec<u32>,
    /// What a search found that has not gone out, from where, for which row.
    found: Vec<u32>,
    given: usize,
}

impl<'q> ClosureOp<'q> {
    pub fn new(plan: &'q Closure, layout: &[Var], next: &[Var], cx: &Exec<'q>) -> Result<ClosureOp<'q>> {
        let wrong = || Error::new(ErrorKind::Internal, "query/plan", "paths were planned without one of their columns");
        let db = cx.run.db(plan.source).cloned().ok_or_else(wrong)?;
        let end = |arg: &RuleArg| {
            Ok(match arg {
                RuleArg::Known(Operand::Var(var)) => End::Column(place(layout, *var)?),
                RuleArg::Known(Operand::Const(value)) => End::Const(value.clone()),
                _ => End::Free,
            })
        };
        let is = |arg: &RuleArg, var: Var| matches!(arg, RuleArg::Out(other) if *other == var);
        let mut out = Vec::with_capacity(next.len());
        for var in next {
            out.push(match layout.iter().position(|other| other == var) {
                Some(column) => Source::Left(column),
                None if is(&plan.near, *var) => Source::Start,
                None if is(&plan.far, *var) => Source::End,
                None => return Err(wrong()),
            });
        }
        let circles = matches!((&plan.near, &plan.far), (RuleArg::Out(a), RuleArg::Out(b)) if a == b);
        let (near, far) = (end(&plan.near)?, end(&plan.far)?);
        Ok(ClosureOp {
            plan,
            db,
            near,
            far,
            circles,
            out,
            graph: None,
            left: Batch::default(),
            row: 0,
            node: 0,
            stamps: Vec::new(),
            search: 0,
            stack: Vec::new(),
            found: Vec::new(),
            given: 0,
        })
    }

    fn read_graph(&mut self, cx: &mut Exec<'q>) -> Result<()> {
        if self.graph.is_some() {
            return Ok(());
        }
        let (entities, values) = edges(&self.db, &self.plan.attribute, cx)?;
        let nodes = Nodes::of(&[&entities, &values]);
        let neighbours = match self.plan.along {
            true => Neighbours::new(&nodes, &entities, &values),
            false => Neighbours::new(&nodes, &values, &entities),
        };
        self.stamps = vec![0; nodes.len()];
        self.graph = Some((nodes, neighbours));
        Ok(())
    }

    /// The entity that an end is in the row at hand.
    fn entity(&self, end: &End, cx: &Exec<'q>) -> Result<Option<u64>> {
        let value = match end {
            End::Const(value) => value.clone(),
            End::Column(column) => {
                let column = &self.left.columns[*column];
                let cell = column.cells()[self.row];
                if column.kind_at(self.row) == ValueKind::Ref {
                    return Ok(Some(cell));
                }
                cx.heap.get(column.kind_at(self.row), cell).to_value()
            }
            End::Free => return Ok(None),
        };
        Ok(resolve_entity(&self.db, &value)?.map(|EntityId(id)| id))
    }

    /// Searches from a node. What is found is in `found`.
    fn search(&mut self, start: u32) {
        let Some((_, neighbours)) = &self.graph else { return };
        self.search += 1;
        self.found.clear();
        self.given = 0;
        self.stack.extend_from_slice(neighbours.of(start));
        while let Some(node) = self.stack.pop() {
            let stamp = &mut self.stamps[node as usize];
            if *stamp != self.search {
                *stamp = self.search;
                self.found.push(node);
                self.stack.extend_from_slice(neighbours.of(node));
            }
        }
    }

    /// Goes to the next start, and searches from it. False after the last one. The start is `node - 1` then.
    fn advance(&mut self, cx: &Exec<'q>) -> Result<bool> {
        while self.row < self.left.len {
            let Some((nodes, _)) = &self.graph else { return Ok(false) };
            let start = if let End::Free = self.near {
                let node = self.node;
                self.node += 1;
                if node as usize >= nodes.len() {
                    (self.row, self.node) = (self.row + 1, 0);
                    continue;
                }
                Some(node)
            } else if self.node == 0 {
                let start = self.entity(&self.near, cx)?.and_then(|entity| nodes.number(entity));
                self.node = start.map_or(0, |start| start + 1);
                start
            } else {
                (self.row, self.node) = (self.row + 1, 0);
                continue;
            };
            let Some(start) = start else {
                (self.row, self.node) = (self.row + 1, 0);
                continue;
            };
            let far = self.entity(&self.far, cx)?.map(|entity| nodes.number(entity));
            self.search(start);
            match far {
                Some(end) => self.found.retain(|node| Some(*node) == end),
                None if !matches!(self.far, End::Free) => self.found.clear(),
                None => {}
            }
            if self.circles {
                self.found.retain(|node| *node == start);
            }
            return Ok(true);
        }
        Ok(false)
    }
}

impl<'q> Operator<'q> for ClosureOp<'q> {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        self.read_graph(cx)?;
        self.left = batch;
        (self.row, self.node, self.given) = (0, 0, 0);
        self.found.clear();
        Ok(())
    }

    fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        let (mut rows, mut starts, mut ends): (Vec<u32>, Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new(), Vec::new());
        let mut empty = 0_usize;
        while ends.len() < BATCH {
            if self.given == self.found.len() {
                if !self.advance(cx)? {
                    break;
                }
                // Searches that find nothing take time as well.
                empty += 1;
                if empty.is_multiple_of(1024) {
                    cx.budget.check(0, cx.heap.most_weight())?;
                }
            }
            let Some((nodes, _)) = &self.graph else { break };
            let n = (self.found.len() - self.given).min(BATCH);
            let part = &self.found[self.given..self.given + n];
            ends.extend(part.iter().map(|node| nodes.entity(*node)));
            if n > 0 {
                starts.resize(ends.len(), nodes.entity(self.node - 1));
                rows.resize(ends.len(), self.row as u32);
            }
            self.given += n;
        }
        if ends.is_empty() {
            return Ok(None);
        }
        let len = ends.len();
        let columns = self.out.iter().map(|source| match source {
            Source::Left(column) => self.left.columns[*column].gather(&rows),
            Source::Start => Column::of(ValueKind::Ref, starts.clone()),
            Source::End => Column::of(ValueKind::Ref, ends.clone()),
        });
        Ok(Some(Batch { len, columns: columns.collect() }))
    }

    fn finish(&mut self, _: &mut Exec<'q>) -> Result<()> {
        self.left = Batch::default();
        Ok(())
    }
}
