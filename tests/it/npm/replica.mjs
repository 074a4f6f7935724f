// A replica of the npm package: appends and mutates until it is told to stop by the end of
// its stdin, then prints what was acknowledged. `node replica.mjs URL NAME`.
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "redis";
import { createRedisAuditStore } from "haechi-store-redis/audit";
import { createRedisTokenStore } from "haechi-store-redis/token-vault";

const [url, name, work] = process.argv.slice(2);
const client = createClient({ url });
client.on("error", () => {});
await client.connect();
const chain = createRedisAuditStore({ client });
const vault = createRedisTokenStore({ client });
let running = true;
process.stdin.on("end", () => { running = false; }).resume();

const stable = (value) => {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(stable).join(",")}]`;
  const members = Object.keys(value).sort();
  return `{${members.map((member) => `${JSON.stringify(member)}:${stable(value[member])}`).join(",")}}`;
};

const seal = (event, last) => {
  const auditIntegrity = {
    alg: "sha256",
    canonicalization: "json-stable-v1",
    sequence: (last?.sequence ?? 0) + 1,
    previousHash: last?.eventHash ?? null,
  };
  const eventHash = createHash("sha256")
    .update(stable({ ...event, auditIntegrity }))
    .digest("base64url");
  return { ...event, auditIntegrity: { ...auditIntegrity, eventHash } };
};

const failures = [];
const appended = [];
const appending = async () => {
  while (running && work.includes("chain")) {
    const id = `${name}-${appended.length}`;
    try {
      await chain.transaction(async ({ readLastIntegrity, persist }) => {
        await persist(seal({ id, operation: "protect" }, await readLastIntegrity()));
      });
      appended.push(id);
    } catch (error) {
      failures.push(`append: ${error.message}`);
    }
  }
};

// Sets a token of its own, deletes the one before, counts, and writes every other record
// back with one more member.
let mutated = 0;
const mutating = async () => {
  while (running && work.includes("vault")) {
    try {
      await vault.mutate((view) => {
        const count = view.get(`count-${name}`)?.count ?? 0;
        view.set(`count-${name}`, { count: count + 1 });
        view.delete(`${name}-${mutated - 1}`);
        view.set(`${name}-${mutated}`, { by: name });
        const others = view.entries().filter(([token]) => token.startsWith("tok_"));
        const [token, record] = others[mutated % Math.max(others.length, 1)] ?? [];
        if (token) view.set(token, { ...record, seenBy: name });
      });
      mutated += 1;
    } catch (error) {
      failures.push(`mutate: ${error.message}`);
    }
    await delay(5);
  }
};

await Promise.all([appending(), mutating()]);
console.log(JSON.stringify({ appended, mutated, failures }));
await client.close();
