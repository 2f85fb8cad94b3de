//! What a loss of power leaves of a recorded sequence of operations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::sim_fs::{Content, Node, Op, SimFs, write};

/// What survives of the operations that were not made durable before the power was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    Lost,
    /// Everything.
    Kept,
    /// All bytes and lengths, no names.
    BytesOnly,
    /// All names, no bytes and lengths: a file renamed without having been synced is empty.
    NamesOnly,
    /// Each name, each write and each length by the toss of a coin; of a write, its bytes may survive in part, by
    /// sectors in no order, or its length without its bytes.
    Subset(u64),
    /// Everything, but of the last write to each file only some sectors of so many bytes, chosen by the seed.
    Torn {
        /// Bytes that the disk writes as one.
        sector: usize,
        /// What the sectors are chosen by.
        seed: u64,
    },
}

impl Crash {
    /// All kinds of crash, those with a seed `seeds` times.
    pub fn variants(seeds: u64) -> Vec<Crash> {
        let mut all = vec![Crash::Lost, Crash::Kept, Crash::BytesOnly, Crash::NamesOnly];
        for seed in 0..seeds {
            all.push(Crash::Subset(seed));
            all.extend([512, 4096].map(|sector| Crash::Torn { sector, seed }));
        }
        all
    }

    /// What is left of `disk` after the crash.
    fn strike(self, mut disk: Disk) -> Vec<Content> {
        let mut coin = Coin(match self {
            Crash::Subset(seed) | Crash::Torn { seed, .. } => {
                seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ disk.done as u64
            }
            _ => 0,
        });
        for (node, changes) in std::mem::take(&mut disk.pending) {
            let last = changes.iter().rposition(|c| matches!(c, Change::Write { .. }));
            for (i, change) in changes.iter().enumerate() {
                let is_name = matches!(change, Change::Name { .. });
                match self {
                    Crash::Lost => {}
                    Crash::Kept => disk.keep(node, change),
                    Crash::BytesOnly if !is_name => disk.keep(node, change),
                    Crash::NamesOnly if is_name => disk.keep(node, change),
                    Crash::BytesOnly | Crash::NamesOnly => {}
                    Crash::Torn { sector, .. } if Some(i) == last => disk.tear(node, change, sector, &mut coin),
                    Crash::Torn { .. } => disk.keep(node, change),
                    Crash::Subset(_) => match coin.below(4) {
                        0 => {}
                        1 => disk.tear(node, change, 512, &mut coin),
                        _ => disk.keep(node, change),
                    },
                }
            }
        }
        disk.durable
    }
}

/// A recorded sequence of operations that is gone through from its beginning to its end, with a crash wherever one is
/// wanted. Made by [`SimFs::replay`].
pub struct Replay {
    disk: Disk,
    ops: Vec<Op>,
}

impl Replay {
    pub(super) fn new(base: Vec<Content>, ops: Vec<Op>) -> Replay {
        Replay { disk: Disk { durable: base, pending: BTreeMap::new(), done: 0 }, ops }
    }

    /// Goes on until `prefix` operations have been done. It never goes back.
    pub fn advance(&mut self, prefix: usize) {
        let to = prefix.min(self.ops.len());
        while let Some(op) = self.ops.get(self.disk.done).filter(|_| self.disk.done < to) {
            self.disk.apply(op);
        }
    }

    /// How many operations have been done.
    pub fn done(&self) -> usize {
        self.disk.done
    }

    /// A new file system with what is there if the power is lost now.
    pub fn image(&self, crash: Crash) -> SimFs {
        SimFs::holding(crash.strike(self.disk.clone()))
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay({} of {} operations)", self.disk.done, self.ops.len())
    }
}

/// A change that is not durable yet.
#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
    Name { name: String, node: Option<Node> },
}

#[derive(Clone)]
struct Disk {
    /// How many operations were applied.
    done: usize,
    durable: Vec<Content>,
    /// Changes of each file and directory since it was last synced, in order.
    pending: BTreeMap<Node, Vec<Change>>,
}

impl Disk {
    fn later(&mut self, node: Node, change: Change) {
        self.pending.entry(node).or_default().push(change);
    }

    fn apply(&mut self, op: &Op) {
        self.done += 1;
        match op {
            Op::CreateFile { dir, name, node } => {
                self.new_node(*node, Content::File(Vec::new()));
                self.later(*dir, Change::Name { name: name.clone(), node: Some(*node) });
            }
            Op::CreateDir { dir, name, node } => {
                self.new_node(*node, Content::Dir(BTreeMap::new()));
                self.later(*dir, Change::Name { name: name.clone(), node: Some(*node) });
            }
            Op::Write { node, offset, bytes } => {
                self.later(*node, Change::Write { offset: *offset, bytes: bytes.clone() });
            }
            Op::SetLen { node, len } => self.later(*node, Change::SetLen(*len)),
            Op::Rename { from, to, node } => {
                self.later(from.0, Change::Name { name: from.1.clone(), node: None });
                self.later(to.0, Change::Name { name: to.1.clone(), node: Some(*node) });
            }
            Op::Remove { dir, name } => self.later(*dir, Change::Name { name: name.clone(), node: None }),
            Op::SyncData { node } | Op::SyncDir { dir: node } => {
                for change in self.pending.remove(node).unwrap_or_default() {
                    self.keep(*node, &change);
                }
            }
            Op::FailedSync { node } => drop(self.pending.remove(node)),
        }
    }

    /// Nodes are numbered in the order in which they are created; those of failed operations have no number here.
    fn new_node(&mut self, node: Node, content: Content) {
        while self.durable.len() < node {
            self.durable.push(Content::File(Vec::new()));
        }
        self.durable.push(content);
    }

    fn keep(&mut self, node: Node, change: &Change) {
        match (&mut self.durable[node], change) {
            (Content::File(file), Change::Write { offset, bytes }) => write(file, *offset, bytes),
            (Content::File(file), Change::SetLen(len)) => file.resize(*len as usize, 0),
            (Content::Dir(names), Change::Name { name, node: Some(node) }) => drop(names.insert(name.clone(), *node)),
            (Content::Dir(names), Change::Name { name, node: None }) => drop(names.remove(name)),
            _ => unreachable!("a change goes to a node of its kind"),
        }
    }

    /// Keeps some sectors of a write: the first ones, or any; sometimes with the whole length. Other changes are kept.
    fn tear(&mut self, node: Node, change: &Change, sector: usize, coin: &mut Coin) {
        let (Content::File(file), Change::Write { offset, bytes }) = (&mut self.durable[node], change) else {
            return self.keep(node, change);
        };
        // Sectors are those of the disk, so the first and the last of the write may be parts.
        let first = sector - *offset as usize % sector;
        let cuts: Vec<usize> =
            std::iter::once(0).chain((first..bytes.len()).step_by(sector)).chain([bytes.len()]).collect();
        let in_order = coin.below(2) == 0;
        let upto = coin.below(cuts.len() as u64) as usize;
        if coin.below(2) == 0 {
            let end = *offset as usize + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
        }
        for (i, cut) in cuts.windows(2).enumerate() {
            if if in_order { i < upto } else { coin.below(2) == 0 } {
                write(file, offset + cut[0] as u64, &bytes[cut[0]..cut[1]]);
            }
        }
    }
}

/// Numbers by chance, the same for the same seed (splitmix64).
struct Coin(u64);

impl Coin {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}
