/**
 * Creates, and reads by id, that share a transaction, on a real server: each gets the answer that it would get alone,
 * whatever becomes of the others.
 */
import { setImmediate } from "node:timers";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import { sql } from "../../src/db/mod.ts";
import type { SharingOptions } from "../../src/http/shared_units.ts";
import { SharedUsers } from "../../src/http/shared_users.ts";
import { DATABASE_DEFAULTS } from "../../src/library/database_config.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { tenantLocals } from "../../src/tenant.ts";
import { BackendKiller } from "../endurance/backend_killer.ts";
import { seededRandom } from "../endurance/random.ts";
import { OTHER_TOKENS } from "../support/access.ts";
import { type FaultBranch, faultBranch } from "../support/fault_branch.ts";
import { bindOf, COMMIT, COMMIT_EXECUTE, dropAfter, dropBefore } from "../support/fault_relay.ts";
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

interface Service {
  readonly request: SendRequest;
  /** Ends the turn as soon as so many requests have come that may share a transaction. */
  readonly endTurn: (count: number) => Promise<void>;
  /** Calls of `onUserChange`. */
  readonly changes: () => number;
}

/** A service whose turn of the event loop lasts until the test ends it. */
function serviceOn(db: Database, options: Partial<SharingOptions> = {}): Service {
  let [count, changes] = [0, 0];
  let awaited: { count: number; resolve: () => void } | undefined;
  let atEnd: (() => void)[] = [];
  const isTraced = () => {
    if (++count === awaited?.count) awaited.resolve();
    return options.isTraced?.() ?? false;
  };
  const { request } = testApp({
    db,
    shared: new SharedUsers({
      endOfTurn: (run) => void atEnd.push(run),
      statementTimeoutMs: 15_000,
      ...options,
      isTraced,
    }),
    onUserChange: () => void changes++,
  });
  return {
    request,
    async endTurn(wanted) {
      if (count < wanted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        awaited = { count: wanted, resolve };
        await promise;
      }
      assertEquals(count, wanted);
      count = 0;
      const ended = atEnd;
      atEnd = [];
      for (const run of ended) run();
    },
    changes: () => changes,
  };
}

/** A turn ends as the event loop's own does. */
const IMMEDIATE: Partial<SharingOptions> = { endOfTurn: (run) => void setImmediate(run) };

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

/** Three further creates join one that has been sent, and their turn ends. Returns their answers. */
async function joinedByThree({ request, endTurn }: Service): Promise<Promise<Response>[]> {
  const others = [1, 2, 3].map(() => create(request));
  await endTurn(4);
  return others;
}

Deno.test("creates that come in one turn share a transaction, and each gets its own answer", async () => {
  await using branch = await faultBranch(database);
  const service = serviceOn(branch.open());
  const taken = uniqueEmail();
  const { request } = testApp({ db: branch.open() });
  await createdOf(await create(request, taken));
  const twin = uniqueEmail();
  const emails = [
    ...Array.from({ length: 10 }, uniqueEmail),
    twin,
    taken.toUpperCase(),
    twin.toUpperCase(),
    ...Array.from({ length: 10 }, uniqueEmail),
  ];
  const answers = emails.map((email) => create(service.request, email));
  await service.endTurn(emails.length);
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
    assertEquals(await (await request(`/users/${user.id}`)).json(), user);
    users.push(user);
  }
  assertEquals(await transactionsOf(branch, users), 1);
  await assertStored(branch, users);
  assertEquals(service.changes(), 1);
});

Deno.test("a create that comes alone has its own transaction, and so has the next one", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn } = serviceOn(branch.open());
  const users = [];
  for (let n = 0; n < 3; n++) {
    const answer = create(request);
    await endTurn(1);
    users.push(await createdOf(await answer));
  }
  assertEquals(await transactionsOf(branch, users), 3);
});

Deno.test("a create that waits for a lock delays none of a later turn", async () => {
  await using branch = await faultBranch(database);
  const service = serviceOn(branch.open());
  const { email, session } = await holdAddress(branch);
  let isAnswered = false;
  const waiting = create(service.request, email).finally(() => isAnswered = true);
  await service.endTurn(1);
  await untilWaiting(branch);
  const later = [create(service.request), create(service.request)];
  await service.endTurn(2);
  await usersOf(later);
  assertEquals(isAnswered, false);
  await session.rollback();
  await createdOf(await waiting);
});

Deno.test("of a shared transaction that waits for a lock, only the create that needs it waits on", async () => {
  await using branch = await faultBranch(database);
  const service = serviceOn(branch.open());
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
  const service = serviceOn(branch.open());
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
  const service = serviceOn(branch.open());
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

Deno.test("if the connection of shared creates breaks before their COMMIT, each of them is stored", async () => {
  await using branch = await faultBranch(database);
  const service = serviceOn(branch.open());
  const held = await holdAddress(branch);
  const waiting = create(service.request, held.email);
  const others = await joinedByThree(service);
  await untilWaiting(branch);
  await branch.asAdmin(`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and wait_event = 'transactionid'`);
  const users = await usersOf(others);
  await held.session.rollback();
  await assertStored(branch, [...users, await createdOf(await waiting)]);
});

for (
  const [what, point, fault, rows] of [
    ["received by the server", COMMIT_EXECUTE, dropAfter, 4],
    ["dropped before the server", COMMIT, dropBefore, 0],
  ] as const
) {
  Deno.test(`if the outcome of a shared transaction stays unknown, all of its creates are told, and none runs again: its COMMIT ${what}`, async () => {
    await using branch = await faultBranch(database);
    const service = serviceOn(branch.open());
    const name = crypto.randomUUID();
    const answers = Array.from(
      { length: 4 },
      () => service.request("/users", jsonRequest("POST", { email: uniqueEmail(), name })),
    );
    const armed = branch.relay.when(point, fault());
    await service.endTurn(4);
    for (const response of await Promise.all(answers)) {
      await assertProblem(response, 500, "outcome-unknown");
    }
    assertEquals(armed.strikes, 1);
    assertEquals(await rowsInTheEnd(branch, { name, expected: rows }), rows);
  });
}

Deno.test("creates of two tenants share no transaction, and the same address is free in both", async () => {
  await using branch = await faultBranch(database);
  const service = serviceOn(branch.open());
  const email = uniqueEmail();
  const others = Object.values(OTHER_TOKENS).map((token) =>
    create(as(service.request, token), email)
  );
  await service.endTurn(2);
  const users = await usersOf(others);
  assertEquals(await transactionsOf(branch, users), 2);
  const rows = await branch.asAdmin<{ tenant: string }>(
    `select tenant from users where email = '${email}' order by tenant`,
  );
  assertEquals(rows.map(({ tenant }) => tenant), ["acme", "globex"]);
});

for (
  const [what, headers, isTraced] of [
    ["with a key", newKey(), false],
    ["with a time limit", { "Request-Timeout": "30" }, false],
    ["whose trace is recorded", {}, true],
  ] as const
) {
  Deno.test(`a create and a read ${what} have their own transactions, and do not wait for the end of the turn`, async () => {
    await using branch = await faultBranch(database);
    const { request } = serviceOn(branch.open(), { isTraced: () => isTraced });
    const { id } = await createdOf(await create(request, uniqueEmail(), headers));
    const read = await request(`/users/${id}`, { headers });
    assertEquals((await read.json()).id, id);
  });
}

Deno.test("at most 100 creates share a transaction", async () => {
  await using branch = await faultBranch(database);
  const service = serviceOn(branch.open());
  const answers = Array.from({ length: 201 }, () => create(service.request));
  await service.endTurn(201);
  const users = await usersOf(answers);
  assertEquals(await transactionsOf(branch, users), 3);
  await assertStored(branch, users);
});

for (const isolation of ["repeatable read", "serializable"]) {
  Deno.test(`at ${isolation}, creates that share a transaction with one whose address was taken meanwhile are stored`, async () => {
    await using branch = await faultBranch(database);
    const env = { DATABASE_ISOLATION_LEVEL: isolation };
    const service = serviceOn(branch.open(env));
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
  const db = branch.open(env);
  const service = serviceOn(db);
  await using holder = db.session();
  await holder.query(sql`select`);
  const answers = Array.from({ length: 100 }, () => create(service.request));
  await service.endTurn(100);
  for (const response of await Promise.all(answers)) {
    assertMatch(response.headers.get("Retry-After") ?? "", /^[1-9]/);
    await assertProblem(response, 503, "overloaded");
  }
  // They have waited together, once.
  assertEquals(db.stats().counters.timedOut, 1);
  await holder.rollback();
  const next = create(service.request);
  await service.endTurn(1);
  await createdOf(await next);
});

Deno.test("while random backends are terminated, every user that a client was told of is stored once, and no other", async () => {
  await using branch = await faultBranch(database);
  const { request } = serviceOn(branch.open(), IMMEDIATE);
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

/** Users who exist. */
async function someUsers(request: SendRequest, count: number): Promise<UserDocument[]> {
  return await usersOf(Array.from({ length: count }, () => create(request)));
}

interface ReadService extends Service {
  readonly db: Database;
  readonly users: UserDocument[];
  /** How many transactions the service has had since its start. */
  readonly transactions: () => number;
}

/** A service, and users who were created by another one. */
async function readService(
  branch: FaultBranch,
  users: number,
  options: Partial<SharingOptions> = {},
): Promise<ReadService> {
  const stored = await someUsers(testApp({ db: branch.open() }).request, users);
  const db = branch.open();
  return {
    ...serviceOn(db, options),
    db,
    users: stored,
    transactions: () => db.stats().counters.acquired,
  };
}

const read = (request: SendRequest, id: string, headers: HeadersInit = {}) =>
  request(`/users/${id}`, { headers });

Deno.test("reads that come in one turn share a transaction, and each gets its own answer", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users: [ann, ben], transactions } = await readService(branch, 2);
  const answers = [
    read(request, ann!.id),
    read(request, ben!.id),
    read(request, crypto.randomUUID()),
    read(request, ann!.id),
    read(request, ann!.id, { "If-None-Match": '"1"' }),
    read(request, ben!.id, { "If-Match": '"2"' }),
    request(`/users/${ben!.id}`, { method: "HEAD" }),
  ];
  await endTurn(answers.length);
  const [first, second, missing, again, known, changed, head] = await Promise.all(answers);
  assertEquals([await first!.json(), await second!.json()], [ann, ben]);
  assertEquals(first!.headers.get("ETag"), '"1"');
  await assertProblem(missing!, 404, "user-not-found");
  assertEquals(await again!.json(), ann);
  assertEquals(known!.status, 304);
  await assertProblem(changed!, 412, "version-mismatch");
  assertEquals([head!.status, await head!.text()], [200, ""]);
  assertEquals(transactions(), 1);
});

Deno.test("a read that comes alone has its own transaction, and so has the next one", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users: [ann], transactions } = await readService(branch, 1);
  for (let n = 1; n <= 3; n++) {
    const answer = read(request, ann!.id);
    await endTurn(1);
    assertEquals(await (await answer).json(), ann);
    assertEquals(transactions(), n);
  }
});

Deno.test("a read shares no transaction with a create", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users: [ann], transactions } = await readService(branch, 1);
  const answers = [read(request, ann!.id), create(request)];
  await endTurn(2);
  const [found, created] = await Promise.all(answers);
  assertEquals(await found!.json(), ann);
  await createdOf(created!);
  assertEquals(transactions(), 2);
});

Deno.test("at most 16 reads share a transaction", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users, transactions } = await readService(branch, 33);
  const answers = users.map(({ id }) => read(request, id));
  await endTurn(33);
  const found = await Promise.all(answers.map(async (answer) => await (await answer).json()));
  assertEquals(found, users);
  assertEquals(transactions(), 3);
});

Deno.test("a read of another tenant's user finds none, though one who may read it asks in the same turn", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users: [ann], transactions } = await readService(branch, 1);
  const others = Object.values(OTHER_TOKENS).map((token) => read(as(request, token), ann!.id));
  const own = [read(request, ann!.id), read(request, ann!.id)];
  await endTurn(4);
  for (const response of await Promise.all(others)) {
    await assertProblem(response, 404, "user-not-found");
  }
  for (const response of await Promise.all(own)) assertEquals(await response.json(), ann);
  assertEquals(transactions(), 3);
});

Deno.test("reads that the server holds up for longer than 50 ms wait alone, and so do the next ones", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users, transactions } = await readService(branch, 3);
  const lock = branch.open(branch.envOf("postgres")).session();
  await lock.query(sql`lock table users`);
  const answers = users.map(({ id }) => read(request, id));
  await endTurn(3);
  const isAlone = () => transactions() === 4;
  assert(await pollUntil(isAlone, { deadlineMs: 10_000, intervalMs: 5 }));
  // They do not wait for the end of a turn.
  answers.push(read(request, users[0]!.id));
  assert(await pollUntil(() => transactions() === 5, { deadlineMs: 10_000, intervalMs: 5 }));
  await lock.rollback();
  const found = await Promise.all(answers.map(async (answer) => await (await answer).json()));
  assertEquals(found, [...users, users[0]]);
});

Deno.test("some time after a failure reads share transactions again", async () => {
  await using branch = await faultBranch(database);
  const { request, users, transactions } = await readService(branch, 3, {
    ...IMMEDIATE,
    aloneMs: 2_000,
  });
  const readAll = () => Promise.all(users.map(async ({ id }) => (await read(request, id)).json()));
  const lock = branch.open(branch.envOf("postgres")).session();
  await lock.query(sql`lock table users`);
  const first = readAll();
  assert(await pollUntil(() => transactions() === 4, { deadlineMs: 10_000, intervalMs: 5 }));
  await lock.rollback();
  await first;
  const doShare = async () => {
    const before = transactions();
    assertEquals(await readAll(), users);
    return transactions() === before + 1;
  };
  assertEquals(await doShare(), false);
  assert(await pollUntil(doShare, { deadlineMs: 20_000, intervalMs: 50 }));
});

Deno.test("where the server takes long for each row, reads and creates run alone", async () => {
  await using branch = await faultBranch(database);
  const { request, users, transactions } = await readService(branch, 8, IMMEDIATE);
  await branch.asAdmin(`create function takes_long() returns boolean volatile language plpgsql as $$
    begin
      perform pg_sleep(0.001);
      return true;
    end $$`);
  await branch.asAdmin(
    "create policy slow_reads on users as restrictive for select using (takes_long())",
  );
  await branch.asAdmin(
    "create policy slow_creates on users as restrictive for insert with check (takes_long())",
  );
  const readAll = () => Promise.all(users.map(({ id }) => read(request, id)));
  const createAll = () => Promise.all(users.map(() => create(request)));
  for (const ask of [readAll, createAll]) {
    const taken: number[] = [];
    const runAlone = async () => {
      const before = transactions();
      for (const { ok, body } of await ask()) {
        assert(ok);
        await body?.cancel();
      }
      taken.push(transactions() - before);
      return taken.at(-1) === users.length;
    };
    assert(await pollUntil(runAlone, { deadlineMs: 10_000, intervalMs: 1 }));
    assert(taken.length > 1);
  }
  for (const name of ["slow_reads", "slow_creates"]) {
    await branch.asAdmin(`drop policy ${name} on users`);
  }
});

Deno.test("a read that comes alone waits for as long as the service's own limit allows", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users: [ann], transactions } = await readService(branch, 1);
  const lock = branch.open(branch.envOf("postgres")).session();
  await lock.query(sql`lock table users`);
  const answer = read(request, ann!.id);
  await endTurn(1);
  const hasWaited = async () =>
    (await branch.asAdmin(`select from pg_stat_activity where datname = current_database()
      and wait_event = 'relation' and now() - query_start > '100 ms'`)).length === 1;
  assert(await pollUntil(hasWaited, { deadlineMs: 10_000, intervalMs: 5 }));
  await lock.rollback();
  assertEquals(await (await answer).json(), ann);
  assertEquals(transactions(), 1);
});

Deno.test("a shared statement of creates may run for 250 ms, or as long as any where that is less", async () => {
  await using branch = await faultBranch(database);
  await branch.asAdmin("create table limits (value text)");
  await branch.asAdmin("grant insert on limits to user_service");
  await branch.asAdmin(`create function note_limit() returns trigger language plpgsql as $$
    begin
      insert into limits values (current_setting('statement_timeout'));
      return null;
    end $$`);
  await branch.asAdmin(
    "create trigger note_limit after insert on users for each statement execute function note_limit()",
  );
  for (const statementTimeoutMs of [15_000, 200]) {
    const service = serviceOn(branch.open(), { statementTimeoutMs });
    const answers = [create(service.request), create(service.request)];
    await service.endTurn(2);
    await usersOf(answers);
  }
  assertEquals(await branch.asAdmin("select value from limits"), [
    { value: "250ms" },
    { value: "200ms" },
  ]);
  await branch.asAdmin("drop trigger note_limit on users");
});

Deno.test("a row that cannot be read fails its own read alone", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users } = await readService(branch, 3);
  await branch.asAdmin(`create policy fails on users as restrictive
    using (id <> '${users[1]!.id}' or 1 / (version - 1) = 0)`);
  const answers = users.map(({ id }) => read(request, id));
  await endTurn(3);
  const [first, damaged, last] = await Promise.all(answers);
  assertEquals([await first!.json(), await last!.json()], [users[0], users[2]]);
  await assertProblem(damaged!, 500, "internal");
});

for (
  const [when, fault, times] of [
    ["as it opens", bindOf(/from users/), 1],
    ["and so does the next one", bindOf(/= any/), 2],
  ] as const
) {
  Deno.test(`if the connection of shared reads breaks, ${when}, each of them is answered`, async () => {
    await using branch = await faultBranch(database);
    const { request, endTurn, users } = await readService(branch, 3);
    if (times > 1) {
      const warm = read(request, users[0]!.id);
      await endTurn(1);
      await (await warm).body?.cancel();
    }
    const armed = branch.relay.when({ ...fault, times }, dropAfter());
    const answers = users.map(({ id }) => read(request, id));
    await endTurn(3);
    const found = await Promise.all(answers.map(async (answer) => await (await answer).json()));
    assertEquals(found, users);
    assertEquals(armed.strikes, times);
  });
}

Deno.test("while random backends are terminated, every read finds its user", async () => {
  await using branch = await faultBranch(database);
  const users = await someUsers(testApp({ db: branch.open() }).request, 16);
  // Each may lose its connection again and again.
  const db = branch.open({ DATABASE_RETRY_ATTEMPTS: "10" });
  const { request } = serviceOn(db, IMMEDIATE);
  let answered = 0;
  await using killer = await BackendKiller.start({
    adminEnv: branch.envOf("postgres"),
    everyMs: 15,
    mayKill: (kills) => kills * 5 <= answered,
    random: seededRandom(7),
  });
  await Promise.all(users.map(async (user) => {
    while (killer.kills < 20) {
      assertEquals(await (await read(request, user.id)).json(), user);
      answered++;
    }
  }));
  await killer.stop();
  assert(db.stats().counters.acquired < answered, "no transaction was shared");
});

Deno.test("without a free connection each read is refused as it would be alone, and they have waited once", async () => {
  await using branch = await faultBranch(database);
  const db = branch.open({
    DATABASE_POOL_SIZE: "1",
    DATABASE_MAX_OVERFLOW: "0",
    DATABASE_POOL_TIMEOUT: "0.2",
    DATABASE_POOL_SHED_TARGET: "0",
  });
  const { request, endTurn } = serviceOn(db);
  await using holder = db.session();
  await holder.query(sql`select`);
  const answers = Array.from({ length: 16 }, () => read(request, crypto.randomUUID()));
  await endTurn(16);
  for (const response of await Promise.all(answers)) {
    await assertProblem(response, 503, "overloaded");
  }
  assertEquals(db.stats().counters.timedOut, 1);
});
