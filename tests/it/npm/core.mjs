// Stands for the npm package haechi, the core that haechi-store-redis is used with, where it
// cannot be installed: its token ids, records and envelopes (of ASCII, whose NFKC is itself),
// without audit, expiry and counting.
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { stable } from "./stable.mjs";

const DAY = 24 * 60 * 60 * 1000;

export const createLocalCryptoProvider = ({ keyFile }) => {
  const key = async (kid) => {
    const { keys } = JSON.parse(await readFile(keyFile, "utf8"));
    const chosen = keys.find((one) => (kid ? one.kid === kid : one.status === "active"));
    return { kid: chosen.kid, bytes: Buffer.from(chosen.k, "base64url") };
  };
  return {
    async encrypt({ plaintext, aad }) {
      const { kid, bytes } = await key();
      const [iv, bound] = [randomBytes(12), Buffer.from(stable(aad))];
      const cipher = createCipheriv("aes-256-gcm", bytes, iv).setAAD(bound);
      const ct = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final()]);
      const aadHash = createHash("sha256").update(bound).digest("base64url");
      const texts = { iv, ct, tag: cipher.getAuthTag() };
      for (const name in texts) texts[name] = texts[name].toString("base64url");
      const createdAt = new Date().toISOString();
      return { v: 2, alg: "AES-256-GCM", kid, ...texts, aadHash, aadEncoding: "nfkc-json-v2", createdAt };
    },
    async decrypt({ envelope, aad }) {
      const { bytes } = await key(envelope.kid);
      const [iv, ct, tag] = ["iv", "ct", "tag"].map((name) => Buffer.from(envelope[name], "base64url"));
      const decipher = createDecipheriv("aes-256-gcm", bytes, iv);
      decipher.setAAD(Buffer.from(stable(aad))).setAuthTag(tag);
      return Buffer.concat([decipher.update(ct), decipher.final()]).toString("utf8");
    },
  };
};

export const createTokenVault = ({ store, cryptoProvider }) => ({
  tokenize: ({ plaintext, type }) => store.mutate(async (view) => {
    const token = `tok_${type}_${randomBytes(8).toString("hex")}`;
    const aad = { purpose: "token-vault", token, type, context: {} };
    const envelope = await cryptoProvider.encrypt({ plaintext, aad });
    const now = Date.now();
    const [createdAt, expiresAt] = [now, now + 30 * DAY].map((at) => new Date(at).toISOString());
    view.set(token, { type, createdAt, expiresAt, metadata: {}, envelope, aad });
    return { token, type };
  }),
  async reveal({ token }) {
    const { envelope, aad, type } = await store.read((view) => view.get(token));
    return { token, type, plaintext: await cryptoProvider.decrypt({ envelope, aad }) };
  },
});
