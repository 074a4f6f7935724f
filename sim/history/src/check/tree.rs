//! What reads returned, prepared for constant-time questions: is one result a
//! prefix of another, of the final chain, of what a loss took?

use crate::{PathId, Symbol};

use super::view::View;

const NONE: u32 = u32::MAX;

/// Tables by [`PathId`]; a few passes over the tree, memory linear in it. A
/// parent's number is smaller than its children's, so no pass needs a stack.
pub(super) struct Tree {
    /// Order of a walk in which a node's descendants follow it, and how many
    /// nodes that makes: a node is a prefix of exactly those.
    first: Vec<u32>,
    size: Vec<u32>,
    /// The shortest prefix that is not one of the final chain.
    stray: Vec<u32>,
    /// The append that began last among those whose records the node shows.
    youngest: Vec<u32>,
    /// Which losses took a record the node shows: an index into `cells`.
    losses: Vec<u32>,
    cells: Vec<(u32, u32)>,
    /// Hash → a node that ends in it.
    node: Vec<u32>,
}

impl Tree {
    pub(super) fn new(view: &View<'_>) -> Self {
        let paths = view.history.paths();
        let count = paths.count();
        let mut size = vec![1u32; count];
        for number in (1..count).rev() {
            if let Some((parent, _)) = paths.last(PathId(number as u32)) {
                size[parent.index()] += size[number];
            }
        }
        let mut tree = Tree {
            first: vec![0; count],
            size,
            stray: vec![NONE; count],
            youngest: vec![NONE; count],
            losses: vec![NONE; count],
            cells: Vec::new(),
            node: vec![NONE; view.history.symbols().len()],
        };
        let mut free = vec![1u32; count];
        for number in 1..count {
            let Some((parent, hash)) = paths.last(PathId(number as u32)) else {
                continue;
            };
            let parent = parent.index();
            tree.first[number] = free[parent];
            free[number] = free[parent] + 1;
            free[parent] += tree.size[number];
            if tree.node[hash.index()] == NONE {
                tree.node[hash.index()] = number as u32;
            }
            tree.stray[number] = tree.stray[parent];
            let depth = paths.length(PathId(number as u32));
            let is_in_chain = view
                .chain
                .get(depth - 1)
                .is_some_and(|record| record.event_hash == hash);
            if !is_in_chain && tree.stray[parent] == NONE {
                tree.stray[number] = number as u32;
            }
            tree.youngest[number] = younger(view, tree.youngest[parent], hash);
            tree.losses[number] = tree.losses[parent];
            // What the chain holds in the end is not gone, whatever a loss says.
            if let Some(loss) = view.loss_of(hash)
                && view.position(hash).is_none()
                && tree
                    .head(number)
                    .is_none_or(|(head, _)| head != loss as u32)
            {
                tree.cells.push((loss as u32, tree.losses[parent]));
                tree.losses[number] = tree.cells.len() as u32 - 1;
            }
        }
        tree
    }

    fn head(&self, number: usize) -> Option<(u32, u32)> {
        self.cells.get(self.losses[number] as usize).copied()
    }

    /// Whether `prefix` is a prefix of `path`, or the same.
    pub(super) fn is_prefix(&self, prefix: PathId, path: PathId) -> bool {
        let first = self.first[prefix.index()];
        let at = self.first[path.index()];
        (first..first + self.size[prefix.index()]).contains(&at)
    }

    /// The shortest prefix that is not one of the final chain, if `path` is not.
    pub(super) fn stray(&self, path: PathId) -> Option<PathId> {
        let stray = self.stray[path.index()];
        (stray != NONE).then_some(PathId(stray))
    }

    /// The index of the append that began last among those shown.
    pub(super) fn youngest(&self, path: PathId) -> Option<usize> {
        let youngest = self.youngest[path.index()];
        (youngest != NONE).then_some(youngest as usize)
    }

    /// The losses that took a record shown, later positions first.
    pub(super) fn losses(&self, path: PathId) -> impl Iterator<Item = usize> {
        let mut next = self.losses[path.index()];
        std::iter::from_fn(move || {
            let (loss, rest) = *self.cells.get(next as usize)?;
            next = rest;
            Some(loss as usize)
        })
    }

    /// A node that ends in a hash.
    pub(super) fn node(&self, hash: Symbol) -> Option<PathId> {
        let node = self.node[hash.index()];
        (node != NONE).then_some(PathId(node))
    }
}

fn younger(view: &View<'_>, known: u32, hash: Symbol) -> u32 {
    let Some(append) = view.append_of(hash) else {
        return known;
    };
    if !view.is_checked(view.operation(append)) {
        return known;
    }
    if known == NONE || view.operation(append).start > view.operation(known as usize).start {
        return append as u32;
    }
    known
}
