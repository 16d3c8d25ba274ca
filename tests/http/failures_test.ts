/** Responses while a real database or its pool fails. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Database, sql } from "../../src/db/mod.ts";
import { branchDatabase } from "../support/branch_database.ts";
import { assertProblem, createUser, jsonRequest, type SendRequest } from "./requests.ts";
import { testApp } from "./test_app.ts";

const database = await branchDatabase();

function clientOf(db: Database): SendRequest {
  return testApp({ db }).request;
}

function assertRetryAfter(response: Response): void {
  assertMatch(response.headers.get("Retry-After") ?? "", /^[1-9]\d*$/);
}

/** Two attempts: the retry fails like the first one. */
const TWICE = { DATABASE_RETRY_ATTEMPTS: "2" };

Deno.test("a row that stays locked past the lock timeout answers 503 contention", async () => {
  await using branch = await database.connect();
  const roomy = branch.open();
  const { id } = await createUser(clientOf(roomy));
  await using holder = roomy.session();
  await holder.query(sql`select 1 from users where id = ${id} for update`);
  const request = clientOf(branch.open({ ...TWICE, DATABASE_LOCK_TIMEOUT: "0.02" }));
  const response = await request(`/users/${id}`, jsonRequest("PATCH", { name: "Eve" }));
  assertRetryAfter(response);
  await assertProblem(response, 503, "contention");
});

Deno.test("a statement that runs past its timeout answers 504", async () => {
  await using branch = await database.connect();
  const roomy = branch.open();
  const { id } = await createUser(clientOf(roomy));
  await using holder = roomy.session();
  await holder.query(sql`select 1 from users where id = ${id} for update`);
  const request = clientOf(branch.open({ ...TWICE, DATABASE_STATEMENT_TIMEOUT: "0.02" }));
  const response = await request(`/users/${id}`, { method: "DELETE" });
  await assertProblem(response, 504, "deadline-exceeded");
});

Deno.test("an exhausted pool answers 503 overloaded, and 200 when a connection is free again", async () => {
  await using branch = await database.connect();
  const db = branch.open({
    DATABASE_POOL_SIZE: "1",
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_POOL_TIMEOUT: "0.5",
  });
  const request = clientOf(db);
  {
    await using holder = db.session();
    await holder.query(sql`select 1`);
    for (const response of await Promise.all([request("/users"), request("/readyz")])) {
      assertRetryAfter(response);
      await assertProblem(response, 503, "overloaded");
    }
  }
  assertEquals((await request("/readyz")).status, 200);
});

Deno.test("a closed pool answers 503 shutting-down", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const request = clientOf(db);
  await db.close({ timeoutMs: 1_000 });
  for (const path of ["/users", "/readyz"]) {
    const response = await request(path);
    assertRetryAfter(response);
    await assertProblem(response, 503, "shutting-down");
  }
});

Deno.test("a database that refuses connections answers 503 without the database's address", async () => {
  await using branch = await database.connect();
  const closed = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = closed.addr;
  closed.close();
  const request = clientOf(
    branch.open({ ...TWICE, DATABASE_WS_PROXY: `ws://127.0.0.1:${port}` }),
  );
  for (const path of ["/users", "/readyz"]) {
    const response = await request(path);
    assertRetryAfter(response);
    const text = await response.text();
    assertEquals(response.status, 503, text);
    assert(!text.includes(String(port)), text);
  }
});
