//! Words, commands and scripts for the generated commands.

/// A script's SHA-1 for EVALSHA.
pub(super) fn sha(text: &str) -> Vec<u8> {
    sha1_smol::Sha1::from(text)
        .digest()
        .to_string()
        .into_bytes()
}

/// Unusual but valid keys.
#[rustfmt::skip]
pub(super) const BINARY: &[&[u8]] = &[
    b"\x00", b"\xff\xfe", b"a\r\nb", b"k\x00k", b" ", b"{tag}\x80",
];

/// Words that are not a command.
#[rustfmt::skip]
pub(super) const BROKEN: &[&[u8]] = &[
    b"", b"x", b"-1", b"0", b"1.5", b"nan", b"-0", b"+1", b"0x10", b"1e400", b"1e-400", b"1e3", b"\x00", b"\xff",
    b"99999999999999999999", b"NX", b"a\r\nb",
];

/// Commands of several words that the generator of shapes does not make:
/// connection, server, options, bytes that are echoed in an error.
pub(super) const LINES: &[&str] = &[
    "HELLO 2",
    "HELLO 3",
    "HELLO 3",
    "HELLO",
    "HELLO 3 SETNAME me",
    "HELLO 2 SETNAME",
    "HELLO 4",
    "RESET",
    "CLIENT GETNAME",
    "CLIENT SETNAME a",
    "CLIENT SETNAME \u{e9}",
    "CLIENT FOO",
    "CLIENT NO-EVICT on",
    "CONFIG GET maxmemory",
    "CONFIG GET nope",
    "CONFIG SET nope 1",
    "CONFIG SET maxmemory-policy x",
    "INFO cluster",
    "ACL WHOAMI",
    "ACL DRYRUN default GET a",
    "ACL DRYRUN nobody GET a",
    "COMMAND INFO nope",
    "SELECT 0",
    "SELECT 1000",
    "SELECT x",
    "WAIT 0 0",
    "SCRIPT EXISTS x y",
    "SCRIPT FLUSH",
    "SCRIPT FLUSH x",
    "SCRIPT KILL",
    "EVALSHA x 0",
    "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
    "FLUSHALL x",
    "KEYS *",
    "PING \u{e9}",
    "ECHO",
    "SET",
    "set a",
    "\u{e9} a",
    "HGETALL",
    "FOO \u{e9} b c",
];

/// Scripts that convert replies of commands, in both protocols, and return
/// values.
pub(super) const SCRIPTS: &[&str] = &[
    "return redis.call('HGETALL', KEYS[1])",
    "redis.setresp(3) local v = redis.call('HMGET', KEYS[1], 'f', 'nope') return {#v, v[1]}",
    "redis.setresp(3) return redis.call('ZSCORE', KEYS[2], ARGV[1])",
    "redis.setresp(3) return redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')",
    "redis.setresp(3) return {redis.call('GET', 'nope'), 1}",
    "redis.setresp(3) return {true, false, {double = 0.1}, {big_number = '12'}}",
    "redis.setresp(3) return redis.call('INFO', 'cluster')",
    "return {{double = 1e20}, {map = {a = 1}}, {set = {x = true}}, {verbatim_string = {format = 'txt', string = 'a'}}}",
    "return {true, false, 1}",
    "redis.setresp(4)",
    "return redis.setresp('3')",
    "return {redis.pcall('GET', KEYS[1]), redis.pcall('HLEN', KEYS[1]), redis.pcall('ZCARD', KEYS[1])}",
    "return redis.call('GET', KEYS[1])",
    "return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])",
    "return redis.pcall(ARGV[1], KEYS[1])",
    "return redis.error_reply(ARGV[1])",
    "return redis.status_reply(ARGV[1])",
    "return {err = ARGV[1]}",
    "error(ARGV[1])",
    "return cjson.encode({ARGV[1], #ARGV[1], tonumber(ARGV[1])})",
    "return {pcall(cjson.decode, ARGV[1])}",
    "return #ARGV[1] .. redis.sha1hex(ARGV[1])",
    "redis.call('RPUSH', KEYS[1], ARGV[1]) redis.call('NOPE')",
    "return {tonumber(ARGV[1]), ARGV[1], KEYS[2], string.format('%.0f', #ARGV[1])}",
    "return redis.call('SCAN', 0, 'COUNT', 10000, 'MATCH', 'none*')",
    "return redis.sha1hex(KEYS[1] .. ARGV[1])",
    "return x",
    "retur",
];
