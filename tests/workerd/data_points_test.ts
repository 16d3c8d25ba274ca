/** The data points of a Worker and of an object, in real workerd. */
import { assert, assertEquals } from "@std/assert";
import { createUser, jsonRequest, uniqueEmail } from "../http/requests.ts";
import { BATCH_SENDER, type BatchAnswer } from "../support/batch_sender.ts";
import { localDatabase } from "../support/local_database.ts";
import { TOKEN } from "../support/token.ts";
import { startWorkerHost, type WorkerHost } from "../support/worker_host.ts";
import type { DataPoint } from "./data_points_worker.ts";

const entry = "tests/workerd/data_points_worker.ts";

const hosts = await Promise.all([
  startWorkerHost(await localDatabase(), {
    name: "data points, Worker",
    entry,
    env: { LOG_LEVEL: "warn" },
  }),
  startWorkerHost(await localDatabase(), {
    name: "data points, object",
    entry,
    env: { DATABASE_OBJECT_SHARDS: "1", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);
const [worker] = hosts as [WorkerHost, WorkerHost];
/** The test sends the batches. */
const batches = await startWorkerHost(await localDatabase(), {
  name: "data points, queue",
  entry,
  front: BATCH_SENDER,
  env: { LOG_LEVEL: "warn" },
});
/** Miniflare's dataset keeps nothing. */
const real = await startWorkerHost(await localDatabase(), {
  name: "a dataset of Miniflare's",
  dataset: "METRICS",
});

Deno.test.afterAll(async () => {
  await Promise.all([...hosts, batches, real].map((host) => host.stop()));
});

/** The columns of a data point, by the names that src/workers/README.md gives them. */
function columnsOf({ indexes, blobs, doubles }: DataPoint): Record<string, unknown> {
  const values: Record<string, unknown> = { index1: indexes[0] };
  blobs.forEach((blob, index) => values[COLUMNS.get(`blob${index + 1}`)!] = blob);
  doubles.forEach((double, index) => values[COLUMNS.get(`double${index + 1}`)!] = double);
  return values;
}

const README = await Deno.readTextFile(new URL("../../src/workers/README.md", import.meta.url));
/** Name by column. */
const COLUMNS = new Map(
  [...README.matchAll(/^\| `((?:blob|double)\d+)` +\| `(\w+)` /gm)].map((
    row,
  ) => [row[1]!, row[2]!]),
);

async function takePoints(host: WorkerHost): Promise<DataPoint[]> {
  return await (await host.request("/_points")).json();
}

const times = ["duration_ms", "database_ms", "wait_ms", "connect_ms"];

for (const host of hosts) {
  host.test("each request is one data point, with what it has asked of the database", async () => {
    await takePoints(host);
    const { id } = await createUser(host.request);
    await host.request(`/users/${id}`).then((response) => response.body?.cancel());
    await host.request("/no/such/address?q=1", { method: "PROPFIND" })
      .then((response) => response.body?.cancel());
    const points = (await takePoints(host)).map(columnsOf);
    const figures = points.map((point) => [
      point["method"],
      point["route"],
      point["status"],
      point["flights"],
      point["transactions"],
      point["retries"],
    ]);
    assertEquals(figures, [
      ["POST", "/users", "201", 1, 1, 0],
      ["GET", "/users/:id", "200", 1, 1, 0],
      ["_OTHER", "", "404", 0, 0, 0],
    ]);
    assertEquals(points.map(({ index1 }) => index1), points.map(({ route }) => route));
    for (const point of points.slice(0, 2)) {
      const [duration, database, wait, connect] = times.map((name) => point[name] as number);
      assert(database! > 0 && database! <= duration!, JSON.stringify(point));
      assert(wait! >= 0 && connect! <= duration!, JSON.stringify(point));
    }
  });

  host.test("what the pool has counted is reported once", async () => {
    await createUser(host.request);
    await takePoints(host);
    for (let request = 0; request < 5; request++) {
      await host.request("/users").then((response) => response.body?.cancel());
    }
    const points = (await takePoints(host)).map(columnsOf);
    assertEquals(points.map(({ leased }) => leased), [1, 1, 1, 1, 1]);
    const refused = ["timed_out", "overloaded", "unreachable", "lost", "unknown_commits"];
    for (const point of points) {
      assertEquals(refused.map((name) => point[name]), [0, 0, 0, 0, 0]);
      assertEquals(point["waiting"], 0);
    }
  });

  host.test("a request that is retried says so", async () => {
    await host.branch.asAdmin("create sequence if not exists changes");
    await host.branch.asAdmin("grant usage on sequence changes to public");
    await host.branch.asAdmin(`create function fail_once() returns trigger language plpgsql as $$
      begin if nextval('changes') = 1 then raise exception 'overtaken' using errcode = '40001'; end if;
      return new; end $$`);
    await host.branch.asAdmin(
      "create trigger fail_once before insert on users for each row execute function fail_once()",
    );
    await takePoints(host);
    await createUser(host.request);
    const [point] = (await takePoints(host)).map(columnsOf);
    assertEquals([point!["transactions"], point!["retries"]], [2, 1]);
    await host.branch.asAdmin("drop trigger fail_once on users");
  });

  host.test("no data point has a token, an id, an address of a user or a path", async () => {
    await takePoints(host);
    const email = uniqueEmail();
    const response = await host.request("/users", jsonRequest("POST", { email, name: "Ann Doe" }));
    const { id } = await response.json();
    await host.request(`/users/${id}?secret=1`).then((response) => response.body?.cancel());
    await host.request(`/secret/${id}`).then((response) => response.body?.cancel());
    const text = JSON.stringify(await takePoints(host));
    for (const value of [id, email, "Ann Doe", "secret", TOKEN, "user_service"]) {
      assert(!text.includes(value), value);
    }
  });
}

let events = 0;

function message(version: number, attempts = 1) {
  const body = {
    id: String(1_000_000 + ++events),
    type: "user.updated",
    userId: crypto.randomUUID(),
    version,
    occurredAt: new Date().toISOString(),
    data: { email: "ann@example.org", name: "Ann" },
  };
  return { id: crypto.randomUUID(), body, attempts };
}

async function sendBatch(queue: string, messages: readonly unknown[]): Promise<BatchAnswer> {
  const response = await batches.request(`/_queue/${queue}`, jsonRequest("POST", messages));
  assertEquals(response.status, 200, await response.clone().text());
  return await response.json();
}

batches.test("each batch of a queue is one data point, with what became of its messages", async () => {
  await takePoints(batches);
  await sendBatch("user-events", [message(1), message(2), message(3)]);
  await batches.branch.asAdmin(
    "alter table user_activity add constraint no_sevens check (version <> 7)",
  );
  const { retryMessages } = await sendBatch("user-events", [message(4), message(7, 4)]);
  assertEquals(retryMessages.length, 1);
  await batches.branch.asAdmin("alter table user_activity drop constraint no_sevens");
  await sendBatch("user-events-dead", [message(5, 5)]);
  const points = (await takePoints(batches)).map(columnsOf);
  const columns = ["method", "route", "status", "messages", "retried", "transactions", "retries"];
  assertEquals(points.map((point) => columns.map((name) => point[name])), [
    ["QUEUE", "user-events", "", "3", "0", 1, 0],
    ["QUEUE", "user-events", "", "2", "1", 2, 0],
    ["QUEUE", "user-events-dead", "", "1", "0", 1, 0],
  ]);
  assertEquals(points.map(({ index1 }) => index1), points.map(({ route }) => route));
  for (const point of points) {
    const [duration, database] = times.map((name) => point[name] as number);
    assert(database! > 0 && database! <= duration!, JSON.stringify(point));
    assert(point["flights"] as number >= 1);
    assert(point["leased"] as number >= 1, "what the consumer's own pool has counted");
    assertEquals([point["timed_out"], point["lost"], point["waiting"]], [0, 0, 0]);
  }
});

batches.test("a dataset that refuses the data point of a batch changes nothing for its messages", async () => {
  const sent = [message(1), message(2)];
  const { outcome, explicitAcks } = await sendBatch("refused-events", sent);
  assertEquals([outcome, explicitAcks.toSorted()], ["ok", sent.map(({ id }) => id).toSorted()]);
  await batches.workerd.logged("the dataset refuses it", { timeoutMs: 10_000 });
});

batches.test("a request has no messages", async () => {
  await takePoints(batches);
  await batches.request("/users").then((response) => response.body?.cancel());
  const [point] = (await takePoints(batches)).map(columnsOf);
  assertEquals([point!["messages"], point!["retried"]], ["", ""]);
});

worker.test("a data point has all columns of the README, and no others, within the engine's limits", async () => {
  await takePoints(worker);
  await worker.request("/users").then((response) => response.body?.cancel());
  const [point] = await takePoints(worker);
  assertEquals(COLUMNS.size, point!.blobs.length + point!.doubles.length);
  assert(point!.blobs.length <= 20 && point!.doubles.length <= 20);
  assertEquals(Object.values(columnsOf(point!)).includes(undefined), false);
  assert(point!.doubles.every(Number.isFinite), JSON.stringify(point));
});

worker.test("a dataset that refuses a data point changes no answer, and is logged", async () => {
  const response = await worker.request("/healthz");
  await response.body?.cancel();
  assertEquals(response.status, 200);
  await worker.workerd.logged("the dataset refuses it", { timeoutMs: 10_000 });
});

real.test("the runtime's own dataset takes the data points", async () => {
  await createUser(real.request);
  const response = await real.request("/users");
  assertEquals(response.status, 200);
  await response.body?.cancel();
  assertEquals(real.workerd.log, "");
});
