/** Requests that wait for their turns in front of a pool whose connections are held up, or still to be opened. */
import { assertEquals } from "@std/assert";
import { type PoolOptions, PoolOverloadedError, sql } from "../../src/db/mod.ts";
import { ClientTurns } from "../../src/deno/client_turns.ts";
import { flushPromises, ManualClock } from "../support/manual_clock.ts";
import { ReadingServer } from "../support/reading_server.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";

const POOL = { size: 2, maxOverflow: 0, readDepth: 3, shedTargetMs: 500 };

/** What has come of the requests of one client; a read's number if it was answered. */
type Outcome = number | "refused" | "answered";

function service(options: Partial<PoolOptions> & { loginMs?: number } = {}) {
  const { loginMs = 0, ...poolOptions } = options;
  const clock = new ManualClock();
  const server = new ReadingServer();
  const pool = poolOf(server.driver, {
    ...POOL,
    clock,
    connect: async (connectOptions) => {
      await new Promise<void>((resolve) => clock.after(loginMs, resolve));
      return await server.driver.connect(connectOptions);
    },
    ...poolOptions,
  });
  const db = databaseOf(pool, { clock });
  const turns = new ClientTurns({
    connections: pool.totals().limit,
    readDepth: () => db.readDepth,
    refusesBehind: (more) => db.refusesBehind(more),
    isLoggingIn: () => db.isLoggingIn,
    shedTargetMs: POOL.shedTargetMs,
  }, {
    clock,
    times: {
      now: () => clock.now(),
      after: (timeMs, callback) => clock.after(timeMs, callback),
      cpuMs: () => 0,
      atTurnEnd: () => {},
    },
  });
  const outcomes: Outcome[] = [];
  const ask = async (work: () => Promise<Outcome>) => {
    const answer = await turns.run({ client: "a", isRead: true }, async (turn) => {
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
    probe(): () => void {
      const { promise, resolve } = Promise.withResolvers<Outcome>();
      asked.push(ask(() => promise));
      return () => resolve("answered");
    },
    read(n: number): void {
      asked.push(ask(async () => {
        const [[row]] = await db.session({ readOnly: true })
          .commit([sql<{ n: number }>`select ${n} as n`]);
        return row!.n;
      }));
    },
    answer,
    /** Answers all reads within 100 ms, also those that begin meanwhile, and closes the pool. */
    async answerAll(): Promise<void> {
      for (let ms = 0; ms < 100; ms++) await answer();
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

/** Each of these reads holds up a connection. */
async function holdUp({ pass, read }: ReturnType<typeof service>, reads: readonly number[]) {
  for (const n of reads) {
    read(n);
    await pass(500);
  }
}

Deno.test("reads that a lock holds up for less than a second are all answered, whatever else ends meanwhile", async () => {
  const tested = service();
  const { db, outcomes, pass, probe, read, answer, answerAll } = tested;
  await holdUp(tested, [0, 1]);
  await answer();
  // A quick one tells the pool that the others are slow.
  read(2);
  await pass(1);
  await answer();
  const end = probe();
  await holdUp(tested, [3, 4]);
  numbers(20, 5).forEach(read);
  await pass(600);
  assertEquals([db.stats().leased, db.stats().waiting], [2, 3]);
  end();
  await pass(100);
  assertEquals(outcomes, [0, 1, 2, "answered"]);
  await answerAll();
  assertEquals(sorted(outcomes.slice(4)), numbers(22, 3));
});

Deno.test("reads that wait for a database that wakes up are all answered", async () => {
  const { outcomes, pass, read, answerAll } = service({ loginMs: 2_000, size: 4 });
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
