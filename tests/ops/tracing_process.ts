/** Requests and transactions with OpenTelemetry's own SDK, for `tracing_test.ts`. Prints their spans as JSON. */
import { Replicas, sql, systemClock } from "../../src/db/mod.ts";
import { createApp } from "../../src/http/app.ts";
import { withSession } from "../../src/library/hono/mod.ts";
import { traceMessages } from "../../src/ops/message_trace.ts";
import { databaseObserver, traceFields, traceRequests } from "../../src/ops/tracing.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { ScriptedDriver, serverError } from "../support/scripted_driver.ts";
import { authenticator } from "../http/test_app.ts";
import { BEARER } from "../support/token.ts";
import { finishedSpans } from "./in_memory_spans.ts";

let conflicts = 1;
const driver = new ScriptedDriver({
  reply: ({ text }) =>
    text.startsWith("update") && conflicts-- > 0
      ? serverError("40001", "could not serialize access, with a secret")
      : undefined,
});
const db = databaseOf(poolOf(driver), {
  random: () => 0,
  observer: databaseObserver({ name: "shop", host: "db.example", port: 5432 }),
});

const app = createApp({ db, authenticator, observers: [traceRequests()] });
const logFields: Record<string, unknown> = {};
app.post(
  "/things/:id",
  (c) =>
    withSession(c, async (session) => {
      logFields["traceId"] = traceFields().traceId;
      await session.query(sql`update things set name = ${"a secret"} where size > 12`);
      await session.commit();
      return c.json({});
    }),
);

const headers = {
  ...BEARER,
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};
await app.request("/things/7?secret=1", { method: "POST", headers });
await app.request("/no/such/address", { headers: BEARER });
const messages = ["11", "12"].map((id, index) => ({
  id,
  traceparent: `00-0af7651916cd43dd8448eb211c8031${id}-b7ad6b716920330${index}-01`,
}));
await traceMessages("things", () => Promise.resolve())([...messages, { id: "13" }]);
await db.run(sql`vacuum (parallel 2) things`, { label: "nightly" });
await db[Symbol.asyncDispose]();

/** How far the replica is. */
let lsn = "100";
const told = (of: string) => ({ rows: [{ 0: "c1", 1: "1", 2: of }] });
const pool = poolOf(
  new ScriptedDriver({
    reply: ({ text }) => text.includes("pg_current_wal_insert_lsn") ? told("100") : undefined,
  }),
);
const standby = poolOf(
  new ScriptedDriver({
    reply: ({ text }) => text.includes("pg_last_wal_replay_lsn") ? told(lsn) : undefined,
  }),
);
const replicated = databaseOf(pool, {
  observer: databaseObserver({ name: "shop", host: "db.example", port: 5432 }),
  replicas: new Replicas({
    primary: pool,
    servers: [{ pool: standby, address: { host: "standby.example", port: 5433 } }],
    maxStalenessMs: 10_000,
    clock: systemClock,
    random: Math.random,
  }),
});
const read = (label: string) =>
  replicated.session({ readOnly: true, replica: {}, label }).commit([sql`select 1`]);
await read("without a mark");
while (replicated.stats().idle === 0 || replicated.stats().leased > 0) {
  await new Promise((resolve) => setTimeout(resolve, 1));
}
await read("on the replica");
lsn = "99";
await read("too far behind");
await replicated[Symbol.asyncDispose]();
console.log(JSON.stringify({ spans: finishedSpans(), logFields }));
