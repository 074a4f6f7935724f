//! The vault as a search sees it, with every change written down so that it can be
//! taken back.

use super::plan::{NONE, Plan, mix, signature};

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// 0 where absent.
    pub(super) value: u32,
    /// The value before the last write.
    pub(super) before: u32,
    /// The move that wrote it last; [`NONE`] where none did.
    pub(super) writer: u32,
    /// How many versions were behind when it was written; 0 before the first.
    pub(super) at: u32,
    /// Whether it may have any value.
    pub(super) any: bool,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Token(u32, Cell),
    Placed(u32),
    Seen(u32),
    /// Nobody knows what was written: the place of the last such write before.
    Wild(u32),
}

pub(super) struct State {
    pub(super) cells: Vec<Cell>,
    /// How many tokens have a value.
    pub(super) live: usize,
    pub(super) sign: u128,
    /// Moves that happened, of those without a place of their own.
    pub(super) placed: Vec<bool>,
    /// Reads that were satisfied.
    pub(super) seen: Vec<bool>,
    /// What `placed` and `seen` hold, as one number each.
    moved: u128,
    looked: u128,
    /// A write after which every token not written since may have any value.
    unknown_effect: u32,
    /// Whether some tokens may have any value, or had at a time.
    pub(super) fuzzy: bool,
    changes: Vec<Change>,
    /// Version → changes before it.
    marks: Vec<usize>,
}

impl State {
    pub(super) fn new(plan: &Plan<'_>) -> Self {
        let cell = Cell {
            value: 0,
            before: 0,
            writer: NONE,
            at: 0,
            any: false,
        };
        State {
            cells: vec![cell; plan.names.len()],
            live: 0,
            sign: 0,
            placed: vec![false; plan.moves.len()],
            seen: vec![false; plan.looks.len()],
            moved: 0,
            looked: 0,
            unknown_effect: 0,
            fuzzy: false,
            changes: Vec::new(),
            marks: vec![0; plan.versions.len() + 1],
        }
    }

    /// Whether a token may have any value, as far as anyone knows.
    pub(super) fn is_any(&self, token: u32) -> bool {
        let cell = &self.cells[token as usize];
        cell.any || cell.at < self.unknown_effect
    }

    fn put(&mut self, token: u32, cell: Cell) {
        let known = &mut self.cells[token as usize];
        self.live = self.live + usize::from(cell.value != 0) - usize::from(known.value != 0);
        self.sign ^= signature(token, known.value) ^ signature(token, cell.value);
        *known = cell;
    }

    /// Changes a token.
    pub(super) fn set(&mut self, token: u32, cell: Cell) {
        self.changes
            .push(Change::Token(token, self.cells[token as usize]));
        self.put(token, cell);
    }

    /// Writes a token.
    pub(super) fn write(&mut self, token: u32, value: u32, writer: u32, at: u32) {
        let before = self.cells[token as usize].value;
        let cell = Cell {
            value,
            before,
            writer,
            at,
            any: false,
        };
        self.set(token, cell);
    }

    /// Takes a token's value from whoever certainly saw it.
    pub(super) fn learn(&mut self, token: u32, value: u32, at: u32) {
        let known = self.cells[token as usize];
        let cell = Cell {
            value,
            at,
            any: false,
            ..known
        };
        self.set(token, cell);
    }

    /// A write of unknown effect.
    pub(super) fn write_wild(&mut self, at: u32) {
        self.changes.push(Change::Wild(self.unknown_effect));
        self.unknown_effect = at;
        self.fuzzy = true;
    }

    pub(super) fn place(&mut self, mv: u32) {
        self.changes.push(Change::Placed(mv));
        self.placed[mv as usize] = true;
        self.moved ^= key(u64::from(mv));
    }

    pub(super) fn see(&mut self, look: u32) {
        self.changes.push(Change::Seen(look));
        self.seen[look as usize] = true;
        self.looked ^= key(!u64::from(look));
    }

    pub(super) fn length(&self) -> usize {
        self.changes.len()
    }

    /// Remembers where a place begins.
    pub(super) fn mark(&mut self, place: usize) {
        self.marks[place] = self.changes.len();
    }

    pub(super) fn marked(&self, place: usize) -> usize {
        self.marks[place]
    }

    /// Takes back everything after the first `length` changes.
    pub(super) fn undo(&mut self, length: usize) {
        while self.changes.len() > length {
            match self.changes.pop() {
                Some(Change::Token(token, cell)) => self.put(token, cell),
                Some(Change::Placed(mv)) => {
                    self.placed[mv as usize] = false;
                    self.moved ^= key(u64::from(mv));
                }
                Some(Change::Seen(look)) => {
                    self.seen[look as usize] = false;
                    self.looked ^= key(!u64::from(look));
                }
                Some(Change::Wild(before)) => self.unknown_effect = before,
                None => return,
            }
        }
    }

    /// Makes the tokens what they were after the first `length` changes, which is
    /// a change of its own.
    pub(super) fn revert(&mut self, length: usize) {
        for index in (length..self.changes.len()).rev() {
            match self.changes[index] {
                Change::Token(token, cell) => self.set(token, cell),
                Change::Wild(before) => {
                    self.changes.push(Change::Wild(self.unknown_effect));
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
                cells[*token as usize] = *cell;
            }
        }
        cells
    }

    /// The whole of what the rest of a search depends on, but for the place.
    pub(super) fn key(&self) -> (u128, u128) {
        (
            self.moved ^ self.looked ^ u128::from(self.unknown_effect),
            self.sign,
        )
    }

    /// The same without the moves that led there.
    pub(super) fn bold_key(&self) -> (u128, u128) {
        (self.looked ^ u128::from(self.unknown_effect), self.sign)
    }
}

fn key(word: u64) -> u128 {
    (u128::from(mix(word ^ 0x5EED)) << 64) | u128::from(mix(word.rotate_left(32) ^ 0xFEED))
}
