/** Durable Objects that keep pools, in real workerd. */
import { assert, assertEquals } from "@std/assert";
import { createUser } from "../http/requests.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost, testOnEach, type WorkerHost } from "../support/worker_host.ts";

const POOL = {
  DATABASE_POOL_SIZE: "2",
  DATABASE_MAX_OVERFLOW: "1",
  DATABASE_POOL_SHED_TARGET: "0",
  DATABASE_POOL_IDLE_TIMEOUT: "3",
};

async function read({ request }: WorkerHost, path: string, times: number): Promise<void> {
  for (let count = 0; count < times; count++) {
    const response = await request(path);
    await response.body?.cancel();
    assertEquals(response.status, 200);
  }
}

async function statuses(host: WorkerHost, path: string, count: number): Promise<Set<number>> {
  const answers = await Promise.all(Array.from({ length: count }, () => host.request(path)));
  await Promise.all(answers.map(({ body }) => body?.cancel()));
  return new Set(answers.map(({ status }) => status));
}

async function killBackends(host: WorkerHost): Promise<void> {
  await host.branch.asAdmin(
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity
     where usename = 'user_service' and datname = current_database()`,
  );
}

/** The service asks a connection that was idle for a second first whether it lives: after a stall it is not warm. */
const WARM_MS = 900;

/** How many messages go to the database meanwhile, soon after another request. */
async function warmMessages(host: WorkerHost, run: () => Promise<unknown>): Promise<number> {
  for (;;) {
    const since = performance.now();
    await createUser(host.request);
    host.takeMessages();
    await run();
    const messages = host.takeMessages();
    if (performance.now() - since < WARM_MS) return messages;
  }
}

/** By name: how many objects there are, and what the test does. */
const CASES: Readonly<Record<string, readonly [number, (host: WorkerHost) => Promise<void>]>> = {
  "consecutive requests use the same backend": [1, async (host) => {
    const { id } = await createUser(host.request);
    const [first, ...others] = await host.backends();
    assertEquals(others, []);
    await read(host, `/users/${id}`, 20);
    assertEquals(await host.backends(), [first]);
  }],

  "100 concurrent requests open at most the pool's three connections, and two stay open": [
    1,
    async (host) => {
      const { id } = await createUser(host.request);
      const before = host.branch.relay.connections.length;
      assertEquals(await statuses(host, `/users/${id}`, 100), new Set([200]));
      const opened = host.branch.relay.connections.slice(before).length;
      assert(opened <= 3, `${opened} connections were opened`);
      while ((await host.backends()).length > 2);
      assertEquals((await host.backends()).length, 2);
    },
  ],

  "a warm read is one round trip to the database, and so is a warm write": [1, async (host) => {
    const { id } = await createUser(host.request);
    assertEquals(await warmMessages(host, () => read(host, `/users/${id}`, 1)), 1);
    assertEquals(await warmMessages(host, () => createUser(host.request)), 1);
  }],

  "idle connections are closed without another request": [1, async (host) => {
    await createUser(host.request);
    assertEquals((await host.backends()).length, 1);
    await host.quiet();
    assertEquals(await host.backends(), []);
  }],

  "no request fails after all backends were killed between requests": [1, async (host) => {
    const { id } = await createUser(host.request);
    for (let round = 0; round < 5; round++) {
      await statuses(host, `/users/${id}`, 10);
      await killBackends(host);
      const [reads, write] = await Promise.all([
        statuses(host, `/users/${id}`, 5),
        createUser(host.request),
      ]);
      assertEquals([reads, write.version], [new Set([200]), 1]);
    }
  }],

  "no read fails while all backends are being killed": [1, async (host) => {
    const { id } = await createUser(host.request);
    let isOver = false;
    const killing = (async () => {
      for (let round = 0; round < 5; round++) {
        await killBackends(host);
        await read(host, `/users/${id}`, 5);
      }
      isOver = true;
    })();
    const asking = Array.from({ length: 4 }, async () => {
      while (!isOver) await read(host, `/users/${id}`, 1);
    });
    await Promise.all([killing, ...asking]);
  }],

  "requests are distributed over both objects, each with its own pool": [2, async (host) => {
    const { id } = await createUser(host.request);
    host.takeMessages();
    await read(host, `/users/${id}`, 19);
    const chunks = host.branch.relay.openConnections.map(({ traffic }) => traffic.toServer.chunks);
    assertEquals(chunks, [10, 10]);
  }],
};

const hosts = await Promise.all(
  Object.entries(CASES).map(async ([name, [shards]]) =>
    startWorkerHost(await localDatabase(), {
      name,
      env: { ...POOL, DATABASE_OBJECT_SHARDS: `${shards}` },
    })
  ),
);

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
});

// Each has objects and a database of its own: all wait until their idle connections are closed.
testOnEach(hosts, "Durable Objects keep pools", (host) => CASES[host.name]![1](host));
