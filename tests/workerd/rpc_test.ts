/**
 * Another Worker that reaches the service by service bindings, by RPC and by `fetch`, with sockets per request and with
 * Durable Objects. The same cases run over HTTP with tokens.
 */
import { assert, assertEquals } from "@std/assert";
import { bundle } from "../../src/dev/worker/bundle.ts";
import { bodyCases } from "../http/body_cases.ts";
import { idempotencyCases } from "../http/idempotency_cases.ts";
import {
  assertProblem,
  jsonRequest,
  type SendRequest,
  uniqueEmail,
  type UserDocument,
} from "../http/requests.ts";
import { tenantCases } from "../http/tenant_cases.ts";
import { timeoutCases } from "../http/timeout_cases.ts";
import { usersCases } from "../http/users_cases.ts";
import { OTHER_TOKENS, SCOPED_TOKENS } from "../support/access.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost, type WorkerHost } from "../support/worker_host.ts";
import type { Result, UsersApi } from "../../src/workers/users_api.ts";

const database = await localDatabase();
const front = new TextDecoder().decode(await bundle({ entry: "tests/workerd/calling_worker.ts" }));

const BOTH = ["users:read", "users:write"];
const bindingTo = (props?: { name: string; tenant: string; scopes: string[] }) => ({
  entrypoint: "UsersEntrypoint",
  ...(props && { props }),
});

const frontServices = {
  TESTS: bindingTo({ name: "tests", tenant: "default", scopes: BOTH }),
  ACME: bindingTo({ name: "acme", tenant: "acme", scopes: BOTH }),
  GLOBEX: bindingTo({ name: "globex", tenant: "globex", scopes: BOTH }),
  READER: bindingTo({ name: "reader", tenant: "default", scopes: ["users:read"] }),
  NONE: bindingTo(),
  ALL: bindingTo({ name: "all", tenant: "*", scopes: BOTH }),
};

const hosts = await Promise.all([
  startWorkerHost(database, { name: "binding to a Worker", front, frontServices }),
  startWorkerHost(database, {
    name: "binding to a Worker with objects",
    front,
    frontServices,
    env: { DATABASE_OBJECT_SHARDS: "2", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);
Deno.test.afterAll(() => Promise.all(hosts.map((host) => host.stop())).then(() => {}));

/** The binding that has the tenant of a request's token. */
const BINDINGS = new Map([
  [`Bearer ${OTHER_TOKENS.acme}`, "ACME"],
  [`Bearer ${OTHER_TOKENS.globex}`, "GLOBEX"],
]);

function through(request: SendRequest, by: "fetch" | "rpc"): SendRequest {
  return (path, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set("x-binding", BINDINGS.get(headers.get("Authorization") ?? "") ?? "TESTS");
    headers.set("x-by", by);
    // The binding says who calls. No token is looked at.
    headers.set("Authorization", "Bearer wrong");
    return request(path, { ...init, headers });
  };
}

type Binding = keyof typeof frontServices;

type Call = (
  binding: Binding,
  method: keyof UsersApi,
  ...args: unknown[]
) => Promise<Result<UserDocument>>;

/** Calls any method with any arguments. */
function callThrough({ request }: WorkerHost): Call {
  return async (binding, method, ...args) => {
    const headers = { "x-by": "call", "x-binding": binding };
    const response = await request("/", jsonRequest("POST", { method, args }, headers));
    const text = await response.text();
    assertEquals(response.status, 200, text);
    return JSON.parse(text);
  };
}

const newUser = () => ({ email: uniqueEmail(), name: "Ada" });

/** What only HTTP has: other methods, `If-None-Match`, lists of tags, texts that are no values, repeated parameters. */
const HTTP_ALONE =
  /HEAD|OPTIONS|readyz|304|If-None-Match|malformed|entity tags|repeated and unknown|no batch|brackets|JSON text|nested|media type|UUID/;

for (const host of hosts) {
  for (const { name, run } of [...usersCases, ...idempotencyCases, ...tenantCases, ...bodyCases]) {
    host.test(`by fetch: ${name}`, () => run(through(host.documented, "fetch")));
    if (HTTP_ALONE.test(name)) continue;
    host.test(`by RPC: ${name}`, () => run(through(host.request, "rpc")));
  }

  const call = callThrough(host);
  const kindOf = async (...args: Parameters<typeof call>) => {
    const result = await call(...args);
    return result.ok ? "ok" : result.problem.kind;
  };

  host.test("the props of the binding say who calls, and nothing else does", async () => {
    const created = await call("ACME", "createUser", newUser());
    assert(created.ok);
    const { id } = created.value;
    const read = (binding: Binding) => kindOf(binding, "readUser", id);
    assertEquals(await read("ACME"), "ok");
    for (const binding of ["GLOBEX", "READER"] as const) {
      assertEquals(await read(binding), "user-not-found");
    }
    for (const binding of ["NONE", "ALL"] as const) {
      assertEquals([binding, await read(binding)], [binding, "token-invalid"]);
    }
    assertEquals(await kindOf("READER", "listUsers"), "ok");
    for (const method of ["createUser", "createUsers"] as const) {
      assertEquals(await kindOf("READER", method, newUser()), "insufficient-scope");
    }
    // The public entry has no props, whatever a client sends.
    const response = await host.request(`/users/${id}`, {
      headers: { "x-by": "public", "Authorization": "", "x-caller": "acme" },
    });
    await assertProblem(response, 401, "token-missing");
  });

  host.test("arguments that fit into no request are refused, and change nothing", async () => {
    const created = await call("TESTS", "createUser", newUser());
    assert(created.ok);
    const { id } = created.value;
    const patch = { name: "Eve" };
    const wrong: readonly [method: keyof UsersApi, ...args: unknown[]][] = [
      ...["", ".", "..", "../users", "\ud800", "a/b", null, 7, {}, [id]].map((id) =>
        ["deleteUser", id] as ["deleteUser", unknown]
      ),
      ["deleteUser", id, { expectVersion: 2 }],
      ["deleteUser", id, "2"],
      ["updateUser", id, patch, { idempotencyKey: 7 }],
      ["updateUser", id, patch, { idempotencyKey: "" }],
      ["updateUser", id, patch, { idempotencyKey: "é" }],
      ["updateUser", id, patch, { idempotencyKey: "a\nb" }],
      ["updateUser", id, patch, { timeoutMs: 0 }],
      ["updateUser", id, patch, { timeoutMs: "soon" }],
      ["updateUser", id],
      ["listUsers", { namePrefix: { toString: "x" } }],
      ["listUsers", { limit: 1.5 }],
      ["listUsers", { tenant: "acme" }],
      ["listUsers", null],
      ["listActivity", id, { after: -1 }],
    ];
    for (const [method, ...args] of wrong) {
      const what = JSON.stringify([method, ...args]);
      assertEquals([what, await kindOf("TESTS", method, ...args)], [what, "malformed-request"]);
    }
    // A version that no user can have is no wish for any version.
    for (const expectedVersion of [null, "any", "*", -1, 1.5, [1, 2], ""]) {
      const kind = await kindOf("TESTS", "deleteUser", id, { expectedVersion });
      assertEquals([expectedVersion, kind], [expectedVersion, "version-mismatch"]);
    }
    assertEquals(await call("TESTS", "readUser", id), created);
  });

  host.test("values that JSON cannot have are refused", async () => {
    const response = await host.request("/", {
      headers: { "x-by": "values", "x-binding": "TESTS" },
    });
    assertEquals(await response.json(), {
      bigint: "malformed-request",
      circular: "malformed-request",
      function: "invalid-body",
      nan: "invalid-body",
      map: "invalid-body",
    });
  });

  host.test("the limit of a body holds for its bytes, whatever length the request states", async () => {
    const send = (name: string) =>
      host.request(
        "/users",
        jsonRequest("POST", { ...newUser(), name }, { "x-by": "false-length" }),
      );
    for (const length of [65_536, 1_000_000]) {
      await assertProblem(await send("x".repeat(length)), 413, "body-too-large");
    }
    const created = await send("Ada");
    assertEquals([created.status, (await created.json()).name], [201, "Ada"]);
  });

  host.test("the typed client of the HTTP API works on a binding", async () => {
    const response = await host.request("/", { headers: { "x-by": "client" } });
    assertEquals([response.status, (await response.json()).name], [200, "Ada"]);
  });

  for (const { name, run } of timeoutCases.slice(0, 2)) {
    host.test(`by RPC: ${name}`, () => run(through(host.request, "rpc"), database));
  }
}

const [worker] = hosts;

worker.test("calls and requests share one pool", async () => {
  const committed = async () => {
    const response = await worker.request("/metrics", {
      headers: { "x-by": "public", "Authorization": `Bearer ${SCOPED_TOKENS.ops}` },
    });
    return Number(
      /transactions_total\{outcome="committed"\} (\d+)/.exec(await response.text())?.[1],
    );
  };
  const before = await committed();
  const call = callThrough(worker);
  for (const binding of ["TESTS", "ACME"] as const) {
    assertEquals((await call(binding, "listUsers")).ok, true);
  }
  assertEquals(await committed(), before + 2);
});
