/** The whole service, in this process, with a real PostgreSQL. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { get } from "node:http";
import { SettingsError } from "../../src/settings/settings.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import type { RelayObserver } from "../../src/library/testing/relay/relay.ts";
import { trustedSql } from "../../src/db/mod.ts";
import { start } from "../../src/deno/service.ts";
import type { Branch, Env } from "../support/branch.ts";
import { faultBranch } from "../support/fault_branch.ts";
import { localDatabase } from "../support/local_database.ts";
import { OTHER_TOKENS, withToken } from "../support/access.ts";

const database = await localDatabase();

interface Running extends AsyncDisposable {
  readonly branch: Branch;
  readonly url: string;
  request(path: string, init?: RequestInit & { client?: Deno.HttpClient }): Promise<Response>;
  createUser(email: string): Promise<{ id: string }>;
}

async function serving(
  { env = {}, observe }: { env?: Env; observe?: RelayObserver } = {},
): Promise<Running> {
  const branch = await database.connect(observe === undefined ? {} : { observe });
  const quiet = { PORT: "0", LOG_LEVEL: "error", QUEUE_CONCURRENCY: "0" };
  const service = await start({ ...branch.env, ...quiet, ...env }, { hostname: "127.0.0.1" });
  const request: Running["request"] = (path, init) =>
    fetch(`${service.url}${path}`, withToken(init));
  return {
    branch,
    url: service.url,
    request,
    async createUser(email) {
      const response = await request("/users", newUser(email));
      assertEquals(response.status, 201);
      return await response.json();
    },
    async [Symbol.asyncDispose]() {
      await service.shutdown();
      await branch[Symbol.asyncDispose]();
    },
  };
}

function newUser(email: string): RequestInit {
  return {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email, name: "Ann" }),
  };
}

/** A request whose body begins, and ends when it is told to. */
function slowUser(email: string) {
  const begun = Promise.withResolvers<void>();
  const rest = Promise.withResolvers<void>();
  const init = newUser(email);
  const text = new TextEncoder().encode(init.body as string);
  const body = new ReadableStream({
    async start(controller) {
      controller.enqueue(text.subarray(0, 10));
      begun.resolve();
      await rest.promise;
      controller.enqueue(text.subarray(10));
      controller.close();
    },
  });
  return { init: { ...init, body }, hasBegun: begun.promise, sendRest: rest.resolve };
}

function rawHeadersOf(url: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (message) => {
      message.resume();
      message.once("end", () => resolve(message.rawHeaders));
    }).once("error", reject);
  });
}

/** Counts the messages to the server. */
function messageCounter(): { observe: RelayObserver; take(): number } {
  let count = 0;
  return {
    observe: {
      message(_, direction) {
        if (direction === "toServer") count++;
      },
    },
    take() {
      const taken = count;
      count = 0;
      return taken;
    },
  };
}

Deno.test("requests take as few round trips as their statements need", async () => {
  const messages = messageCounter();
  await using running = await serving({ observe: messages.observe });
  const { id } = await running.createUser("first@example.org");
  assertEquals(messages.take(), 1, "a cold write: login, BEGIN, INSERT and COMMIT in one message");

  await (await running.request(`/users/${id}`)).body?.cancel();
  assertEquals(messages.take(), 1, "a read");

  await running.createUser("second@example.org");
  assertEquals(messages.take(), 1, "a write and its commit");

  // Background work of requests is sent before the shutdown is complete.
  await running[Symbol.asyncDispose]();
  assertEquals(messages.take(), 1, "Terminate on the only connection");
});

Deno.test("the service does not start without a token or an issuer to accept", async () => {
  await using branch = await database.connect();
  const { API_TOKENS: _, ...env } = branch.env;
  const error = await assertRejects(() => start({ ...env, PORT: "0" }), SettingsError);
  assertEquals(error.problems.length, 1);
  assertStringIncludes(error.message, "deno task dev");
});

Deno.test("another tenant's user costs the same round trips as one that does not exist", async () => {
  const messages = messageCounter();
  await using running = await serving({ observe: messages.observe });
  const { id } = await running.createUser("theirs@example.org");
  const headers = { Authorization: `Bearer ${OTHER_TOKENS.acme}` };
  const patch = { ...newUser("mine@example.org"), method: "PATCH" };
  const json = { "content-type": "application/json" };
  const cost = async (id: string, path: string, init: RequestInit) => {
    messages.take();
    const response = await running.request(`/users/${id}${path}`, {
      ...init,
      headers: { ...json, ...headers },
    });
    await response.body?.cancel();
    return [response.status, messages.take()];
  };
  for (
    const [path, init] of [["", {}], ["", patch], ["", { method: "DELETE" }], [
      "/activity",
      {},
    ]] as const
  ) {
    const theirs = await cost(id, path, init);
    assertEquals(theirs, [404, 1]);
    assertEquals(await cost(crypto.randomUUID(), path, init), theirs);
  }
  // The same holds for an address that another tenant has taken.
  messages.take();
  const created = await running.request("/users", {
    ...newUser("theirs@example.org"),
    headers: { ...json, ...headers },
  });
  await created.body?.cancel();
  assertEquals([created.status, messages.take()], [201, 1]);
});

Deno.test("200 requests at once share the pool's three connections", async () => {
  await using running = await serving({
    // None is refused for its wait, which is longer than the default target where the machine is slow.
    env: { DATABASE_POOL_SIZE: "2", DATABASE_MAX_OVERFLOW: "1", DATABASE_POOL_SHED_TARGET: "0" },
  });
  const most = { connections: 0 };
  const requests = Array.from({ length: 200 }, async (_, index) => {
    const response = await running.request("/users", newUser(`user${index}@example.org`));
    await response.body?.cancel();
    return response.status;
  });
  let isDone = false;
  const done = Promise.all(requests).finally(() => isDone = true);
  while (!isDone) {
    const [row] = await running.branch.asAdmin<{ count: bigint }>(SERVICE_CONNECTIONS);
    most.connections = Math.max(most.connections, Number(row?.count));
  }
  assertEquals(new Set(await done), new Set([201]));
  assert(most.connections > 0 && most.connections <= 3, `saw ${most.connections} connections`);
});

Deno.test("a client whose requests wait too long gets 503 at once, and a probe of it 200", async () => {
  await using running = await serving({
    env: {
      DATABASE_POOL_SIZE: "1",
      DATABASE_MAX_OVERFLOW: "0",
      DATABASE_READ_DEPTH: "1",
      DATABASE_POOL_SHED_TARGET: "0.05",
    },
  });
  await using other = await database.connect();
  const ended: Promise<unknown>[] = [];
  let refusal: Response | undefined;
  {
    await using session = other.open(other.envOf("postgres")).session();
    await session.query(trustedSql("lock table users in access exclusive mode"));
    const ask = async () => {
      const response = await running.request("/users/0198a1f0-0000-7000-8000-000000000000");
      const problem = await response.json();
      if (
        !/too many others of its client wait to be served: currently [1-9]/.test(problem.detail)
      ) return;
      assertEquals([response.status, problem.type], [503, "/problems/overloaded"]);
      refusal = response;
    };
    const isRefused = () => {
      ended.push(ask());
      return refusal !== undefined;
    };
    assert(await pollUntil(isRefused, { deadlineMs: 5_000, intervalMs: 20 }));
    assertEquals(refusal?.headers.get("Retry-After"), "1");
    const alive = await running.request("/healthz");
    assertEquals([alive.status, await alive.json()], [200, { status: "alive" }]);
  }
  await Promise.all(ended);
});

const ONE_CONNECTION = {
  DATABASE_POOL_SIZE: "1",
  DATABASE_MAX_OVERFLOW: "0",
  DATABASE_READ_DEPTH: "1",
};

for (const server of ["guarded", "plain"]) {
  Deno.test(`${server}: a client is served while a body of it is still arriving`, async () => {
    await using running = await serving({
      env: { ...ONE_CONNECTION, HTTP_SERVER: server },
    });
    let isAnswered = false;
    const { init, hasBegun, sendRest } = slowUser(`${server}@example.org`);
    const slow = running.request("/users", init).finally(() => isAnswered = true);
    await hasBegun;
    // If each waited a second for its turn, they would take longer than the service waits for a body.
    for (let read = 0; read < 20; read++) {
      const response = await running.request("/users?limit=1");
      await response.body?.cancel();
      assertEquals([response.status, isAnswered], [200, false]);
    }
    sendRest();
    const response = await slow;
    await response.body?.cancel();
    assertEquals(response.status, 201);
  });
}

Deno.test("a client that sends the ends of many bodies at once delays its own requests only", async () => {
  await using running = await serving({
    env: { ...ONE_CONNECTION, DATABASE_POOL_SHED_TARGET: "0" },
  });
  using other = Deno.createHttpClient({ localAddress: "127.0.0.2" });
  const read = async () => {
    const response = await running.request("/users?limit=1", { client: other });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await read(), 200);
  let answered = 0;
  const users = Array.from({ length: 80 }, (_, index) => slowUser(`burst${index}@example.org`));
  const burst = users.map(async ({ init }) => {
    const response = await running.request("/users", init);
    await response.body?.cancel();
    answered++;
    return response.status;
  });
  await Promise.all(users.map(({ hasBegun }) => hasBegun));
  // They wait for their bodies once a request that came after them has been answered.
  assertEquals([await read(), answered], [200, 0]);
  users.forEach(({ sendRest }) => sendRest());
  await Promise.race(burst);
  assertEquals(await read(), 200);
  assert(answered < 40, `${answered} were answered before`);
  assertEquals(new Set(await Promise.all(burst)), new Set([201]));
});

Deno.test("late bodies of one client take half of the places for them, and another client gets one", async () => {
  await using running = await serving();
  using client = Deno.createHttpClient({ localAddress: "127.0.0.2" });
  const users = Array.from({ length: 129 }, (_, index) => slowUser(`half${index}@example.org`));
  const answers = users.map(({ init }) => running.request("/users", init));
  const refused = await Promise.race(answers);
  assertMatch((await refused.json()).detail, /128 requests of its client have a late body/);
  const other = slowUser("other@example.org");
  const answer = running.request("/users", { ...other.init, client });
  await other.hasBegun;
  await (await running.request("/healthz", { client })).body?.cancel();
  for (const { sendRest } of [other, ...users]) sendRest();
  const statuses = await Promise.all([answer, ...answers].map(async (answer) => {
    const response = await answer;
    if (!response.bodyUsed) await response.body?.cancel();
    return response.status;
  }));
  assertEquals(statuses[0], 201);
  assertEquals(statuses.filter((status) => status !== 201), [503]);
});

Deno.test("requests that reach the service as its shutdown begins are answered", async () => {
  await using running = await serving();
  const requests = Array.from({ length: 50 }, async (_, index) => {
    const response = await running.request("/users", newUser(`late${index}@example.org`));
    await response.body?.cancel();
    return response.status;
  });
  await running[Symbol.asyncDispose]();
  assertEquals(new Set(await Promise.all(requests)), new Set([201]));
});

Deno.test("the shutdown waits for a request body that is still arriving", async () => {
  const running = await serving();
  const { init, hasBegun, sendRest } = slowUser("slow@example.org");
  const request = running.request("/users", init);
  await hasBegun;
  // The request has arrived once another one, sent after it, has been answered.
  await (await running.request("/healthz")).body?.cancel();
  const ended = running[Symbol.asyncDispose]();
  await untilRefused(running);
  sendRest();
  const response = await request;
  await response.body?.cancel();
  assertEquals(response.status, 201);
  await ended;
});

/** Resolves when the service refuses new requests. */
async function untilRefused(running: Running): Promise<void> {
  for (let poll = 0; poll < 1_000; poll++) {
    const response = await running.request("/readyz");
    const { type } = await response.json();
    if (type === "/problems/shutting-down") return;
  }
  throw new Error("Cannot continue the test as the service still takes requests");
}

Deno.test("requests to a frozen database are answered with 503 before the shutdown is complete", async () => {
  await using branch = await faultBranch(database);
  // No queue: its connections would not be frozen.
  const env = { PORT: "0", LOG_LEVEL: "error", SHUTDOWN_TIMEOUT: "2", QUEUE_CONCURRENCY: "0" };
  const service = await start({ ...branch.env, ...env }, { hostname: "127.0.0.1" });
  const warm = await fetch(`${service.url}/users`, withToken());
  await warm.body?.cancel();
  for (const connection of branch.relay.openConnections) connection.freeze();
  const request = fetch(`${service.url}/users`, withToken());
  await service.shutdown();
  const response = await request;
  assertEquals([response.status, response.headers.get("retry-after")], [503, "1"]);
  assertEquals((await response.json()).type, "/problems/shutting-down");
});

Deno.test("no connection is left after the shutdown", async () => {
  const running = await serving();
  await running.createUser("ann@example.org");
  const [before] = await running.branch.asAdmin<{ count: bigint }>(SERVICE_CONNECTIONS);
  assertEquals(before?.count, 1n);
  await using branch = await database.connect();
  await running[Symbol.asyncDispose]();
  const [after] = await branch.asAdmin<{ count: bigint }>(SERVICE_CONNECTIONS);
  assertEquals(after?.count, 0n);
});

Deno.test("a change to a user appears in its activity without waiting for the next poll", async () => {
  await using running = await serving({
    env: { QUEUE_CONCURRENCY: "2", QUEUE_POLL_INTERVAL: "3600" },
  });
  const { id } = await running.createUser("act@example.org");
  const activity = async () => {
    const response = await running.request(`/users/${id}/activity`);
    assertEquals(response.status, 200);
    return (await response.json()).activity as { version: number; type: string }[];
  };
  assert(
    await pollUntil(async () => (await activity()).length === 1, {
      deadlineMs: 10_000,
      intervalMs: 10,
    }),
  );
  const deleted = await running.request(`/users/${id}`, { method: "DELETE" });
  assertEquals(deleted.status, 204);
  assert(
    await pollUntil(async () => (await activity()).length === 2, {
      deadlineMs: 10_000,
      intervalMs: 10,
    }),
  );
  assertEquals((await activity()).map(({ version, type }) => [version, type]), [
    [1, "user.created"],
    [2, "user.deleted"],
  ]);
  const unknown = await running.request(`/users/${crypto.randomUUID()}/activity`);
  assertEquals([unknown.status, (await unknown.json()).type], [404, "/problems/user-not-found"]);
  const page = await running.request(`/users/${id}/activity?limit=1`);
  assertEquals((await page.json()).next, 1);
  const rest = await running.request(`/users/${id}/activity?limit=1&after=1`);
  const { activity: [last], next } = await rest.json();
  assertEquals([last.version, next], [2, null]);
});

const SERVICE_CONNECTIONS = `
  select count(*) from pg_stat_activity
  where usename = 'user_service' and datname = current_database()`;

Deno.test("the headers that every response gets are written as they were set: the runtime would sort them", async () => {
  await using service = await serving();
  const headers = await rawHeadersOf(`${service.url}/healthz`);
  const names = headers.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  assertEquals(names.slice(0, 4), [
    "content-type",
    "x-request-id",
    "cache-control",
    "content-security-policy",
  ]);
});
