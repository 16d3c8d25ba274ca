import { assert, assertEquals, assertMatch } from "@std/assert";
import { PoolClosedError } from "../../src/db/mod.ts";
import { Hono } from "../../src/hono.ts";
import type { FailedRequest } from "../../src/http/app.ts";
import { bodyCases } from "./body_cases.ts";
import { failingDatabase, stalledDatabase, untouchedDatabase } from "./fake_database.ts";
import { assertProblem, jsonRequest } from "./requests.ts";
import { testApp } from "./test_app.ts";

const app = testApp({ db: untouchedDatabase });

const REFUSING = bodyCases.filter(({ name }) => !name.includes(" takes "));
for (const { name, run } of REFUSING) {
  Deno.test(`${name}, without a database`, () => run(app.request));
}

Deno.test("an unknown address answers 404 with a problem document", async () => {
  for (const path of ["/", "/user", "/users/", "/users/1/x", "//users", "/%00", "/%ff", "/*"]) {
    await assertProblem(await app.request(path), 404, "not-found");
  }
});

Deno.test("a method that an address does not support answers 405 with the supported methods in Allow", async () => {
  const allowed = {
    "/users": "GET, HEAD, POST",
    "/users/1": "GET, HEAD, PATCH, DELETE",
    "/healthz": "GET, HEAD",
    "/readyz": "GET, HEAD",
    "/problems": "GET, HEAD",
  };
  for (const [path, allow] of Object.entries(allowed)) {
    for (const method of ["PUT", "QUERY", "PURGE"]) {
      const response = await app.request(path, { method });
      assertEquals(response.headers.get("Allow"), allow);
      await assertProblem(response, 405, "method-not-allowed");
    }
    const options = await app.request(path, { method: "OPTIONS" });
    assertEquals([options.status, options.headers.get("Allow")], [204, allow]);
  }
});

Deno.test("a failed HEAD request has the headers of the failure and no body", async () => {
  const response = await app.request("/users/1", { method: "HEAD" });
  assertEquals(response.status, 400);
  assertEquals(response.headers.get("Content-Type"), "application/problem+json");
  assertEquals(await response.text(), "");
});

Deno.test("without assets the documentation answers 404 and says what to bind", async () => {
  for (const path of ["/docs", "/openapi.json", "/problems", "/problems/internal"]) {
    const { detail } = await assertProblem(await app.request(path), 404, "not-found");
    assertMatch(detail, /bind the directory .* as ASSETS/);
  }
});

Deno.test("a response has the request's id, or a new one", async () => {
  const id = "abc-123";
  const given = await app.request("/healthz", { headers: { "X-Request-Id": id } });
  assertEquals(given.headers.get("X-Request-Id"), id);
  const made = await app.request("/healthz", { headers: { "X-Request-Id": "no spaces" } });
  assertMatch(made.headers.get("X-Request-Id") ?? "", /^[\da-f-]{36}$/);
  await Promise.all([given.body?.cancel(), made.body?.cancel()]);
});

Deno.test("GET /healthz answers without the database", async () => {
  const response = await app.request("/healthz");
  assertEquals([response.status, await response.json()], [200, { status: "alive" }]);
  assertEquals(response.headers.get("Cache-Control"), "no-store");
});

Deno.test("GET /readyz answers 503 while the service is draining, without the database", async () => {
  const draining = testApp({
    db: untouchedDatabase,
    refusalOf: () => new PoolClosedError("Cannot take requests as the service is draining"),
  });
  const response = await draining.request("/readyz");
  assertEquals(response.headers.get("Retry-After"), "1");
  await assertProblem(response, 503, "shutting-down");
});

Deno.test("GET /readyz answers 504 when the database does not answer in time", async () => {
  const { db, release } = stalledDatabase();
  const stalled = testApp({ db, readyTimeoutMs: 1 });
  await assertProblem(await stalled.request("/readyz"), 504, "deadline-exceeded");
  release();
});

Deno.test("a failed request is reported with its error, address and id", async () => {
  const error = new Error("inner");
  const failures: FailedRequest[] = [];
  const failing = testApp({ db: failingDatabase(error), onFailure: (it) => failures.push(it) });
  const headers = { "X-Request-Id": "abc" };
  const response = await failing.request("/users?limit=1", { headers });
  assertEquals((await response.json()).requestId, "abc");
  const expected = {
    error,
    status: 500,
    method: "GET",
    path: "/users",
    route: "/users",
    requestId: "abc",
  };
  assertEquals(failures, [expected]);
});

Deno.test("a thrown value that is no Error is answered, reported and observed, whatever throws it", async () => {
  const failures: FailedRequest[] = [];
  const statuses: number[] = [];
  const odd = testApp({
    db: failingDatabase("of the database"),
    middleware: [
      (c, next) => c.req.path === "/first" ? Promise.reject("of a middleware") : next(),
    ],
    opsRoutes: [
      new Hono().get("/ops/odd", () => {
        throw "of a route";
      }),
    ],
    observers: [(c, next) => next().then(() => void statuses.push(c.res.status))],
    onFailure: (it) => failures.push(it),
  });
  for (const path of ["/first", "/ops/odd", "/users?limit=1"]) {
    const headers = { "X-Request-Id": "abc" };
    const response = await odd.request(path, { headers });
    assertEquals(response.headers.get("X-Request-Id"), "abc");
    assertEquals(response.headers.get("X-Content-Type-Options"), "nosniff");
    await assertProblem(response, 500, "internal");
  }
  assertEquals(statuses, [500, 500, 500]);
  assertEquals(failures.map(({ error }) => error.cause), [
    "of a middleware",
    "of a route",
    "of the database",
  ]);
});

Deno.test("a refused request is not reported", async () => {
  const failures: FailedRequest[] = [];
  const quiet = testApp({ db: untouchedDatabase, onFailure: (it) => failures.push(it) });
  await assertProblem(await quiet.request("/users/1"), 400, "malformed-request");
  assertEquals(failures, []);
});

Deno.test("a body that breaks off answers 400", async () => {
  const body = new ReadableStream({
    pull: (controller) => controller.error(new TypeError("broken off")),
  });
  const init = { ...jsonRequest("POST", {}), body, duplex: "half" } as RequestInit;
  const { detail } = await assertProblem(
    await app.request("/users", init),
    400,
    "malformed-request",
  );
  assert(detail.includes("too early"), detail);
});
