//! Commands, Lua values and JSON texts, each generated from a seed.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(super) struct Generator {
    rng: ChaCha8Rng,
}

pub(super) fn pick<'a, T: ?Sized>(rng: &mut ChaCha8Rng, from: &[&'a T]) -> &'a T {
    from[rng.random_range(0..from.len())]
}

const KEYS: &[&str] = &[
    "s1", "s2", "l1", "l2", "h1", "h2", "t1", "t2", "z1", "z2", "x1", "x2", "",
];
const FIELDS: &[&str] = &["f", "g", "h", "", "a longer field name"];
#[rustfmt::skip]
const VALUES: &[&str] = &[
    "", "0", "1", "-1", "10", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "01", " 1", "1.5",
    "abc", "with \r\n break", "\u{e9}\u{1f600}", "true", "nil",
];
#[rustfmt::skip]
const SCORES: &[&str] = &[
    "0", "1", "-1", "1.5", "0.1", "1e20", "3", "inf", "-inf", "nan", "x", "1e-7", "100000000000000",
];
#[rustfmt::skip]
const INDEXES: &[&str] = &[
    "0", "1", "2", "-1", "-2", "5", "-100", "100", "x", "9223372036854775807", "",
];

#[rustfmt::skip]
const IDS: &[&str] = &[
    "1-1", "1-2", "2", "3-*", "5-0", "7-*", "7-1", "0-0", "0", "(2-1", "-", "+", "x", "7-3",
];
const GROUPS: &[&str] = &["g", "h"];
const CONSUMERS: &[&str] = &["ann", "bob", ""];
const EDGES: &[&str] = &["-", "+", "[", "(1", "[1", "[a", "(b", "[x", "1"];

/// The arguments of each command: k key, t key of a set, f field, v value, i
/// index, s score, e edge by name, d id in a stream, o group, c consumer; `'` quotes a literal; `*` repeats the part before it.
const SHAPES: &[&str] = &[
    "GET k",
    "SET k v",
    "SET k v PX '100000",
    "SET k v EX '1000 NX",
    "SET k v XX GET",
    "SET k v KEEPTTL",
    "SET k v NX GET",
    "SET k v PX '0",
    "SET k v EX v",
    "SETNX k v",
    "GETEX k",
    "GETEX k EX '1000",
    "GETEX k PX '100000",
    "GETEX k PX '0",
    "GETEX k EX 'x",
    "GETEX k PXAT '99999999999999",
    "GETEX k EXAT '1",
    "GETEX k PERSIST",
    "GETRANGE k i i",
    "SUBSTR k i i",
    "SETRANGE k i v",
    "GETDEL k",
    "MGET k k k",
    "MSET k v k v",
    "MSET k v k",
    "INCR k",
    "DECR k",
    "INCRBY k v",
    "DECRBY k v",
    "INCRBYFLOAT k v",
    "INCRBYFLOAT k s",
    "HINCRBYFLOAT k f v",
    "HINCRBYFLOAT k f s",
    "APPEND k v",
    "STRLEN k",
    "DEL k",
    "DEL k k",
    "UNLINK k",
    "EXISTS k k",
    "TYPE k",
    "EXPIRE k '1000",
    "EXPIRE k '2000 GT",
    "EXPIRE k '500 LT",
    "EXPIRE k '700 NX",
    "EXPIRE k '800 XX",
    "EXPIRE k v",
    "PEXPIRE k '-1",
    "PEXPIREAT k '99999999999999",
    "PEXPIREAT k '1",
    "EXPIREAT k '99999999999",
    "TTL k",
    "PTTL k",
    "PERSIST k",
    "KEYS '*",
    "KEYS '[sl]?",
    "SCAN '0 COUNT '10000",
    "SCAN '0 MATCH 'h* COUNT '10000 TYPE hash",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k",
    "COPY k k REPLACE",
    "COPY k k DB i",
    "TOUCH k k",
    "PEXPIRETIME k",
    "EXPIRETIME k",
    "LPUSHX k v",
    "RPUSHX k v v",
    "LINSERT k BEFORE v v",
    "LINSERT k AFTER v v",
    "LPOS k v",
    "LPOS k v RANK i COUNT i",
    "LPOS k v RANK '-1 MAXLEN i",
    "LPOS k v RANK '-2 COUNT '0",
    "LPUSH k v v",
    "RPUSH k v",
    "RPUSH k v v v",
    "LPOP k",
    "RPOP k",
    "LPOP k '2",
    "RPOP k i",
    "LLEN k",
    "LINDEX k i",
    "LRANGE k i i",
    "LRANGE k '0 '-1",
    "LSET k i v",
    "LTRIM k i i",
    "LREM k i v",
    "HSET k f v",
    "HSET k f v f v",
    "HSET k f v f",
    "HMSET k f v",
    "HGET k f",
    "HMGET k f f",
    "HGETALL k",
    "HDEL k f",
    "HDEL k f f f",
    "HEXISTS k f",
    "HLEN k",
    "HSTRLEN k f",
    "HKEYS k",
    "HVALS k",
    "HSCAN k '0 COUNT '10000",
    "HINCRBY k f v",
    "HSETNX k f v",
    "ZADD k s v",
    "ZADD k s v s v",
    "ZADD k NX s v",
    "ZADD k XX CH s v",
    "ZADD k GT s v",
    "ZADD k INCR s v",
    "ZREM k v v",
    "ZSCORE k v",
    "ZCARD k",
    "ZRANGE k i i WITHSCORES",
    "ZCOUNT k s s",
    "ZCOUNT k '(1 '(inf",
    "ZRANGEBYSCORE k s s",
    "ZRANGEBYSCORE k '(1 '+inf WITHSCORES LIMIT '0 '2",
    "ZRANGE k s s BYSCORE",
    "ZRANGE k '+inf '(1 BYSCORE REV LIMIT i i WITHSCORES",
    "ZRANGE k i i REV WITHSCORES",
    "ZRANGE k i i LIMIT i i",
    "ZRANGE 'y e e BYLEX LIMIT '0 '3",
    "ZADD 'y '0 v '0 f '0 i",
    "ZADD 'y '0 'a '0 'b '0 '1",
    "ZRANGEBYLEX 'y e e",
    "ZREVRANGEBYLEX 'y e e LIMIT '1 i",
    "ZLEXCOUNT 'y e e",
    "ZREMRANGEBYLEX 'y e e",
    "ZREVRANGE k i i WITHSCORES",
    "ZREVRANGEBYSCORE k s s WITHSCORES",
    "ZREVRANGEBYSCORE k '(inf '(0 LIMIT i i",
    "ZREMRANGEBYRANK k i i",
    "ZREMRANGEBYSCORE k s s",
    "ZREMRANGEBYSCORE k '(0 '(1.5",
    "ZRANK k v",
    "ZREVRANK k v",
    "ZMSCORE k v v",
    "SADD t v",
    "SADD t v v v",
    "SADD t i i i",
    "SREM t v",
    "SREM t i i v",
    "SCARD t",
    "SMEMBERS t",
    "SISMEMBER t v",
    "SMISMEMBER t v i",
    "SINTER t t",
    "SUNION t t t",
    "SDIFF t t",
    "SMOVE t t v",
    "SINTERSTORE t t t",
    "SUNIONSTORE t t t",
    "SDIFFSTORE t t t",
    "SUNIONSTORE k k k",
    "LMOVE l l LEFT RIGHT",
    "LMOVE k k RIGHT LEFT",
    "RPOPLPUSH k k",
    "ZINCRBY k s v",
    "ZPOPMIN k",
    "ZPOPMAX k '2",
    "GETSET k v",
    "SETEX k '1000 v",
    "XADD k '1-* f i",
    "XADD k '7-* f i",
    "XADD k '7-* f i f f",
    "XADD k d f i",
    "XADD k d f i f",
    "XADD k NOMKSTREAM d f i",
    "XADD k MAXLEN i '7-* f i",
    "XADD k MAXLEN '= '3 d f i",
    "XADD k MINID d '7-* f i",
    "XADD k MAXLEN ~ i LIMIT i '7-* f i",
    "XLEN k",
    "XRANGE k - +",
    "XRANGE k d d COUNT i",
    "XRANGE k '(1-1 d",
    "XREVRANGE k d d",
    "XREVRANGE k + - COUNT i",
    "XDEL k d",
    "XDEL k d d",
    "XTRIM k MAXLEN i",
    "XTRIM k MAXLEN ~ i",
    "XTRIM k MINID '= d",
    "XTRIM k MINID ~ d LIMIT i",
    "XREAD STREAMS k d",
    "XREAD COUNT i STREAMS k k d d",
    "XREAD STREAMS k $",
    "XREAD STREAMS k >",
    "XGROUP CREATE k o d",
    "XGROUP CREATE k o $ MKSTREAM",
    "XGROUP CREATE k o '0 MKSTREAM ENTRIESREAD i",
    "XGROUP SETID k o d",
    "XGROUP SETID k o '0 ENTRIESREAD i",
    "XGROUP DESTROY k o",
    "XGROUP CREATECONSUMER k o c",
    "XGROUP DELCONSUMER k o c",
    "XREADGROUP GROUP o c STREAMS k >",
    "XREADGROUP GROUP o c COUNT '1 STREAMS k >",
    "XREADGROUP GROUP o c NOACK COUNT i STREAMS k k > >",
    "XREADGROUP GROUP o c STREAMS k d",
    "XREADGROUP GROUP o c COUNT i STREAMS k '0",
    "XACK k o d d",
    "XACK k o '7-0 '7-1 '1-1",
    "XPENDING k o",
    "XPENDING k o - + i",
    "XPENDING k o IDLE '0 d + '10 c",
    "XPENDING k o IDLE '100000 - + '10",
    "XCLAIM k o c '0 d d",
    "XCLAIM k o c '0 '7-1 d FORCE JUSTID",
    "XCLAIM k o c '0 d FORCE RETRYCOUNT i IDLE i",
    "XCLAIM k o c '0 d LASTID d TIME i",
    "XCLAIM k o c '100000 d",
    "XAUTOCLAIM k o c '0 d COUNT i",
    "XAUTOCLAIM k o c '0 '0-0 JUSTID",
    "XAUTOCLAIM k o c '100000 '0",
    "XINFO STREAM k",
    "XINFO GROUPS k",
    "XINFO CONSUMERS k o",
    "DEL t",
    "DBSIZE",
    "GET",
    "LPUSH k",
    "SET k",
    "HGET k",
    "FOO k v",
    "PING",
    "ECHO v",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH k",
    "UNWATCH",
    "EVAL 'return{redis.call('GET',KEYS[1]),redis.call('LLEN',KEYS[2])} '2 k k",
    "EVAL 'return{redis.pcall('INCR',KEYS[1]),redis.pcall('TYPE',KEYS[1])} '1 k",
    "EVAL 'redis.call('RPUSH',KEYS[1],ARGV[1])redis.call('HSET',KEYS[2],ARGV[1],ARGV[1])return{redis.call('LRANGE',KEYS[1],0,-1)} '2 k k v",
    "EVAL 'return{redis.call('HMGET',KEYS[1],'f','g')} '1 h2",
    "EVAL 'return{tonumber(ARGV[1]),ARGV[1],#ARGV,#KEYS} '1 k v v",
    "EVAL 'return{redis.call('SET',KEYS[1],ARGV[1],'XX'),redis.call('SET',KEYS[1],tonumber(ARGV[2]))} '1 k v i",
];

impl Generator {
    pub(super) fn new(seed: u64) -> Generator {
        Generator {
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub(super) fn command(&mut self) -> Vec<Vec<u8>> {
        let rng = &mut self.rng;
        let shape = pick(rng, SHAPES);
        let wild = rng.random_bool(0.15);
        let family = shape.chars().next().unwrap_or('G').to_ascii_lowercase();
        let word = |word: &str| -> Vec<u8> {
            match word {
                "k" | "t" => {
                    let family = if word == "t" { 't' } else { family };
                    let fitting: Vec<&str> = KEYS
                        .iter()
                        .filter(|key| key.starts_with(family))
                        .copied()
                        .collect();
                    let key = if wild || fitting.is_empty() {
                        pick(rng, KEYS)
                    } else {
                        pick(rng, &fitting)
                    };
                    key.as_bytes().to_vec()
                }
                "f" => pick(rng, FIELDS).as_bytes().to_vec(),
                "v" if rng.random_bool(0.03) => vec![b'x'; rng.random_range(60..20_000)],
                "v" => pick(rng, VALUES).as_bytes().to_vec(),
                "i" => pick(rng, INDEXES).as_bytes().to_vec(),
                "d" => pick(rng, IDS).as_bytes().to_vec(),
                "o" => pick(rng, GROUPS).as_bytes().to_vec(),
                "c" => pick(rng, CONSUMERS).as_bytes().to_vec(),
                "e" => pick(rng, EDGES).as_bytes().to_vec(),
                "s" => pick(rng, SCORES).as_bytes().to_vec(),
                other => other
                    .strip_prefix('\'')
                    .unwrap_or(other)
                    .as_bytes()
                    .to_vec(),
            }
        };
        shape.split(' ').map(word).collect()
    }
}

#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "0", "1", "-1", "-0", "1.5", "-2.75", "0.1", "1e15", "1e14", "123456789012345", "99999999999999", "1e300", "1e-5",
    "1e-10", "2^53", "2^63", "-2^63", "2^31", "3.0", "1/3", "1/0", "-1/0", "1e100", "0x10", "100000000000000000000",
];
#[rustfmt::skip]
const STRINGS: &[&str] = &[
    "''", "'a'", "'/'", "'\\\\'", "'\"'", "'\\0'", "'\\1\\31\\127'", "'\\n\\r\\t\\8\\12'", "'\u{e9}'", "'\\255'",
    "'1'", "'a b c'",
];

/// An expression that Lua evaluates to some value.
pub(super) fn lua_value(seed: u64) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    value(&mut rng, 0)
}

fn value(rng: &mut ChaCha8Rng, depth: usize) -> String {
    let keys = ["x", "y", "err", "ok", "z", "double"];
    match rng.random_range(0..if depth > 3 { 6 } else { 11 }) {
        0 => "nil".to_owned(),
        1 => if rng.random() { "true" } else { "false" }.to_owned(),
        2 | 3 => pick(rng, NUMBERS).to_owned(),
        4 => pick(rng, STRINGS).to_owned(),
        5 => if rng.random_bool(0.3) {
            "cjson.null"
        } else {
            "{}"
        }
        .to_owned(),
        6 | 7 => {
            let items: Vec<String> = (0..rng.random_range(0..5))
                .map(|_| value(rng, depth + 1))
                .collect();
            format!("{{{}}}", items.join(","))
        }
        8 | 9 => {
            let member =
                |rng: &mut ChaCha8Rng| format!("{}={}", pick(rng, &keys), value(rng, depth + 1));
            // One member, because the order of several depends on the table.
            let items: Vec<String> = (0..rng.random_range(0..4)).map(|_| member(rng)).collect();
            format!("{{{}}}", items.join(","))
        }
        _ => {
            let at = [1, 2, 3, 9, 11, 12, 20][rng.random_range(0..7)];
            format!(
                "{{[{at}]={},[2]={}}}",
                value(rng, depth + 1),
                value(rng, depth + 1)
            )
        }
    }
}

/// A text that is JSON or almost JSON.
pub(super) fn json(seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut text = json_value(&mut rng, 0).into_bytes();
    if rng.random_bool(0.4) && !text.is_empty() {
        let at = rng.random_range(0..text.len());
        match rng.random_range(0..4) {
            0 => text.truncate(at),
            1 => text[at] = b"{}[]\":,\\0 x-.e\0+"[rng.random_range(0..16)],
            2 => drop(text.remove(at)),
            _ => text.insert(at, b"{}[]\":,\\0 x-.en\x01"[rng.random_range(0..16)]),
        }
    }
    // Skips a draw: a text that starts like UTF-16 is refused as such.
    let _ = rng.next_u32();
    text
}

fn json_value(rng: &mut ChaCha8Rng, depth: usize) -> String {
    #[rustfmt::skip]
    let numbers = [
        "0", "-0", "1", "12", "-3.25", "1e3", "1E-7", "1e400", "01", "0x1F", "-0x2", "inf", "-Infinity", "1.",
        "123456789012345678", "0.1", "+1", ".5", "-", "1e", "2e+", "1e5",
    ];
    #[rustfmt::skip]
    let strings = [
        r#""""#, r#""a""#, r#""\n\t\r\b\f\/\\\"""#, r#""\u0041""#, r#""\u00e9\u20ac""#, r#""\ud83d\ude00""#,
        r#""\ud800""#, r#""\udc00\ud800""#, r#""\u00zz""#, r#""\x""#, r#""é""#, r#""a/b""#, "\"\u{1}\"",
    ];
    match rng.random_range(0..if depth > 3 { 5 } else { 8 }) {
        0 => pick(rng, &["null", "true", "false", "nul", "True"]).to_owned(),
        1 | 2 => pick(rng, &numbers).to_owned(),
        3 | 4 => pick(rng, &strings).to_owned(),
        5 | 6 => {
            let items: Vec<String> = (0..rng.random_range(0..4))
                .map(|_| json_value(rng, depth + 1))
                .collect();
            format!("[{}]", items.join(pick(rng, &[",", " , ", ",\n"])))
        }
        _ => {
            let names = [r#""a""#, r#""b""#, r#""""#, r#""1""#];
            let member = |rng: &mut ChaCha8Rng| {
                format!("{} :{}", pick(rng, &names), json_value(rng, depth + 1))
            };
            let items: Vec<String> = (0..rng.random_range(0..3)).map(|_| member(rng)).collect();
            format!("{{{}}}", items.join(","))
        }
    }
}
