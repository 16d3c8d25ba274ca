/** Creates that share a transaction, on a real server: each gets the answer that it would get alone, whatever becomes of the others. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { sql } from "../../src/db/mod.ts";
import { DATABASE_DEFAULTS } from "../../src/library/database_config.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { tenantLocals } from "../../src/tenant.ts";
import { OTHER_TOKENS } from "../support/access.ts";
import { type FaultBranch, faultBranch } from "../support/fault_branch.ts";
import { COMMIT, COMMIT_EXECUTE, dropAfter, dropBefore } from "../support/fault_relay.ts";
import { rowsInTheEnd } from "../support/fault_fixture.ts";
import { localDatabase } from "../support/local_database.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { as, assertProblem, uniqueEmail, type UserDocument } from "./requests.ts";
import {
  create,
  createdOf,
  exhaustedPool,
  killBackends,
  OWN_TURNS,
  type Service,
  serviceOn,
  usersOf,
} from "./sharing_service.ts";
import { testApp } from "./test_app.ts";

const database = await localDatabase();

/** A transaction that has stored a user and not ended: another create with its address waits for it. */
async function holdAddress(branch: FaultBranch) {
  const email = uniqueEmail();
  const session = branch.open().session({ locals: tenantLocals("default") });
  await session.query(
    sql`insert into users (id, email, name) values (gen_random_uuid(), ${email}, 'Eve')`,
  );
  return { email, session };
}

async function untilWaiting(branch: FaultBranch): Promise<void> {
  const isWaiting = async () => {
    const rows = await branch.asAdmin(
      "select from pg_stat_activity where datname = current_database() and wait_event = 'transactionid'",
    );
    return rows.length === 1;
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

/** An answer that may have to wait. */
function pendingOf(response: Promise<Response>) {
  let isPending = true;
  return {
    answer: response.finally(() => isPending = false),
    assertPending: () => assert(isPending),
  };
}

Deno.test("creates that come in one turn share a transaction, and each gets its own answer", async () => {
  await using branch = await faultBranch(database);
  const service = serviceOn(branch.open());
  const taken = uniqueEmail();
  const { request } = testApp({ db: branch.open() });
  await createdOf(await create(request, { email: taken }));
  const twin = uniqueEmail();
  const emails = [
    ...Array.from({ length: 10 }, uniqueEmail),
    twin,
    taken.toUpperCase(),
    twin.toUpperCase(),
    ...Array.from({ length: 10 }, uniqueEmail),
  ];
  const answers = emails.map((email) => create(service.request, { email }));
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
  const waiting = pendingOf(create(service.request, { email }));
  await service.endTurn(1);
  await untilWaiting(branch);
  const later = [create(service.request), create(service.request)];
  await service.endTurn(2);
  await usersOf(later);
  waiting.assertPending();
  await session.rollback();
  await createdOf(await waiting.answer);
});

Deno.test("of a shared transaction that waits for a lock, only the create that needs it waits on", async () => {
  await using branch = await faultBranch(database);
  const service = serviceOn(branch.open());
  const held = await holdAddress(branch);
  await using _held = held.session;
  const waiting = pendingOf(create(service.request, { email: held.email }));
  const others = await joinedByThree(service);
  const users = await usersOf(others);
  await untilWaiting(branch);
  waiting.assertPending();
  await held.session.rollback();
  await assertStored(branch, [...users, await createdOf(await waiting.answer)]);
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
  const service = serviceOn(branch.open(), { clock: new ManualClock() });
  const slow = pendingOf(create(service.request, { name: "Slow" }));
  const others = await joinedByThree(service);
  const users = await usersOf(others);
  users.push(await createdOf(await create(service.request)));
  slow.assertPending();
  await branch.asAdmin("delete from slowness");
  await assertStored(branch, [...users, await createdOf(await slow.answer)]);
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
  const failing = create(service.request, { name: "40001" });
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
  const waiting = create(service.request, { email: held.email });
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
    const answers = Array.from({ length: 4 }, () => create(service.request, { name }));
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
    create(as(service.request, token), { email })
  );
  await service.endTurn(2);
  const users = await usersOf(others);
  assertEquals(await transactionsOf(branch, users), 2);
  const rows = await branch.asAdmin<{ tenant: string }>(
    `select tenant from users where email = '${email}' order by tenant`,
  );
  assertEquals(rows.map(({ tenant }) => tenant), ["acme", "globex"]);
});

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
    const late = create(service.request, { email: held.email });
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
  const { db, holder } = await exhaustedPool(branch);
  await using _holder = holder;
  const service = serviceOn(db);
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
  const { request } = serviceOn(branch.open(), OWN_TURNS);
  let answered = 0;
  await using killer = await killBackends(branch, { answered: () => answered });
  const outcomes = new Map<string, string>();
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (killer.kills < 20) {
      const email = uniqueEmail();
      const response = await create(request, { email });
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
