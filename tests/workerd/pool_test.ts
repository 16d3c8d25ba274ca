/** One pool in one workerd isolate. Its requests share the permits but cannot use each other's sockets. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { PoolStats } from "../../src/db/mod.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";
import { startWorkerd } from "../support/workerd.ts";
import { FOREIGN_PROMISE } from "../support/workerd_log.ts";

const database = await localDatabase();

/** The server soon ends a transaction that its client has abandoned. */
const IMPATIENT = {
  DATABASE_LOCK_TIMEOUT: "0.5",
  DATABASE_STATEMENT_TIMEOUT: "2",
  DATABASE_IDLE_TRANSACTION_TIMEOUT: "1",
  DATABASE_TRANSACTION_TIMEOUT: "3",
};

/** The server does not end a slow transaction during a test. */
const PATIENT = {
  DATABASE_IDLE_TRANSACTION_TIMEOUT: "30",
};

interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

interface Refusal {
  readonly name: string;
  readonly message: string;
}

interface Service {
  readonly branch: LocalBranch;
  ask<T>(act: string): Promise<Answer<T>>;
  stats(): Promise<PoolStats>;
}

async function start(settings: Readonly<Record<string, string>>) {
  const branch = await database.connect();
  const workerd = await startWorkerd({
    entry: "tests/workerd/pool_worker.ts",
    bindings: {
      ...branch.env,
      DATABASE_POOL_SIZE: "2",
      DATABASE_MAX_OVERFLOW: "0",
      DATABASE_POOL_SHED_TARGET: "0",
      ...settings,
    },
  });
  return { branch, workerd };
}

const services = await Promise.all([start(PATIENT), start(IMPATIENT)]);
const [patient, impatient] = services;

Deno.test.afterAll(async () => {
  for (const { branch, workerd } of services) {
    await workerd.stop();
    await branch[Symbol.asyncDispose]();
  }
});

function poolTest(
  name: string,
  { branch, workerd }: typeof patient,
  fn: (service: Service) => Promise<void>,
  { ended = 0 }: { ended?: number } = {},
): void {
  Deno.test({
    name: `a pool in workerd: ${name}`,
    timeout: 60_000,
    async fn() {
      const ask: Service["ask"] = async (act) => {
        const response = await fetch(new URL(act, workerd.url));
        const text = await response.text();
        const isJson = response.headers.get("content-type")?.includes("json");
        return { status: response.status, body: isJson ? JSON.parse(text) : text };
      };
      const service: Service = {
        branch,
        ask,
        stats: async () => (await ask<PoolStats>("stats")).body,
      };
      await fn(service);
      await until(async () => await backends(service) === 0);
      // The pool asks an owner that may have ended by resolving a promise of the owner's. workerd warns of each one.
      const warnings = workerd.takeUncaught();
      assertEquals(warnings.filter((line) => !line.includes(FOREIGN_PROMISE)), []);
      assert(warnings.length <= ended, `${warnings.length} warnings, ${ended} requests ended`);
    },
  });
}

async function backends({ branch }: Service): Promise<number> {
  const [row] = await branch.asAdmin<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where application_name = 'pool in workerd' and datname = current_database()`,
  );
  return row!.count;
}

/** Polls until `isSo` is true. Each poll is a round trip; the test's timeout ends the loop. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!await isSo());
}

function many<T>(count: number, ask: () => Promise<Answer<T>>): Promise<Answer<T>[]> {
  return Promise.all(Array.from({ length: count }, ask));
}

poolTest(
  "a hundred concurrent requests share two permits, and all are served",
  patient,
  async (service) => {
    let most = 0;
    let isOver = false;
    const watch = async () => {
      while (!isOver) most = Math.max(most, await backends(service));
    };
    const watching = watch();
    const answers = await many(100, () => service.ask<number>("work"));
    isOver = true;
    await watching;
    assertEquals(answers.filter(({ status }) => status !== 200), []);
    assert(most >= 1 && most <= 2, `${most} backends were seen`);
    assertEquals(new Set(answers.map(({ body }) => body)).size, 100, "requests shared a socket");
    const { leased, opening, waiting } = await service.stats();
    assertEquals({ leased, opening, waiting }, { leased: 0, opening: 0, waiting: 0 });
  },
);

poolTest(
  "every promise that requests give to waitUntil settles, also when they wait for each other's permits",
  patient,
  async (service) => {
    const before = (await service.ask<{ given: number; settled: number }>("deferred")).body;
    for (let round = 0; round < 10; round++) {
      const answers = await many(45, () => service.ask<number>("workTwice"));
      assertEquals(answers.filter(({ status }) => status !== 200), []);
    }
    await until(async () => await backends(service) === 0);
    const { body: { given, settled } } = await service.ask<{ given: number; settled: number }>(
      "deferred",
    );
    assert(given - before.given >= 450, `${given} were given`);
    // The three questions themselves are not over when they are answered.
    assert(given - settled <= 3, `${given - settled} of ${given} are pending`);
  },
);

poolTest(
  "the sessions of one request use its connection one after the other",
  patient,
  async (service) => {
    const { body: [first, second] } = await service.ask<number[]>("workTwice");
    assertEquals(first, second);
    assert((await service.ask<number>("work")).body !== first);
  },
);

poolTest(
  "the permits of requests that the runtime cancels as hung are reclaimed",
  impatient,
  async (service) => {
    for (const { status, body } of await many(2, () => service.ask<string>("hang"))) {
      assertEquals(status, 500);
      assertStringIncludes(body, "code had hung");
    }
    const answers = await many(5, () => service.ask("work"));
    assertEquals(answers.map(({ status }) => status), [200, 200, 200, 200, 200]);
  },
);

poolTest(
  "the permits of requests that end during a transaction without releasing them are reclaimed",
  impatient,
  async (service) => {
    assertEquals((await many(2, () => service.ask("leave"))).map(({ body }) => body), [
      "left",
      "left",
    ]);
    const answers = await many(5, () => service.ask("work"));
    assertEquals(answers.map(({ status }) => status), [200, 200, 200, 200, 200]);
  },
);

poolTest(
  "requests that end while they wait for a permit do not block other waiters",
  patient,
  async (service) => {
    const holders = many(2, () => service.ask("keep"));
    await until(async () => (await service.ask("kept")).body === 2);
    for (let gone = 0; gone < 3; gone++) {
      assertEquals((await service.ask("leaveWaiting")).body, "left");
    }
    const served = service.ask("work");
    await until(async () => (await service.stats()).waiting === 4);
    await service.ask("letGo");
    assertEquals((await served).status, 200);
    assertEquals((await holders).map(({ body }) => body), [2, 2]);
  },
  { ended: 3 },
);

poolTest(
  "using a connection from another request throws ScopeError at once, and its owner can continue",
  patient,
  async (service) => {
    const owner = service.ask("keep");
    await until(async () => (await service.ask("kept")).body === 1);
    const misuses = ["useKeptSession", "useKeptDatabase", "useKeptConnection"];
    for (const act of misuses) {
      const { status, body } = await service.ask<Refusal>(act);
      assertEquals([act, status, body.name], [act, 500, "ScopeError"]);
      assertStringIncludes(body.message, "outside the request that it belongs to");
    }
    await service.ask("letGo");
    assertEquals(await owner, { status: 200, body: 2 });
    for (const act of misuses) {
      assertEquals((await service.ask<Refusal>(act)).body.name, "ScopeError");
    }
  },
);

poolTest(
  "requests that would deadlock on a second connection are refused at once",
  patient,
  async (service) => {
    const answers = await many(6, () => service.ask<Refusal>("holdAndWait"));
    const refused = answers.filter(({ status }) => status === 500);
    assert(refused.length > 0, "no request was refused");
    for (const { body } of refused) {
      assertEquals(body.name, "ScopeError");
      assertStringIncludes(body.message, "of 2");
    }
  },
);
