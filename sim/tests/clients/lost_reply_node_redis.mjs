// Counts five orders with node-redis, which reports a connection that broke; the caller tries again.
import { readFileSync } from "node:fs";
import { createClient } from "redis";

const client = createClient({ socket: { port: Number(process.env.PORT) } });
client.on("error", () => {});
await client.connect();
for (let order = 0; order < 5; order++) {
  for (;;) {
    try {
      await client.incr("orders");
      break;
    } catch {
      // Naive: the command may have run.
    }
  }
}
const { version } = JSON.parse(readFileSync("node_modules/redis/package.json"));
console.log(`node-redis ${version}: 5 orders, counted ${await client.get("orders")}`);
client.destroy();
