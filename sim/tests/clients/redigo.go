// What redigo sends and reads, on RESP2, which is all that it has.
package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func same(got, expected any) {
	if !reflect.DeepEqual(got, expected) {
		panic(fmt.Sprintf("%v rather than %v", got, expected))
	}
}

func main() {
	address := "127.0.0.1:" + os.Getenv("PORT")
	dial := func(options ...redis.DialOption) redis.Conn { return must(redis.Dial("tcp", address, options...)) }
	conn := dial(redis.DialClientName("redigo"))
	do := func(command string, args ...any) any { return must(conn.Do(command, args...)) }
	text := func(command string, args ...any) string { return must(redis.String(conn.Do(command, args...))) }
	number := func(command string, args ...any) int { return must(redis.Int(conn.Do(command, args...))) }

	same(text("PING"), "PONG")
	same(text("CLIENT", "GETNAME"), "redigo")
	same(strings.Contains(text("INFO", "server"), "redis_version"), true)

	same(text("SET", "s", "text", "EX", 100), "OK")
	same(text("GET", "s"), "text")
	same(number("TTL", "s") > 90, true)
	same(text("MSET", redis.Args{}.AddFlat(map[string]int{"a": 1, "b": 2})...), "OK")
	same(must(redis.Values(conn.Do("MGET", "a", "b", "none"))), []any{[]byte("1"), []byte("2"), nil})
	same(number("INCR", "n"), 1)
	same(number("INCRBY", "n", 41), 42)
	same(number("HSET", "h", "f", 1, "g", 2), 2)
	same(must(redis.StringMap(conn.Do("HGETALL", "h"))), map[string]string{"f": "1", "g": "2"})
	same(number("SADD", "t", "x", "y"), 2)
	same(must(redis.Bool(conn.Do("SISMEMBER", "t", "x"))), true)
	same(number("ZADD", "z", 1.5, "m"), 1)
	same(must(redis.Float64(conn.Do("ZINCRBY", "z", 1, "m"))), 2.5)
	scores := must(redis.StringMap(conn.Do("ZRANGE", "z", 0, -1, "WITHSCORES")))
	same(scores, map[string]string{"m": "2.5"})

	script := redis.NewScript(1, "return redis.call('INCRBY', KEYS[1], ARGV[1])")
	same(must(redis.Int(script.Do(conn, "n", 8))), 50)
	do("SCRIPT", "FLUSH")
	same(must(redis.Int(script.Do(conn, "n", 1))), 51)
	_, err := conn.Do("EVAL", "return redis.call('BLPOP', 'l', 0)", 0)
	same(err != nil && strings.Contains(err.Error(), "not allowed from script"), true)

	// A pipeline, and a transaction in one.
	for _, send := range [][]any{{"SET", "p", 1}, {"MULTI"}, {"INCR", "p"}, {"GET", "p"}, {"EXEC"}} {
		if err := conn.Send(send[0].(string), send[1:]...); err != nil {
			panic(err)
		}
	}
	replies := must(redis.Values(conn.Do("")))
	same(replies[len(replies)-1], []any{int64(2), []byte("2")})
	other := dial()
	do("WATCH", "p")
	must(other.Do("INCR", "p"))
	do("MULTI")
	do("INCR", "p")
	same(do("EXEC"), nil)

	channel := redis.PubSubConn{Conn: dial()}
	if err := channel.Subscribe("news", "more"); err != nil {
		panic(err)
	}
	if err := channel.PSubscribe("n*"); err != nil {
		panic(err)
	}
	for range [3]int{} {
		_ = channel.Receive().(redis.Subscription)
	}
	same(number("PUBLISH", "news", "hello"), 2)
	for _, pattern := range []string{"", "n*"} {
		same(channel.Receive(), redis.Message{Channel: "news", Pattern: pattern, Data: []byte("hello")})
	}

	same(do("BLPOP", "queue", 0.05), nil)
	go func() {
		time.Sleep(100 * time.Millisecond)
		must(other.Do("RPUSH", "queue", "job"))
	}()
	same(must(redis.Strings(conn.Do("BLPOP", "others", "queue", 5))), []string{"queue", "job"})

	// Another database, by the connection's SELECT.
	second := dial(redis.DialDatabase(1))
	same(must(second.Do("GET", "s")), nil)
	must(second.Do("SET", "s", 1))
	same(text("GET", "s"), "text")
	must(second.Do("FLUSHDB"))
	do("FLUSHALL")
	fmt.Println("redigo: ok")
}
