//! Commands: one file each, or one for a few similar ones: a [`Spec`] that
//! describes the command, and the function that runs it.
//!
//! To add a command, add its file and, here, its `mod` and its row in
//! [`TABLE`]. A forgotten step does not compile, or fails a test below.

// A command without a row in the table is dead code.
#![deny(dead_code)]

mod args;
mod dispatch;
mod spec;

// Connection and server.
mod acl;
mod auth;
mod client;
mod command;
mod config;
mod dbsize;
mod echo;
mod flush;
mod hello;
mod info;
mod not_simulated;
pub(crate) use not_simulated::is_not_simulated;
mod ping;
mod pubsub;
mod quit;
mod reset;
mod select;
mod time;
mod wait;
// Keys of any type.
mod copy;
mod del;
mod exists;
mod expire;
mod keys;
mod persist;
mod rename;
mod scan;
mod ttl;
mod type_;
// Strings.
mod append;
mod get;
mod getdel;
mod getex;
mod getrange;
mod getset;
mod incr;
mod incrbyfloat;
mod mget;
mod mset;
mod set;
mod setex;
mod setnx;
mod setrange;
mod strlen;
// Lists.
mod bpop;
mod lindex;
mod linsert;
mod llen;
mod lmove;
mod lpos;
mod lrange;
mod lrem;
mod lset;
mod ltrim;
mod pop;
mod push;
// Hashes.
mod hdel;
mod hexists;
mod hget;
mod hgetall;
mod hincrby;
mod hlen;
mod hmget;
mod hscan;
mod hset;
mod hsetnx;
// Sets.
mod sadd;
mod scard;
mod sinter;
mod sismember;
mod smembers;
mod smove;
mod srem;
// Sorted sets.
mod span;
mod zadd;
mod zcard;
mod zcount;
mod zincrby;
mod zpop;
mod zrange;
mod zrank;
mod zrem;
mod zremrange;
mod zscore;
// Streams.
mod ids;
mod xack;
mod xadd;
mod xclaim;
mod xdel;
mod xgroup;
mod xinfo;
mod xlen;
mod xpending;
mod xrange;
mod xread;
// Transactions and scripts.
mod discard;
mod eval;
mod exec;
mod multi;
mod script;
mod watch;

/// What each command's file imports.
mod prelude {
    pub(super) use super::Ctx;
    pub(super) use super::args::*;
    pub(super) use super::spec::*;
    pub(super) use crate::reply::{Outcome, Reply};
    pub(super) use crate::stream::{Stream, StreamId};
    pub(super) use crate::value::{Hash, List, Set, Sorted, Value};
    pub(super) use bytes::Bytes;
}

use crate::Access;
use crate::durable::ServerKind;
pub(super) use args::glob;
pub(super) use dispatch::{Ctx, ScriptCaller, execute, execute_in_script, may_run};
use dispatch::{find, run};
pub(super) use info::VERSION;
use spec::Spec;

/// Every command, in the order of their names.
static TABLE: &[Spec] = &[
    acl::ACL,
    append::APPEND,
    auth::AUTH,
    bpop::BLMOVE,
    bpop::BLPOP,
    bpop::BRPOP,
    bpop::BRPOPLPUSH,
    bpop::BZPOPMAX,
    bpop::BZPOPMIN,
    client::CLIENT,
    command::COMMAND,
    config::CONFIG,
    copy::COPY,
    dbsize::DBSIZE,
    incr::DECR,
    incr::DECRBY,
    del::DEL,
    discard::DISCARD,
    echo::ECHO,
    eval::EVAL,
    eval::EVAL_RO,
    eval::EVALSHA,
    eval::EVALSHA_RO,
    exec::EXEC,
    exists::EXISTS,
    expire::EXPIRE,
    expire::EXPIREAT,
    ttl::EXPIRETIME,
    flush::FLUSHALL,
    flush::FLUSHDB,
    get::GET,
    getdel::GETDEL,
    getex::GETEX,
    getrange::GETRANGE,
    getset::GETSET,
    hdel::HDEL,
    hello::HELLO,
    hexists::HEXISTS,
    hget::HGET,
    hgetall::HGETALL,
    hincrby::HINCRBY,
    incrbyfloat::HINCRBYFLOAT,
    hgetall::HKEYS,
    hlen::HLEN,
    hmget::HMGET,
    hset::HMSET,
    hscan::HSCAN,
    hset::HSET,
    hsetnx::HSETNX,
    hlen::HSTRLEN,
    hgetall::HVALS,
    incr::INCR,
    incr::INCRBY,
    incrbyfloat::INCRBYFLOAT,
    info::INFO,
    keys::KEYS,
    lindex::LINDEX,
    linsert::LINSERT,
    llen::LLEN,
    lmove::LMOVE,
    pop::LPOP,
    lpos::LPOS,
    push::LPUSH,
    push::LPUSHX,
    lrange::LRANGE,
    lrem::LREM,
    lset::LSET,
    ltrim::LTRIM,
    mget::MGET,
    mset::MSET,
    multi::MULTI,
    persist::PERSIST,
    expire::PEXPIRE,
    expire::PEXPIREAT,
    ttl::PEXPIRETIME,
    ping::PING,
    setex::PSETEX,
    pubsub::PSUBSCRIBE,
    ttl::PTTL,
    pubsub::PUBLISH,
    pubsub::PUBSUB,
    pubsub::PUNSUBSCRIBE,
    quit::QUIT,
    rename::RENAME,
    rename::RENAMENX,
    reset::RESET,
    pop::RPOP,
    lmove::RPOPLPUSH,
    push::RPUSH,
    push::RPUSHX,
    sadd::SADD,
    scan::SCAN,
    scard::SCARD,
    script::SCRIPT,
    sinter::SDIFF,
    sinter::SDIFFSTORE,
    select::SELECT,
    set::SET,
    setex::SETEX,
    setnx::SETNX,
    setrange::SETRANGE,
    sinter::SINTER,
    sinter::SINTERSTORE,
    sismember::SISMEMBER,
    smembers::SMEMBERS,
    sismember::SMISMEMBER,
    smove::SMOVE,
    srem::SREM,
    strlen::STRLEN,
    pubsub::SUBSCRIBE,
    getrange::SUBSTR,
    sinter::SUNION,
    sinter::SUNIONSTORE,
    time::TIME,
    exists::TOUCH,
    ttl::TTL,
    type_::TYPE,
    del::UNLINK,
    pubsub::UNSUBSCRIBE,
    watch::UNWATCH,
    wait::WAIT,
    wait::WAITAOF,
    watch::WATCH,
    xack::XACK,
    xadd::XADD,
    xclaim::XAUTOCLAIM,
    xclaim::XCLAIM,
    xdel::XDEL,
    xgroup::XGROUP,
    xinfo::XINFO,
    xlen::XLEN,
    xpending::XPENDING,
    xrange::XRANGE,
    xread::XREAD,
    xread::XREADGROUP,
    xrange::XREVRANGE,
    xadd::XTRIM,
    zadd::ZADD,
    zcard::ZCARD,
    zcount::ZCOUNT,
    zincrby::ZINCRBY,
    zcount::ZLEXCOUNT,
    zscore::ZMSCORE,
    zpop::ZPOPMAX,
    zpop::ZPOPMIN,
    zrange::ZRANGE,
    zrange::ZRANGEBYLEX,
    zrange::ZRANGEBYSCORE,
    zrank::ZRANK,
    zrem::ZREM,
    zremrange::ZREMRANGEBYLEX,
    zremrange::ZREMRANGEBYRANK,
    zremrange::ZREMRANGEBYSCORE,
    zrange::ZREVRANGE,
    zrange::ZREVRANGEBYLEX,
    zrange::ZREVRANGEBYSCORE,
    zrank::ZREVRANK,
    zscore::ZSCORE,
];

/// The name of every command, in capitals; a subcommand's after its container's.
pub(super) fn names() -> impl Iterator<Item = String> {
    TABLE.iter().flat_map(|spec| {
        let subs = spec.subs.iter().map(|sub| sub.name.replace('|', " "));
        let name = spec.subs.is_empty().then(|| spec.name.to_owned());
        name.into_iter()
            .chain(subs)
            .map(|name| name.to_ascii_uppercase())
    })
}

/// The commands of a server.
fn table(kind: ServerKind) -> impl Iterator<Item = &'static Spec> {
    TABLE.iter().filter(move |spec| spec.is_on(kind))
}

/// What the command of this name does to data.
pub(super) fn access(name: &[u8]) -> Access {
    let Some(spec) = lookup(ServerKind::Valkey9, name) else {
        return Access::None;
    };
    // A container does what its subcommands do.
    let flags = spec
        .subs
        .iter()
        .fold(spec.flags, |all, sub| all | sub.flags);
    let has = |flag| flags & flag != 0;
    match () {
        () if has(spec::WRITE) => Access::Write,
        () if has(spec::READONLY) => Access::Read,
        // A script: its keys are where its arguments say.
        () if has(spec::MOVABLEKEYS) => Access::Write,
        () => Access::None,
    }
}

/// The command of this name, in either case. O(log n).
fn lookup(kind: ServerKind, name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0u8; 16];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let found = TABLE
        .binary_search_by(|spec| spec.name.as_bytes().cmp(lower))
        .ok()?;
    Some(&TABLE[found]).filter(|spec| spec.is_on(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch a row out of order, and a name that is longer than
    /// [`lookup`] reads.
    #[test]
    fn every_command_is_found_in_either_case() {
        for spec in TABLE {
            for name in [spec.name.to_owned(), spec.name.to_ascii_uppercase()] {
                let found = lookup(ServerKind::Valkey9, name.as_bytes()).map(|found| found.name);
                assert_eq!(found, Some(spec.name));
            }
        }
        assert!(lookup(ServerKind::Valkey9, b"").is_none());
        assert!(lookup(ServerKind::Valkey9, b"a-name-longer-than-any").is_none());
        assert!(lookup(ServerKind::Redis70, b"waitaof").is_none());
    }

    /// Would catch a command's file that is missing here.
    #[test]
    fn every_file_is_a_module() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cmd");
        for entry in std::fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let module = name.strip_suffix(".rs").unwrap();
            let declared = include_str!("mod.rs")
                .lines()
                .any(|line| line == format!("mod {module};"));
            assert!(declared || module == "mod", "{name} has no `mod`");
        }
    }
}
