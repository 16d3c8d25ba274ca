/** When units of work stop sharing transactions since the server takes long for each. */
import { assert, assertEquals } from "@std/assert";
import { Hono } from "hono";
import {
  type Clock,
  sql,
  systemClock,
  type TransactionOptions,
  type TransactionRunner,
} from "../../src/db/mod.ts";
import { atTurnEnd } from "../../src/deno/loop_turns.ts";
import type { IdentityVariables } from "../../src/http/identity.ts";
import { SharedUnits } from "../../src/http/shared_units.ts";
import { provideDatabase } from "../../src/library/hono/mod.ts";
import { mapSessionOptions } from "../../src/session_options.ts";
import { asTenant } from "../../src/tenant.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";
import { ManualClock } from "../support/manual_clock.ts";

const database = await localDatabase();

interface Value {
  readonly at: number;
}

/** Asks for as many units at once, and returns how many of them ran alone. */
function unitsOn(
  branch: LocalBranch,
  { atOnce, sleepMs, clock = systemClock }: {
    atOnce: number;
    sleepMs: () => number;
    clock?: Clock;
  },
  db: TransactionRunner = branch.open(),
): () => Promise<number> {
  const units = new SharedUnits<number, Value, Value>({
    statement: (items) =>
      sql`select unnest(${items}::integer[]) as at from pg_sleep(${sleepMs() / 1_000})`,
    answers: (rows) => rows,
    max: atOnce,
    timeoutMs: 10_000,
    slowMs: 1,
    readOnly: true,
  }, {
    atTurnEnd,
    isTraced: () => false,
    statementTimeoutMs: 10_000,
    clock,
  });
  let alone = 0;
  const app = new Hono<{ Variables: IdentityVariables }>();
  app.use(provideDatabase(db));
  app.get("/:at", async (c) => {
    c.set("identity", { name: "Ann", client: "Ann", tenant: "default", scopes: new Set() });
    const at = Number(c.req.param("at"));
    const runAlone = () => {
      alone++;
      return Promise.resolve({ at });
    };
    return c.json(await units.run(c, { item: at, alone: runAlone }));
  });
  return async () => {
    alone = 0;
    const asked = Array.from({ length: atOnce }, (_, at) => ({ at }));
    const answers = asked.map(async ({ at }) => (await app.request(`/${at}`)).json());
    assertEquals(await Promise.all(answers), asked);
    return alone;
  };
}

Deno.test("as long as the server takes little for each of them, units share transactions", async () => {
  await using branch = await database.connect();
  const ask = unitsOn(branch, { atOnce: 100, sleepMs: () => 20 });
  for (let n = 0; n < 40; n++) assertEquals(await ask(), 0);
});

Deno.test("once the server takes long for each in several transactions, units run alone for 10 s", async () => {
  await using branch = await database.connect();
  let sleepMs = 0;
  const clock = new ManualClock();
  const ask = unitsOn(branch, { atOnce: 10, sleepMs: () => sleepMs, clock });
  for (let n = 0; n < 5; n++) assertEquals(await ask(), 0);
  sleepMs = 50;
  let shared = 0;
  while (await ask() === 0) assert(++shared < 40, "units share for too long");
  // Of four transactions one is timed, and each counts as 4 ms for a unit at most.
  assert(shared >= 16, `${shared} slow transactions are not enough`);
  sleepMs = 0;
  await clock.advance(9_999);
  assertEquals(await ask(), 10);
  await clock.advance(1);
  // What was slow before does not count any more.
  for (let n = 0; n < 8; n++) assertEquals(await ask(), 0);
});

Deno.test("units share transactions that are too small for their times to be compared", async () => {
  await using branch = await database.connect();
  const ask = unitsOn(branch, { atOnce: 7, sleepMs: () => 20 });
  for (let n = 0; n < 40; n++) assertEquals(await ask(), 0);
});

Deno.test("all shared transactions of a tenant have one object of settings, for which the layer keeps what it sends", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const seen = new Set<TransactionOptions["locals"]>();
  const labels = new Set<string | undefined>();
  const ask = unitsOn(
    branch,
    { atOnce: 2, sleepMs: () => 0 },
    mapSessionOptions(asTenant(db, "default"), (options) => {
      seen.add(options.locals);
      labels.add(options.label);
      return options;
    }),
  );
  for (let n = 0; n < 3; n++) assertEquals(await ask(), 0);
  const [locals, ...others] = seen;
  assert(Object.isFrozen(locals));
  assertEquals([locals?.["app.tenant"], others], ["default", []]);
  assertEquals([...labels], ["GET /:at"]);
});
