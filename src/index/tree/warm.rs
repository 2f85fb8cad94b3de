//! Nodes brought into memory before they are asked for, many with one request.

use std::sync::Arc;

use super::node::{Branch, Context, Node, prefetch};
use crate::error::Result;
use crate::index::Address;

/// Branches whose children are brought together.
const MOST: usize = 64;

/// Brings the stored nodes under `root` into memory, level by level, at most `budget` of them. Answers how many there are.
pub(super) fn warm(context: &Context, root: &Arc<Branch>, budget: usize) -> Result<usize> {
    let (mut level, mut done) = (vec![Arc::clone(root)], 0);
    while !level.is_empty() {
        let mut below = Vec::new();
        for branches in level.chunks(MOST) {
            let to_read =
                |branch: &Arc<Branch>| (0..branch.len()).filter_map(|i| branch.to_read(i)).collect::<Vec<_>>();
            let mut addresses: Vec<Address> = branches.iter().flat_map(to_read).collect();
            addresses.truncate(budget - done);
            let mut rest = &addresses[..];
            while !rest.is_empty() {
                let brought =
                    if context.nodes.has_room() { prefetch(rest, context, level[0].child_level()) } else { 0 };
                if brought == 0 {
                    return Ok(done);
                }
                done += brought;
                rest = &rest[brought..];
            }
        }
        if done >= budget || level[0].child_level() == 0 {
            return Ok(done);
        }
        for branch in &level {
            for i in 0..branch.len() {
                if let Node::Branch(child) = branch.child(i, context)? {
                    below.push(child);
                }
            }
        }
        level = below;
    }
    Ok(done)
}
