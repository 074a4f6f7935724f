// What node-redis sends and reads, on RESP2 and RESP3.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createClient } from "redis";

const port = Number(process.env.PORT);

async function check(RESP) {
  const client = createClient({ RESP, socket: { port }, name: "node-redis" });
  client.on("error", (error) => { throw error; });
  await client.connect();
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.clientGetName(), "node-redis");
  const id = await client.clientId();
  assert.ok((await client.clientList()).some((one) => one.id === id));
  assert.deepEqual({ ...(await client.configGet("maxmemory-policy")) }, { "maxmemory-policy": "noeviction" });

  assert.equal(await client.set("s", "text", { EX: 100 }), "OK");
  assert.equal(await client.get("s"), "text");
  assert.deepEqual(await client.mGet(["s", "none"]), ["text", null]);
  assert.equal(await client.incrBy("n", 42), 42);
  assert.equal(await client.hSet("h", { f: 1, g: 2 }), 2);
  assert.deepEqual({ ...(await client.hGetAll("h")) }, { f: "1", g: "2" });
  assert.equal(await client.sAdd("t", ["x", "y"]), 2);
  assert.equal(Number(await client.sIsMember("t", "x")), 1);
  assert.deepEqual([...(await client.sMembers("t"))].sort(), ["x", "y"]);
  assert.equal(await client.zAdd("z", { value: "m", score: 1.5 }), 1);
  assert.deepEqual((await client.zRangeWithScores("z", 0, -1)).map((one) => ({ ...one })), [{ value: "m", score: 1.5 }]);
  assert.deepEqual((await client.zPopMin("z")).value, "m");

  const script = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
  assert.equal(await client.eval(script, { keys: ["n"], arguments: ["8"] }), 50);
  const sha = await client.scriptLoad(script);
  assert.equal(await client.evalSha(sha, { keys: ["n"], arguments: ["1"] }), 51);
  await assert.rejects(client.eval("return redis.call('SUBSCRIBE', 'a')"), /not allowed from script/);
  await assert.rejects(client.eval("return redis.call('NOTHING')"), /Unknown Redis command called from script/);

  // Sent together, as all commands of one tick are.
  assert.deepEqual(await Promise.all([client.incr("p"), client.incr("p"), client.get("p")]), [1, 2, "2"]);
  assert.deepEqual(await client.multi().incr("p").get("p").exec(), [3, "3"]);
  await client.watch("p");
  const other = client.duplicate();
  await other.connect();
  await other.incr("p");
  await assert.rejects(client.multi().incr("p").exec(), /watch/i);

  const got = [];
  await other.subscribe("news", (message, channel) => got.push([channel, message]));
  await other.pSubscribe("n*", (message, channel) => got.push([channel, message]));
  assert.equal(await client.publish("news", "hello"), 2);
  while (got.length < 2) await new Promise((done) => setTimeout(done, 5));
  assert.deepEqual(got, [["news", "hello"], ["news", "hello"]]);
  await other.unsubscribe("news");
  await other.pUnsubscribe();

  const blocked = client.duplicate();
  await blocked.connect();
  const waits = blocked.blPop(["other", "queue"], 5);
  await new Promise((done) => setTimeout(done, 50));
  await client.rPush("queue", "job");
  assert.deepEqual({ ...(await waits) }, { key: "queue", element: "job" });
  assert.equal(await blocked.blPop("queue", 0.05), null);

  await other.select(1);
  assert.equal(await other.get("s"), null);
  await client.flushAll();
  for (const one of [blocked, other, client]) one.destroy();
}

await check(2);
await check(3);
const { version } = JSON.parse(readFileSync("node_modules/redis/package.json"));
console.log(`node-redis ${version}: ok`);
