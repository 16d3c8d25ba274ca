/** The orders app on Deno: one pool for the process. */
import { openDatabase } from "@user-service/db/deno";
import { ordersApp } from "./orders/app.ts";
import { createTables } from "./orders/schema.ts";

const db = openDatabase({
  url: Deno.env.get("DATABASE_URL")!,
  wsProxy: Deno.env.get("DATABASE_WS_PROXY"),
});
await createTables(db);

const app = ordersApp(db, (event) => {
  console.log("event", JSON.stringify(event));
  return Promise.resolve();
});

const server = Deno.serve({
  port: Number(Deno.env.get("PORT") ?? 8000),
  onListen: ({ port }) => console.log(`The orders app listens on http://localhost:${port}`),
}, app.fetch);
Deno.addSignalListener("SIGINT", () => server.shutdown());
await server.finished;
await db.close();
