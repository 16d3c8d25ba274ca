/** `src/worker_traced.ts` in real workerd: its spans reach a collector within the test. */
import { assert, assertEquals } from "@std/assert";
import { createUser, jsonRequest, uniqueEmail } from "../http/requests.ts";
import { BATCH_SENDER } from "../support/batch_sender.ts";
import { Collector, newCaller } from "../support/collector.ts";
import { localDatabase } from "../support/local_database.ts";
import {
  startWorkerHost,
  type WorkerHost,
  type WorkerHostOptions,
} from "../support/worker_host.ts";

const SECRET = "the-secret-of-the-collector";
const FAILED = "cannot export spans";
const RECOVERED = "spans are exported again";

/** Of a collector that each test starts. */
const port = await freePort();

function traced(name: string, { env, ...options }: Partial<WorkerHostOptions> = {}) {
  return {
    name,
    entry: "src/worker_traced.ts",
    ...options,
    env: {
      LOG_LEVEL: "warn",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}/`,
      OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${SECRET},x-team=a%20b`,
      OTEL_SERVICE_NAME: "users at the edge",
      ...env,
    },
  } satisfies WorkerHostOptions;
}

const QUEUES = {
  producers: { USER_EVENTS: "user-events" },
  // A batch of several starts a trace of its own.
  consumers: { "user-events": { maxBatchSize: 1, maxBatchTimeout: 0 } },
};

const [worker, object, unsampled] = await Promise.all([
  startWorkerHost(
    await localDatabase(),
    traced("traced Worker", { front: BATCH_SENDER, queues: QUEUES }),
  ),
  startWorkerHost(
    await localDatabase(),
    traced("traced object", {
      env: { DATABASE_OBJECT_SHARDS: "1", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
    }),
  ),
  startWorkerHost(
    await localDatabase(),
    traced("traced by callers only", { env: { OTEL_TRACES_SAMPLER_ARG: "0" } }),
  ),
]);

Deno.test.afterAll(async () => {
  await Promise.all([worker, object, unsampled].map((host) => host.stop()));
});

/** A test with a collector of its own. It must wait for the exports that it causes. */
function test(
  host: WorkerHost,
  name: string,
  fn: (collector: Collector) => Promise<void>,
): void {
  host.test(name, async () => {
    await using collector = new Collector({ port });
    await fn(collector);
  });
}

/** Sends a request in a trace of its own, and waits for its export. */
async function sendTraced(
  { host, collector }: { host: WorkerHost; collector: Collector },
  path: string,
  init: RequestInit = {},
) {
  const caller = newCaller();
  const headers = { ...Object.fromEntries(new Headers(init.headers)), ...caller.headers };
  const response = await host.request(path, { ...init, headers });
  const answer = await response.json();
  const spans = () => collector.spans(caller.traceId);
  const lineages = () => caller.lineages(spans());
  const has = (end: string) => lineages().some((each) => each.endsWith(end));
  await collector.until(() => lineages().some((each) => /^caller > [^>]+$/.test(each)));
  const isSent = init.method === "POST" && host === worker;
  if (isSent) await collector.until(() => has("> send USER_EVENTS") && has("activity > INSERT"));
  return { status: response.status, answer, traceId: caller.traceId, spans, lineages };
}

const newUser = (name = "Ann") => jsonRequest("POST", { email: uniqueEmail(), name });

const READ = "caller > GET /users/:id";

for (const host of [worker, object, unsampled]) {
  test(
    host,
    "a request's trace leads from the caller to the transaction and its flight",
    async (collector) => {
      const { answer: user } = await sendTraced({ host, collector }, "/users", newUser());
      const { status, spans, lineages } = await sendTraced(
        { host, collector },
        `/users/${user.id}`,
      );
      assertEquals(status, 200);
      assertEquals(lineages(), [
        READ,
        `${READ} > transaction GET /users/:id`,
        `${READ} > transaction GET /users/:id > SELECT`,
      ]);
      for (const { startTimeUnixNano: start, endTimeUnixNano: end } of spans()) {
        const startMs = Number(BigInt(start) / 1_000_000n);
        assert(Math.abs(Date.now() - startMs) < 60_000 && BigInt(end) >= BigInt(start), start);
      }
    },
  );
}

test(
  worker,
  "an export has the service's name and the collector's headers, and no value of a user",
  async (collector) => {
    const init = newUser("a secret name");
    const { answer: user } = await sendTraced({ host: worker, collector }, "/users", init);
    const [sent] = collector.exports;
    assertEquals(sent!.headers.get("X-Api-Key"), SECRET);
    assertEquals(sent!.headers.get("X-Team"), "a b");
    assertEquals(sent!.headers.get("Content-Type"), "application/json");
    assertEquals(sent!.resource.find(({ key }) => key === "service.name")?.value, {
      stringValue: "users at the edge",
    });
    const text = JSON.stringify(collector.spans());
    for (const secret of [user.email, "secret", worker.branch.env["DATABASE_URL"]!]) {
      assert(!text.includes(secret), secret);
    }
  },
);

test(
  worker,
  "the trace leads on through outbox and queue to the consumer's transaction",
  async (collector) => {
    const { lineages } = await sendTraced({ host: worker, collector }, "/users", newUser());
    const request = "caller > POST /users";
    const send = `${request} > send USER_EVENTS`;
    const process = `${request} > process user-events`;
    // Beside the two transactions of the dispatch.
    assertEquals(
      lineages().filter((each) => !each.startsWith(`${send} > `)),
      [
        request,
        process,
        `${process} > transaction activity`,
        `${process} > transaction activity > INSERT`,
        send,
        `${request} > transaction POST /users`,
        `${request} > transaction POST /users > WITH`,
      ].sort(),
    );
  },
);

for (const host of [worker, object]) {
  test(
    host,
    "of a request that the caller has not sampled, nothing is exported",
    async (collector) => {
      const { headers } = newCaller({ isSampled: false });
      const response = await host.request("/users", { headers });
      await response.body?.cancel();
      const { traceId, spans } = await sendTraced({ host, collector }, "/users");
      assertEquals(spans().length, 3);
      assertEquals(collector.spans().filter((span) => span.traceId !== traceId), []);
    },
  );
}

test(
  unsampled,
  "with a ratio of 0, a request without traceparent is not traced",
  async (collector) => {
    await createUser(unsampled.request);
    const { traceId, spans } = await sendTraced({ host: unsampled, collector }, "/users");
    assertEquals(spans().length, 3);
    assertEquals(collector.spans().filter((span) => span.traceId !== traceId), []);
  },
);

test(
  object,
  "a collector that does not answer delays no request, and keeps no more exports waiting than a bound",
  async (collector) => {
    const held = Promise.withResolvers<void>();
    collector.answer = async () => {
      await held.promise;
      return Response.json({});
    };
    for (let request = 0; request < 20; request++) {
      const response = await object.request("/users");
      assertEquals(response.status, 200);
      await response.body?.cancel();
    }
    await object.workerd.logged(FAILED, { timeoutMs: 10_000 });
    await collector.until(() => collector.exports.length === 16);
    const lines = linesWith(object.workerd.log, FAILED);
    assertEquals(lines.length, 1);
    assert(lines[0]!.includes("16 exports are running"), lines[0]);
    collector.answer = () => Response.json({});
    held.resolve();
    await sendTraced({ host: object, collector }, "/users");
    await object.workerd.logged(RECOVERED, { timeoutMs: 10_000 });
  },
);

unsampled.test("while the collector is gone a request is answered, and the log has one line for it and one for its return", async () => {
  const { headers } = newCaller();
  const response = await unsampled.request("/users", { headers });
  assertEquals(response.status, 200);
  await response.body?.cancel();
  await unsampled.workerd.logged(FAILED, { timeoutMs: 10_000 });
  await using collector = new Collector({ port });
  await sendTraced({ host: unsampled, collector }, "/users");
  await unsampled.workerd.logged(RECOVERED, { timeoutMs: 10_000 });
  const { log } = unsampled.workerd;
  assertEquals(linesWith(log, FAILED).length, 1, log);
  assertEquals(JSON.parse(linesWith(log, RECOVERED)[0]!).dropped, 3);
  assert(!log.includes(SECRET));
});

function linesWith(log: string, text: string): string[] {
  return log.split("\n").filter((line) => line.includes(text));
}

async function freePort(): Promise<number> {
  await using collector = new Collector();
  return collector.port;
}
