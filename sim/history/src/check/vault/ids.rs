//! Indices of the tables of a [`Plan`](super::plan::Plan), each of a type of its own.

use std::num::NonZeroU32;
use std::ops::{Index, IndexMut, Range};

use crate::Symbol;

/// A token's value; `None` where it is absent.
pub(super) type Value = Option<Symbol>;

/// A token and a value that was read or written.
pub(super) type Pair = (Token, Value);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) struct $name(NonZeroU32);

        impl $name {
            /// The indices of these places of a table.
            pub(super) fn range(places: Range<usize>) -> impl Iterator<Item = Self> {
                places.map(Self::new)
            }

            pub(super) fn new(index: usize) -> Self {
                Self(NonZeroU32::MIN.saturating_add(index as u32))
            }

            pub(super) fn index(self) -> usize {
                self.0.get() as usize - 1
            }
        }

        impl<T> Index<$name> for [T] {
            type Output = T;

            fn index(&self, index: $name) -> &T {
                &self[index.index()]
            }
        }

        impl<T> Index<$name> for Vec<T> {
            type Output = T;

            fn index(&self, index: $name) -> &T {
                &self[index.index()]
            }
        }

        impl<T> IndexMut<$name> for Vec<T> {
            fn index_mut(&mut self, index: $name) -> &mut T {
                &mut self[index.index()]
            }
        }
    )+};
}

ids! {
    /// A mutate that has or may have an effect.
    MutateId
    /// A read.
    ObservationId
    /// A token that the history names.
    Token
}
