//! The types of values.

use super::number::integer;
use super::reply::Reply;
use super::stream::Stream;
use bytes::Bytes;
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

/// A list, with O(1) access to any index.
pub type List = VecDeque<Bytes>;

/// A hash. Its fields are in the order in which they were first set, like those of a small hash in redis-server.
pub type Hash = IndexMap<Bytes, Bytes>;

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A string.
    Text(Bytes),
    /// A list.
    List(List),
    /// A hash.
    Hash(Hash),
    /// A set.
    Set(Set),
    /// A sorted set.
    Sorted(Sorted),
    /// A stream.
    Stream(Stream),
}

impl Value {
    /// The type's name, as TYPE answers it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Text(_) => "string",
            Value::List(_) => "list",
            Value::Hash(_) => "hash",
            Value::Set(_) => "set",
            Value::Sorted(_) => "zset",
            Value::Stream(_) => "stream",
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Value::Text(_) | Value::Stream(_) => false,
            Value::List(list) => list.is_empty(),
            Value::Hash(hash) => hash.is_empty(),
            Value::Set(set) => set.len() == 0,
            Value::Sorted(sorted) => sorted.len() == 0,
        }
    }
}

/// The type that a command needs a value to have.
pub(super) trait Kind: Sized {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn empty() -> Value;
}

macro_rules! kind {
    ($type:ty, $variant:ident) => {
        impl Kind for $type {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(inner) = value {
                    Some(inner)
                } else {
                    None
                }
            }
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(inner) = value {
                    Some(inner)
                } else {
                    None
                }
            }
            fn empty() -> Value {
                Value::$variant(Default::default())
            }
        }
    };
}

kind!(Bytes, Text);
kind!(List, List);
kind!(Hash, Hash);
kind!(Set, Set);
kind!(Sorted, Sorted);
kind!(Stream, Stream);

/// The error of a command on a value of another type.
pub(super) const WRONGTYPE: Reply =
    Reply::fail("WRONGTYPE Operation against a key holding the wrong kind of value");

/// A set. Redis-server defines an order only while a set is small and holds nothing but integers.
#[derive(Clone, Debug, PartialEq)]
pub enum Set {
    /// By number.
    Integers(BTreeSet<i64>),
    /// By bytes. It stays so when only integers are left.
    Any(BTreeSet<Bytes>),
}

impl Default for Set {
    fn default() -> Set {
        Set::Integers(BTreeSet::new())
    }
}

impl Set {
    /// The default of `set-max-intset-entries`.
    const MAX_INTEGERS: usize = 512;

    /// The number of members.
    #[allow(
        clippy::len_without_is_empty,
        reason = "an empty one is removed with its key"
    )]
    pub fn len(&self) -> usize {
        match self {
            Set::Integers(members) => members.len(),
            Set::Any(members) => members.len(),
        }
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> {
        let (integers, any) = match self {
            Set::Integers(members) => (Some(members), None),
            Set::Any(members) => (None, Some(members)),
        };
        let integers = integers.into_iter().flatten();
        let any = any.into_iter().flatten().cloned();
        integers.map(|member| member.to_string().into()).chain(any)
    }

    pub(super) fn insert(&mut self, member: &Bytes) -> bool {
        if let Set::Integers(members) = self {
            let number = integer(member);
            let added = number.is_some_and(|number| members.insert(number));
            if number.is_some() && members.len() <= Set::MAX_INTEGERS {
                return added;
            }
            *self = Set::Any(self.iter().collect());
            if added {
                return true;
            }
        }
        match self {
            Set::Any(members) if !members.contains(member) => {
                members.insert(Bytes::copy_from_slice(member))
            }
            _ => false,
        }
    }

    /// Whether it has this member.
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            Set::Integers(members) => {
                integer(member).is_some_and(|number| members.contains(&number))
            }
            Set::Any(members) => members.contains(member),
        }
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Integers(members) => integer(member).is_some_and(|number| members.remove(&number)),
            Set::Any(members) => members.remove(member),
        }
    }
}

/// A score, ordered by number. Never NaN.
#[derive(Clone, Copy, Debug)]
pub struct Score(pub f64);

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Score {}
impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Not `total_cmp`: -0 and 0 are equal scores.
        self.0
            .partial_cmp(&other.0)
            .unwrap_or(std::cmp::Ordering::Equal)
    }
}

/// A sorted set. Members are ordered by score, then by bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sorted {
    scores: BTreeMap<Bytes, f64>,
    order: BTreeSet<(Score, Bytes)>,
    /// Whether it ever had many members or a long one: in redis-server it is a
    /// skip list then.
    large: bool,
}

impl Sorted {
    /// The number of members.
    #[allow(
        clippy::len_without_is_empty,
        reason = "an empty one is removed with its key"
    )]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Members and scores in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Bytes, f64)> {
        self.order.iter().map(|(score, member)| (member, score.0))
    }

    /// Members and scores in order, from the first whose score is not less than `least`.
    pub fn from(&self, least: f64) -> impl DoubleEndedIterator<Item = (&Bytes, f64)> {
        self.order
            .range((Score(least), Bytes::new())..)
            .map(|(score, member)| (member, score.0))
    }

    /// Members and scores in order, with scores from one to another; `true` excludes that score itself.
    pub(super) fn between(
        &self,
        (least, above): (f64, bool),
        (most, below): (f64, bool),
    ) -> impl DoubleEndedIterator<Item = (&Bytes, f64)> {
        let first = |score| (Score(score), Bytes::new());
        let start = if above { least.next_up() } else { least };
        let end = match below {
            true => Bound::Excluded(first(most)),
            false if most == f64::INFINITY => Bound::Unbounded,
            false => Bound::Excluded(first(most.next_up())),
        };
        let is_any = match above || below {
            true => least < most,
            false => least <= most,
        };
        let range = is_any.then(|| self.order.range((Bound::Included(first(start)), end)));
        range
            .into_iter()
            .flatten()
            .map(|(score, member)| (member, score.0))
    }

    pub(super) fn insert(&mut self, member: &Bytes, score: f64) -> Option<f64> {
        self.large |=
            member.len() > 64 || (self.scores.len() >= 128 && !self.scores.contains_key(member));
        // A small one stores whole scores as integers, which have no -0.
        let score = if self.large { score } else { score + 0.0 };
        let before = self.scores.insert(member.clone(), score);
        if let Some(before) = before {
            self.order.remove(&(Score(before), member.clone()));
        }
        self.order.insert((Score(score), member.clone()));
        before
    }

    pub(super) fn remove(&mut self, member: &Bytes) -> bool {
        match self.scores.remove(member) {
            Some(score) => self.order.remove(&(Score(score), member.clone())),
            None => false,
        }
    }
}
