//! When two replies to one command are considered equal.

use super::wire::WireReply;

/// How replies to a command are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// Byte by byte.
    Exact,
    /// In any order, at every depth: keys, fields of hashes and members of sets.
    Unordered,
    /// Integers above 400 may differ by so much: TTLs.
    Within(i64),
    /// As [`How::Unordered`], and any two numbers of 13 to 16 digits are equal: replies that
    /// state times, in milliseconds or microseconds, beside keys or fields.
    UnorderedWithoutTimes,
    /// Except for how long ago something was, and for the nodes that a stream has: XPENDING and XINFO.
    WithoutIdleTimes,
    /// Except for the connection's number: HELLO.
    WithoutId,
    /// Both are errors or neither is, for results that depend on the
    /// millisecond.
    ErrorOrNot,
}

impl How {
    /// By the command's name.
    pub(super) fn by_name(words: &[Vec<u8>]) -> How {
        match &*name(words) {
            "keys" | "scan" | "hgetall" | "hkeys" | "hvals" | "hscan" | "smembers" | "sinter"
            | "sunion" | "sdiff" => How::Unordered,
            "ttl" | "expiretime" => How::Within(2),
            "pttl" | "pexpiretime" => How::Within(2000),
            "xpending" | "xinfo" => How::WithoutIdleTimes,
            "hello" => How::WithoutId,
            _ => How::Exact,
        }
    }

    pub(super) fn same(self, simulated: &WireReply, real: &WireReply) -> bool {
        let alike = |change: fn(&mut WireReply)| {
            let mut both = [simulated.clone(), real.clone()];
            both.iter_mut().for_each(change);
            both[0] == both[1]
        };
        simulated == real
            || match self {
                How::Exact => false,
                How::Unordered => alike(WireReply::sort),
                How::Within(allowance) => simulated.is_within(real, allowance),
                How::UnorderedWithoutTimes => alike(|reply| {
                    reply.remove_times();
                    reply.sort();
                }),
                How::WithoutIdleTimes => alike(WireReply::remove_idle_times),
                How::WithoutId => alike(WireReply::remove_id),
                How::ErrorOrNot => simulated.is_error() == real.is_error(),
            }
    }
}

pub(super) fn name(words: &[Vec<u8>]) -> String {
    words.first().map_or_else(String::new, |name| {
        String::from_utf8_lossy(name).to_ascii_lowercase()
    })
}
