/** What a transaction leaves for the runtime to wait for, after the request that ran it is answered. */
import { assert, assertEquals, assertFalse } from "@std/assert";
import { sql } from "../../src/db/mod.ts";
import { databases, type DatabasesOptions } from "../../src/library/workers/mod.ts";
import { localDatabase } from "../support/local_database.ts";
import { parseSettings } from "../../src/settings/settings.ts";

const local = await localDatabase();

/** Runs one read in a request of its own. `waited` is what it has given to `waitUntil`. */
async function read(options: DatabasesOptions): Promise<{ waited: Promise<unknown>[] }> {
  const waited: Promise<unknown>[] = [];
  const db = databases(options).forRequest({ waitUntil: (promise) => waited.push(promise) });
  const [[row]] = await db.transaction((session) => session.commit([sql`select 1 as one`]), {
    readOnly: true,
  });
  assertEquals(row, { one: 1 });
  return { waited };
}

Deno.test("a transaction by HTTP leaves nothing to wait for, and does not abort its answered request", async () => {
  await using branch = await local.connect();
  const { database } = parseSettings(branch.env);
  const signals: AbortSignal[] = [];
  const { fetch } = globalThis;
  globalThis.fetch = (input, init) => {
    signals.push(init!.signal!);
    return fetch(input, init);
  };
  try {
    const { waited } = await read({ ...database, http: "on" });
    assertEquals(waited, []);
    assertEquals(signals.length, 1);
    assertFalse(signals[0]!.aborted);
  } finally {
    globalThis.fetch = fetch;
  }
});

Deno.test("a transaction on a connection keeps the request until the connection is closed", async () => {
  await using branch = await local.connect();
  const { database } = parseSettings(branch.env);
  const { waited } = await read({ ...database, http: "off" });
  assert(waited.length > 0);
  await Promise.all(waited);
});
