//! What reads of the chain returned, each as a node of one shared tree.
//!
//! A thousand reads of a chain of a thousand records hold a million hashes, and
//! in any sane history they are prefixes of each other. Kept as a tree, they cost
//! one node for each *different* prefix, so memory is linear in the chain.

use std::collections::HashMap;

use super::symbols::{Symbol, Symbols};

/// A sequence of event hashes, read from the first record on: a node of [`Paths`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub(crate) u32);

impl PathId {
    /// The empty sequence.
    pub const EMPTY: PathId = PathId(0);

    /// The node's number: an index for tables on the side. A node's parent has a
    /// smaller number.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug)]
struct Node {
    parent: u32,
    hash: Symbol,
    depth: u32,
    /// The first child, 0 if none. In a valid history there is no second one.
    child: u32,
}

/// The tree of all sequences that reads returned.
#[derive(Clone, Debug)]
pub struct Paths {
    nodes: Vec<Node>,
    /// Children after the first, by parent and hash.
    others: HashMap<(u32, Symbol), u32>,
}

impl Default for Paths {
    fn default() -> Self {
        let root = Node {
            parent: 0,
            hash: Symbol::new(0),
            depth: 0,
            child: 0,
        };
        Self {
            nodes: vec![root],
            others: HashMap::new(),
        }
    }
}

impl Paths {
    /// The sequence `path` followed by `hash`. Constant time; a known step is
    /// found by comparing text, without a look-up in `symbols`.
    pub(super) fn step(&mut self, path: PathId, hash: &str, symbols: &mut Symbols) -> PathId {
        let child = self.nodes[path.index()].child;
        if child != 0 && symbols.text(self.nodes[child as usize].hash) == hash {
            return PathId(child);
        }
        let hash = symbols.intern(hash);
        let number = self.nodes.len() as u32;
        if child == 0 {
            self.nodes[path.index()].child = number;
        } else if let Some(known) = self.others.get(&(path.0, hash)) {
            return PathId(*known);
        } else {
            self.others.insert((path.0, hash), number);
        }
        let depth = self.nodes[path.index()].depth + 1;
        self.nodes.push(Node {
            parent: path.0,
            hash,
            depth,
            child: 0,
        });
        PathId(number)
    }

    /// How many hashes the sequence has.
    pub fn length(&self, path: PathId) -> usize {
        self.nodes[path.index()].depth as usize
    }

    /// The sequence without its last hash, and that hash; none for the empty one.
    pub fn last(&self, path: PathId) -> Option<(PathId, Symbol)> {
        let node = &self.nodes[path.index()];
        (path != PathId::EMPTY).then_some((PathId(node.parent), node.hash))
    }

    /// How many different sequences there are, the empty one included.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The sequence in order. Linear in its length.
    pub fn hashes(&self, path: PathId) -> Vec<Symbol> {
        let mut hashes = Vec::with_capacity(self.length(path));
        let mut at = path;
        while let Some((parent, hash)) = self.last(at) {
            hashes.push(hash);
            at = parent;
        }
        hashes.reverse();
        hashes
    }
}
