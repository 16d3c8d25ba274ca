import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  createNeonBranch,
  NeonApiError,
  type NeonBranchOptions,
} from "../../../src/library/testing/neon_branch.ts";

const KEY = "secret-key";

Deno.test("a branch is created with a compute and an expiry, and waited for", async () => {
  const time = new FakeTime();
  await using neon = new FakeNeon([
    json(201, created({ operations: [operation("running")] })),
    json(200, { operation: operation("running") }),
    json(200, { operation: operation("finished") }),
  ]);
  const earliestMs = Date.now() + 60_000;
  const branch = await createNeonBranch(neon.options(time, { expiresInMs: 60_000 }));
  const latestMs = Date.now() + 60_000;

  assertEquals(neon.seen, [
    "POST /projects/p-1/branches",
    "GET /projects/p-1/operations/op-1",
    "GET /projects/p-1/operations/op-1",
  ]);
  const { branch: wanted, endpoints } = neon.bodies[0] as {
    branch: { name: string; expires_at: string };
    endpoints: unknown;
  };
  assertEquals(wanted.name, "test-1");
  assertEquals(endpoints, [{ type: "read_write" }]);
  const expiresAtMs = Date.parse(wanted.expires_at);
  assert(expiresAtMs >= earliestMs && expiresAtMs <= latestMs);
  assertEquals(branch.id, "br-1");
  assertEquals(branch.connectionUri, URI);
});

Deno.test("the connection URI bypasses the pooler", async () => {
  const pooled = URI.replace("ep-1.", "ep-1-pooler.");
  await using neon = new FakeNeon([
    json(201, created({ connection_uris: [{ connection_uri: pooled }] })),
  ]);
  const branch = await createNeonBranch(neon.options(new FakeTime()));
  assertEquals(branch.connectionUri, URI);
});

Deno.test("waits grow, and honour Retry-After", async () => {
  const time = new FakeTime();
  await using neon = new FakeNeon([
    failure(423, "LOCKED"),
    failure(423, "LOCKED"),
    failure(429, "RATE", { "retry-after": "3" }),
    json(201, created({})),
  ]);
  await createNeonBranch(neon.options(time));
  assertEquals(time.pauses, [200, 400, 3_000]);
});

Deno.test("a project that stays locked fails at the deadline", async () => {
  const time = new FakeTime();
  await using neon = new FakeNeon(Array.from({ length: 20 }, () => failure(423, "LOCKED")));
  const error = await assertRejects(
    () => createNeonBranch(neon.options(time, { timeoutMs: 10_000 })),
    NeonApiError,
    "423 LOCKED: it went wrong (request r-1)",
  );
  assertEquals(error.status, 423);
  assert(time.now() <= 10_000);
});

Deno.test("an operation that stays failed is an error, and the branch is deleted", async () => {
  const time = new FakeTime();
  const failed = json(200, { operation: operation("failed", "no space") });
  await using neon = new FakeNeon([
    json(201, created({ operations: [operation("scheduling")] })),
    ...Array.from({ length: 4 }, () => failed),
    json(200, {}),
  ]);
  await assertRejects(
    () => createNeonBranch(neon.options(time, { timeoutMs: 4_000 })),
    NeonApiError,
    "operation create_branch (op-1) is not finished: current status failed, no space",
  );
  assertEquals(neon.seen.at(-1), "DELETE /projects/p-1/branches/br-1");
});

Deno.test("a failed operation that Neon tries again is waited for", async () => {
  await using neon = new FakeNeon([
    json(201, created({ operations: [operation("failed")] })),
    json(200, { operation: operation("running") }),
    json(200, { operation: operation("finished") }),
  ]);
  assertEquals((await createNeonBranch(neon.options(new FakeTime()))).id, "br-1");
});

Deno.test("a cancelled operation is an error at once, though deleting fails too", async () => {
  const time = new FakeTime();
  await using neon = new FakeNeon([
    json(201, created({ operations: [operation("cancelled")] })),
    failure(403, "FORBIDDEN"),
  ]);
  await assertRejects(
    () => createNeonBranch(neon.options(time)),
    NeonApiError,
    "current status cancelled",
  );
  assertEquals(time.pauses, []);
});

Deno.test("a request is repeated after a 5xx if it reads, not if it creates", async () => {
  await using neon = new FakeNeon([
    json(201, created({ operations: [operation("running")] })),
    failure(503, "UNAVAILABLE"),
    json(200, { operation: operation("finished") }),
    failure(503, "UNAVAILABLE"),
  ]);
  await createNeonBranch(neon.options(new FakeTime()));
  await assertRejects(() => createNeonBranch(neon.options(new FakeTime())), NeonApiError, "503");
});

Deno.test("an error contains Neon's code, message and request id, and never the key", async () => {
  await using neon = new FakeNeon([
    failure(401, "UNAUTHORIZED"),
    new Response(`no route for Bearer ${KEY}`, { status: 404 }),
  ]);
  const error = await assertRejects(
    () => createNeonBranch(neon.options(new FakeTime())),
    NeonApiError,
    "Cannot POST /projects/p-1/branches as Neon answered 401 UNAUTHORIZED: it went wrong " +
      "(request r-1)",
  );
  assertEquals(error.code, "UNAUTHORIZED");
  const gateway = await assertRejects(
    () => createNeonBranch(neon.options(new FakeTime())),
    NeonApiError,
    "no route for Bearer [key]",
  );
  assert(!Deno.inspect([error, gateway]).includes(KEY));
  assertEquals(neon.authorizations, [`Bearer ${KEY}`, `Bearer ${KEY}`]);
});

Deno.test("a branch without a connection URI is an error, and is deleted", async () => {
  await using neon = new FakeNeon([json(201, created({ connection_uris: [] })), json(200, {})]);
  await assertRejects(
    () => createNeonBranch(neon.options(new FakeTime())),
    NeonApiError,
    "Cannot connect to branch br-1 as Neon gave no connection URI for it",
  );
  assertStringIncludes(neon.seen.at(-1) ?? "", "DELETE");
});

Deno.test("a branch is deleted once, even if the project is locked at first", async () => {
  const time = new FakeTime();
  await using neon = new FakeNeon([
    json(201, created({})),
    failure(423, "LOCKED"),
    json(200, {}),
  ]);
  {
    await using branch = await createNeonBranch(neon.options(time));
    await branch.delete();
  }
  assertEquals(neon.seen.slice(1), Array(2).fill("DELETE /projects/p-1/branches/br-1"));
  assertEquals(time.pauses, [200]);
});

Deno.test("deleting a branch that has expired is harmless", async () => {
  await using neon = new FakeNeon([json(201, created({})), failure(404, "NOT_FOUND")]);
  await (await createNeonBranch(neon.options(new FakeTime()))).delete();
});

const URI = "postgresql://owner:pass@ep-1.region.example/main?sslmode=require";

function created(changes: Record<string, unknown>): unknown {
  return {
    branch: { id: "br-1", name: "test-1" },
    endpoints: [{ id: "ep-1", host: "ep-1.region.example" }],
    operations: [],
    roles: [],
    databases: [],
    connection_uris: [{ connection_uri: URI, connection_parameters: {} }],
    ...changes,
  };
}

function operation(status: string, error?: string): Record<string, unknown> {
  return { id: "op-1", action: "create_branch", status, error };
}

function json(status: number, body: unknown, headers?: Record<string, string>): Response {
  return Response.json(body, { status, ...(headers === undefined ? {} : { headers }) });
}

function failure(status: number, code: string, headers?: Record<string, string>): Response {
  return json(status, { code, message: "it went wrong", request_id: "r-1" }, headers);
}

/** A clock that only `sleep` advances. */
class FakeTime {
  readonly pauses: number[] = [];

  now(): number {
    return this.pauses.reduce((sum, pause) => sum + pause, 0);
  }

  sleep(timeMs: number): Promise<void> {
    this.pauses.push(timeMs);
    return Promise.resolve();
  }
}

/** An HTTP server in place of Neon's API. It gives its answers in order. */
class FakeNeon implements AsyncDisposable {
  readonly seen: string[] = [];
  readonly bodies: unknown[] = [];
  readonly authorizations: (string | null)[] = [];
  readonly #answers: Response[];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(answers: readonly Response[]) {
    this.#answers = answers.map((answer) => answer.clone());
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(request),
    );
  }

  options(clock: FakeTime, changes: Partial<NeonBranchOptions> = {}): NeonBranchOptions {
    const baseUrl = `http://127.0.0.1:${this.#server.addr.port}/api/v2`;
    return { projectId: "p-1", apiKey: KEY, name: "test-1", baseUrl, clock, ...changes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    this.seen.push(`${request.method} ${new URL(request.url).pathname.replace("/api/v2", "")}`);
    this.authorizations.push(request.headers.get("authorization"));
    const text = await request.text();
    if (text !== "") this.bodies.push(JSON.parse(text));
    return this.#answers.shift() ?? new Response("no answer left", { status: 400 });
  }
}
