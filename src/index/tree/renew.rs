//! Nodes made anew although no row of theirs changed: so that they hold nothing of rows that were removed, or so that
//! they can be stored elsewhere. The depth of the calls is that of the tree.

use std::sync::Arc;

use super::node::{Branch, Context, Link, Node, Run, least_separator, push_separator};
use crate::datom::{Columns, Cut};
use crate::error::Result;
use crate::index::{self, Address, Edits};

/// Derives the separators around the `ranges` from the rows that are there. A separator is made of the row right of it
/// and stays when that row goes. It lies above the last row before the place of that row, so it is the one at which a
/// search for the place ends, on every level. Branches have no buffers here.
pub(super) fn forget(context: &Context, root: &Arc<Branch>, ranges: &[(Cut, Cut)]) -> Result<Arc<Branch>> {
    if root.is_empty() || ranges.is_empty() {
        return Ok(Arc::clone(root));
    }
    let ranges: Vec<&(Cut, Cut)> = ranges.iter().collect();
    Ok(respell(context, root, &least_separator(), &ranges)?.map_or_else(|| Arc::clone(root), Arc::new))
}

/// The branch with right separators; `None` if it has them already. `first` is what its parent has for it.
fn respell(context: &Context, branch: &Branch, first: &Columns, ranges: &[&(Cut, Cut)]) -> Result<Option<Branch>> {
    let (order, old) = (context.order, branch.run());
    let mut touched: Vec<Vec<&(Cut, Cut)>> = vec![Vec::new(); branch.len()];
    for range in ranges {
        let (from, to) = (branch.child_at(order, &range.0), branch.child_at(order, &range.1));
        touched[from..=to.max(from)].iter_mut().for_each(|of_child| of_child.push(range));
    }
    let mut run = Run { separators: Columns::default(), links: old.links.clone(), summaries: old.summaries.clone() };
    let mut changed = false;
    for (i, of_child) in touched.iter().enumerate() {
        let at = run.separators.len();
        if i == 0 {
            run.separators.extend(first, 0..1);
        } else if of_child.is_empty() {
            run.separators.extend(&old.separators, i..i + 1);
        } else {
            let left = edge(context, branch.child(i - 1, context)?, true)?;
            let right = edge(context, branch.child(i, context)?, false)?;
            push_separator(&mut run.separators, order, (&left, left.len() - 1), (&right, 0));
        }
        changed |= run.separators.row(at) != old.separators.row(i);
        if of_child.is_empty() || branch.child_level() == 0 {
            continue;
        }
        if let Node::Branch(child) = branch.child(i, context)? {
            let mut own = Columns::default();
            own.extend(&run.separators, at..at + 1);
            if let Some(child) = respell(context, &child, &own, of_child)? {
                run.links[i] = Link::novel(Node::Branch(Arc::new(child)));
                changed = true;
            }
        }
    }
    Ok(changed.then(|| Branch::new(branch.child_level(), run, Edits::default())))
}

/// The last leaf under a node, or the first.
fn edge(context: &Context, mut node: Node, last: bool) -> Result<Arc<Columns>> {
    loop {
        match node {
            Node::Leaf(columns) => return Ok(columns),
            Node::Branch(branch) => {
                let i = if last { branch.len() - 1 } else { 0 };
                node = branch.child(i, context)?;
            }
        }
    }
}

/// The same tree, in which the nodes at addresses that `moved` names have none.
pub(super) fn detach(context: &Context, root: &Arc<Branch>, moved: &dyn Fn(Address) -> bool) -> Result<Arc<Branch>> {
    Ok(detach_under(context, root, moved)?.map_or_else(|| Arc::clone(root), Arc::new))
}

fn detach_under(context: &Context, branch: &Branch, moved: &dyn Fn(Address) -> bool) -> Result<Option<Branch>> {
    let old = branch.run();
    let mut fresh: Vec<(usize, Node)> = Vec::new();
    for (i, link) in old.links.iter().enumerate() {
        let moves = link.address().is_some_and(moved);
        if branch.child_level() == 0 && !moves {
            continue;
        }
        match branch.child(i, context)? {
            Node::Branch(child) => match detach_under(context, &child, moved)? {
                Some(renewed) => fresh.push((i, Node::Branch(Arc::new(renewed)))),
                None if moves => fresh.push((i, Node::Branch(child))),
                None => {}
            },
            leaf => fresh.push((i, leaf)),
        }
    }
    if fresh.is_empty() {
        return Ok(None);
    }
    let mut links = old.links.clone();
    fresh.into_iter().for_each(|(i, node)| links[i] = Link::novel(node));
    Ok(Some(branch.with_links(links)))
}

/// The same tree, which reads the nodes that the flush of another tree has stored meanwhile from the store, and holds them
/// no longer.
pub(super) fn settle(root: &Arc<Branch>) -> Arc<Branch> {
    settle_under(root).map_or_else(|| Arc::clone(root), Arc::new)
}

fn settle_under(branch: &Branch) -> Option<Branch> {
    let mut links: Option<Vec<Link>> = None;
    for (i, link) in branch.run().links.iter().enumerate() {
        let Link::Novel(novel) = link else { continue };
        let settled = match (novel.stored(), &novel.node) {
            (Some(stored), _) => Link::Stored(Arc::clone(stored)),
            (None, Node::Branch(child)) => match settle_under(child) {
                Some(child) => Link::novel(Node::Branch(Arc::new(child))),
                None => continue,
            },
            (None, Node::Leaf(_)) => continue,
        };
        links.get_or_insert_with(|| branch.run().links.clone())[i] = settled;
    }
    links.map(|links| branch.with_links(links))
}

/// Bytes of the nodes under `branch` that have no address.
pub(super) fn novelty(branch: &Branch) -> usize {
    let of_link = |link: &Link| match link.as_novel().filter(|_| link.address().is_none()) {
        None => 0,
        Some(node) => {
            let below = if let Node::Branch(child) = node { novelty(child) } else { 0 };
            index::Node::weight(node) + below
        }
    };
    branch.run().links.iter().map(of_link).sum()
}
