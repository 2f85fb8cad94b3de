//! Three variables that ref attributes tie to each other in a circle, `a` to `b`, `b` to `c` and `a` to `c`: for each pair
//! of neighbours the common neighbours, so that no more is done than the worst of such graphs demands (Ngo, Porat, Ré and
//! Rudra 2012).

use super::batch::{BATCH, Batch, Column};
use super::graph::{Neighbours, Nodes, edges};
use super::{Exec, Operator};
use crate::datom::ValueKind;
use crate::error::{Error, ErrorKind, Result};
use crate::query::logic::Var;
use crate::query::plan::Triangle;

pub(super) struct TriangleOp<'q> {
    plan: &'q Triangle,
    /// Which of the three nodes each column of the output is.
    out: Vec<usize>,
    graph: Option<Graph>,
    started: bool,
    /// The next node, and which of its neighbours.
    a: u32,
    b: usize,
    rows: [Vec<u64>; 3],
}

struct Graph {
    nodes: Nodes,
    /// From `a` to `b`, from `b` to `c`, from `a` to `c`.
    sides: [Neighbours; 3],
    /// The number of `a` more one, where a node can be the `c` of it.
    marks: Vec<u32>,
}

impl<'q> TriangleOp<'q> {
    pub fn new(plan: &'q Triangle, next: &[Var]) -> Result<TriangleOp<'q>> {
        let wrong =
            || Error::new(ErrorKind::Internal, "query/plan", "a triangle was planned without one of its columns");
        let place = |var: &Var| plan.vars.iter().position(|other| other == var).ok_or_else(wrong);
        let out = next.iter().map(place).collect::<Result<_>>()?;
        Ok(TriangleOp { plan, out, graph: None, started: false, a: 0, b: 0, rows: Default::default() })
    }

    fn read(&self, cx: &mut Exec<'q>) -> Result<Graph> {
        let mut lists: Vec<(Vec<u64>, Vec<u64>)> = Vec::with_capacity(3);
        for side in &self.plan.sides {
            let db = cx.run.db(side.source).cloned().ok_or_else(|| {
                Error::new(ErrorKind::Internal, "query/plan", "a triangle was planned over a source without indexes")
            })?;
            let (entities, values) = edges(&db, &side.attribute, cx)?;
            lists.push(if side.along { (entities, values) } else { (values, entities) });
        }
        let all: Vec<&[u64]> = lists.iter().flat_map(|(starts, ends)| [starts.as_slice(), ends.as_slice()]).collect();
        let nodes = Nodes::of(&all);
        let side = |i: usize| Neighbours::new(&nodes, &lists[i].0, &lists[i].1);
        let sides = [side(0), side(1), side(2)];
        Ok(Graph { marks: vec![0; nodes.len()], nodes, sides })
    }
}

/// How many times longer a list is than another before it is searched instead of read.
const LONGER: usize = 16;

impl Graph {
    /// Appends the triangles of `a` and its neighbour `b`.
    #[inline]
    fn close(&self, a: u32, b: u32, rows: &mut [Vec<u64>; 3]) {
        let (near, far) = (self.sides[2].of(a), self.sides[1].of(b));
        let before = rows[2].len();
        if far.len() > LONGER * near.len() {
            let common = near.iter().filter(|c| far.binary_search(c).is_ok());
            rows[2].extend(common.map(|c| self.nodes.entity(*c)));
        } else {
            let mark = a + 1;
            let common = far.iter().filter(|c| self.marks[**c as usize] == mark);
            rows[2].extend(common.map(|c| self.nodes.entity(*c)));
        }
        let after = rows[2].len();
        if after > before {
            rows[0].resize(after, self.nodes.entity(a));
            rows[1].resize(after, self.nodes.entity(b));
        }
    }
}

impl<'q> Operator<'q> for TriangleOp<'q> {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        if batch.len > 0 {
            self.graph = Some(self.read(cx)?);
            (self.started, self.a, self.b) = (false, 0, 0);
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        let Some(graph) = &mut self.graph else { return Ok(None) };
        let mut steps = 0_usize;
        while self.rows[2].len() < BATCH && (self.a as usize) < graph.nodes.len() {
            if !self.started {
                for c in graph.sides[2].of(self.a) {
                    graph.marks[*c as usize] = self.a + 1;
                }
                self.started = true;
            }
            let Some(b) = graph.sides[0].of(self.a).get(self.b).copied() else {
                (self.started, self.a, self.b) = (false, self.a + 1, 0);
                continue;
            };
            if !graph.sides[2].of(self.a).is_empty() {
                graph.close(self.a, b, &mut self.rows);
            }
            self.b += 1;
            steps += 1;
            if steps.is_multiple_of(4096) {
                cx.budget.check(0, cx.heap.weight())?;
            }
        }
        let len = self.rows[2].len();
        if len == 0 {
            self.graph = None;
            return Ok(None);
        }
        let mut rows = std::mem::take(&mut self.rows);
        let columns = self.out.iter().map(|i| Column::of(ValueKind::Ref, std::mem::take(&mut rows[*i])));
        Ok(Some(Batch { len, columns: columns.collect() }))
    }
}
