// Counts five orders with ioredis as it comes: it sends a command again whose connection broke.
import { readFileSync } from "node:fs";
import { Redis } from "ioredis";

const client = new Redis(Number(process.env.PORT));
client.on("error", () => {});
for (let order = 0; order < 5; order++) await client.incr("orders");
const { version } = JSON.parse(readFileSync("node_modules/ioredis/package.json"));
console.log(`ioredis ${version}: 5 orders, counted ${await client.get("orders")}`);
client.disconnect();
