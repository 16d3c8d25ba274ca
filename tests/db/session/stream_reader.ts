/** `stream_test.ts` runs this in a process with a small heap: reads a million rows and prints their sum. */
import { NeonDriver, OwnerScope, sql } from "../../../src/db/mod.ts";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";

const driver = new NeonDriver({
  url: Deno.env.get("DATABASE_URL")!,
  wsProxy: Deno.env.get("DATABASE_WS_PROXY"),
  pipelineConnect: true,
  webSocketConstructor: DatabaseWebSocket,
});
await using db = databaseOf(poolOf(driver), { scope: OwnerScope.lasting() });
await using session = db.session({ readOnly: true, transactionTimeoutMs: 300_000 });
const rows = sql<{ n: number; filling: string }>`
  select n, md5(n::text) as filling from generate_series(1, 1000000) n`;
let sum = 0;
for await (const { n, filling } of session.stream(rows, { batchSize: 5_000 })) {
  sum += n + filling.length;
}
console.log(sum);
