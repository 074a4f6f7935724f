//! Interned text: a hash, a process name or an event's id is kept once and
//! passed around as four bytes.

/// An interned text of one [`Symbols`] table. Equal symbols of one table are
/// equal texts; symbols of different tables must not be mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub(crate) u32);

impl Symbol {
    /// The symbol's number, counted from 0 in the order of first appearance:
    /// an index for tables on the side.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A table of interned texts: one buffer, an offset each, and an open-addressing
/// index. About 60 bytes for a 43-character hash, and no allocation of its own
/// for any text.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    text: String,
    ends: Vec<usize>,
    /// Symbol number + 1, 0 where free; the length is a power of two.
    slots: Vec<u32>,
}

impl Symbols {
    /// The symbol of `text`, new or known. Amortized constant time.
    pub fn intern(&mut self, text: &str) -> Symbol {
        // At most 7/8 full, or probing turns into a scan.
        if (self.ends.len() + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash(text.as_bytes()) as usize & mask;
        while let Some(number) = self.slots[slot].checked_sub(1) {
            if self.text(Symbol(number)) == text {
                return Symbol(number);
            }
            slot = (slot + 1) & mask;
        }
        let number = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len());
        self.slots[slot] = number + 1;
        Symbol(number)
    }

    /// The symbol of `text`, if it was ever interned.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash(text.as_bytes()) as usize & mask;
        while let Some(number) = self.slots[slot].checked_sub(1) {
            if self.text(Symbol(number)) == text {
                return Some(Symbol(number));
            }
            slot = (slot + 1) & mask;
        }
        None
    }

    /// The text of a symbol of this table.
    pub fn text(&self, symbol: Symbol) -> &str {
        let end = self.ends[symbol.index()];
        let start = match symbol.index() {
            0 => 0,
            number => self.ends[number - 1],
        };
        &self.text[start..end]
    }

    /// How many texts are interned.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing was interned yet.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        let mut slots = vec![0u32; size];
        for number in 0..self.ends.len() {
            let mut slot = hash(self.text(Symbol(number as u32)).as_bytes()) as usize & (size - 1);
            while slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = number as u32 + 1;
        }
        self.slots = slots;
    }
}

/// A multiply-and-rotate hash, eight bytes at a time. Not the standard library's
/// hasher: that one is seeded from the ambient world, and slower here.
fn hash(bytes: &[u8]) -> u64 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = (state.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(K);
    }
    // The low bits choose the slot, and multiplication mixes only upwards.
    state ^ (state >> 32)
}
