//! The commands of redis-server 7.0 that are not simulated. Of those that may not run in a script,
//! a script is told so, and not that they are unknown.

use super::args::is;
use bytes::Bytes;

/// The number of words that a command takes, as in its description.
#[derive(Clone, Copy)]
pub(super) struct Arity(i32);

impl Arity {
    pub(super) fn takes(self, words: usize) -> bool {
        let least = usize::try_from(self.0.unsigned_abs()).unwrap_or(usize::MAX);
        match self.0 < 0 {
            true => words >= least,
            false => words == least,
        }
    }
}

/// The names of those that may not run in a script, a subcommand's with its container in front.
#[rustfmt::skip]
const NAMES: &[(&str, i32)] = &[
    ("acl|cat", -2),
    ("acl|deluser", -3),
    ("acl|genpass", -2),
    ("acl|getuser", 3),
    ("acl|list", 2),
    ("acl|load", 2),
    ("acl|log", -2),
    ("acl|save", 2),
    ("acl|setuser", -3),
    ("acl|users", 2),
    ("bgrewriteaof", 1),
    ("bgsave", -1),
    ("client|caching", 3),
    ("client|getredir", 2),
    ("client|kill", -3),
    ("client|pause", -3),
    ("client|reply", 3),
    ("client|tracking", -3),
    ("client|trackinginfo", 2),
    ("client|unblock", -3),
    ("client|unpause", 2),
    ("cluster|reset", -2),
    ("config|rewrite", 2),
    ("debug", -2),
    ("failover", -1),
    ("fcall", -3),
    ("fcall_ro", -3),
    ("function|delete", 3),
    ("function|dump", 2),
    ("function|flush", -2),
    ("function|kill", 2),
    ("function|list", -2),
    ("function|load", -3),
    ("function|restore", -3),
    ("function|stats", 2),
    ("latency|doctor", 2),
    ("latency|graph", 3),
    ("latency|histogram", -2),
    ("latency|history", 3),
    ("latency|latest", 2),
    ("latency|reset", -2),
    ("module|list", 2),
    ("module|load", -3),
    ("module|loadex", -3),
    ("module|unload", 3),
    ("monitor", 1),
    ("psync", -3),
    ("replconf", -1),
    ("replicaof", 3),
    ("role", 1),
    ("save", 1),
    ("script|debug", 3),
    ("shutdown", -1),
    ("slaveof", 3),
    ("ssubscribe", -2),
    ("sunsubscribe", -1),
    ("sync", 1),
];

/// The names of those that may run in a script; of a container that is not simulated, that alone.
#[rustfmt::skip]
const IN_SCRIPTS: &[&str] = &[
    "acl|help", "asking", "bitcount", "bitfield", "bitfield_ro", "bitop", "bitpos", "blmpop",
    "bzmpop", "client|help", "cluster", "command|getkeys", "command|getkeysandflags",
    "command|help", "command|list", "config|help", "dump", "function", "geoadd", "geodist",
    "geohash", "geopos", "georadius", "georadius_ro", "georadiusbymember",
    "georadiusbymember_ro", "geosearch", "geosearchstore", "getbit", "hrandfield", "lastsave",
    "latency", "lcs", "lmpop", "lolwut", "memory", "migrate", "module", "move", "msetnx",
    "object", "pfadd", "pfcount", "pfdebug", "pfmerge", "pfselftest", "pubsub|help",
    "pubsub|shardchannels", "pubsub|shardnumsub", "randomkey", "readonly", "readwrite",
    "restore", "restore-asking", "script|help", "setbit", "sintercard", "slowlog", "sort",
    "sort_ro", "spop", "spublish", "srandmember", "sscan", "swapdb", "xgroup|help",
    "xinfo|help", "xsetid", "zdiff", "zdiffstore", "zinter", "zintercard", "zinterstore",
    "zmpop", "zrandmember", "zrangestore", "zscan", "zunion", "zunionstore",
];

/// Whether redis-server 7.0 has a command of these words, and it is not simulated.
pub(crate) fn is_not_simulated(words: &[Bytes]) -> bool {
    in_no_script(words).is_some() || IN_SCRIPTS.iter().any(|name| are(words, name))
}

fn are(words: &[Bytes], name: &str) -> bool {
    let Some(first) = words.first() else {
        return false;
    };
    match name.split_once('|') {
        None => is(first, name),
        Some((container, sub)) => {
            is(first, container) && words.get(1).is_some_and(|word| is(word, sub))
        }
    }
}

/// The arity of the command of these words, if it is one of them that may not run in a script.
pub(super) fn in_no_script(words: &[Bytes]) -> Option<Arity> {
    let found = NAMES.iter().find(|(name, _)| are(words, name));
    found.map(|(_, arity)| Arity(*arity))
}
