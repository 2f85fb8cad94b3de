//! A ref attribute as a graph: its facts as lists of neighbours.

use hashbrown::HashMap;

use super::Exec;
use super::key::growing_bytes;
use crate::datom::{Cut, Key, Order, ValueKind};
use crate::db::{Db, Mode};
use crate::error::Result;
use crate::index::Direction;
use crate::schema::Attribute;

/// Nodes with numbers from 0 on.
#[derive(Debug)]
pub(super) struct Nodes {
    /// The entities, ascending; where they are all from `least` on, none is kept.
    entities: Vec<u64>,
    least: u64,
    len: usize,
    numbers: HashMap<u64, u32>,
}

impl Nodes {
    /// The nodes of lists of entities.
    pub fn of(lists: &[&[u64]]) -> Nodes {
        let all = || lists.iter().flat_map(|list| list.iter().copied());
        let (least, most) = all().fold((u64::MAX, 0), |(least, most), e| (least.min(e), most.max(e)));
        let count: usize = lists.iter().map(|list| list.len()).sum();
        if count == 0 {
            return Nodes { entities: Vec::new(), least: 0, len: 0, numbers: HashMap::new() };
        }
        let width = most - least + 1;
        if width <= 1024 + 4 * count as u64 {
            return Nodes { entities: Vec::new(), least, len: width as usize, numbers: HashMap::new() };
        }
        let mut entities: Vec<u64> = all().collect();
        entities.sort_unstable();
        entities.dedup();
        let numbers = entities.iter().copied().zip(0..).collect();
        Nodes { len: entities.len(), entities, least, numbers }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn entity(&self, node: u32) -> u64 {
        if self.entities.is_empty() { self.least + u64::from(node) } else { self.entities[node as usize] }
    }

    #[inline]
    pub fn number(&self, entity: u64) -> Option<u32> {
        if self.entities.is_empty() {
            let number = entity.checked_sub(self.least)?;
            return (number < self.len as u64).then_some(number as u32);
        }
        self.numbers.get(&entity).copied()
    }
}

/// For each node its neighbours, ascending.
#[derive(Debug)]
pub(super) struct Neighbours {
    offsets: Vec<u32>,
    nodes: Vec<u32>,
}

impl Neighbours {
    /// The ends of edges by their starts. Edges come sorted by start and end, or by end and start.
    pub fn new(nodes: &Nodes, starts: &[u64], ends: &[u64]) -> Neighbours {
        if nodes.entities.is_empty() && starts.is_sorted() {
            return Neighbours::of_sorted(nodes, starts, ends);
        }
        let number = |entity: &u64| nodes.number(*entity).unwrap_or(0);
        let mut offsets = vec![0_u32; nodes.len() + 1];
        starts.iter().for_each(|start| offsets[number(start) as usize + 1] += 1);
        (0..nodes.len()).for_each(|i| offsets[i + 1] += offsets[i]);
        let mut places = offsets.clone();
        let mut list = vec![0; starts.len()];
        for (start, end) in starts.iter().zip(ends) {
            let place = &mut places[number(start) as usize];
            list[*place as usize] = number(end);
            *place += 1;
        }
        Neighbours { offsets, nodes: list }
    }

    /// The same where nodes are consecutive and starts ascend: the ends are the list as they stand.
    fn of_sorted(nodes: &Nodes, starts: &[u64], ends: &[u64]) -> Neighbours {
        let mut offsets = Vec::with_capacity(nodes.len() + 1);
        for (place, start) in starts.iter().enumerate() {
            let node = (start - nodes.least) as usize;
            if offsets.len() <= node {
                offsets.resize(node + 1, place as u32);
            }
        }
        offsets.resize(nodes.len() + 1, starts.len() as u32);
        Neighbours { offsets, nodes: ends.iter().map(|end| (end - nodes.least) as u32).collect() }
    }

    #[inline]
    pub fn of(&self, node: u32) -> &[u32] {
        &self.nodes[self.offsets[node as usize] as usize..self.offsets[node as usize + 1] as usize]
    }
}

/// The facts of a ref attribute: entities and values, by entity and value; each once.
pub(super) fn edges(db: &Db, attribute: &Attribute, cx: &mut Exec<'_>) -> Result<(Vec<u64>, Vec<u64>)> {
    let key = Key { a: Some(attribute.id), ..Key::default() };
    let (from, to) = (Cut::before(key.clone()), Cut::after(key));
    let mut cursor = db.cursor(Order::Aevt, Some(&from), Some(&to), Direction::Forward)?;
    let (mut starts, mut ends): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    while let Some(chunk) = cursor.next()? {
        cx.budget.check(0, cx.heap.most_weight())?;
        cx.budget.hold(growing_bytes(chunk.len(), 2))?;
        let columns = &chunk.columns;
        if let (Mode::State, Some(entities), Some(ValueKind::Ref)) = (db.mode(), columns.e.plain(), columns.v.kind()) {
            starts.extend_from_slice(&entities[chunk.rows()]);
            ends.extend_from_slice(&columns.v.cells()[chunk.rows()]);
            continue;
        }
        for row in chunk.rows() {
            let (e, v) = (columns.e.get(row), columns.v.cells()[row]);
            // Events tell of an edge more than once.
            let is_new = (starts.last(), ends.last()) != (Some(&e), Some(&v));
            if is_new && columns.v.kind_at(row) == ValueKind::Ref {
                starts.push(e);
                ends.push(v);
            }
        }
    }
    Ok((starts, ends))
}
