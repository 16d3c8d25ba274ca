/** Durable Objects that keep pools, in real workerd. */
import { assert, assertEquals } from "@std/assert";
import { createUser } from "../http/requests.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost, type WorkerHost } from "../support/worker_host.ts";

const database = await localDatabase();

const POOL = {
  DATABASE_POOL_SIZE: "2",
  DATABASE_MAX_OVERFLOW: "1",
  DATABASE_POOL_SHED_TARGET: "0",
  DATABASE_POOL_IDLE_TIMEOUT: "3",
};

const hosts = await Promise.all([
  startWorkerHost(database, {
    name: "one object",
    env: { ...POOL, DATABASE_OBJECT_SHARDS: "1" },
  }),
  startWorkerHost(database, {
    name: "two objects",
    env: { ...POOL, DATABASE_OBJECT_SHARDS: "2" },
  }),
]);
const [one, two] = hosts;

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
});

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

one.test("consecutive requests use the same backend", async () => {
  const { id } = await createUser(one.request);
  const [first, ...others] = await one.backends();
  assertEquals(others, []);
  await read(one, `/users/${id}`, 20);
  assertEquals(await one.backends(), [first]);
});

one.test("100 concurrent requests open at most the pool's three connections, and two stay open", async () => {
  const { id } = await createUser(one.request);
  const before = one.branch.relay.connections.length;
  assertEquals(await statuses(one, `/users/${id}`, 100), new Set([200]));
  const opened = one.branch.relay.connections.slice(before).length;
  assert(opened <= 3, `${opened} connections were opened`);
  while ((await one.backends()).length > 2);
  assertEquals((await one.backends()).length, 2);
});

one.test("a warm read is one round trip to the database, and so is a warm write", async () => {
  const { id } = await createUser(one.request);
  one.takeMessages();
  await read(one, `/users/${id}`, 1);
  assertEquals(one.takeMessages(), 1);
  await createUser(one.request);
  assertEquals(one.takeMessages(), 1);
});

one.test("idle connections are closed without another request", async () => {
  await createUser(one.request);
  assertEquals((await one.backends()).length, 1);
  await one.quiet();
  assertEquals(await one.backends(), []);
});

one.test("no request fails after all backends were killed between requests", async () => {
  const { id } = await createUser(one.request);
  for (let round = 0; round < 5; round++) {
    await statuses(one, `/users/${id}`, 10);
    await killBackends(one);
    const [reads, write] = await Promise.all([
      statuses(one, `/users/${id}`, 5),
      createUser(one.request),
    ]);
    assertEquals([reads, write.version], [new Set([200]), 1]);
  }
});

one.test("no read fails while all backends are being killed", async () => {
  const { id } = await createUser(one.request);
  let isOver = false;
  const killing = (async () => {
    for (let round = 0; round < 5; round++) {
      await killBackends(one);
      await read(one, `/users/${id}`, 5);
    }
    isOver = true;
  })();
  const asking = Array.from({ length: 4 }, async () => {
    while (!isOver) await read(one, `/users/${id}`, 1);
  });
  await Promise.all([killing, ...asking]);
});

two.test("requests are distributed over both objects, each with its own pool", async () => {
  const { id } = await createUser(two.request);
  two.takeMessages();
  await read(two, `/users/${id}`, 19);
  const chunks = two.branch.relay.openConnections.map(({ traffic }) => traffic.toServer.chunks);
  assertEquals(chunks, [10, 10]);
});
