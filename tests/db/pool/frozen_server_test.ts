/** A real server behind a relay that swallows every byte for a while, and never passes on those of the time before. */
import { assert } from "@std/assert";
import { type Database, sql } from "../../../src/db/mod.ts";
import { freeze } from "../../support/fault_actions.ts";
import { type FaultBranch, faultBranch } from "../../support/fault_branch.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

const CONNECT_TIMEOUT_S = 4;
/** The first connects fail after the timeout, and the probes after them have all permits. */
const FROZEN_MS = 5_500;
const CALL_EVERY_MS = 10;

/** Calls at a steady pace until one is served. Resolves with that time. */
async function served(db: Database): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const call = () =>
    db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true, attempts: 1 })
      .then(() => resolve(performance.now()), () => {});
  const timer = setInterval(call, CALL_EVERY_MS);
  return await promise.finally(() => clearInterval(timer));
}

async function isFrozenAndBack(branch: FaultBranch, limit: number): Promise<number> {
  const db = branch.open({
    DATABASE_POOL_SIZE: `${limit}`,
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_CONNECT_TIMEOUT: `${CONNECT_TIMEOUT_S}`,
  });
  await served(db);
  const { relay } = branch;
  const armed = relay.when({ at: "upgrade", times: Infinity }, freeze());
  for (const connection of relay.openConnections) connection.cut();
  const back = served(db);
  await new Promise((resolve) => setTimeout(resolve, FROZEN_MS));
  armed.clear();
  const backAtMs = performance.now();
  return await back - backAtMs;
}

Deno.test("at every limit calls are served within a second of the return of a frozen server, although it never answers the connects from before", async () => {
  const taken = await Promise.all([1, 2, 5, 10].map(async (limit) => {
    await using branch = await faultBranch(database);
    return { limit, ms: await isFrozenAndBack(branch, limit) };
  }));
  for (const { limit, ms } of taken) {
    assert(ms > 0 && ms < 1_000, `limit ${limit}: ${Math.round(ms)} ms`);
  }
});
