//! The state of a search, with a list of its changes to undo them.

use super::ids::{MutateId, ObservationId, Token, Value};
use super::plan::{Plan, mix, signature};

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) value: Value,
    /// The value before the last write.
    pub(super) before: Value,
    /// The mutate that wrote it last.
    pub(super) writer: Option<MutateId>,
    /// How many versions were visited when it was written; 0 before the first.
    pub(super) at: usize,
    /// Whether it may have any value.
    pub(super) any: bool,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Token(Token, Cell),
    Placed(MutateId),
    Seen(ObservationId),
    /// A write of unknown effect; holds the version of the previous one.
    UnknownEffect(usize),
}

pub(super) struct State {
    pub(super) cells: Vec<Cell>,
    /// How many tokens have a value.
    pub(super) live: usize,
    pub(super) sign: u128,
    /// Mutates that were applied, of those without an acknowledged version.
    pub(super) placed: Vec<bool>,
    /// Reads that were satisfied.
    pub(super) seen: Vec<bool>,
    /// Signatures of `placed` and `seen`.
    moved: u128,
    looked: u128,
    /// A write after which every token not written since may have any value.
    unknown_effect: usize,
    /// Whether some tokens may have any value, or had at a time.
    pub(super) fuzzy: bool,
    changes: Vec<Change>,
    /// Version → changes before it.
    marks: Vec<usize>,
}

impl State {
    pub(super) fn new(plan: &Plan<'_>) -> Self {
        let cell = Cell {
            value: None,
            before: None,
            writer: None,
            at: 0,
            any: false,
        };
        State {
            cells: vec![cell; plan.names.len()],
            live: 0,
            sign: 0,
            placed: vec![false; plan.mutates.len()],
            seen: vec![false; plan.observations.len()],
            moved: 0,
            looked: 0,
            unknown_effect: 0,
            fuzzy: false,
            changes: Vec::new(),
            marks: vec![0; plan.versions.len() + 1],
        }
    }

    /// Whether a token may have any value.
    pub(super) fn is_any(&self, token: Token) -> bool {
        let cell = &self.cells[token];
        cell.any || cell.at < self.unknown_effect
    }

    fn put(&mut self, token: Token, cell: Cell) {
        let known = &mut self.cells[token];
        self.live =
            self.live + usize::from(cell.value.is_some()) - usize::from(known.value.is_some());
        self.sign ^= signature(token, known.value) ^ signature(token, cell.value);
        *known = cell;
    }

    /// Changes a token.
    pub(super) fn set(&mut self, token: Token, cell: Cell) {
        self.changes.push(Change::Token(token, self.cells[token]));
        self.put(token, cell);
    }

    /// Lets a token have any value.
    pub(super) fn set_any(&mut self, token: Token) {
        let cell = Cell {
            any: true,
            ..self.cells[token]
        };
        self.set(token, cell);
        self.fuzzy = true;
    }

    /// Writes a token.
    pub(super) fn write(&mut self, token: Token, value: Value, writer: MutateId, at: usize) {
        let before = self.cells[token].value;
        let cell = Cell {
            value,
            before,
            writer: Some(writer),
            at,
            any: false,
        };
        self.set(token, cell);
    }

    /// Sets a token to the value that was certainly read.
    pub(super) fn learn(&mut self, token: Token, value: Value, at: usize) {
        let known = self.cells[token];
        let cell = Cell {
            value,
            at,
            any: false,
            ..known
        };
        self.set(token, cell);
    }

    /// A write of unknown effect.
    pub(super) fn write_unknown(&mut self, at: usize) {
        self.changes
            .push(Change::UnknownEffect(self.unknown_effect));
        self.unknown_effect = at;
        self.fuzzy = true;
    }

    pub(super) fn place(&mut self, mutate: MutateId) {
        self.changes.push(Change::Placed(mutate));
        self.placed[mutate] = true;
        self.moved ^= key(mutate.index() as u64);
    }

    pub(super) fn see(&mut self, observation: ObservationId) {
        self.changes.push(Change::Seen(observation));
        self.seen[observation] = true;
        self.looked ^= key(!(observation.index() as u64));
    }

    pub(super) fn length(&self) -> usize {
        self.changes.len()
    }

    /// Remembers the number of changes before a version.
    pub(super) fn mark(&mut self, place: usize) {
        self.marks[place] = self.changes.len();
    }

    pub(super) fn marked(&self, place: usize) -> usize {
        self.marks[place]
    }

    /// Undoes everything after the first `length` changes.
    pub(super) fn undo(&mut self, length: usize) {
        while self.changes.len() > length {
            match self.changes.pop() {
                Some(Change::Token(token, cell)) => self.put(token, cell),
                Some(Change::Placed(mutate)) => {
                    self.placed[mutate] = false;
                    self.moved ^= key(mutate.index() as u64);
                }
                Some(Change::Seen(observation)) => {
                    self.seen[observation] = false;
                    self.looked ^= key(!(observation.index() as u64));
                }
                Some(Change::UnknownEffect(before)) => self.unknown_effect = before,
                None => return,
            }
        }
    }

    /// Sets the tokens to what they were after the first `length` changes; that can be
    /// undone too.
    pub(super) fn revert(&mut self, length: usize) {
        for index in (length..self.changes.len()).rev() {
            match self.changes[index] {
                Change::Token(token, cell) => self.set(token, cell),
                Change::UnknownEffect(before) => {
                    self.changes
                        .push(Change::UnknownEffect(self.unknown_effect));
                    self.unknown_effect = before;
                }
                Change::Placed(_) | Change::Seen(_) => {}
            }
        }
    }

    /// The tokens as they were after the first `length` changes, as a copy.
    pub(super) fn past(&self, length: usize) -> Vec<Cell> {
        let mut cells = self.cells.clone();
        for change in self.changes[length..].iter().rev() {
            if let Change::Token(token, cell) = change {
                cells[*token] = *cell;
            }
        }
        cells
    }

    /// All that the rest of a search depends on, except the version.
    pub(super) fn key(&self) -> (u128, u128) {
        (
            self.moved ^ self.looked ^ self.unknown_effect as u128,
            self.sign,
        )
    }

    /// The same without the mutates that were applied.
    pub(super) fn heuristic_key(&self) -> (u128, u128) {
        (self.looked ^ self.unknown_effect as u128, self.sign)
    }
}

fn key(word: u64) -> u128 {
    (u128::from(mix(word ^ 0x5EED)) << 64) | u128::from(mix(word.rotate_left(32) ^ 0xFEED))
}
