/** When units of work stop sharing transactions since the server takes long for each. */
import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import { Hono } from "hono";
import { sql } from "../../src/db/mod.ts";
import type { IdentityVariables } from "../../src/http/identity.ts";
import { SharedUnits } from "../../src/http/shared_units.ts";
import { provideDatabase } from "../../src/library/hono/mod.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";

const database = await localDatabase();

/** Asks for as many units at once, and returns how many of them ran alone. */
function unitsOn(
  branch: LocalBranch,
  { atOnce, slowMs, sleepMs }: { atOnce: number; slowMs: number; sleepMs: () => number },
): () => Promise<number> {
  const units = new SharedUnits<number, { at: number }, number>({
    statement: (items) =>
      sql`select unnest(${items}::integer[]) as at from pg_sleep(${sleepMs() / 1_000})`,
    answers: (rows) => rows.map(({ at }) => at),
    max: atOnce,
    timeoutMs: 10_000,
    slowMs,
    readOnly: true,
  }, {
    endOfTurn: (run) => void setImmediate(run),
    isTraced: () => false,
    statementTimeoutMs: 10_000,
  });
  let alone = 0;
  const app = new Hono<{ Variables: IdentityVariables }>();
  app.use(provideDatabase(branch.open()));
  app.get("/:at", async (c) => {
    c.set("identity", { name: "Ann", client: "Ann", tenant: "default", scopes: new Set() });
    const item = Number(c.req.param("at"));
    const runAlone = () => {
      alone++;
      return Promise.resolve(item);
    };
    return c.json(await units.run(c, { item, alone: runAlone }));
  });
  return async () => {
    alone = 0;
    const asked = Array.from({ length: atOnce }, (_, at) => at);
    const answers = asked.map(async (at) => (await app.request(`/${at}`)).json());
    assertEquals(await Promise.all(answers), asked);
    return alone;
  };
}

Deno.test("as long as the server is quick, units share transactions", async () => {
  await using branch = await database.connect();
  const ask = unitsOn(branch, { atOnce: 100, slowMs: 10, sleepMs: () => 1 });
  for (let n = 0; n < 60; n++) assertEquals(await ask(), 0);
});

Deno.test("once the server takes long for each, units run alone", async () => {
  await using branch = await database.connect();
  let sleepMs = 0;
  const ask = unitsOn(branch, { atOnce: 10, slowMs: 1, sleepMs: () => sleepMs });
  for (let n = 0; n < 5; n++) assertEquals(await ask(), 0);
  sleepMs = 50;
  let shared = 0;
  while (await ask() === 0) assert(++shared < 40, "units share for too long");
  assert(shared >= 4, "one slow transaction is not enough");
});
