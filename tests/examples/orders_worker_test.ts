/** The example `orders_worker.ts`, in real workerd, on a real server. */
import { assertEquals } from "@std/assert";
import { createTables } from "../../src/examples/orders/schema.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerd } from "../support/workerd.ts";
import { ordersCases, SentTexts } from "./orders_cases.ts";

const database = await localDatabase();

Deno.test({
  name: "the orders app on Workers",
  timeout: 180_000,
  async fn(t) {
    const sent = new SentTexts();
    await using branch = await database.connect({ observe: sent.observe });
    const owner = branch.open(branch.envOf("user_service_owner"));
    await Promise.all([createTables(owner), createTables(owner)]);
    const { DATABASE_URL, DATABASE_WS_PROXY } = branch.env;
    await using workerd = await startWorkerd({
      entry: "src/examples/orders_worker.ts",
      bindings: { DATABASE_URL: DATABASE_URL!, DATABASE_WS_PROXY: DATABASE_WS_PROXY! },
    });
    await ordersCases(t, {
      request: (path, init) => fetch(new URL(path, workerd.url), init),
      sent,
      query: (text) => branch.asAdmin(text),
    });
    assertEquals(workerd.takeUncaught(), []);
  },
});
