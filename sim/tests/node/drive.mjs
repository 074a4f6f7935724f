// Drives a server at $REDIS_URL with node-redis, over RESP2 and RESP3, and builds
// an audit chain and a few tokens on it through the reference's adapters.
//
// The reference's core, which makes records of events, is not on npm, so `seal`
// does what it does; everything that touches Redis is the adapters' own. Prints
// one JSON line on stdout.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createClient } from "redis";
import { createRedisAuditStore, createRedisTokenStore, readChain } from "haechi-store-redis";

const url = process.env.REDIS_URL;
const writers = 4;
const each = 25;

// JSON with the members of every object in order.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.keys(value).sort().filter((key) => value[key] !== undefined);
  return `{${members.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

function seal(event, previous) {
  const auditIntegrity = {
    alg: "sha256",
    canonicalization: "json-stable-v1",
    sequence: (previous?.sequence ?? 0) + 1,
    previousHash: previous?.eventHash ?? null
  };
  const record = { ...event, auditIntegrity };
  const eventHash = createHash("sha256").update(canonical(record)).digest("base64url");
  return { ...event, auditIntegrity: { ...auditIntegrity, eventHash } };
}

async function connect(RESP) {
  const client = createClient({ url, RESP });
  client.on("error", (error) => console.error(error.message));
  return client.connect();
}

// node-redis 4 has no close().
const close = (client) => (client.close ? client.close() : client.quit());

// What a client is used for, in one protocol.
async function basics(RESP) {
  const client = await connect(RESP);
  const key = (name) => `node:${RESP}:${name}`;
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.set(key("a"), "1", { PX: 60000 }), "OK");
  assert.equal(await client.set(key("a"), "2", { NX: true, PX: 60000 }), null);
  assert.equal(await client.get(key("a")), "1");
  assert.equal(await client.get(key("none")), null);
  await client.hSet(key("h"), { field: "value", other: "x" });
  assert.deepEqual({ ...(await client.hGetAll(key("h"))) }, { field: "value", other: "x" });
  await client.zAdd(key("z"), [{ score: 1.5, value: "m" }, { score: 2, value: "n" }]);
  assert.equal(await client.zScore(key("z"), "m"), 1.5);
  assert.deepEqual(
    (await client.zRangeWithScores(key("z"), 0, -1)).map(({ value, score }) => [value, score]),
    [["m", 1.5], ["n", 2]]
  );
  const text = "return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}";
  const call = { keys: [key("a")], arguments: ["b"] };
  assert.deepEqual(await client.eval(text, call), [key("a"), "b", "1"]);
  const sha = await client.scriptLoad(text);
  assert.deepEqual(await client.evalSha(sha, call), [key("a"), "b", "1"]);
  await assert.rejects(client.evalSha("0".repeat(40), call), /^.*NOSCRIPT/);
  await assert.rejects(client.lPush(key("a"), "x"), /WRONGTYPE/);
  const answers = await client.multi().incr(key("n")).rPush(key("l"), ["x", "y"]).lRange(key("l"), 0, -1).exec();
  assert.deepEqual(answers, [1, 2, ["x", "y"]]);
  assert.match(await client.info("server"), /redis_version:/);
  assert.equal((await client.configGet("maxmemory")).maxmemory, "0");
  await close(client);
}

async function main() {
  await basics(2);
  await basics(3);

  // Replicas that share a chain, as the reference deploys them.
  const clients = await Promise.all(Array.from({ length: writers }, (_, at) => connect(at % 2 ? 3 : 2)));
  await Promise.all(clients.map(async (client, at) => {
    const store = createRedisAuditStore({ client });
    assert.deepEqual(await store.ready(), { ok: true });
    for (let n = 0; n < each; n += 1) {
      const event = {
        id: `evt-${at}-${n}`,
        timestamp: new Date().toISOString(),
        operation: "chat",
        decision: "allow",
        note: "caf\u00e9/\u{1f600}",
        summary: { detectionCount: n, byType: { email: 1 } }
      };
      await store.transaction(async ({ readLastIntegrity, persist }) => {
        await persist(seal(event, await readLastIntegrity()));
      });
    }
  }));
  const records = await readChain(clients[0]);

  const tokens = createRedisTokenStore({ client: clients[1] });
  for (let n = 0; n < 3; n += 1) {
    await tokens.mutate((view) => view.set(`tok_${n}`, { token: `tok_${n}`, type: "email", encrypted: `x${n}` }));
  }
  await tokens.mutate((view) => view.delete("tok_1"));
  const left = await tokens.read((view) => view.entries().map(([token]) => token));
  assert.deepEqual(left.sort(), ["tok_0", "tok_2"]);
  await Promise.all(clients.map(close));

  assert.equal(records.length, writers * each);
  console.log(JSON.stringify({ records: records.length, tokens: left.length }));
}

await main();
