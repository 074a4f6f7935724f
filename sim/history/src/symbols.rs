//! Interned text: a hash, a process name or an event's id is kept once and
//! passed around as four bytes.

use std::num::NonZeroU32;

/// An interned text of one [`Symbols`] table. Equal symbols of one table are
/// equal texts; symbols of different tables must not be mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(NonZeroU32); // So that an `Option` of one takes four bytes too.

impl Symbol {
    /// The symbol of that number.
    pub(crate) fn new(index: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index as u32))
    }

    /// The symbol's number, counted from 0 in the order of first appearance:
    /// an index for tables on the side.
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A table of interned texts: one buffer, an offset each, and an open-addressing
/// index. About 70 bytes for a 43-character hash, and no allocation of its own
/// for any text.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    text: String,
    ends: Vec<usize>,
    /// How many there are is a power of two.
    slots: Vec<Slot>,
}

/// A place in the index: the text's hash, so that neither probing nor growing
/// touches the text itself, and the symbol's number + 1, 0 where free.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u32,
    number: u32,
}

impl Symbols {
    /// The symbol of `text`, new or known. Amortized constant time.
    pub fn intern(&mut self, text: &str) -> Symbol {
        // At most 3/4 full, or probing turns into a scan.
        if (self.ends.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let hash = hash(text.as_bytes());
        match self.probe(hash, text) {
            Ok(known) => known,
            Err(slot) => {
                let number = self.ends.len() as u32;
                self.text.push_str(text);
                self.ends.push(self.text.len());
                self.slots[slot] = Slot {
                    hash,
                    number: number + 1,
                };
                Symbol::new(number as usize)
            }
        }
    }

    /// The symbol of a text, or the slot where it belongs. There must be slots.
    fn probe(&self, hash: u32, text: &str) -> Result<Symbol, usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            let Some(number) = slot.number.checked_sub(1) else {
                return Err(at);
            };
            if slot.hash == hash && self.text(Symbol::new(number as usize)) == text {
                return Ok(Symbol::new(number as usize));
            }
            at = (at + 1) & mask;
        }
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
        let mut slots = vec![Slot::default(); size];
        for slot in self.slots.iter().filter(|slot| slot.number != 0) {
            let mut at = slot.hash as usize & (size - 1);
            while slots[at].number != 0 {
                at = (at + 1) & (size - 1);
            }
            slots[at] = *slot;
        }
        self.slots = slots;
    }
}

/// A multiply-and-rotate hash, eight bytes at a time. Not the standard library's
/// hasher: that one is seeded from the ambient world, and slower here.
fn hash(bytes: &[u8]) -> u32 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let mixed = (state ^ u64::from_le_bytes(word)).wrapping_mul(K);
        // Multiplication mixes only upwards: bring the high half down again.
        state = mixed ^ (mixed >> 32);
    }
    (state.wrapping_mul(K) >> 32) as u32
}
