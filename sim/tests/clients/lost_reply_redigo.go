// Counts five orders with redigo, which reports a connection that broke; the program tries again.
package main

import (
	"fmt"
	"os"

	"github.com/gomodule/redigo/redis"
)

func main() {
	dial := func() (redis.Conn, error) { return redis.Dial("tcp", "127.0.0.1:"+os.Getenv("PORT")) }
	pool := &redis.Pool{Dial: dial, MaxIdle: 1}
	ask := func(command string) int {
		for {
			conn := pool.Get()
			reply, err := redis.Int(conn.Do(command, "orders"))
			conn.Close()
			if err == nil {
				return reply
			}
		}
	}
	for range [5]int{} {
		ask("INCR")
	}
	fmt.Println("redigo: 5 orders, counted", ask("GET"))
}
