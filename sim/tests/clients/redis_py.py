"""What redis-py sends and reads, on RESP2 and RESP3."""
import os
import threading

import redis

port = int(os.environ["PORT"])


def check(client):
    assert client.ping()
    assert client.client_setname("redis-py") and client.client_getname() == "redis-py"
    assert client.client_id() in [int(one["id"]) for one in client.client_list()]
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert "redis_version" in client.info("server")

    assert client.set("s", "text", ex=100) and client.get("s") == "text" and client.ttl("s") > 90
    assert client.mset({"a": 1, "b": 2}) and client.mget("a", "b", "none") == ["1", "2", None]
    assert client.incr("n") == 1 and client.incrby("n", 41) == 42
    assert client.hset("h", mapping={"f": 1, "g": 2}) == 2 and client.hgetall("h") == {"f": "1", "g": "2"}
    assert client.sadd("t", "x", "y") == 2 and client.sismember("t", "x") == 1
    assert client.smembers("t") == {"x", "y"} and client.sinter("t", "t") == {"x", "y"}
    assert client.zadd("z", {"m": 1.5}) == 1 and client.zincrby("z", 1, "m") == 2.5
    assert client.zrange("z", 0, -1, withscores=True)[0][0] in ("m", b"m")
    assert list(client.scan_iter("h*")) == ["h"]

    first, second = client.xadd("x", {"job": 1}), client.xadd("x", {"job": 2}, maxlen=10)
    assert client.xlen("x") == 2 and client.xrange("x", min=second) == [(second, {"job": "2"})]
    assert client.xgroup_create("x", "workers", id="0") and client.xinfo_groups("x")[0]["lag"] == 2
    read = client.xreadgroup("workers", "ann", {"x": ">"}, count=1)
    assert read in ([["x", [(first, {"job": "1"})]]], {"x": [[(first, {"job": "1"})]]}), read
    assert client.xpending_range("x", "workers", "-", "+", 10)[0]["consumer"] == "ann"
    assert client.xautoclaim("x", "workers", "bob", 0)[1] == [(first, {"job": "1"})]
    assert client.xack("x", "workers", first) == 1 and client.xpending("x", "workers")["pending"] == 0
    assert not client.xread({"x": "$"}, block=10)

    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert script(keys=["n"], args=[8]) == 50
    client.script_flush()
    assert script(keys=["n"], args=[1]) == 51
    assert client.eval("return {KEYS[1], ARGV[1]}", 1, "k", "v") == ["k", "v"]
    try:
        client.eval("return redis.call('BLPOP', 'l', 0)", 0)
        raise SystemExit("BLPOP ran in a script")
    except redis.ResponseError as error:
        assert "not allowed from script" in str(error), error

    assert client.pipeline(transaction=False).set("p", 1).incr("p").execute() == [True, 2]
    assert client.pipeline().incr("p").get("p").execute() == [3, "3"]
    with client.pipeline() as pipe:
        pipe.watch("p")
        client.incr("p")
        pipe.multi()
        pipe.incr("p")
        try:
            pipe.execute()
            raise SystemExit("a watched key has changed, and EXEC ran")
        except redis.WatchError:
            pass

    channel = client.pubsub(ignore_subscribe_messages=True)
    channel.subscribe("news", "more")
    channel.psubscribe("n*")
    for _ in range(3):
        channel.get_message(timeout=5)
    assert client.publish("news", "hello") == 2
    got = [channel.get_message(timeout=5) for _ in range(2)]
    assert [(one["type"], one["data"]) for one in got] == [("message", "hello"), ("pmessage", "hello")], got
    channel.close()

    assert client.blpop(["queue"], timeout=0.05) is None
    later = threading.Timer(0.1, lambda: client.rpush("queue", "job"))
    later.start()
    assert list(client.blpop(["other", "queue"], timeout=5)) == ["queue", "job"]
    later.join()
    client.rpush("from", "one")
    assert client.blmove("from", "to", 1, "LEFT", "RIGHT") == "one"

    # Another database, by the connection's SELECT.
    other = redis.Redis(port=port, db=1, decode_responses=True)
    assert other.get("s") is None and other.set("s", 1) and client.get("s") == "text"
    other.flushdb()
    client.flushall()


for protocol in (2, 3):
    check(redis.Redis(port=port, protocol=protocol, decode_responses=True))
print(f"redis-py {redis.__version__}: ok")
