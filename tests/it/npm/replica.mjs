// A replica of the npm package: appends, mutates, tokenizes and reveals until it is told to stop
// by the end of its stdin, then prints what was acknowledged. `node replica.mjs URL NAME WORK
// [KEYS]`, where WORK names what it does, of chain and vault, and KEYS the key file of the vault.
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "redis";
import { createRedisAuditStore } from "haechi-store-redis/audit";
import { createRedisTokenStore } from "haechi-store-redis/token-vault";
import { stable } from "./stable.mjs";

const [url, name, work, keyFile] = process.argv.slice(2);
const client = createClient({ url });
client.on("error", () => {});
await client.connect();
const chain = createRedisAuditStore({ client });
const vault = createRedisTokenStore({ client });
let running = true;
process.stdin.on("end", () => { running = false; }).resume();

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

// Tokenizes, and reveals a token that it has not yet revealed, of whichever replica.
let core = "none";
const made = {};
const revealed = {};
const tokenizing = async () => {
  if (!keyFile) return;
  core = "haechi";
  const installed = Promise.all([import("haechi/token-vault"), import("haechi/crypto")]);
  const [{ createTokenVault }, { createLocalCryptoProvider }] = await installed.catch(async () => {
    core = "its stand-in";
    const standIn = await import("./core.mjs");
    return [standIn, standIn];
  });
  const cryptoProvider = createLocalCryptoProvider({ keyFile });
  const tokens = createTokenVault({ store: vault, cryptoProvider, revealPolicy: "local-dev" });
  for (let number = 0; running && number < 200; number += 1) {
    try {
      const plaintext = `${name}-${number}@example.com`;
      made[(await tokens.tokenize({ plaintext, type: "email" })).token] = plaintext;
      const entries = await vault.read((view) => view.entries());
      const next = entries.find(([token]) => token.startsWith("tok_") && !(token in made) && !(token in revealed));
      if (next) revealed[next[0]] = (await tokens.reveal({ token: next[0] })).plaintext;
    } catch (error) {
      failures.push(`vault: ${error.message}`);
    }
    await delay(20);
  }
};

await Promise.all([appending(), mutating(), tokenizing()]);
console.log(JSON.stringify({ appended, mutated, core, made, revealed, failures }));
await client.close();
