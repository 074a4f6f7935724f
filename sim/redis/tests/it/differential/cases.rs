//! Cases written by hand: options, errors, and possible errors of scripts.

/// Commands, each after the ones before it.
pub(super) fn commands() -> Vec<Vec<Vec<u8>>> {
    let words = |line: &str| {
        line.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    };
    COMMANDS.trim().lines().map(words).collect()
}

const COMMANDS: &str = "
PING
PING a
PING a b
ECHO
ECHO a
FOO
FOO a b
foo  a
SELECT 0
SELECT 99
SELECT x
CLIENT
CLIENT FOO
CLIENT GETNAME
CLIENT SETNAME
CLIENT SETNAME me
CLIENT GETNAME
CLIENT NO-EVICT on
CLIENT NO-EVICT x
CONFIG FOO
CONFIG GET maxmemory-policy
CONFIG GET nothing
CONFIG SET maxmemory-policy foo
CONFIG SET nope 1
CONFIG SET a
CONFIG SET maxmemory-policy allkeys-lru
CONFIG GET maxmemory-policy
CONFIG SET maxmemory-policy noeviction
COMMAND INFO nope
COMMAND COUNT x
COMMAND FOO
HELLO x
HELLO 9
HELLO 2 FOO
HELLO 2 SETNAME
WAIT 0 0
WAIT x 0
WAIT 1 -1
WAIT 0 x
WAIT 1 1
WAIT -1 0
WAITAOF 0 0 0
AUTH x
AUTH a b
ACL WHOAMI
ACL FOO
INFO cluster
INFO nope
RESET
CLIENT GETNAME
SCRIPT
SCRIPT FOO
SCRIPT EXISTS
SCRIPT EXISTS x e0e1f9fabfc9d4800c877a703b823ac0578ff8db
SCRIPT LOAD return
SCRIPT EXISTS 63143b6f8007b98c53ca2149822777b3566f9241 63143B6F8007B98C53CA2149822777B3566F9241
SCRIPT LOAD retur+x
SCRIPT FLUSH FOO
SCRIPT KILL
EVALSHA 63143b6f8007b98c53ca2149822777b3566f9241 0
EVALSHA 63143B6F8007B98C53CA2149822777B3566F9241 0 a
EVALSHA 63143b6f8007b98c53ca2149822777b3566f9241 x
EVALSHA 63143b6f8007b98c53ca2149822777b3566f924 x
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db x
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
SCRIPT FLUSH
EVALSHA 63143b6f8007b98c53ca2149822777b3566f9241 0
EVAL return x
EVAL return -1
EVAL return 5
EVAL return 1 a b
EVAL return+1 0
EVAL_RO return 0
SET a 1 EX 0
SET a 1 PX -1
SET a 1 EX x
SET a 1 EX 9223372036854775807
SET a 1 EX
SET a 1 NX XX
SET a 1 KEEPTTL EX 1
SET a 1 EX 1 PX 1
SET a 1 FOO
SET a 1 GET NX
SET a 1 GET
SET a 1 PXAT 1
GET a
SET a 1 EXAT 99999999999
TTL a
SET a 2 KEEPTTL
TTL a
SET a 3
TTL a
EXPIRE a 9223372036854775807
EXPIRE a 10 NX XX
EXPIRE a 10 GT LT
EXPIRE a 10 FOO
EXPIRE a x
PEXPIREAT a -1
GET a
GETDEL a b
LPUSH l 1
LPOP l -1
LPOP l x
LPOP l 0
LPOP nokey 2
LPOP nokey 0
LPOP nokey
LPOP l 1 2
RPOP nokey x
LSET nokey 0 a
LSET l 5 a
LSET l x a
LINDEX l x
LINDEX nokey x
LRANGE l x 1
RENAME no a
RENAME l l
RENAME l m
RENAME m l
HSET h a
HSET h a b c
HINCRBY h n 1
HSET h n x
HINCRBY h n 1
HINCRBY h n x
HSET h n 9223372036854775807
HINCRBY h n 1
HMSET h a
HSCAN h 0 COUNT 0
HSCAN no 0 FOO
HSCAN h x
HSCAN h 0 FOO 1
HSCAN h 0 MATCH n
INCRBYFLOAT f 1.5
INCRBYFLOAT f x
INCRBYFLOAT f inf
INCRBYFLOAT f nan
INCRBYFLOAT f 1e4932
INCRBYFLOAT f 1e4932
INCRBYFLOAT f 1e5000
INCRBYFLOAT f 1e-5000
INCRBYFLOAT f 1e-4940
INCRBYFLOAT f 0x1p-3
INCRBYFLOAT l 1
HINCRBYFLOAT hf f 0.1
HINCRBYFLOAT hf f 0.2
HINCRBYFLOAT hf f inf
HINCRBYFLOAT hf f nan
HINCRBYFLOAT hf f x
HINCRBYFLOAT hg f inf
HINCRBYFLOAT hg f x
EXISTS hg
HSET hf g x
HINCRBYFLOAT hf g 1
HSET hf g inf
HINCRBYFLOAT hf g 1
HINCRBYFLOAT l f 1
SET f 1 EX 100
INCRBYFLOAT f 0.25
TTL f
INCR s
SET s x
INCR s
SET s 9223372036854775807
INCR s
DECRBY s -9223372036854775808
INCRBY s x
SCAN x
SCAN 0 COUNT 0
SCAN 0 FOO
SCAN 0 COUNT x
MSET a
MSET a 1 b
EXEC
DISCARD
EXEC a
ZADD z x a
ZADD z 1 a nan b
ZADD z NX XX 1 a
ZADD z GT LT 1 a
ZADD z INCR 1 a 2 b
ZADD z 1 a 2
ZADD z 1.5 a inf b 1e300 c
ZADD z INCR -inf b
ZADD z XX 1 nobody
ZADD y XX 1 nobody
EXISTS y
ZRANGE z 0 -1 WITHSCORES
ZCOUNT z x 1
ZCOUNT z -inf +inf
ZCOUNT z (1 2
ZCOUNT none 1 2
ZRANGEBYSCORE z x 1
ZRANGEBYSCORE z -inf +inf WITHSCORES LIMIT 0 1
ZRANGEBYSCORE z (1.5 (inf
ZRANGE z 0 -1 FOO
ZRANGE z a b
SADD
SADD t
SADD t 3 1 2 3
SADD t 1
SMEMBERS t
SCARD t
TYPE t
SADD t x 01 -0
SCARD t
SREM t nobody
SREM t 3 3 x
SMEMBERS t
SISMEMBER t 1
SISMEMBER t nobody
SISMEMBER none a
SISMEMBER s a
SMISMEMBER t 1 nobody x 01
SMISMEMBER none a b
SADD u 1 2 y
SINTER t u
SINTER t none
SINTER t s
SUNION t u
SUNION none
SUNION none s
SDIFF t u
SDIFF none t
SDIFF t none u
SETEX e 0 a
SETEX e x a
SETEX e 9223372036854775807 a
SETEX e 100 a
TTL e
PSETEX e -1 a
PSETEX e 100000 b
GETSET e c
TTL e
GETSET none c
GETSET t c
GETSET none d
RPUSH q a b c
LMOVE q q LEFT RIGHT
LMOVE q r RIGHT LEFT
LMOVE q r UP LEFT
LMOVE none r LEFT LEFT
LMOVE q t LEFT LEFT
LMOVE t q LEFT LEFT
RPOPLPUSH q r
RPOPLPUSH q r
RPOPLPUSH q r
EXISTS q
LRANGE r 0 -1
BLPOP r 0
BRPOP none r 1
BLPOP t 0
BLPOP r -1
BLPOP r x
BLPOP r
BLMOVE r r LEFT RIGHT 0
BLMOVE r r UP RIGHT 0
BRPOPLPUSH r r 0
BLPOP none 0.01
BLMOVE none r LEFT LEFT 0.01
BRPOPLPUSH none r 0.01
MULTI
BLPOP none 0
BLMOVE none r LEFT LEFT 0
BZPOPMIN none 0
EXEC
LRANGE r 0 -1
ZADD p 1 a 2.5 b 2.5 c inf d
ZINCRBY p 1.5 a
ZINCRBY p x a
ZINCRBY p -inf d
ZINCRBY p 1 new
ZINCRBY t 1 a
ZPOPMIN p
ZPOPMAX p 2
ZPOPMAX p -1
ZPOPMAX p x
ZPOPMAX p 0
ZPOPMIN p 1 2
ZPOPMIN none
ZPOPMIN none 2
ZPOPMIN t
BZPOPMIN none p 0
BZPOPMAX p 0.01
BZPOPMAX p 0.01
EXISTS p
ZADD r 1 a 2 b 2 c 3.5 d inf e
ZRANGE r 0 -1 REV WITHSCORES
ZRANGE r 1 2 REV REV
ZRANGE r (1 inf BYSCORE WITHSCORES
ZRANGE r +inf (1 BYSCORE REV LIMIT 1 2
ZRANGE r 1 3 BYSCORE LIMIT 0 -1
ZRANGE r 1 3 BYSCORE LIMIT -1 2
ZRANGE r 1 3 BYSCORE LIMIT 0
ZRANGE r 1 3 BYSCORE LIMIT x 1
ZRANGE r 1 3 BYSCORE BYLEX
ZRANGE r 1 3 LIMIT 0 1
ZRANGE r 1 3 LIMIT 1 -1
ZRANGE r 1 3 LIMIT -1 -1
ZRANGE r x 3 BYSCORE
ZRANGE r x 3
ZRANGE r (inf inf BYSCORE
ZRANGE r inf inf BYSCORE
ZRANGE r (inf (inf BYSCORE
ZRANGE r -inf (-inf BYSCORE
ZRANGE r 3 1 BYSCORE
ZRANGE r (2 2 BYSCORE
ZRANGE r 2 (2 BYSCORE
ZRANGE r a b BYLEX
ZRANGE r - + BYLEX WITHSCORES
ZRANGE none x 1 BYSCORE
ZRANGE t 0 1 REV
ZREVRANGE r 0 1 WITHSCORES
ZREVRANGE r 0 1 REV
ZREVRANGE r 0 1 BYSCORE
ZREVRANGE r 0 1 LIMIT 0 1
ZREVRANGE r 0 x
ZREVRANGE none 0 1
ZREVRANGEBYSCORE r 2 1 WITHSCORES
ZREVRANGEBYSCORE r 2 (1 LIMIT 1 5
ZREVRANGEBYSCORE r 1 2
ZREVRANGEBYSCORE r x 2
ZREVRANGEBYSCORE t 2 1
ZADD uneq 0 b 1 a
ZRANGEBYLEX uneq [b +
ZRANGEBYLEX uneq - [a
ZRANGEBYLEX uneq [a +
ZREVRANGEBYLEX uneq [b -
ZREVRANGEBYLEX uneq + [b
ZREVRANGEBYLEX uneq [a -
ZLEXCOUNT uneq - (b
ZREMRANGEBYLEX uneq [b +
ZREMRANGEBYLEX uneq [a +
ZADD same 0 a 0 b 0 c 0 d
ZRANGEBYLEX same - +
ZRANGEBYLEX same + -
ZRANGEBYLEX same + +
ZRANGEBYLEX same - -
ZRANGEBYLEX same [b (d
ZRANGEBYLEX same (b [b
ZRANGEBYLEX same [b [b
ZRANGEBYLEX same [ +
ZRANGEBYLEX same b +
ZRANGEBYLEX same (a + LIMIT 1 1
ZRANGEBYLEX same - + WITHSCORES
ZREVRANGEBYLEX same [c -
ZREVRANGEBYLEX same + (b LIMIT 0 1
ZLEXCOUNT same (a [c
ZLEXCOUNT same a c
ZLEXCOUNT none - +
ZLEXCOUNT t - +
ZREMRANGEBYLEX same (c +
ZREMRANGEBYLEX same c +
ZREMRANGEBYRANK same 0 0
ZREMRANGEBYRANK same 5 9
ZREMRANGEBYRANK same x 9
ZREMRANGEBYRANK none 0 1
ZREMRANGEBYRANK t 0 1
ZREMRANGEBYSCORE same (0 1
ZREMRANGEBYSCORE same x 1
ZREMRANGEBYSCORE same 0 0
EXISTS same
ZRANK r c
ZRANK r nobody
ZRANK none a
ZRANK t a
ZREVRANK r c
ZREVRANK r nobody
ZMSCORE r a nobody e
ZMSCORE none a b
ZMSCORE t a
SET g value
GETEX g EX 0
GETEX g EX x
GETEX none EX x
GETEX t EX x
GETEX g EX 10 PX 10
GETEX g EX 10 EX 100
GETEX g PERSIST EX 100
GETEX g EX 100 PERSIST
GETEX g KEEPTTL
GETEX g NX
GETEX g EX
TTL g
GETEX g
TTL g
GETEX g PERSIST PERSIST
TTL g
GETEX g PXAT 99999999999000
EXPIRETIME g
PEXPIRETIME g
EXPIRETIME none
PEXPIRETIME s
SETRANGE g 2 LU
TTL g
GETEX g EXAT 1
EXISTS g
SET g 1 EX 10 EX 100
TTL g
SET g 1 EX 10 PX 100
SET g value
GETRANGE g 0 -1
GETRANGE g 1 2
GETRANGE g -3 -2
GETRANGE g -1 -2
GETRANGE g -100 -100
GETRANGE g -100 -99
GETRANGE g 0 -100
GETRANGE g 9 10
GETRANGE g x 1
GETRANGE none 0 1
GETRANGE t 0 1
SUBSTR g 0 1
SETRANGE g 7 xyz
GET g
SETRANGE g -1 a
SETRANGE g x a
SETRANGE g 536870911 ab
SETRANGE g 9223372036854775807 a
SETRANGE t 0 a
SETRANGE new 2 a
SET empty 
SETRANGE g 1 
RENAMENX g g
RENAMENX g new
RENAMENX none new
RENAMENX g gg
TOUCH gg new none gg
LPUSHX none a
LPUSHX t a
RPUSH m a b c a b
LPUSHX m z y
RPUSHX m d
LINSERT m BEFORE b new
LINSERT m AFTER d last
LINSERT m UP b new
LINSERT m AFTER nobody new
LINSERT none UP b new
LINSERT none AFTER b new
LINSERT t AFTER b new
LRANGE m 0 -1
LPOS m a
LPOS m nobody
LPOS m nobody COUNT 1
LPOS m a COUNT 0
LPOS m a COUNT 1
LPOS m a RANK 2
LPOS m a RANK 3
LPOS m a RANK -1
LPOS m a RANK -1 COUNT 0
LPOS m a RANK -2 COUNT 5
LPOS m b RANK -1 MAXLEN 2
LPOS m b RANK -1 MAXLEN 3
LPOS m z RANK -1 MAXLEN 3
LPOS m b RANK -1 MAXLEN 9
LPOS m a MAXLEN 2
LPOS m a MAXLEN 3 COUNT 0
LPOS m a RANK 0
LPOS m a RANK x
LPOS m a RANK -9223372036854775808
LPOS m a COUNT -1
LPOS m a COUNT x
LPOS m a MAXLEN -1
LPOS m a RANK
LPOS m a FOO 1
LPOS none a
LPOS none a COUNT 1
LPOS t a
SADD v a b 1
SMOVE v w a
SMOVE v w nobody
SMOVE v t b
SMOVE v v b
SMOVE v v nobody
SMOVE none t b
SMOVE none s b
SMOVE t s nobody
SMOVE s t b
SMOVE v w b
WATCH w
SMOVE v w 1
MULTI
PING
EXEC
EXISTS v
SMEMBERS w
SADD v 1 2 b
SINTERSTORE d v w
SUNIONSTORE d v w none
SDIFFSTORE d v w
SMEMBERS d
SDIFFSTORE d v v
EXISTS d
SET d text EX 100
SUNIONSTORE d v w
TTL d
SINTERSTORE d v s
SINTERSTORE d none s
SINTERSTORE d none v
SINTERSTORE d
HSET hs f value
HSTRLEN hs f
HSTRLEN hs nobody
HSTRLEN none f
HSTRLEN t f
COPY v vv
COPY v vv
COPY w vv REPLACE
SMEMBERS vv
COPY v v
COPY v v DB 1
COPY v v DB 1
COPY v v DB 1 REPLACE DB 0
COPY v v DB x
COPY v v DB 99
COPY v v DB 99999999999
COPY v v DB
COPY v x FOO
COPY none x
SET e 1 EX 100
COPY e x
TTL x
XADD x 0-0 f v
XADD x 0-* f v
XADD x 0-1 f v
XADD x 1-1 f v g w
XADD x 1-1 f v
XADD x 1 f v
XADD x 1-* f v
XADD x 5 f v
XADD x f v
XADD x 5-5 f
XADD x x f v
XADD x 5-x f v
XADD x 5-1-1 f v
XADD x -5-1 f v
XADD x 5--3 f v
XADD x + f v
XADD x - f v
XADD x +7-+08 f v
XADD x 18446744073709551616 f v
XADD x 5-** f v
XADD x 11111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111-1 f v
XADD no NOMKSTREAM * f v
XADD x NOMKSTREAM 8-1 f v
XADD x MAXLEN 2 MAXLEN 3 9-1 f v
XADD x MAXLEN 2 MINID 3 9-1 f v
XADD x MAXLEN -1 9-1 f v
XADD x MAXLEN x 9-1 f v
XADD x MINID x 9-1 f v
XADD x MINID - 9-1 f v
XADD x MAXLEN 2 LIMIT 1 9-1 f v
XADD x LIMIT 1 9-1 f v
XADD x LIMIT 0 9-1 f v
XADD x MAXLEN ~ 2 LIMIT -1 9-1 f v
XADD x MAXLEN ~ 2 LIMIT x 9-1 f v
XADD x MAXLEN ~ 2 LIMIT 0 9-1 f v
XADD x MAXLEN ~ 9-2 f v
XADD x MAXLEN =
XADD x maxlen = 3 9-2 f v
XADD x MAXLEN
XADD s 1-1 f v
XADD t * f v
XLEN x
XLEN no
XLEN s
XRANGE x - +
XRANGE x - + COUNT 1
XRANGE x - + COUNT 0
XRANGE x - + COUNT -5
XRANGE x - + COUNT x
XRANGE x - + COUNT
XRANGE x - + FOO 1
XRANGE x - + COUNT 1 COUNT 2
XRANGE x (8-1 +
XRANGE x - (9-2
XRANGE x (9 (9
XRANGE x 9 9
XRANGE x + -
XRANGE x (- +
XRANGE x (+ +
XRANGE x ( +
XRANGE x - (0-0
XRANGE x (18446744073709551615-18446744073709551615 +
XRANGE no - + COUNT 0
XRANGE s - +
XREVRANGE x + -
XREVRANGE x (9-2 - COUNT 1
XREVRANGE x - +
XREVRANGE x x -
TYPE x
DEL x
XADD big 18446744073709551615-18446744073709551614 f v
XADD big * f v
XADD big * f v
XADD big 1-1 f v
XADD late 99999999999999-5 f v
XADD late * f v
XADD late 99999999999999-* f v
XADD late NOMKSTREAM MAXLEN 2 * f v
XADD late 18446744073709551615-18446744073709551615 f v
XADD late 18446744073709551615-* f v
XRANGE late - +
XADD x 1-1 a 1
XADD x 1-2 a 2
XADD x 2-1 a 3
XADD x 3-1 a 4
XDEL x 1-1 1-1 9-9
XDEL x x
XDEL x 2-1 x
XDEL x -
XDEL no x
XDEL s 1-1
XINFO STREAM x
XTRIM x MAXLEN 2
XTRIM x MAXLEN ~ 0
XTRIM x MAXLEN 0 LIMIT 1
XTRIM x MAXLEN ~ 0 LIMIT 1
XTRIM x FOO 1
XTRIM x LIMIT 1
XTRIM x LIMIT 0
XTRIM x NOMKSTREAM
XTRIM x MINID 3
XTRIM x MINID 3 FOO
XTRIM no MAXLEN 1
XTRIM s MAXLEN 1
XLEN x
XADD x 4-1 a 5
XADD x 4-2 a 6
XREAD STREAMS x 0
XREAD STREAMS x 3-1
XREAD STREAMS x 4-2
XREAD STREAMS x $
XREAD STREAMS x +
XREAD STREAMS x >
XREAD STREAMS x
XREAD STREAMS x no 0
XREAD COUNT 1 STREAMS x late 0 0
XREAD COUNT 0 STREAMS x 0
XREAD COUNT -1 STREAMS no x 0 0
XREAD COUNT x STREAMS x 0
XREAD COUNT 1 x 0
XREAD FOO STREAMS x 0
XREAD GROUP g c STREAMS x 0
XREAD NOACK STREAMS x 0
XREAD BLOCK x STREAMS x 0
XREAD BLOCK -1 STREAMS x 0
XREAD BLOCK 0 STREAMS x 0
XREAD BLOCK 10 STREAMS x $
XREAD BLOCK 10 STREAMS no late $ 99999999999999-9
XREAD STREAMS s 0
XREAD STREAMS x s 0 0
XREAD STREAMS x x 0 x
XREAD STREAMS x 18446744073709551615-18446744073709551615
XGROUP
XGROUP FOO
XGROUP CREATE x g
XGROUP CREATE no g 0
XGROUP CREATE x g x
XGROUP CREATE x g -
XGROUP CREATE x g 0
XGROUP CREATE x g 0
XGROUP CREATE x g $ MKSTREAM
XGROUP CREATE x h $
XGROUP CREATE x i 0 FOO
XGROUP CREATE x i 0 ENTRIESREAD
XGROUP CREATE x i 0 ENTRIESREAD x
XGROUP CREATE x i 0 ENTRIESREAD -2
XGROUP CREATE x i 0 ENTRIESREAD -1
XGROUP CREATE x j 0 MKSTREAM MKSTREAM MKSTREAM MKSTREAM
XGROUP CREATE made g $ MKSTREAM
XGROUP CREATE made2 g x MKSTREAM
EXISTS made made2
XGROUP CREATE s g 0
XGROUP SETID x g x
XGROUP SETID x none 0
XGROUP SETID no g 0
XGROUP SETID x g - 
XGROUP SETID x g 0 MKSTREAM
XGROUP SETID x g 0 ENTRIESREAD 1 ENTRIESREAD 1
XGROUP SETID x i + ENTRIESREAD 7
XINFO GROUPS x
XGROUP SETID x i -
XINFO GROUPS x
XGROUP DESTROY x i
XGROUP DESTROY x i
XGROUP DESTROY no i
XGROUP DESTROY s i
XGROUP CREATECONSUMER x g ann
XGROUP CREATECONSUMER x g ann
XGROUP CREATECONSUMER x none ann
XGROUP CREATECONSUMER no g ann
XGROUP DELCONSUMER x g nobody
XGROUP DELCONSUMER x none ann
XREADGROUP GROUP g ann STREAMS x
XREADGROUP GROUP g ann COUNT 1 STREAMS x >
XREADGROUP GROUP g bob STREAMS x >
XREADGROUP GROUP g bob STREAMS x >
XREADGROUP GROUP g ann STREAMS x 0
XREADGROUP GROUP g ann COUNT 1 STREAMS x 4-1
XREADGROUP GROUP g new STREAMS x 0
XREADGROUP GROUP none ann STREAMS x >
XREADGROUP GROUP g ann STREAMS no >
XREADGROUP GROUP g ann STREAMS s >
XREADGROUP GROUP g ann STREAMS x $
XREADGROUP GROUP g ann STREAMS x x
XREADGROUP GROUP g ann STREAMS x 18446744073709551615-18446744073709551615
XREADGROUP COUNT 1 NOACK STREAMS x > x
XREADGROUP NOACK NOACK NOACK STREAMS x >
XREADGROUP GROUP g ann BLOCK 10 STREAMS x >
XPENDING x g
XPENDING x g - + 10
XPENDING x g - + 10 ann
XPENDING x g - + 10 nobody
XPENDING x g (4-1 + 10
XPENDING x g + - 10
XPENDING x g - + 0
XPENDING x g - + -1
XPENDING x g - + x
XPENDING x g x + 1
XPENDING x g - x 1
XPENDING x g - +
XPENDING x g -
XPENDING x g IDLE 0 - + 10
XPENDING x g IDLE 100000 - + 10
XPENDING x g IDLE -5 - + 10 bob
XPENDING x g IDLE x - + 10
XPENDING x g IDLE 0 - +
XPENDING x g IDLE 0 - + 10 bob more
XPENDING x g - + 10 bob more
XPENDING x g - + 10 bob more more
XPENDING x g - + 10 bob more more more
XPENDING x h
XPENDING x none
XPENDING no g
XPENDING s g
XINFO CONSUMERS x g
XINFO GROUPS x
XACK x g 4-1 9-9 4-1
XACK x g x
XACK x g 4-2 x
XACK x none x
XACK no g x
XACK s g 1
XADD x 5-1 a 7
XADD x 5-2 a 8
XREADGROUP GROUP g ann NOACK STREAMS x >
XPENDING x g
XCLAIM x g cat 0 4-2
XCLAIM x g cat 100000 4-2
XCLAIM x g cat 0 4-2 JUSTID
XCLAIM x g dog 0 5-1
XCLAIM x g dog 0 5-1 FORCE
XCLAIM x g dog 0 5-2 9-9 FORCE JUSTID
XCLAIM x g dog 0 4-2 RETRYCOUNT 9 IDLE 1000 LASTID 9-9
XCLAIM x g dog 0 4-2 RETRYCOUNT -1 TIME 5
XCLAIM x g dog -1 4-2 IDLE x
XCLAIM x g dog 0 4-2 TIME x
XCLAIM x g dog 0 4-2 RETRYCOUNT x
XCLAIM x g dog 0 4-2 LASTID x
XCLAIM x g dog 0 4-2 FOO
XCLAIM x g dog 0 4-2 IDLE
XCLAIM x g dog x 4-2
XCLAIM x g dog 0 LASTID 4-2
XCLAIM x none dog x 4-2
XCLAIM no g dog 0 4-2
XCLAIM s g dog 0 4-2
XPENDING x g - + 10
XINFO GROUPS x
XDEL x 5-1
XCLAIM x g eve 0 5-1
XPENDING x g
XREADGROUP GROUP g dog STREAMS x 0
XCLAIM x g eve 0 4-2 5-2
XGROUP SETID x g 5-1
XREADGROUP GROUP g gil STREAMS x >
XPENDING x g - + 10
XCLAIM x g eve 0 5-2
XDEL x 4-2
XREADGROUP GROUP g eve STREAMS x 0
XAUTOCLAIM x g fox 100000 0
XAUTOCLAIM x g fox 0 0 COUNT 1
XAUTOCLAIM x g fox 0 0 COUNT 1
XAUTOCLAIM x g fox 0 0
XAUTOCLAIM x g fox 0 0 JUSTID
XAUTOCLAIM x g fox 0 (5-2
XAUTOCLAIM x g fox 0 x
XAUTOCLAIM x g fox x 0
XAUTOCLAIM x g fox 0 0 COUNT 0
XAUTOCLAIM x g fox 0 0 COUNT x
XAUTOCLAIM x g fox 0 0 COUNT
XAUTOCLAIM x g fox 0 0 COUNT 9223372036854775807
XAUTOCLAIM x none fox 0 0
XAUTOCLAIM no g fox 0 0
XAUTOCLAIM s g fox 0 0
XINFO CONSUMERS x g
XINFO CONSUMERS x none
XINFO CONSUMERS no g
XINFO CONSUMERS s g
XINFO GROUPS x
XINFO GROUPS no
XINFO STREAM x
XINFO STREAM x FOO
XINFO STREAM no
XINFO STREAM s
XINFO STREAM made
XINFO GROUPS made
XINFO
XINFO FOO
XGROUP DELCONSUMER x g fox
XPENDING x g
XADD gone 1-1 f v
XGROUP CREATE gone g 0 ENTRIESREAD 0
XDEL gone 1-1
XINFO GROUPS gone
XADD auto 1-1 f v
XADD auto 1-2 f v
XADD auto 1-3 f v
XGROUP CREATE auto g 0
XREADGROUP GROUP g ann STREAMS auto >
XAUTOCLAIM auto g bob 0 0 COUNT 2
XDEL auto 1-1
XAUTOCLAIM auto g cat 0 0 COUNT 1
XAUTOCLAIM auto g cat 100000 1-2 COUNT 1
XAUTOCLAIM auto g cat 0 (1-2 COUNT 1 JUSTID
XPENDING auto g - + 10
WATCH x
XACK x g 5-2
XGROUP CREATE x w 0
XREADGROUP GROUP w c STREAMS x >
XPENDING x w
XACK x w 5-2
XCLAIM x w e 0 5-2 FORCE
XGROUP SETID x w 0
XGROUP CREATECONSUMER x w d
MULTI
XREAD BLOCK 0 STREAMS x $
XREADGROUP GROUP w c BLOCK 0 STREAMS x >
XADD x 6-1 a b
EXEC
WATCH x
XDEL x 6-1
MULTI
PING
EXEC
EVAL return(redis.pcall('xread','BLOCK',0,'STREAMS','x','$')) 0
EVAL return(redis.pcall('XREAD','STREAMS','x','0')) 0
EVAL return(redis.pcall('XADD','x','*','a')) 0
EVAL return(redis.pcall('XGROUP','CREATE','x','w','0')) 0
EVAL redis.setresp(3)return(redis.pcall('XREAD','STREAMS','x','0').map.x) 0
COPY x copied
XINFO GROUPS copied
RENAME copied renamed
XLEN renamed
SCAN 0 TYPE stream COUNT 10000
GET x
LPUSH x a
SADD x a
SET x text
GET x
XLEN x
PUBLISH none a
PUBLISH none
PUBSUB CHANNELS
PUBSUB CHANNELS a b
PUBSUB NUMSUB a b
PUBSUB NUMPAT
PUBSUB FOO
SELECT 1
DBSIZE
SET other 1
WATCH other
SELECT 0
EXISTS other
SET other 2
SELECT 1
MULTI
GET other
EXEC
EVAL return{redis.call('SELECT','2'),redis.call('DBSIZE')} 0
GET other
MULTI
SELECT 3
SET third 3
EXEC
DBSIZE
SELECT -1
SELECT 16
FLUSHDB
SELECT 0
GET other
SELECT 2
SET second 2
FLUSHALL
SELECT 3
DBSIZE
SELECT 0
DBSIZE
SADD t 1
SET s x
SMEMBERS t t
SMEMBERS none
SCARD none
SREM none a
SREM t
GET t
LPUSH t a
SADD a x
SMEMBERS a
SCARD a
SREM a x
SCAN 0 TYPE set COUNT 10000
RENAME t u
EXPIRE u 100
SADD u 9
TTL u
SREM u 1 2 01 -0 9
EXISTS u
FLUSHALL FOO
FLUSHDB SYNC
WATCH a
MULTI
MULTI
WATCH b
FOO
SET a b
EXEC
MULTI
SET a b
INCR a
LPUSH a x
EXEC
WATCH a
SET a c
MULTI
GET a
EXEC
WATCH a
UNWATCH
SET a d
MULTI
GET a
EXEC
WATCH a nope
MULTI
DEL nope
DISCARD
SET a e
MULTI
EXEC
MULTI
EVAL return 0
PING
EXEC
MULTI
SCRIPT FOO
EXEC
";

/// Scripts. KEYS are `string` (`text`) and `list` (`a b c`), ARGV `10`, `x y`
/// and bytes that are not UTF-8.
pub(super) const SCRIPTS: &[&str] = &[
    // Conversions.
    "return 3.99",
    "return -3.99",
    "return 1e300",
    "return 0/0",
    "return 2^62",
    "return 2^63",
    "return -2^63",
    "return true",
    "return false",
    "return nil",
    "return",
    "return ''",
    "return 'a\\0b'",
    "return {}",
    "return {1,2,nil,3}",
    "return {1,{2,{3,'x'}},true,false,'y'}",
    "return {ok='fine'}",
    "return {err='MY error'}",
    "return {err='single'}",
    "return {ok='a\\r\\nb'}",
    "return {err='a\\r\\nb'}",
    "return {double=1.5}",
    "return {map={a=1}}",
    "return {set={a=true}}",
    "return {x=1}",
    "return {1,2,x=3}",
    "return {[1]='a',[3]='c'}",
    "return function() end",
    "return coroutine.create(function() end)",
    "return {ok=1}",
    "return {err=1}",
    "return {{err='in'},{ok='out'}}",
    "return redis.status_reply('FINE')",
    "return redis.error_reply('MY text')",
    "return redis.error_reply('-MY text')",
    "return redis.error_reply('word')",
    "return redis.error_reply('a', 'b')",
    "return redis.error_reply(1)",
    "return redis.status_reply()",
    "return redis.status_reply(1)",
    "return redis.error_reply('')",
    "return redis.error_reply('MY text \\r\\n')",
    "return #ARGV[3]",
    "return ARGV[3]",
    "return {KEYS[1],KEYS[2],KEYS[3],ARGV[1],ARGV[2],ARGV[4]}",
    "return tostring(1e15)",
    "return tostring(2^53)",
    "return tostring(0.1)",
    "return 1 .. ''",
    "return tostring(nil)",
    "return tostring(-0)",
    "return ARGV[1] + 1",
    "return tonumber('0x10')",
    "return tonumber('x')",
    "return cjson.null",
    // Calls.
    "return redis.call('GET', KEYS[1])",
    "return redis.call('get', KEYS[1], 'x')",
    "return redis.call('GET')",
    "return redis.call('NOPE')",
    "return redis.call('CLIENT', 'NOPE')",
    "return redis.call('SCRIPT')",
    "return redis.call('EVAL', 'return 1', 0)",
    "return redis.call('MULTI')",
    "return redis.call('AUTH', 'x')",
    "return redis.call()",
    "return redis.call({})",
    "return redis.call('SET', 'a', true)",
    "return redis.call(nil)",
    "return redis.pcall()",
    "return redis.pcall({})",
    "return redis.pcall('NOPE')",
    "return redis.pcall('GET')",
    "return redis.call('LRANGE', KEYS[2], 0, -1)",
    "return redis.call('LPOP', KEYS[1])",
    "return redis.pcall('LPOP', KEYS[1])",
    "return redis.pcall('LPOP', KEYS[1]).err",
    "return redis.call('SET', 'n', 1).ok",
    "return type(redis.call('GET', 'none'))",
    "return type(redis.call('HGETALL', 'none'))",
    "redis.call('SET', 'n', 3.0) return redis.call('GET', 'n')",
    "redis.call('SET', 'n', 0.1) return redis.call('GET', 'n')",
    "redis.call('SET', 'n', 1e20) return redis.call('GET', 'n')",
    "redis.call('SET', 'n', 123456789012345678) return redis.call('GET', 'n')",
    "redis.call('SET', 'n', -0) return redis.call('GET', 'n')",
    "redis.call('SET', 'n', 0/0) return redis.call('GET', 'n')",
    "redis.call('SET', 'n', ARGV[3]) return redis.call('GET', 'n')",
    "return redis.call('INCR', KEYS[1])",
    "return redis.call('HGETALL', 'hash')",
    "return redis.call('LPOP', 'none', 1)",
    "return redis.call('TYPE', 'hash')",
    "return redis.call('HMGET', 'hash', 'f', 'g')",
    "return redis.call('PING')",
    "return redis.call('SELECT', 0)",
    "return redis.call('INFO', 'cluster')",
    "return redis.call('DBSIZE')",
    "return redis.call('ECHO', 'x')",
    "return redis.call('LLEN', KEYS[2]) + 1",
    "return redis.call('GET', KEYS[1]) + 1",
    "return redis.call('COMMAND', 'COUNT') > 0",
    "redis.call('SADD', 'set', 2, 10, -1) return redis.call('SMEMBERS', 'set')",
    "redis.call('SADD', 'set', 2, 10, -1) redis.setresp(3) return redis.call('SMEMBERS', 'set')",
    "redis.setresp(3) return redis.call('SMEMBERS', 'none')",
    // Errors: writes before and after one, and what `pcall` returns.
    "redis.call('RPUSH', KEYS[2], 'd') redis.call('LPOP', KEYS[1]) redis.call('RPUSH', KEYS[2], 'e')",
    "redis.call('RPUSH', KEYS[2], 'd') error('stop')",
    "redis.call('SET', KEYS[1], 'new') return {err='MY rollback'}",
    "\n\nreturn redis.call('NOPE')",
    "local x = redis.call('NOPE')\nreturn x",
    "error('plain')",
    "error('plain', 0)",
    "error({err='MY table'})",
    "error()",
    "error(42)",
    "error(true)",
    "error({err='MY table'}, 2)",
    "error(nil)",
    "local function f() redis.call('NOPE') end\nf()\nreturn 1",
    "local function f() return redis.call('NOPE') end\nreturn f()",
    "local function f() error('deep') end\nf()",
    "return {pcall(redis.call, 'NOPE')}",
    "return {pcall(redis.call, 'LPOP', KEYS[1])}",
    "return {pcall(error, {err='MY x'})}",
    "return {pcall(error, 'x')}",
    "return {pcall(error)}",
    "return {pcall(error, {1,2})}",
    "return {pcall(function() error('inside') end)}",
    "return {pcall(function() return 1, 2, 3 end)}",
    "return {xpcall(function() return redis.call('NOPE') end, function(e) return e.err end)}",
    "return {xpcall(function() error('x') end, function(e) return e end)}",
    "return assert(false)",
    "return assert(nil, 'said')",
    "return assert(1, 2)",
    "local ok, e = pcall(redis.call, 'NOPE') error(e)",
    "local e = redis.pcall('NOPE') error(e)",
    "local e = redis.pcall('NOPE') return e",
    "local e = redis.pcall('NOPE') return {e, e.err}",
    "return nil + 1",
    "local t = nil return t.x",
    "return #nil",
    "return ('x')()",
    "return {} .. 'x'",
    "return 1 < 'x'",
    "return string.rep()",
    "return ('x'):rep(-1)",
    "return ('x'):nope()",
    "return string.format('%d', 'x')",
    "return setmetatable(1, {})",
    "return unpack()",
    "for i = 1, 'x' do end",
    "local function f() return f2() end return f()",
    "return redis.sha1hex()",
    "return redis.sha1hex('')",
    "return redis.sha1hex(10)",
    "return redis.log()",
    "return redis.log('x', 'y')",
    "return redis.log(9, 'y')",
    "return redis.log(redis.LOG_NOTICE, 'y')",
    "return redis.setresp(4)",
    "return redis.setresp()",
    "return redis.acl_check_cmd()",
    "return redis.acl_check_cmd('nope')",
    "return redis.acl_check_cmd('get')",
    "return redis.acl_check_cmd('set', 'a', 'b')",
    "return redis.replicate_commands()",
    "return redis.nothing",
    "return redis.nothing()",
    // Globals.
    "x = 1",
    "return x",
    "_G.x = 1",
    "return _G.x",
    "function f() end",
    "KEYS = 1",
    "KEYS[1] = 'z' return KEYS[1]",
    "ARGV = {}",
    "redis.call = nil",
    "string.x = 1",
    "cjson.null = 1",
    "math.pi = 3",
    "table.x = 1",
    "rawset(_G, 'x', 1)",
    "rawset(redis, 'x', 1)",
    "return os",
    "return io",
    "return require",
    "return print",
    "return dofile",
    "return loadfile",
    "return debug",
    "return package",
    "return getfenv",
    "return newproxy",
    "return type(redis)",
    "return type(_G)",
    "return _G == _G._G",
    "local redis = 1 return redis",
    "return redis.REDIS_VERSION",
    "return redis.REDIS_VERSION_NUM",
    "return redis.LOG_WARNING",
    "return redis.REPL_ALL",
    "return _VERSION",
    "return loadstring('return 1+1')()",
    "return loadstring('return x')()",
    "return loadstring('x = 1')()",
    "return {loadstring('x x')}",
    "return type(cjson.null)",
    "return tostring(cjson.null)",
    "return 1 == 1.0",
    // Libraries.
    "return {unpack({1,2,3})}",
    "return {unpack({1,2,3}, 2)}",
    "return {unpack({1,2,3}, 2, 3)}",
    "return {select('#', 1, nil)}",
    "local t = {} for i = 1, 7000 do t[i] = i end return #{unpack(t)}",
    "local t = {} for i = 1, 9000 do t[i] = i end return #{unpack(t)}",
    "return table.concat({1,2,3}, ',')",
    "return table.concat({1,{},3})",
    "local t = {3,1,2} table.sort(t) return t",
    "local t = {} table.insert(t, 'a') table.insert(t, 1, 'b') return t",
    "return table.remove({1,2})",
    "return #'abc'",
    "return string.format('%d %s %5.2f %q', 3, 'x', 1.5, 'q')",
    "return ('a,b'):gsub(',', ';')",
    "return {('key=val'):match('(%w+)=(%w+)')}",
    "return ('abc'):byte(1, -1)",
    "return {('abc'):byte(1, -1)}",
    "return string.char(0, 255)",
    "return ('x'):upper()",
    "return {math.floor(1.7), math.max(1, 5), math.huge > 1}",
    "return tostring(math.random())",
    "return {math.random(100), math.random(100)}",
    "math.randomseed(5) return {math.random(100), math.random(1, 1000)}",
    "return math.random(0)",
    "return math.random(2, 1)",
    "return math.random(1, 2, 3)",
    "local c = coroutine.wrap(function() coroutine.yield(1) end) return c()",
    "return {coroutine.resume(coroutine.create(function() error('x') end))}",
    "local t = {} for k, v in pairs({a=1, b=2, c=3, d=4, e=5}) do t[#t+1] = k end return t",
    "local t = {} for k in pairs({alpha=1, beta=2, gamma=3, 1, 2, 3, delta=4}) do t[#t+1] = k end return t",
    "local n = 0 for i = 1, 100000 do n = n + i end return n",
    "local function f(n) return n == 0 and 0 or f(n - 1) end return f(100000)",
    "local function f() return 1 + f() end return f()",
    "return string.rep('x', 100000)",
    "return #string.rep('x', 100000)",
    "local t = setmetatable({}, {__index = function(_, k) return k end}) return t.hello",
    "return tostring(setmetatable({}, {__tostring = function() return 'me' end}))",
    // JSON.
    "return cjson.encode({})",
    "return cjson.encode({{}})",
    "return cjson.encode({a={}})",
    "return cjson.encode({1,2,3})",
    "return cjson.encode({[1]=1,[2]=2,[4]=4})",
    "return cjson.encode({[11]=1})",
    "return cjson.encode({[10]=1})",
    "return cjson.encode({[0]=1})",
    "return cjson.encode({[1.5]=1})",
    "return cjson.encode({[-1]=1})",
    "return cjson.encode({[true]=1})",
    "return cjson.encode({a=tostring})",
    "return cjson.encode(tostring)",
    "return cjson.encode(nil)",
    "return cjson.encode()",
    "return cjson.encode(1, 2)",
    "return cjson.encode(1/0)",
    "return cjson.encode(0/0)",
    "return cjson.encode(-0)",
    "return cjson.encode(1e15)",
    "return cjson.encode(12345678901234567890)",
    "return cjson.encode(0.1)",
    "return cjson.encode(1/3)",
    "return cjson.encode('\\0\\127/\"\\\\')",
    "return cjson.encode(ARGV[3])",
    "return cjson.encode(cjson.null)",
    "return cjson.encode({cjson.null, cjson.null})",
    "return cjson.encode(cjson.decode('null'))",
    "return cjson.encode(cjson.decode('[]'))",
    "return cjson.encode(cjson.decode('{\"a\":[1,null,{\"b\":{}}]}'))",
    "return cjson.decode('{\"a\":null}').a == cjson.null",
    "return cjson.decode('\"x\"')",
    "return cjson.decode(' [1, 2.9, \"z\"] ')",
    "return cjson.decode('{')",
    "return cjson.decode('[1,]')",
    "return cjson.decode('')",
    "return cjson.decode(' ')",
    "return cjson.decode('[1')",
    "return cjson.decode('{\"a\"}')",
    "return cjson.decode('{\"a\":}')",
    "return cjson.decode('{a:1}')",
    "return cjson.decode('nan')",
    "return cjson.decode('inf')",
    "return cjson.decode('1 2')",
    "return cjson.decode(12)",
    "return cjson.decode({})",
    "return cjson.decode(nil)",
    "return cjson.decode()",
    "return cjson.decode('\\0\\0')",
    "return cjson.decode('\"a\\0b\"')",
    "return cjson.decode('\"a')",
    "return cjson.decode('{\"a\":1,\"a\":2}').a",
    "local t = {} for i = 1, 999 do t = {t} end return #cjson.encode(t)",
    "local t = {} for i = 1, 1000 do t = {t} end return #cjson.encode(t)",
    "return #cjson.decode(('['):rep(1000) .. (']'):rep(1000))",
    "return #cjson.decode(('['):rep(1001) .. (']'):rep(1001))",
    "return cjson.nothing",
    // Declarations.
    "#!lua\nreturn 1",
    "#!lua flags=no-writes\nreturn redis.call('SET', 'a', 1)",
    "#!lua flags=no-writes,allow-stale\nreturn 1",
    "#!lua name=x\nreturn 1",
    "#!lua flags=\nreturn 1",
    "#!lua flags=nope\nreturn 1",
    "#!js\nreturn 1",
    "#!lua",
    "#!lua\nerror('on line two')",
    "#!lua\nreturn nope",
    // Scripts that do not compile.
    "retur 1",
    "return (",
    "return 'x",
    "x x",
    "return 1 return 2",
    "goto x",
    "return \\",
    "for",
    "\u{1b}Lua",
    "return \"a\nb\"",
];
