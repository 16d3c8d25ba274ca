/** Requests that wait for their turns in front of a pool whose connections are held up, or still to be opened. */
import { assert, assertEquals } from "@std/assert";
import { type PoolOptions, PoolOverloadedError, sql } from "../../src/db/mod.ts";
import { ClientTurns } from "../../src/deno/client_turns.ts";
import { flushPromises, ManualClock } from "../support/manual_clock.ts";
import { ReadingServer } from "../support/reading_server.ts";
import { connectAfter, databaseOf, poolOf } from "../support/test_pool.ts";
import { processTimes } from "./process_times.ts";

const POOL = { size: 2, maxOverflow: 0, shedTargetMs: 500 };

/** What has come of a request; a read's number if it was answered. */
type Outcome = number | "refused" | "answered";

function service(options: Partial<PoolOptions> & { loginMs?: number } = {}) {
  const { loginMs = 0, ...poolOptions } = options;
  const clock = new ManualClock();
  const server = new ReadingServer();
  const pool = poolOf(server.driver, {
    ...POOL,
    clock,
    connect: connectAfter(server.driver, { clock, loginMs }),
    ...poolOptions,
  });
  const db = databaseOf(pool, { clock });
  const turns = new ClientTurns({
    connections: pool.totals().limit,
    readDepth: () => db.readDepth,
    shedTargetMs: POOL.shedTargetMs,
  }, {
    clock,
    times: processTimes(clock),
  });
  const outcomes: Outcome[] = [];
  const ask = async (client: string, work: () => Promise<Outcome>) => {
    const answer = await turns.run({ client, isRead: true }, async (turn) => {
      if ("waiting" in turn) return "refused";
      try {
        return await work();
      } catch (error) {
        if (error instanceof PoolOverloadedError) return "refused";
        throw error;
      }
    });
    outcomes.push(answer);
  };
  const asked: Promise<void>[] = [];
  /** So much time passes, once all requests have come as far as they can. */
  const pass = async (timeMs: number) => {
    await flushPromises();
    await clock.advance(timeMs);
  };
  /** Answers a read of each connection. */
  const answer = async () => {
    for (const connection of server.busy) server.answer(connection);
    await pass(1);
  };
  return {
    db,
    outcomes,
    pass,
    /** Ends when the test says so, and needs no connection. */
    probe(client = "a"): () => void {
      const { promise, resolve } = Promise.withResolvers<Outcome>();
      asked.push(ask(client, () => promise));
      return () => resolve("answered");
    },
    read(n: number): void {
      asked.push(ask("a", async () => {
        const [[row]] = await db.session({ readOnly: true })
          .commit([sql<{ n: number }>`select ${n} as n`]);
        return row!.n;
      }));
    },
    /** Answers all reads, also those that begin meanwhile, and closes the pool. */
    async answerAll(): Promise<void> {
      for (let ms = 0; ms < 500 && outcomes.length < asked.length; ms++) await answer();
      assertEquals(outcomes.length, asked.length);
      // Connections that are still being opened.
      await pass(loginMs);
      await db.close({ timeoutMs: 0 });
    },
  };
}

function numbers(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}

const sorted = (outcomes: readonly Outcome[]) =>
  outcomes.toSorted((one, other) => Number(one) - Number(other));

const countOf = (wanted: Outcome, outcomes: readonly Outcome[]) =>
  outcomes.filter((outcome) => outcome === wanted).length;

Deno.test("reads that wait for a database that wakes up are all answered", async () => {
  const { outcomes, pass, read, answerAll } = service({ size: 4, loginMs: 2_000 });
  for (const n of numbers(60)) {
    read(n);
    await pass(20);
  }
  assertEquals(outcomes, []);
  await pass(800);
  await answerAll();
  assertEquals(sorted(outcomes), numbers(60));
});

Deno.test("beside slow reads a request that needs no connection is answered at once", async () => {
  const { outcomes, pass, probe, read, answerAll } = service();
  for (const n of numbers(5)) {
    read(n);
    await pass(200);
    probe()();
    await pass(0);
    assertEquals(outcomes.length, n + 1);
  }
  await answerAll();
  assertEquals(sorted(outcomes.slice(5)), numbers(5));
});

Deno.test("so are those of a client that come at once, while another client's reads fill the pool and wait for it", async () => {
  const { db, outcomes, pass, probe, read, answerAll } = service();
  numbers(200).forEach((n) => read(n));
  // After a second all run beside the others.
  await pass(1_500);
  assert(db.stats().waiting > 100, `${db.stats().waiting} wait`);
  const before = outcomes.length;
  for (let count = 0; count < 60; count++) probe("b")();
  await pass(0);
  assertEquals(outcomes.slice(before), Array(60).fill("answered"));
  await answerAll();
});

Deno.test("while logins hang, requests for which there is no turn are refused at once", async () => {
  const { outcomes, pass, read, answerAll } = service({ loginMs: 5_000 });
  for (const n of numbers(300)) {
    read(n);
    await pass(0);
    const atOnce = outcomes.length;
    await pass(10);
    assertEquals(outcomes.length, atOnce);
  }
  const refused = outcomes.length;
  assert(refused > 200 && refused === countOf("refused", outcomes), `${outcomes}`);
  await pass(2_000);
  await answerAll();
  assertEquals(countOf("refused", outcomes), refused);
});
