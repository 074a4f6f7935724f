//! Parts of a sorted set, as ZRANGE and its relatives name them.

use super::args::{integer, range};
use crate::number;
use crate::reply::Reply;
use crate::value::Sorted;
use bytes::Bytes;

/// What a part is of.
#[derive(Clone, Copy)]
pub(super) enum By {
    Rank,
    Score,
    Name,
}

/// A part: from one to another, both included unless it says otherwise.
pub(super) enum Span {
    Ranks(i64, i64),
    Scores((f64, bool), (f64, bool)),
    Names(Edge, Edge),
}

/// An end of a part by name: `-`, `+`, `[name` or, without the name itself, `(name`.
#[derive(PartialEq)]
pub(super) enum Edge {
    Least,
    At(Bytes),
    After(Bytes),
    Most,
}

impl Span {
    pub(super) fn parse(by: By, from: &Bytes, to: &Bytes) -> Result<Span, Reply> {
        Ok(match by {
            By::Rank => Span::Ranks(integer(from)?, integer(to)?),
            By::Score => Span::Scores(bound(from)?, bound(to)?),
            By::Name => Span::Names(edge(from)?, edge(to)?),
        })
    }

    /// The members, in order or from the last to the first.
    pub(super) fn of<'a>(
        &'a self,
        sorted: &'a Sorted,
        reverse: bool,
    ) -> Box<dyn Iterator<Item = (&'a Bytes, f64)> + 'a> {
        match self {
            Span::Ranks(start, end) => {
                let ranks = range(*start, *end, sorted.len());
                let (first, count) = ranks.map_or((0, 0), |ranks| (*ranks.start(), ranks.count()));
                match reverse {
                    true => Box::new(sorted.iter().rev().skip(first).take(count)),
                    false => Box::new(sorted.iter().skip(first).take(count)),
                }
            }
            Span::Scores(least, most) => match reverse {
                true => Box::new(sorted.between(*least, *most).rev()),
                false => Box::new(sorted.between(*least, *most)),
            },
            Span::Names(least, most) => by_name(sorted, least, most, reverse),
        }
    }
}

/// Where scores differ, members are not in the order of their names: as in redis-server, the part ends at the first
/// one that is not in it.
fn by_name<'a>(
    sorted: &'a Sorted,
    least: &'a Edge,
    most: &'a Edge,
    reverse: bool,
) -> Box<dyn Iterator<Item = (&'a Bytes, f64)> + 'a> {
    let is_above = move |(member, _): &(&Bytes, f64)| least.is_before(member);
    let is_below = move |(member, _): &(&Bytes, f64)| most.is_after(member);
    let overlaps = least.precedes(most)
        && sorted.iter().next_back().as_ref().is_some_and(is_above)
        && sorted.iter().next().as_ref().is_some_and(is_below);
    let members = overlaps.then(|| sorted.iter()).into_iter().flatten();
    match reverse {
        true => Box::new(
            members
                .rev()
                .skip_while(move |one| !is_below(one))
                .take_while(is_above),
        ),
        false => Box::new(
            members
                .skip_while(move |one| !is_above(one))
                .take_while(is_below),
        ),
    }
}

impl Edge {
    /// Whether a member is in a part that begins here.
    fn is_before(&self, member: &Bytes) -> bool {
        match self {
            Edge::Least => true,
            Edge::At(name) => member >= name,
            Edge::After(name) => member > name,
            Edge::Most => false,
        }
    }

    /// Whether a member is in a part that ends here.
    fn is_after(&self, member: &Bytes) -> bool {
        match self {
            Edge::Least => false,
            Edge::At(name) => member <= name,
            Edge::After(name) => member < name,
            Edge::Most => true,
        }
    }

    /// Whether anything can be between this edge and that one.
    fn precedes(&self, end: &Edge) -> bool {
        match (self, end) {
            (Edge::At(from), Edge::At(to)) => from <= to,
            (Edge::At(from) | Edge::After(from), Edge::At(to) | Edge::After(to)) => from < to,
            (Edge::Least, to) => *to != Edge::Least,
            (_, to) => *to == Edge::Most && *self != Edge::Most,
        }
    }
}

fn bound(word: &[u8]) -> Result<(f64, bool), Reply> {
    let (word, open) = match word {
        [b'(', rest @ ..] => (rest, true),
        word => (word, false),
    };
    number::bound(word)
        .map(|value| (value, open))
        .ok_or(Reply::fail("ERR min or max is not a float"))
}

fn edge(word: &Bytes) -> Result<Edge, Reply> {
    match word.as_ref() {
        [b'-'] | [b'-', 0, ..] => Ok(Edge::Least),
        [b'+'] | [b'+', 0, ..] => Ok(Edge::Most),
        [b'[', ..] => Ok(Edge::At(word.slice(1..))),
        [b'(', ..] => Ok(Edge::After(word.slice(1..))),
        _ => Err(Reply::fail("ERR min or max not valid string range item")),
    }
}
