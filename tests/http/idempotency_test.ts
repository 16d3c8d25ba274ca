/** `Idempotency-Key` on a real server, whatever is lost on the way to it. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Authenticator } from "../../src/access/authenticator.ts";
import { type Database, sql } from "../../src/db/mod.ts";
import { sleep } from "../../src/db/time/timeout.ts";
import { entryOf } from "../../src/dev/dev_token.ts";
import { createApp } from "../../src/http/app.ts";
import { deleteOldAnswers } from "../../src/idempotency_keys.ts";
import { pruneKeys } from "../../src/queue/prune.ts";
import { EVERY_TENANT, tenantLocals } from "../../src/tenant.ts";
import { BackendKiller } from "../endurance/backend_killer.ts";
import { seededRandom } from "../endurance/random.ts";
import { type FaultBranch, faultBranch } from "../support/fault_branch.ts";
import {
  BEGIN,
  COMMIT,
  COMMIT_EXECUTE,
  dropAfter,
  dropBefore,
  freeze,
  hold,
  refuse,
} from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";
import { essenceOf, isReplayed } from "./idempotency_cases.ts";
import {
  assertProblem,
  createUser,
  jsonRequest,
  newKey,
  type SendRequest,
  uniqueEmail,
} from "./requests.ts";
import { testApp } from "./test_app.ts";

const database = await localDatabase();

function requestsTo(db: Database): SendRequest {
  return testApp({ db }).request;
}

function newUser(headers: HeadersInit): { email: string; init: RequestInit } {
  const email = uniqueEmail();
  return { email, init: jsonRequest("POST", { email, name: "Ada" }, headers) };
}

/** Resolves when a backend of the database is as `state` says. */
async function backend(branch: FaultBranch, state: string): Promise<void> {
  const where = `datname = current_database() and pid <> pg_backend_pid() and ${state}`;
  while (await countOf(branch, "pg_stat_activity", where) === 0);
}

const HAS_WRITTEN = "backend_xid is not null";
const WAITS_FOR_TRANSACTION = "wait_event = 'transactionid'";

async function countOf(branch: FaultBranch, table: string, where: string): Promise<number> {
  const [row] = await branch.asAdmin<{ count: number }>(
    `select count(*)::int as count from ${table} where ${where}`,
  );
  return row!.count;
}

/** As a client does: sends the request with its key until it gets an answer that is not a 5xx. */
async function persistently(send: () => Promise<Response>): Promise<Response> {
  for (let attempt = 1;; attempt++) {
    const response = await send();
    if (response.status < 500 || attempt === 100) return response;
    // At first shorter than `Retry-After`, so that the test does not take long. The clients share the thread with the
    // service: if they always came back so soon, a slow machine would do nothing but refuse them.
    await sleep(Math.min(100 * 1.2 ** attempt, 2_000));
    const { type } = await response.json();
    assert(type !== "/problems/outcome-unknown" && type !== "/problems/rows-lost", type);
    assertMatch(response.headers.get("Retry-After") ?? "1", /^[1-9]/);
  }
}

Deno.test("a keyed create costs one flight, as one without a key, and its replay three", async () => {
  await using branch = await faultBranch(database);
  const request = requestsTo(branch.open({ DATABASE_POOL_SIZE: "1" }));
  await createUser(request);
  const messages = () =>
    branch.relay.connections.reduce((sum, { traffic }) => sum + traffic.toServer.chunks, 0);
  const costOf = async (init: RequestInit) => {
    const before = messages();
    await (await request("/users", init)).body?.cancel();
    return messages() - before;
  };
  const { init } = newUser(newKey());
  assertEquals(await costOf(newUser({}).init), 1);
  assertEquals(await costOf(init), 1);
  // The INSERT that fails, with the ROLLBACK of its transaction behind it, and the read.
  assertEquals(await costOf(init), 3);
});

for (
  const [what, point, fault, times] of [
    ["answers to COMMIT are lost", COMMIT_EXECUTE, dropAfter, 10],
    ["COMMITs are lost", COMMIT, dropBefore, 10],
    ["flights are lost", BEGIN, dropBefore, 10],
    ["a connection freezes at COMMIT", COMMIT_EXECUTE, freeze, 1],
  ] as const
) {
  Deno.test(`100 POSTs with one key store one user and get 100 equal answers while ${what}`, async () => {
    await using branch = await faultBranch(database);
    const db = branch.open({
      DATABASE_STATEMENT_TIMEOUT: "1",
      DATABASE_CONNECT_TIMEOUT: "2",
      DATABASE_LOCK_TIMEOUT: "1",
      DATABASE_IDLE_TRANSACTION_TIMEOUT: "0.5",
    });
    const request = requestsTo(db);
    const { email, init } = newUser(newKey());
    const armed = branch.relay.when({ ...point, times }, fault());
    const answers = await Promise.all(Array.from(
      { length: 100 },
      async () => essenceOf(await persistently(() => request("/users", init))),
    ));
    assert(armed.strikes > 0);
    assertEquals(answers[0]!.status, 201, JSON.stringify(answers[0]));
    for (const answer of answers) assertEquals(answer, answers[0]);
    assertEquals(await countOf(branch, "users", `email = '${email}'`), 1);
    assertEquals(await countOf(branch, "user_events", `data ->> 'email' = '${email}'`), 1);
  });
}

Deno.test("500 POSTs with 50 keys store 50 users while backends are terminated at random", async () => {
  await using branch = await faultBranch(database);
  const request = requestsTo(branch.open({ DATABASE_POOL_SIZE: "10" }));
  const users = Array.from({ length: 50 }, () => newUser(newKey()));
  let answered = 0;
  await using killer = await BackendKiller.start({
    adminEnv: branch.envOf("postgres"),
    everyMs: 15,
    mayKill: (kills) => kills <= answered,
    random: seededRandom(19),
  });
  const repeats = Array.from({ length: 10 }, () => users).flat();
  const answers = await Promise.all(repeats.map(async ({ email, init }) => {
    const answer = await essenceOf(await persistently(() => request("/users", init)));
    answered++;
    return { email, answer };
  }));
  await killer.stop();
  assert(killer.kills > 0);
  const firsts = new Map(answers.map(({ email, answer }) => [email, answer]));
  for (const { email, answer } of answers) {
    assertEquals([answer.status, answer.document.email], [201, email]);
    assertEquals(answer, firsts.get(email));
  }
  const emails = users.map(({ email }) => `'${email}'`).join(",");
  assertEquals(await countOf(branch, "users", `email in (${emails})`), 50);
});

Deno.test("a request waits while the first one with its key is in its transaction, and gets its answer", async () => {
  await using branch = await faultBranch(database);
  const request = requestsTo(branch.open());
  const { email, init } = newUser(newKey());
  const held = branch.relay.when(COMMIT, hold());
  const first = request("/users", init);
  await held.struck();
  held.clear();
  await backend(branch, HAS_WRITTEN);
  const twin = request("/users", init);
  await backend(branch, WAITS_FOR_TRANSACTION);
  held.release();
  const [one, other] = await Promise.all([first, twin]);
  assertEquals([isReplayed(one), isReplayed(other)], [false, true]);
  assertEquals(await essenceOf(other), await essenceOf(one));
  assertEquals(await countOf(branch, "users", `email = '${email}'`), 1);
});

Deno.test("a request whose twin takes longer than the lock timeout is answered 409, and then the first answer", async () => {
  await using branch = await faultBranch(database);
  const request = requestsTo(branch.open({ DATABASE_LOCK_TIMEOUT: "0.2" }));
  const { init } = newUser(newKey());
  const held = branch.relay.when(COMMIT, hold());
  const first = request("/users", init);
  await held.struck();
  held.clear();
  await backend(branch, HAS_WRITTEN);
  const [startMs, twin] = [performance.now(), await request("/users", init)];
  assert(performance.now() - startMs < 2_000);
  assertEquals(twin.headers.get("Retry-After"), "1");
  await assertProblem(twin, 409, "request-under-way");
  held.release();
  const answer = await essenceOf(await first);
  assertEquals(answer.status, 201);
  assertEquals(await essenceOf(await request("/users", init)), answer);
});

Deno.test("with a key an outcome that stays unknown is answered 503, and the next request settles it", async () => {
  for (const [point, fault] of [[COMMIT_EXECUTE, dropAfter], [COMMIT, dropBefore]] as const) {
    await using branch = await faultBranch(database);
    const request = requestsTo(branch.open({ DATABASE_RETRY_ATTEMPTS: "2" }));
    await createUser(request);
    const { email, init } = newUser(newKey());
    branch.relay.when(point, fault());
    branch.relay.when({ at: "dial", times: Infinity }, refuse(503));
    const unsettled = await request("/users", init);
    assertEquals(unsettled.headers.get("Retry-After"), "1");
    await assertProblem(unsettled, 503, "database-unreachable");
    branch.relay.clear();
    const settled = await persistently(() => request("/users", init));
    assertEquals((await essenceOf(settled)).status, 201);
    assertEquals(await countOf(branch, "users", `email = '${email}'`), 1);
  }
});

Deno.test("a failure that is no refusal leaves the key free", async () => {
  await using branch = await faultBranch(database);
  const db = branch.open();
  const { id } = await createUser(requestsTo(db));
  const impatient = requestsTo(branch.open({ DATABASE_STATEMENT_TIMEOUT: "0.05" }));
  const init = jsonRequest("PATCH", { name: "Eve" }, newKey());
  {
    await using holder = db.session({ locals: tenantLocals("default") });
    await holder.query(sql`select 1 from users where id = ${id} for update`);
    await assertProblem(await impatient(`/users/${id}`, init), 504, "deadline-exceeded");
  }
  const response = await requestsTo(db)(`/users/${id}`, init);
  assertEquals([response.status, isReplayed(response)], [200, false]);
  await response.body?.cancel();
});

for (const isolation of ["repeatable read", "serializable"]) {
  Deno.test(`keys hold at ${isolation}, where units are run again`, async () => {
    await using branch = await faultBranch(database);
    const db = branch.open({ DATABASE_ISOLATION_LEVEL: isolation, DATABASE_RETRY_ATTEMPTS: "20" });
    const request = requestsTo(db);
    const { id } = await createUser(request);
    const patches = Array.from({ length: 6 }, (_, index) => ({
      index,
      init: jsonRequest("PATCH", { name: `Ada ${index}` }, newKey()),
    }));
    const repeats = Array.from({ length: 4 }, () => patches).flat();
    const answers = await Promise.all(repeats.map(async ({ index, init }) => ({
      index,
      answer: await essenceOf(await persistently(() => request(`/users/${id}`, init))),
    })));
    const firsts = new Map(answers.map(({ index, answer }) => [index, answer]));
    for (const { index, answer } of answers) assertEquals(answer, firsts.get(index));
    const versions = [...firsts.values()].map(({ document }) => document.version);
    assertEquals(versions.toSorted(), [2, 3, 4, 5, 6, 7]);
    assert((db.stats().retried["serialization_failure"] ?? 0) > 0);
    const { init } = newUser(newKey());
    const posts = await Promise.all(Array.from(
      { length: 20 },
      async () => essenceOf(await persistently(() => request("/users", init))),
    ));
    for (const answer of posts) assertEquals(answer, posts[0]);
    assertEquals(posts[0]!.status, 201);
  });
}

Deno.test("a key is its client's own, within its tenant", async () => {
  await using branch = await faultBranch(database);
  const clients = [
    { name: "web", tenant: "acme" },
    { name: "web", tenant: "globex" },
    { name: "batch", tenant: "acme" },
  ];
  const tokens = await Promise.all(
    clients.map((client) => entryOf(`token-of-${client.name}-of-${client.tenant}`, client)),
  );
  const app = createApp({ db: branch.open(), authenticator: new Authenticator({ tokens }) });
  const key = newKey();
  const { email } = newUser({});
  const answers = [];
  for (const { name, tenant } of clients) {
    const body = { email: `${name}.${email}`, name };
    const Authorization = `Bearer token-of-${name}-of-${tenant}`;
    const response = await app.request(
      "/users",
      jsonRequest("POST", body, { ...key, Authorization }),
    );
    answers.push([response.status, isReplayed(response)]);
    await response.body?.cancel();
  }
  assertEquals(answers, [[201, false], [201, false], [201, false]]);
  // The policy shows each tenant its own keys, and the service those of all.
  const db = branch.open();
  const seen = async (tenant: string) => {
    const locals = tenant === "*" ? EVERY_TENANT : tenantLocals(tenant);
    const [rows] = await db.transaction(
      (session) => session.commit([sql<{ tenant: string }>`select tenant from idempotency_keys`]),
      { readOnly: true, locals },
    );
    return rows.map(({ tenant }) => tenant).filter((tenant) => tenant !== "default").sort();
  };
  assertEquals(await seen("acme"), ["acme", "acme"]);
  assertEquals(await seen("globex"), ["globex"]);
  assertEquals(await seen("initech"), []);
  assertEquals(await seen("*"), ["acme", "acme", "globex"]);
});

Deno.test("a key is kept for 24 hours, and then pruned", async () => {
  await using branch = await faultBranch(database);
  const db = branch.open();
  const request = requestsTo(db);
  const { email, init } = newUser(newKey());
  const first = await essenceOf(await request("/users", init));
  await request(first.location!, { method: "DELETE" });
  const age = (interval: string) =>
    branch.asAdmin(`update idempotency_keys set created_at = now() - interval '${interval}'`);
  await age("23 hours 59 minutes");
  await pruneKeys(db);
  assertEquals(await essenceOf(await request("/users", init)), first);
  await age("24 hours 1 minute");
  await pruneKeys(db);
  assertEquals(await countOf(branch, "idempotency_keys", "true"), 0);
  const anew = await request("/users", init);
  assert(!isReplayed(anew));
  assertEquals((await anew.json()).email, email);
  const { text } = deleteOldAnswers({ limit: 10 });
  const plan = await branch.asAdmin<{ "QUERY PLAN": string }>(
    `explain (costs off) ${text.replace("$1", "60").replace("$2", "10")}`,
  );
  const lines = plan.map((row) => row["QUERY PLAN"]).join("\n");
  assertMatch(lines, /idempotency_keys_created_at/);
});
