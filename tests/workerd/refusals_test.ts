/** Answers of a Worker that cannot serve, in real workerd. */
import { assertEquals, assertFalse, assertStringIncludes } from "@std/assert";
import { assertProblem, jsonRequest, newKey } from "../http/requests.ts";
import { startWorkerd } from "../support/workerd.ts";
import { ACCESS, withToken } from "../support/access.ts";

const TIMEOUT_MS = 10_000;

const ENV = {
  ...ACCESS,
  DATABASE_URL: "postgresql://user:s3cret@127.0.0.1/main",
  DATABASE_WS_PROXY: "ws://127.0.0.1:1/v1",
};

Deno.test("bad settings are answered with a 500 that does not mention them, and logged in full", async () => {
  await using workerd = await startWorkerd({
    entry: "src/worker.ts",
    bindings: { ...ENV, DATABASE_POOL_SIZE: "many", DATABASE_OBJECT_SHARDS: 1, OTHER: { a: [1] } },
  });
  for (const path of ["/users", "/healthz", "/nowhere"]) {
    const document = await assertProblem(await fetch(new URL(path, workerd.url)), 500, "internal");
    assertFalse(JSON.stringify(document).includes("DATABASE"));
  }
  await workerd.logged("Cannot use DATABASE_POOL_SIZE as", { timeoutMs: TIMEOUT_MS });
  await workerd.logged("Cannot use DATABASE_OBJECT_SHARDS as", { timeoutMs: TIMEOUT_MS });
  assertFalse(workerd.log.includes("s3cret"));
});

Deno.test("shards without a binding are answered with 500, and the missing binding is logged", async () => {
  await using workerd = await startWorkerd({
    entry: "src/worker.ts",
    bindings: { ...ENV, DATABASE_OBJECT_SHARDS: "2" },
  });
  await assertProblem(await fetch(new URL("/users", workerd.url)), 500, "internal");
  await workerd.logged("there is no binding DATABASE_OBJECT", { timeoutMs: TIMEOUT_MS });
});

Deno.test("bad bindings for metrics and traces are answered with 500 and logged, also in front of objects", async () => {
  const cases = [
    { METRICS: "a text", says: "Cannot write metrics as the binding METRICS is no dataset" },
    { OTEL_EXPORTER_OTLP_ENDPOINT: "s3cret", says: "Cannot use OTEL_EXPORTER_OTLP_ENDPOINT as" },
  ];
  for (const { says, ...bindings } of cases) {
    for (const shards of ["0", "1"]) {
      await using workerd = await startWorkerd({
        entry: "src/worker_traced.ts",
        bindings: { ...ENV, ...bindings, DATABASE_OBJECT_SHARDS: shards },
        durableObjects: { DATABASE_OBJECT: "DatabaseObject" },
      });
      const answer = await fetch(new URL("/users", workerd.url), jsonRequest("POST", {}));
      await assertProblem(answer, 500, "internal");
      await workerd.logged(says, { timeoutMs: TIMEOUT_MS });
      assertFalse(workerd.log.includes("s3cret"));
    }
  }
});

Deno.test("a secret that could not be read is read again by the next request, in the isolate and in an object", async () => {
  await using workerd = await startWorkerd({
    entry: "tests/workerd/late_secret_worker.ts",
    bindings: { ...ENV, DATABASE_OBJECT_SHARDS: "1" },
    durableObjects: { DATABASE_OBJECT: "DatabaseObject" },
  });
  const healthz = new URL("/healthz", workerd.url);
  await assertProblem(await fetch(healthz), 500, "internal");
  await workerd.logged("the store is not reached", { timeoutMs: TIMEOUT_MS });
  // The object fails once, and the Worker sends the read again.
  const later = await fetch(healthz);
  await later.body?.cancel();
  assertEquals(later.status, 200);
});

Deno.test("when an object fails, a read is answered with 503 and a write without a key with outcome-unknown", async () => {
  await using workerd = await startWorkerd({
    entry: "tests/workerd/broken_object_worker.ts",
    bindings: { ...ENV, DATABASE_OBJECT_SHARDS: "1" },
    durableObjects: { DATABASE_OBJECT: "DatabaseObject" },
  });
  const read = await fetch(new URL("/users", workerd.url));
  assertEquals(read.headers.get("Retry-After"), "1");
  await assertProblem(read, 503, "overloaded");
  const write = await fetch(
    new URL("/users", workerd.url),
    jsonRequest("POST", { email: "ada@example.com", name: "Ada" }),
  );
  const { detail } = await assertProblem(write, 500, "outcome-unknown");
  assertStringIncludes(detail, "read the resource");
  const keyed = await fetch(
    new URL("/users", workerd.url),
    jsonRequest("POST", { email: "ada@example.com", name: "Ada" }, newKey()),
  );
  assertEquals(keyed.headers.get("Retry-After"), "1");
  await assertProblem(keyed, 503, "overloaded");
});

Deno.test("while the database is unreachable, each of many concurrent requests is answered with 503", async () => {
  await using workerd = await startWorkerd({
    entry: "src/worker.ts",
    bindings: { ...ENV, DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0", LOG_LEVEL: "error" },
  });
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => fetch(new URL("/users", workerd.url), withToken())),
  );
  await Promise.all(answers.map((response) => response.body?.cancel()));
  const seen = answers.map(({ status, headers }) => `${status} ${headers.get("Retry-After")}`);
  assertEquals(new Set(seen), new Set(["503 1"]));
  assertEquals(workerd.takeUncaught(), []);
});
