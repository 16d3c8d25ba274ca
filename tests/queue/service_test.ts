/** The consumer within the whole service: its share of the pool, graceful shutdown, and a killed process. */
import { assert, assertEquals } from "@std/assert";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { type Session, sql } from "../../src/db/mod.ts";
import { type RunningService, start } from "../../src/deno/service.ts";
import { type LocalBranch, localDatabase } from "../support/local_database.ts";
import { countsOf, writeEvents } from "./events.ts";
import { BEARER } from "../support/token.ts";

const POLL = { deadlineMs: 20_000, intervalMs: 10 };
/** No timeout of the server ends a message that waits for a lock. */
const NO_TIMEOUTS = {
  DATABASE_LOCK_TIMEOUT: "3600",
  DATABASE_STATEMENT_TIMEOUT: "3600",
  DATABASE_TRANSACTION_TIMEOUT: "3600",
};
const QUIET = { PORT: "0", LOG_LEVEL: "error", QUEUE_POLL_INTERVAL: "0.1" };

/** A database of its own for each test. */
function test(name: string, fn: (branch: LocalBranch) => Promise<void>): void {
  Deno.test(name, async () => {
    const database = await localDatabase();
    await using branch = await database.connect();
    await fn(branch);
    const [left] = await branch.asAdmin<{ count: number }>(`
      select count(*)::int from pg_stat_activity where usename = 'user_service'
        and datname = current_database() and state <> 'idle'`);
    assertEquals(left?.count, 0);
  });
}

function startQuietly(
  branch: LocalBranch,
  env: Record<string, string> = {},
): Promise<RunningService> {
  return start({ ...branch.env, ...QUIET, ...env }, { hostname: "127.0.0.1" });
}

/** A session whose lock blocks the handler of every message until the session ends. */
async function blockMessages(branch: LocalBranch): Promise<Session> {
  const session = branch.open().session({ idleTransactionTimeoutMs: 30_000 });
  await session.query(sql`lock table user_activity in access exclusive mode`);
  return session;
}

async function areBlocked(branch: LocalBranch): Promise<boolean> {
  const waiting = await branch.asAdmin(`
    select from pg_locks where not granted and relation = 'user_activity'::regclass
      and database = (select oid from pg_database where datname = current_database())`);
  return waiting.length > 0;
}

test("messages that wait for a lock leave all other connections to requests", async (branch) => {
  await writeEvents(branch, { users: 50, versions: 1 });
  await using blocking = await blockMessages(branch);
  const service = await startQuietly(branch, {
    DATABASE_POOL_SIZE: "3",
    DATABASE_MAX_OVERFLOW: "0",
    QUEUE_CONCURRENCY: "2",
  });
  try {
    assert(await pollUntil(() => areBlocked(branch), POLL));
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => fetch(`${service.url}/users?limit=1`, { headers: BEARER })),
    );
    assertEquals(answers.map(({ status }) => status), answers.map(() => 200));
    await Promise.all(answers.map((answer) => answer.body?.cancel()));
    assert(await areBlocked(branch));
  } finally {
    await blocking.rollback();
    await service.shutdown();
  }
});

test("a shutdown lets running messages finish, and leaves no event leased", async (branch) => {
  await writeEvents(branch, { users: 25, versions: 2 });
  await using blocking = await blockMessages(branch);
  const service = await startQuietly(branch);
  assert(await pollUntil(() => areBlocked(branch), POLL));
  const ended = service.shutdown();
  await blocking.rollback();
  await ended;
  const { waiting, activity, keys, dead } = await countsOf(branch);
  assert(activity > 0, "no message was finished");
  assertEquals([waiting, keys, dead], [50 - activity, activity, 0]);
  assertEquals(await leasedEvents(branch), 0);
});

test("a shutdown aborts messages that cannot finish in time, and returns their events to the outbox", async (branch) => {
  await writeEvents(branch, { users: 25, versions: 2 });
  await using blocking = await blockMessages(branch);
  const service = await startQuietly(branch, { ...NO_TIMEOUTS, SHUTDOWN_TIMEOUT: "2" });
  assert(await pollUntil(() => areBlocked(branch), POLL));
  await service.shutdown();
  assertEquals(await leasedEvents(branch), 0);
  // The lock was held throughout, so only the shutdown can have ended the messages.
  await blocking.query(sql`select 1`);
  await blocking.rollback();
  const [row] = await branch.asAdmin("select sum(attempts)::int as attempts from user_events");
  assertEquals([row, (await countsOf(branch)).activity], [{ attempts: 0 }, 0]);
});

async function leasedEvents(branch: LocalBranch): Promise<number> {
  return (await branch.asAdmin("select from user_events where due_at > now()")).length;
}

test("an event whose process is killed before it is consumed is consumed after a restart", async (branch) => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("../../src/main.ts", import.meta.url).href],
    // This process consumes no events.
    env: { ...branch.env, ...QUIET, QUEUE_CONCURRENCY: "0" },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let output = "";
  while (!output.includes("\n")) output += (await lines.read()).value ?? "";
  const created = await fetch(`${JSON.parse(output).url}/users`, {
    method: "POST",
    headers: { ...BEARER, "content-type": "application/json" },
    body: JSON.stringify({ email: "ann@example.org", name: "Ann" }),
  });
  assertEquals(created.status, 201);
  child.kill("SIGKILL");
  const { id } = await created.json();
  await Promise.all([child.status, lines.cancel()]);
  assertEquals((await countsOf(branch)).waiting, 1);
  const service = await startQuietly(branch);
  try {
    const isConsumed = async () => (await countsOf(branch)).waiting === 0;
    assert(await pollUntil(isConsumed, POLL));
    const answer = await fetch(`${service.url}/users/${id}/activity`, { headers: BEARER });
    const { activity } = await answer.json();
    assertEquals(activity.map(({ type }: { type: string }) => type), ["user.created"]);
  } finally {
    await service.shutdown();
  }
});
