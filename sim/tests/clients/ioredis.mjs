// What ioredis sends and reads, on RESP2 and RESP3.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Redis } from "ioredis";

async function check(protocol) {
  const client = new Redis(Number(process.env.PORT), { connectionName: "ioredis", protocol });
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.client("GETNAME"), "ioredis");
  assert.ok((await client.client("LIST")).includes(`id=${await client.client("ID")} `));
  assert.deepEqual(await client.config("GET", "maxmemory-policy"), ["maxmemory-policy", "noeviction"]);

  assert.equal(await client.set("s", "text", "EX", 100), "OK");
  assert.equal(await client.get("s"), "text");
  assert.equal(await client.setex("e", 100, "x"), "OK");
  assert.equal(await client.getset("e", "y"), "x");
  assert.equal(await client.hset("h", { f: 1, g: 2 }), 2);
  assert.deepEqual(await client.hgetall("h"), { f: "1", g: "2" });
  assert.equal(await client.sadd("t", "x", "y"), 2);
  assert.equal(await client.sismember("t", "x"), 1);
  assert.deepEqual((await client.sunion("t", "t")).sort(), ["x", "y"]);
  assert.equal(Number(await client.zincrby("z", 1.5, "m")), 1.5);
  assert.equal((await client.zpopmax("z"))[0], "m");

  client.defineCommand("add", { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  assert.equal(await client.add("n", 8), 8);
  await client.script("FLUSH");
  assert.equal(await client.add("n", 34), 42);
  await assert.rejects(client.eval("return redis.call('MONITOR')", 0), /not allowed from script/);

  assert.deepEqual(await client.pipeline().incr("p").get("p").exec(), [[null, 1], [null, "1"]]);
  assert.deepEqual(await client.multi().incr("p").get("p").exec(), [[null, 2], [null, "2"]]);
  const other = client.duplicate();
  await client.watch("p");
  await other.incr("p");
  assert.equal(await client.multi().incr("p").exec(), null);

  const listener = client.duplicate();
  const got = [];
  listener.on("message", (channel, message) => got.push([channel, message]));
  listener.on("pmessage", (pattern, channel, message) => got.push([pattern, channel, message]));
  assert.equal(await listener.subscribe("news", "more"), 2);
  assert.equal(await listener.psubscribe("n*"), 3);
  assert.equal(await client.publish("news", "hello"), 2);
  while (got.length < 2) await new Promise((done) => setTimeout(done, 5));
  assert.deepEqual(got, [["news", "hello"], ["n*", "news", "hello"]]);
  // A connection with channels takes commands only in RESP3.
  if (protocol === 3) assert.equal(await listener.get("s"), "text");
  else await assert.rejects(listener.get("s"), /subscriber mode/);
  assert.equal(await listener.unsubscribe("news"), 2);

  const waits = other.blpop("other", "queue", 5);
  await new Promise((done) => setTimeout(done, 50));
  await client.rpush("queue", "job");
  assert.deepEqual(await waits, ["queue", "job"]);
  assert.equal(await other.brpop("queue", 0.05), null);

  const second = new Redis(Number(process.env.PORT), { db: 1 });
  assert.equal(await second.get("s"), null);
  await client.flushall();
  for (const one of [second, listener, other, client]) one.disconnect();
}

await check(2);
await check(3);
const { version } = JSON.parse(readFileSync("node_modules/ioredis/package.json"));
console.log(`ioredis ${version}: ok`);
