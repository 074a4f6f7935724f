//! Every command by name.

use super::spec::Spec;
use super::*;

/// In name order: [`lookup`] halves it.
#[rustfmt::skip]
pub(super) static TABLE: &[Spec] = &[
    acl::ACL, append::APPEND, auth::AUTH, client::CLIENT, command::COMMAND, config::CONFIG, dbsize::DBSIZE, incr::DECR,
    incr::DECRBY, del::DEL, discard::DISCARD, echo::ECHO, eval::EVAL, eval::EVAL_RO, eval::EVALSHA, eval::EVALSHA_RO,
    exec::EXEC, exists::EXISTS, expire::EXPIRE, expire::EXPIREAT, flush::FLUSHALL, flush::FLUSHDB, get::GET,
    getdel::GETDEL, hdel::HDEL, hello::HELLO, hexists::HEXISTS, hget::HGET, hgetall::HGETALL, hincrby::HINCRBY,
    hgetall::HKEYS, hlen::HLEN, hmget::HMGET, hset::HMSET, hscan::HSCAN, hset::HSET, hsetnx::HSETNX, hgetall::HVALS,
    incr::INCR, incr::INCRBY, info::INFO, keys::KEYS, lindex::LINDEX, llen::LLEN, pop::LPOP, push::LPUSH,
    lrange::LRANGE, lrem::LREM, lset::LSET, ltrim::LTRIM, mget::MGET, mset::MSET, multi::MULTI, persist::PERSIST,
    expire::PEXPIRE, expire::PEXPIREAT, ping::PING, ttl::PTTL, quit::QUIT, rename::RENAME, reset::RESET, pop::RPOP,
    push::RPUSH, scan::SCAN, script::SCRIPT, select::SELECT, set::SET, setnx::SETNX, strlen::STRLEN, time::TIME,
    ttl::TTL, type_::TYPE, del::UNLINK, watch::UNWATCH, wait::WAIT, watch::WATCH, zadd::ZADD, zcard::ZCARD,
    zrange::ZRANGE, zrangebyscore::ZRANGEBYSCORE, zrem::ZREM, zscore::ZSCORE,
];

/// The command of this name, in either case.
pub(super) fn lookup(name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0u8; 16];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let found = TABLE
        .binary_search_by(|spec| spec.name.as_bytes().cmp(lower))
        .ok()?;
    Some(&TABLE[found])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_command_is_found() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
        for spec in TABLE {
            assert!(
                lookup(spec.name.to_ascii_uppercase().as_bytes()).is_some(),
                "{}",
                spec.name
            );
        }
        assert!(lookup(b"").is_none());
        assert!(lookup(b"a-name-longer-than-any").is_none());
    }
}
