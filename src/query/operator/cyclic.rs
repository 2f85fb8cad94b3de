//! Variables that ref attributes tie to each other in circles, found one after the other: for each the common neighbours
//! of those before it, so that no more is done than the worst of such graphs demands (generic join: Ngo, Ré and Rudra
//! 2013; over lists that are made once, as the free join of Wang, Willsey and Suciu 2023 does with hash tries).
//!
//! Of the lists that a variable must be in, only that of the variable bound last changes from row to row. The others are
//! intersected once, when the last of their variables is bound, and their common nodes are marked.

use super::batch::{BATCH, Batch, Column};
use super::graph::{Neighbours, Nodes, edges};
use super::{Exec, Operator};
use crate::datom::ValueKind;
use crate::error::{Error, ErrorKind, Result};
use crate::query::logic::Var;
use crate::query::plan::Cyclic;

pub(super) struct CyclicOp<'q> {
    plan: &'q Cyclic,
    /// Which of the variables each column of the output is.
    out: Vec<usize>,
    search: Option<Search>,
}

impl<'q> CyclicOp<'q> {
    pub fn new(plan: &'q Cyclic, next: &[Var]) -> Result<CyclicOp<'q>> {
        let wrong =
            || Error::new(ErrorKind::Internal, "query/plan", "a cyclic join was planned without one of its columns");
        let place = |var: &Var| plan.vars.iter().position(|other| other == var).ok_or_else(wrong);
        let out = next.iter().map(place).collect::<Result<_>>()?;
        Ok(CyclicOp { plan, out, search: None })
    }

    fn read(&self, cx: &mut Exec<'q>) -> Result<Search> {
        let ties = &self.plan.ties;
        let same =
            |i: usize, j: usize| ties[i].source == ties[j].source && ties[i].attribute.id == ties[j].attribute.id;
        let mut lists: Vec<(Vec<u64>, Vec<u64>)> = Vec::new();
        let mut list_of: Vec<usize> = Vec::with_capacity(ties.len());
        for (i, tie) in ties.iter().enumerate() {
            if let Some(known) = (0..i).find(|j| same(i, *j)) {
                list_of.push(list_of[known]);
                continue;
            }
            let db = cx.run.db(tie.source).cloned().ok_or_else(|| {
                Error::new(ErrorKind::Internal, "query/plan", "a cyclic join was planned over a source without indexes")
            })?;
            list_of.push(lists.len());
            lists.push(edges(&db, &tie.attribute, cx)?);
        }
        let all: Vec<&[u64]> = lists.iter().flat_map(|(starts, ends)| [starts.as_slice(), ends.as_slice()]).collect();
        let nodes = Nodes::of(&all);
        let mut sides: Vec<Neighbours> = Vec::new();
        let mut side_of: Vec<usize> = Vec::with_capacity(ties.len());
        for (i, tie) in ties.iter().enumerate() {
            if let Some(known) = (0..i).find(|j| same(i, *j) && ties[*j].along == tie.along) {
                side_of.push(side_of[known]);
                continue;
            }
            let (starts, ends) = &lists[list_of[i]];
            let (starts, ends) = if tie.along { (starts, ends) } else { (ends, starts) };
            cx.budget.hold(starts.len() * 4 + nodes.len() * 4)?;
            side_of.push(sides.len());
            sides.push(Neighbours::new(&nodes, starts, ends));
        }
        let depth = self.plan.vars.len();
        let levels = (0..depth).map(|level| {
            let mut into: Vec<(usize, usize)> = ties
                .iter()
                .zip(&side_of)
                .filter(|(tie, _)| tie.to == level)
                .map(|(tie, side)| (tie.from, *side))
                .collect();
            into.sort_unstable();
            let last = into.pop();
            let marks = if into.is_empty() { Vec::new() } else { vec![0; nodes.len()] };
            Level {
                last,
                mark_at: into.last().map(|(from, _)| *from),
                others: into,
                marks,
                stamp: 0,
                common: Vec::new(),
            }
        });
        let starts = ties.iter().zip(&side_of).filter(|(tie, _)| tie.from == 0).map(|(_, side)| *side).collect();
        Ok(Search {
            levels: levels.collect(),
            nodes,
            sides,
            starts,
            bound: vec![0; depth],
            at: vec![0; depth],
            by_common: vec![false; depth],
            level: 0,
            rows: vec![Vec::new(); depth],
            wanted: (0..depth).map(|var| self.out.contains(&var)).collect(),
            len: 0,
        })
    }
}

/// A variable: which lists its node must be in.
struct Level {
    /// The variable bound last among those tied to it, and the side that its list is on.
    last: Option<(usize, usize)>,
    others: Vec<(usize, usize)>,
    /// The variable after which `others` are all known.
    mark_at: Option<usize>,
    /// Has `stamp` where a node is common to the lists of `others`.
    marks: Vec<u32>,
    stamp: u32,
    common: Vec<u32>,
}

/// A search in depth.
struct Search {
    nodes: Nodes,
    sides: Vec<Neighbours>,
    levels: Vec<Level>,
    /// The sides in which the first variable must have neighbours.
    starts: Vec<usize>,
    /// The node that each variable is.
    bound: Vec<u32>,
    /// The place in the list that each variable is taken from: `common` where that is far shorter than the other.
    at: Vec<usize>,
    by_common: Vec<bool>,
    /// The variable that is bound next.
    level: usize,
    rows: Vec<Vec<u64>>,
    wanted: Vec<bool>,
    len: usize,
}

/// How many times longer a list is than another before it is searched instead of read.
const LONGER: usize = 16;

impl Search {
    #[inline]
    fn list(&self, (from, side): (usize, usize)) -> &[u32] {
        self.sides[side].of(self.bound[from])
    }

    /// The next node of the variable `level`, with those before it bound.
    #[inline]
    fn next(&mut self, level: usize) -> Option<u32> {
        loop {
            let at = self.at[level];
            self.at[level] += 1;
            let own = &self.levels[level];
            let Some(last) = own.last else {
                let node = Some(at as u32).filter(|node| (*node as usize) < self.nodes.len())?;
                if self.starts.iter().all(|side| !self.sides[*side].of(node).is_empty()) {
                    return Some(node);
                }
                continue;
            };
            let list = self.list(last);
            if self.by_common[level] {
                let node = *own.common.get(at)?;
                if list.binary_search(&node).is_ok() {
                    return Some(node);
                }
                continue;
            }
            let node = *list.get(at)?;
            if own.others.is_empty() || own.marks[node as usize] == own.stamp {
                return Some(node);
            }
        }
    }

    /// Marks what later variables must be in, as far as it is known with this one. False where there is nothing.
    fn mark(&mut self, level: usize) -> bool {
        for later in level + 1..self.levels.len() {
            if self.levels[later].mark_at != Some(level) {
                continue;
            }
            let mut common = std::mem::take(&mut self.levels[later].common);
            common.clear();
            let others = &self.levels[later].others;
            let shortest = others.iter().copied().min_by_key(|other| self.list(*other).len());
            let Some(shortest) = shortest else { continue };
            let passes = |node: &&u32| {
                others.iter().all(|other| *other == shortest || self.list(*other).binary_search(node).is_ok())
            };
            common.extend(self.list(shortest).iter().filter(passes));
            let own = &mut self.levels[later];
            own.stamp += 1;
            common.iter().for_each(|node| own.marks[*node as usize] = own.stamp);
            own.common = common;
            if own.common.is_empty() {
                return false;
            }
        }
        true
    }

    /// Makes the list ready that a variable is taken from.
    fn enter(&mut self, level: usize) {
        self.at[level] = 0;
        let own = &self.levels[level];
        self.by_common[level] =
            own.last.is_some_and(|last| !own.others.is_empty() && self.list(last).len() > LONGER * own.common.len());
    }

    /// Appends the rows of the last variable, all others bound.
    #[inline]
    fn close(&mut self, level: usize) {
        self.enter(level);
        let own = &self.levels[level];
        let Some(last) = own.last else { return };
        let list = self.sides[last.1].of(self.bound[last.0]);
        let mut found = std::mem::take(&mut self.rows[level]);
        let before = self.len;
        let entity = |node: &u32| self.nodes.entity(*node);
        match (self.wanted[level], self.by_common[level], own.others.is_empty()) {
            (true, true, _) => {
                found.extend(own.common.iter().filter(|node| list.binary_search(node).is_ok()).map(entity));
                self.len = found.len();
            }
            (true, false, true) => {
                found.extend(list.iter().map(entity));
                self.len = found.len();
            }
            (true, false, false) => {
                found.extend(list.iter().filter(|node| own.marks[**node as usize] == own.stamp).map(entity));
                self.len = found.len();
            }
            (false, true, _) => self.len += own.common.iter().filter(|node| list.binary_search(node).is_ok()).count(),
            (false, false, true) => self.len += list.len(),
            (false, false, false) => {
                self.len += list.iter().map(|node| usize::from(own.marks[*node as usize] == own.stamp)).sum::<usize>();
            }
        }
        self.rows[level] = found;
        if self.len > before {
            for earlier in (0..level).filter(|earlier| self.wanted[*earlier]) {
                let entity = self.nodes.entity(self.bound[earlier]);
                self.rows[earlier].resize(self.len, entity);
            }
        }
    }

    /// Goes on until a batch is full; false when everything was looked at.
    fn advance(&mut self, cx: &mut Exec<'_>) -> Result<bool> {
        let last = self.levels.len() - 1;
        let mut steps = 0_usize;
        while self.len < BATCH {
            let level = self.level;
            let Some(node) = self.next(level) else {
                if level == 0 {
                    return Ok(false);
                }
                self.level -= 1;
                continue;
            };
            self.bound[level] = node;
            steps += 1;
            if steps.is_multiple_of(4096) {
                cx.budget.check(0, cx.heap.most_weight())?;
            }
            if !self.mark(level) {
                continue;
            }
            if level + 1 == last {
                self.close(last);
            } else {
                self.level += 1;
                self.enter(level + 1);
            }
        }
        Ok(true)
    }
}

impl<'q> Operator<'q> for CyclicOp<'q> {
    fn feed(&mut self, batch: Batch, cx: &mut Exec<'q>) -> Result<()> {
        if batch.len > 0 {
            self.search = Some(self.read(cx)?);
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Exec<'q>) -> Result<Option<Batch>> {
        let Some(search) = &mut self.search else { return Ok(None) };
        let more = search.advance(cx)?;
        let len = std::mem::take(&mut search.len);
        let mut rows: Vec<Vec<u64>> = search.rows.iter_mut().map(std::mem::take).collect();
        if !more {
            self.search = None;
        }
        let columns = self.out.iter().map(|i| Column::of(ValueKind::Ref, std::mem::take(&mut rows[*i])));
        let columns = columns.collect();
        Ok((len > 0).then_some(Batch { len, columns }))
    }
}
