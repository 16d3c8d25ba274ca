/** Reads by id that share a transaction, on a real server: each gets the answer that it would get alone, whatever becomes of the others. */
import { assert, assertEquals } from "@std/assert";
import { type Session, sql } from "../../src/db/mod.ts";
import type { SharingOptions } from "../../src/http/shared_units.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { OTHER_TOKENS } from "../support/access.ts";
import { type FaultBranch, faultBranch } from "../support/fault_branch.ts";
import { bindOf, dropAfter } from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { as, assertProblem, newKey, type SendRequest, type UserDocument } from "./requests.ts";
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

/** Users who exist. */
async function someUsers(request: SendRequest, count: number): Promise<UserDocument[]> {
  return await usersOf(Array.from({ length: count }, () => create(request)));
}

interface ReadService extends Service {
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
    users: stored,
    transactions() {
      const { acquired, moved } = db.stats().counters;
      // On a busy machine a read may be moved to another connection, for which it asks anew.
      return acquired - moved;
    },
  };
}

const read = (request: SendRequest, id: string, headers: HeadersInit = {}) =>
  request(`/users/${id}`, { headers });

/** The users that reads have found. */
function foundBy(answers: readonly Promise<Response>[]): Promise<UserDocument[]> {
  return Promise.all(answers.map(async (answer) => await (await answer).json()));
}

/** Reads wait until the session ends. */
async function lockUsers(branch: FaultBranch): Promise<Session> {
  const session = branch.open(branch.envOf("postgres")).session();
  await session.query(sql`lock table users`);
  return session;
}

/** Makes each statement that reads the user fail, until it is disposed of. */
async function failReadsOf(branch: FaultBranch, { id }: UserDocument): Promise<AsyncDisposable> {
  await branch.asAdmin(`create policy fails on users as restrictive
    using (id <> '${id}' or 1 / (version - 1) = 0)`);
  return {
    async [Symbol.asyncDispose]() {
      await branch.asAdmin("drop policy fails on users");
    },
  };
}

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
    const { id } = await createdOf(await create(request, { headers }));
    const read = await request(`/users/${id}`, { headers });
    assertEquals((await read.json()).id, id);
  });
}

Deno.test("at most 16 reads share a transaction", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users, transactions } = await readService(branch, 33);
  const answers = users.map(({ id }) => read(request, id));
  await endTurn(33);
  assertEquals(await foundBy(answers), users);
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
  const clock = new ManualClock();
  const { request, endTurn, users, transactions } = await readService(branch, 3, { clock });
  const lock = await lockUsers(branch);
  const answers = users.map(({ id }) => read(request, id));
  await endTurn(3);
  const isAlone = () => transactions() === 4;
  assert(await pollUntil(isAlone, { deadlineMs: 10_000, intervalMs: 5 }));
  // They do not wait for the end of a turn.
  answers.push(read(request, users[0]!.id));
  assert(await pollUntil(() => transactions() === 5, { deadlineMs: 10_000, intervalMs: 5 }));
  await lock.rollback();
  assertEquals(await foundBy(answers), [...users, users[0]]);
});

Deno.test("after a failure reads run alone for 250 ms, and twice as long each time that they fail again", async () => {
  await using branch = await faultBranch(database);
  const clock = new ManualClock();
  const { request, endTurn, users, transactions } = await readService(branch, 3, { clock });
  const [, unreadable] = users;
  // Of two transactions, if they share.
  const asked = [...users, ...Array<UserDocument>(16).fill(unreadable!)];
  /** Whether they have shared transactions, which have failed. */
  const doShare = async () => {
    const before = transactions();
    const answers = asked.map(({ id }) => read(request, id));
    await endTurn(asked.length);
    const statuses = asked.map((user) => user === unreadable ? 500 : 200);
    assertEquals((await Promise.all(answers)).map(({ status }) => status), statuses);
    const count = transactions() - before;
    assert([asked.length, asked.length + 2].includes(count), `${count} transactions`);
    return count > asked.length;
  };
  await using _ = await failReadsOf(branch, unreadable!);
  const fails = async (pausesMs: readonly number[]) => {
    for (const pauseMs of pausesMs) {
      assertEquals(await doShare(), true);
      await clock.advance(pauseMs - 1);
      assertEquals(await doShare(), false, `${pauseMs} ms`);
      await clock.advance(1);
    }
  };
  await fails([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
  // Within 10 s of the last time, and later.
  await clock.advance(9_999);
  await fails([10_000]);
  await clock.advance(10_000);
  await fails([250]);
  await clock.advance(9_999);
  await fails([500]);
});

Deno.test("where the server takes long for each row, reads and creates run alone", async () => {
  await using branch = await faultBranch(database);
  const { request, users, transactions } = await readService(branch, 8, OWN_TURNS);
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
  const lock = await lockUsers(branch);
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

Deno.test("a row that cannot be read fails its own read alone", async () => {
  await using branch = await faultBranch(database);
  const { request, endTurn, users } = await readService(branch, 3);
  await using _ = await failReadsOf(branch, users[1]!);
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
    assertEquals(await foundBy(answers), users);
    assertEquals(armed.strikes, times);
  });
}

Deno.test("while random backends are terminated, every read finds its user", async () => {
  await using branch = await faultBranch(database);
  const users = await someUsers(testApp({ db: branch.open() }).request, 16);
  // Each may lose its connection again and again.
  const db = branch.open({ DATABASE_RETRY_ATTEMPTS: "10" });
  const { request } = serviceOn(db, OWN_TURNS);
  let answered = 0;
  await using killer = await killBackends(branch, { answered: () => answered });
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
  const { db, holder } = await exhaustedPool(branch);
  await using _holder = holder;
  const { request, endTurn } = serviceOn(db);
  const answers = Array.from({ length: 16 }, () => read(request, crypto.randomUUID()));
  await endTurn(16);
  for (const response of await Promise.all(answers)) {
    await assertProblem(response, 503, "overloaded");
  }
  assertEquals(db.stats().counters.timedOut, 1);
});
