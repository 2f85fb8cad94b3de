//! Pieces of views of the past that were put together once, kept for whoever reads the same view.
//!
//! A piece is what a view shows between two places of an index, and is known by the leaves of the current index that it
//! lies between, and by the view. Leaves never change, and neither does what was at a time that is past; so a piece is good
//! for every later state of the database in which the same leaves are neighbours.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use hashbrown::DefaultHashBuilder;

use super::View;
use crate::datom::{Columns, Cut, EntityId, Order};
use crate::index::Direction;
use crate::store::Cache;

/// The pieces for a database and those that come of it.
#[derive(Debug)]
pub(crate) struct KeptPieces {
    shared: Arc<Shared>,
    /// States that were made one from the other, each from the last, have the same: what happened up to a transaction
    /// that two of them know is the same.
    line: u64,
    /// The last transaction of the line.
    last: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    pieces: Cache<Place, Arc<Kept>>,
    lines: AtomicU64,
    hasher: DefaultHashBuilder,
    /// Hashes of places that were asked for and not put together, each where its last bits say.
    asked: Box<[AtomicU64]>,
}

/// Where a piece lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub line: u64,
    pub view: View,
    pub order: Order,
    pub reverse: bool,
    /// The leaf of the current index; none for what lies beyond the last.
    pub leaf: usize,
    pub near: Edge,
    /// Where it ends, when that is not the end of the leaf.
    pub far: Option<Box<Cut>>,
}

/// Where a piece begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Edge {
    /// At the end of the leaf.
    Inside,
    /// After another leaf.
    After(usize),
    Cut(Option<Box<Cut>>),
}

/// What a view shows at a place.
#[derive(Debug)]
pub(super) struct Kept {
    /// `None` where it is the rows of the leaf, all of them and no others.
    pub rows: Option<Arc<Columns>>,
    /// As long as these are held, no other leaf gets an address that the place names.
    pub _leaves: [Weak<Columns>; 2],
}

/// Places of which it is remembered that they were asked for.
const ASKED: usize = 1 << 12;

impl KeptPieces {
    /// Bytes that pieces may take where nothing else is said.
    pub const DEFAULT_BYTES: usize = 64 << 20;

    /// Pieces in at most so many bytes, for a database up to the transaction `last`.
    pub fn within(bytes: usize, last: EntityId) -> KeptPieces {
        let asked = if bytes == 0 { 1 } else { ASKED };
        let shared = Shared {
            pieces: Cache::new(bytes),
            lines: AtomicU64::new(1),
            hasher: DefaultHashBuilder::default(),
            asked: (0..asked).map(|_| AtomicU64::new(0)).collect(),
        };
        KeptPieces { shared: Arc::new(shared), line: 0, last: AtomicU64::new(last.0) }
    }

    /// Those for the database after transaction `t`, made from the one after `basis`. The first that is made from a state goes
    /// on with its line; another begins one of its own.
    pub fn after(self: &Arc<Self>, basis: EntityId, t: EntityId) -> Arc<KeptPieces> {
        match self.last.compare_exchange(basis.0, t.0, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Arc::clone(self),
            Err(_) => self.apart(t),
        }
    }

    /// Those for a database up to `last` in which what was past is no more what it was.
    pub fn apart(&self, last: EntityId) -> Arc<KeptPieces> {
        let line = self.shared.lines.fetch_add(1, Ordering::Relaxed);
        Arc::new(KeptPieces { shared: Arc::clone(&self.shared), line, last: AtomicU64::new(last.0) })
    }

    /// A place of this line.
    pub(super) fn place(
        &self,
        (view, order, direction): (View, Order, Direction),
        leaf: usize,
        near: Edge,
        far: Option<Box<Cut>>,
    ) -> Place {
        // What lies inside a leaf is the same whichever way it is read.
        let reverse = direction == Direction::Reverse && near != Edge::Inside;
        Place { line: self.line, view, order, reverse, leaf, near, far }
    }

    pub(super) fn get(&self, place: &Place) -> Option<Arc<Kept>> {
        self.shared.pieces.get(place)
    }

    pub(super) fn put(&self, place: Place, kept: Kept) -> Arc<Kept> {
        // The leaves' own columns may be gone; what is left of them is their head.
        let heads = 2 * size_of::<Columns>();
        let weight = size_of::<Kept>() + heads + kept.rows.as_ref().map_or(0, |rows| rows.weight());
        self.shared.pieces.insert(place, Arc::new(kept), weight)
    }

    /// Whether the place was asked for lately; it is remembered now.
    pub(super) fn was_asked(&self, place: &Place) -> bool {
        let hash = self.shared.hasher.hash_one(place);
        let slot = &self.shared.asked[hash as usize % self.shared.asked.len()];
        slot.swap(hash, Ordering::Relaxed) == hash
    }
}
