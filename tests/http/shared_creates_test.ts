/**
 * Creates that share a transaction, on a real server: each gets the answer that it would get alone, whatever becomes of the
 * others. The first create of a test waits for a lock, so that those behind it wait for its end.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import { sql } from "../../src/db/mod.ts";
import { SharedCreates, type SharedCreatesOptions } from "../../src/http/shared_creates.ts";
import { DATABASE_DEFAULTS } from "../../src/library/database_config.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { tenantLocals } from "../../src/tenant.ts";
import { BackendKiller } from "../endurance/backend_killer.ts";
import { seededRandom } from "../endurance/random.ts";
import { OTHER_TOKENS } from "../support/access.ts";
import { type FaultBranch, faultBranch } from "../support/fault_branch.ts";
import { COMMIT, COMMIT_EXECUTE, dropAfter, dropBefore } from "../support/fault_relay.ts";
import { rowsInTheEnd } from "../support/fault_fixture.ts";
import { localDatabase } from "../support/local_database.ts";
import {
  as,
  assertProblem,
  jsonRequest,
  newKey,
  type SendRequest,
  uniqueEmail,
  type UserDocument,
} from "./requests.ts";
import { testApp } from "./test_app.ts";

const database = await localDatabase();

/** Longer than any test: those that wait run only when the ones before them have ended. */
const UNTIL_THE_END = 60_000;

interface Service {
  readonly request: SendRequest;
  /** Resolves when so many creates have come that may share a transaction. */
  readonly have: (count: number) => Promise<void>;
  /** Calls of `onUserChange`. */
  readonly changes: () => number;
}

function serviceOn(db: Database, options: Partial<SharedCreatesOptions> = {}): Service {
  let [count, changes] = [0, 0];
  let awaited: { count: number; resolve: () => void } | undefined;
  const isTraced = () => {
    if (++count === awaited?.count) awaited.resolve();
    return options.isTraced?.() ?? false;
  };
  const { request } = testApp({
    db,
    sharedCreates: new SharedCreates({
      waitMs: UNTIL_THE_END,
      statementTimeoutMs: 15_000,
      ...options,
      isTraced,
    }),
    onUserChange: () => void changes++,
  });
  return {
    request,
    have: (wanted) => {
      if (count >= wanted) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      awaited = { count: wanted, resolve };
      return promise;
    },
    changes: () => changes,
  };
}

function create(
  request: SendRequest,
  email: string = uniqueEmail(),
  headers: HeadersInit = {},
): Promise<Response> {
  return request("/users", jsonRequest("POST", { email, name: "Ada" }, headers));
}

async function createdOf(response: Response): Promise<UserDocument> {
  const text = await response.text();
  assertEquals(response.status, 201, text);
  return JSON.parse(text);
}

function usersOf(answers: readonly Promise<Response>[]): Promise<UserDocument[]> {
  return Promise.all(answers.map(async (answer) => await createdOf(await answer)));
}

/** A transaction that has stored a user and not ended: another create with its address waits for it. */
async function holdAddress(branch: FaultBranch) {
  const email = uniqueEmail();
  const session = branch.open().session({ locals: tenantLocals("default") });
  await session.query(
    sql`insert into users (id, email, name) values (gen_random_uuid(), ${email}, 'Eve')`,
  );
  return { email, session };
}

async function untilWaiting(branch: FaultBranch, count = 1): Promise<void> {
  const isWaiting = async () => {
    const rows = await branch.asAdmin(
      "select from pg_stat_activity where datname = current_database() and wait_event = 'transactionid'",
    );
    return rows.length === count;
  };
  assert(await pollUntil(isWaiting, { deadlineMs: 10_000, intervalMs: 5 }));
}

/** How many transactions have stored these users. */
async function transactionsOf(
  branch: FaultBranch,
  users: readonly { email: string }[],
): Promise<number> {
  const emails = users.map(({ email }) => `'${email}'`).join(",");
  const [row] = await branch.asAdmin<{ count: number }>(
    `select count(distinct xmin::text)::int as count from users where email in (${emails})`,
  );
  return row!.count;
}

/** Each user is stored once, with one event. */
async function assertStored(branch: FaultBranch, users: readonly UserDocument[]): Promise<void> {
  const ids = users.map(({ id }) => `'${id}'`).join(",");
  const rows = await branch.asAdmin<{ id: string; events: number }>(`
    select id, (select count(*)::int from user_events where user_id = users.id) as events
    from users where id in (${ids})`);
  assertEquals(rows.length, users.length);
  assert(rows.every(({ events }) => events === 1));
}

/** A service whose first create waits until `end`, so that further ones wait for it. */
async function serviceWithFirst(
  branch: FaultBranch,
  { env = {}, ...options }: Partial<SharedCreatesOptions> & { env?: Record<string, string> } = {},
) {
  const db = branch.open(env);
  const service = serviceOn(db, options);
  const { email, session } = await holdAddress(branch);
  let isPending = true;
  const first = create(service.request, email).finally(() => isPending = false);
  await untilWaiting(branch);
  return {
    ...service,
    db,
    assertPending: () => assert(isPending),
    /** Its user is created. */
    async end() {
      await session.rollback();
      await createdOf(await first);
    },
    async [Symbol.asyncDispose]() {
      await session.rollback();
      const response = await first;
      if (!response.bodyUsed) await response.body?.cancel();
    },
  };
}

/** Three further creates join one that has been sent, and the first one ends. Returns their answers. */
async function joinedByThree(
  { request, have, end }: Pick<Service, "request" | "have"> & { end: () => Promise<void> },
): Promise<Promise<Response>[]> {
  const others = [1, 2, 3].map(() => create(request));
  await have(5);
  await end();
  return others;
}

Deno.test("creates that come while another one is under way share a transaction, and each gets its own answer", async () => {
  await using branch = await faultBranch(database);
  await using service = await serviceWithFirst(branch);
  const taken = uniqueEmail();
  await createdOf(await create(testApp({ db: branch.open() }).request, taken));
  const twin = uniqueEmail();
  const emails = [
    ...Array.from({ length: 10 }, uniqueEmail),
    twin,
    taken.toUpperCase(),
    twin.toUpperCase(),
    ...Array.from({ length: 10 }, uniqueEmail),
  ];
  const answers = emails.map((email) => create(service.request, email));
  await service.have(1 + emails.length);
  await service.end();
  const users: UserDocument[] = [];
  for (const [place, response] of (await Promise.all(answers)).entries()) {
    if ([11, 12].includes(place)) {
      const { errors } = await assertProblem(response, 409, "email-taken");
      assertEquals(errors?.[0]?.pointer, "/email");
      continue;
    }
    const { headers } = response;
    const user = await createdOf(response);
    assertEquals([user.email, user.version], [emails[place], 1]);
    assertEquals([headers.get("Location"), headers.get("ETag")], [`/users/${user.id}`, '"1"']);
    const read = await service.request(`/users/${user.id}`);
    assertEquals(await read.json(), user);
    users.push(user);
  }
  assertEquals(await transactionsOf(branch, users), 1);
  await assertStored(branch, users);
  assert(service.changes() > 1);
});

Deno.test("a create that comes alone has its own transaction, and so has the next one", async () => {
  await using branch = await faultBranch(database);
  const { request } = serviceOn(branch.open());
  const users = [];
  for (let n = 0; n < 3; n++) users.push(await createdOf(await create(request)));
  assertEquals(await transactionsOf(branch, users), 3);
});

Deno.test("a create that waits for a lock delays none that comes later", async () => {
  await using branch = await faultBranch(database);
  await using service = await serviceWithFirst(branch, { waitMs: 1 });
  for (let n = 0; n < 3; n++) await createdOf(await create(service.request));
  service.assertPending();
  await service.end();
});

Deno.test("of a shared transaction that waits for a lock, only the create that needs it waits on", async () => {
  await using branch = await faultBranch(database);
  await using service = await serviceWithFirst(branch);
  const held = await holdAddress(branch);
  await using _held = held.session;
  let isAnswered = false;
  const waiting = create(service.request, held.email).finally(() => isAnswered = true);
  const others = await joinedByThree(service);
  const users = await usersOf(others);
  await untilWaiting(branch);
  assertEquals(isAnswered, false);
  await held.session.rollback();
  await assertStored(branch, [...users, await createdOf(await waiting)]);
  // The shared one was rolled back.
  assertEquals(await transactionsOf(branch, users), 3);
});

Deno.test("of a shared statement that takes long, only the create that makes it so takes long, and later ones run alone", async () => {
  await using branch = await faultBranch(database);
  await branch.asAdmin("create table slowness (name text)");
  await branch.asAdmin("grant select on slowness to user_service");
  await branch.asAdmin(`create function be_slow() returns trigger language plpgsql as $$
    begin
      while exists (select from slowness where name = new.name) loop perform pg_sleep(0.005); end loop;
      return new;
    end $$`);
  await branch.asAdmin(
    "create trigger be_slow before insert on users for each row execute function be_slow()",
  );
  await branch.asAdmin("insert into slowness values ('Slow')");
  await using service = await serviceWithFirst(branch);
  let isAnswered = false;
  const slow = service.request(
    "/users",
    jsonRequest("POST", { email: uniqueEmail(), name: "Slow" }),
  ).finally(() => isAnswered = true);
  const others = await joinedByThree(service);
  const users = await usersOf(others);
  users.push(await createdOf(await create(service.request)));
  assertEquals(isAnswered, false);
  await branch.asAdmin("delete from slowness");
  await assertStored(branch, [...users, await createdOf(await slow)]);
  assertEquals(await transactionsOf(branch, users), 4);
});

Deno.test("a shared transaction has one attempt, whatever it fails with, and each of its creates its own after it", async () => {
  await using branch = await faultBranch(database);
  await branch.asAdmin("create sequence tries");
  await branch.asAdmin("grant usage on sequence tries to user_service");
  await branch.asAdmin(`create function fail() returns trigger language plpgsql as $$
    begin
      perform nextval('tries');
      raise exception 'no' using errcode = new.name;
    end $$`);
  await branch.asAdmin(
    `create constraint trigger fail after insert on users deferrable initially deferred
    for each row when (new.name ~ '^[0-9A-Z]{5}$') execute function fail()`,
  );
  await using service = await serviceWithFirst(branch);
  const failing = service.request(
    "/users",
    jsonRequest("POST", { email: uniqueEmail(), name: "40001" }),
  );
  const others = await joinedByThree(service);
  await assertStored(branch, await usersOf(others));
  await assertProblem(await failing, 503, "contention");
  const [tries] = await branch.asAdmin<{ count: number }>(
    "select last_value::int as count from tries",
  );
  assertEquals(tries, { count: 1 + DATABASE_DEFAULTS.retryAttempts });
});

for (
  const [what, point, fault, rows] of [
    ["received by the server", COMMIT_EXECUTE, dropAfter, 4],
    ["dropped before the server", COMMIT, dropBefore, 0],
  ] as const
) {
  Deno.test(`if the outcome of a shared transaction stays unknown, all of its creates are told, and none runs again: its COMMIT ${what}`, async () => {
    await using branch = await faultBranch(database);
    await using service = await serviceWithFirst(branch);
    const name = crypto.randomUUID();
    const answers = Array.from(
      { length: 4 },
      () => service.request("/users", jsonRequest("POST", { email: uniqueEmail(), name })),
    );
    await service.have(5);
    const armed = branch.relay.when(point, fault());
    await service.end();
    for (const response of await Promise.all(answers)) {
      await assertProblem(response, 500, "outcome-unknown");
    }
    assertEquals(armed.strikes, 1);
    assertEquals(await rowsInTheEnd(branch, { name, expected: rows }), rows);
  });
}

Deno.test("creates of two tenants share no transaction, and the same address is free in both", async () => {
  await using branch = await faultBranch(database);
  await using service = await serviceWithFirst(branch);
  const email = uniqueEmail();
  const others = Object.values(OTHER_TOKENS).map((token) =>
    create(as(service.request, token), email)
  );
  const users = await usersOf(others);
  assertEquals(await transactionsOf(branch, users), 2);
  const rows = await branch.asAdmin<{ tenant: string }>(
    `select tenant from users where email = '${email}' order by tenant`,
  );
  assertEquals(rows.map(({ tenant }) => tenant), ["acme", "globex"]);
  service.assertPending();
  await service.end();
});

for (
  const [what, headers, isTraced] of [
    ["with a key", newKey(), false],
    ["with a time limit", { "Request-Timeout": "30" }, false],
    ["whose trace is recorded", {}, true],
  ] as const
) {
  Deno.test(`a create ${what} has its own transaction, and waits for no other`, async () => {
    await using branch = await faultBranch(database);
    await using service = await serviceWithFirst(branch, { isTraced: () => isTraced });
    await createdOf(await create(service.request, uniqueEmail(), headers));
    service.assertPending();
    await service.end();
  });
}

Deno.test("at most 100 creates share a transaction: as soon as so many wait, they run", async () => {
  await using branch = await faultBranch(database);
  await using service = await serviceWithFirst(branch);
  const answers = Array.from({ length: 250 }, () => create(service.request));
  const users = await usersOf(answers.slice(0, 200));
  assertEquals(await transactionsOf(branch, users), 2);
  service.assertPending();
  await service.end();
  users.push(...await usersOf(answers.slice(200)));
  assertEquals(await transactionsOf(branch, users), 3);
  await assertStored(branch, users);
});

for (const isolation of ["repeatable read", "serializable"]) {
  Deno.test(`at ${isolation}, creates that share a transaction with one whose address was taken meanwhile are stored`, async () => {
    await using branch = await faultBranch(database);
    const env = { DATABASE_ISOLATION_LEVEL: isolation };
    await using service = await serviceWithFirst(branch, { env });
    const held = await holdAddress(branch);
    const late = create(service.request, held.email);
    const others = await joinedByThree(service);
    await untilWaiting(branch);
    await held.session.commit();
    await assertStored(
      branch,
      await usersOf(others),
    );
    await assertProblem(await late, 409, "email-taken");
  });
}

Deno.test("without a free connection each create is refused as it would be alone, and none hangs", async () => {
  await using branch = await faultBranch(database);
  const env = {
    DATABASE_POOL_SIZE: "1",
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_POOL_TIMEOUT: "0.2",
    DATABASE_POOL_SHED_TARGET: "0",
  };
  await using service = await serviceWithFirst(branch, { env });
  const answers = Array.from({ length: 100 }, () => create(service.request));
  for (const response of await Promise.all(answers)) {
    assertMatch(response.headers.get("Retry-After") ?? "", /^[1-9]/);
    await assertProblem(response, 503, "overloaded");
  }
  // They have waited together, once.
  assertEquals(service.db.stats().counters.timedOut, 1);
  service.assertPending();
  await service.end();
  await createdOf(await create(service.request));
});

Deno.test("while random backends are terminated, every user that a client was told of is stored once, and no other", async () => {
  await using branch = await faultBranch(database);
  const { request } = serviceOn(branch.open(), { waitMs: 1 });
  let answered = 0;
  await using killer = await BackendKiller.start({
    adminEnv: branch.envOf("postgres"),
    everyMs: 15,
    mayKill: (kills) => kills * 5 <= answered,
    random: seededRandom(7),
  });
  const outcomes = new Map<string, string>();
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (killer.kills < 20) {
      const email = uniqueEmail();
      const response = await create(request, email);
      const { type } = await response.json();
      outcomes.set(email, response.status === 201 ? "created" : type);
      answered++;
    }
  }));
  await killer.stop();
  const stored = await branch.asAdmin<{ email: string; events: number }>(`
    select email, (select count(*)::int from user_events where user_id = users.id) as events
    from users`);
  const eventsOf = new Map(stored.map(({ email, events }) => [email, events]));
  for (const [email, outcome] of outcomes) {
    const events = eventsOf.get(email) ?? 0;
    if (outcome === "created") assertEquals(events, 1, email);
    else if (outcome !== "/problems/outcome-unknown") {
      assertEquals(events, 0, `${email} ${outcome}`);
    }
  }
  const xids = await branch.asAdmin<{ count: number }>(
    "select count(distinct xmin::text)::int as count from users",
  );
  assert(xids[0]!.count < stored.length, "no transaction was shared");
});
