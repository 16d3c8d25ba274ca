/**
 * A lost COMMIT on a server that crashes. After recovery the server may assign an xid again that its log does not have.
 */
import { assertEquals, assertRejects } from "@std/assert";
import {
  CommitOutcomeUnknownError,
  type Database,
  type Session,
  sql,
  TRANSACTION_KEYS_TABLE,
} from "../../../src/db/mod.ts";
import { type ResolveCommit, resolveCommit } from "../../../src/db/session/commit_outcome.ts";
import { startPostgres } from "../../../src/dev/postgres.ts";
import { startRelay } from "../../../src/library/testing/relay/relay.ts";
import { resolveByXidAlone } from "../../endurance/chaos/mutations.ts";
import { makeScratch } from "../../dev/scratch.ts";
import { branchOf, runAlone } from "../../support/branch.ts";
import {
  COMMIT,
  COMMITTED,
  dropBefore,
  hold,
  type Point,
  startFaultRelay,
} from "../../support/fault_relay.ts";

type Run = (text: string) => Promise<Record<string, unknown>[]>;

interface Crash {
  /** Where the relay drops the unit's connection. */
  readonly point: Point;
  /** Runs on the restarted server before the outcome can be looked up. */
  readonly then?: (run: Run) => Promise<void>;
  readonly resolve?: ResolveCommit;
  readonly work: (db: Database) => Promise<unknown>;
}

/** Runs a unit, and crashes the server as soon as `point` is reached. Returns the unit's rows and its result. */
async function crash(
  directory: string,
  { point, then, resolve, work }: Crash,
): Promise<{ rows: unknown; result: unknown }> {
  await using stack = new AsyncDisposableStack();
  let postgres = await startPostgres({ directory });
  stack.defer(() => postgres.stop());
  const targets = [{ hostname: "127.0.0.1", port: postgres.port }];
  const faulty = stack.use(await startFaultRelay({ targets }));
  const plain = stack.use(await startRelay({ targets }));
  const envOf = (role: "user_service" | "postgres", relay: { url: string }) => ({
    DATABASE_URL: postgres.url({ role }),
    DATABASE_WS_PROXY: relay.url,
    DATABASE_PIPELINE_CONNECT: "on",
  });
  const run = (text: string) => runAlone<Record<string, unknown>>(envOf("postgres", plain), text);
  await prepare(run);

  const branch = stack.use(
    branchOf({ env: envOf("user_service", faulty), adminEnv: envOf("postgres", plain) }),
  );
  const db = branch.open({}, resolve);
  await db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true });
  const struck = faulty.when(point, dropBefore());
  const asking = faulty.when({ at: "dial", times: Infinity }, hold());
  const unit = work(db).catch((error) => error);
  await struck.struck();
  await postgres.stop({ immediately: true });
  postgres = await startPostgres({ directory });
  await then?.(run);
  asking.clear();
  asking.release();
  const result = await unit;
  const [row] = await run("select count(*)::int as rows from effects where name = 'effect'");
  return { rows: row?.["rows"], result };
}

async function prepare(run: Run): Promise<void> {
  // The server does not write the log of uncommitted transactions to disk meanwhile.
  await run("alter system set wal_writer_delay = '10s'");
  await run("select pg_reload_conf()");
  await run("drop table if exists effects, transaction_keys");
  await run("create table effects (name text)");
  await run(TRANSACTION_KEYS_TABLE);
  await run("grant all on effects, transaction_keys to user_service");
  await run("checkpoint");
}

const inTwoFlights = async (session: Session) => {
  await session.query(sql`insert into effects values ('effect')`);
  await session.commit();
  return "done";
};

/** Commits another transaction. It gets the lost transaction's xid if the log does not have that one. */
async function commitAnother(run: Run): Promise<string> {
  const [row] = await run(
    "with _ as (insert into effects values ('another')) select pg_current_xact_id()::text as xid",
  );
  return row!["xid"] as string;
}

const loadResult = () => Promise.resolve("loaded");

type Case = readonly [name: string, fn: (directory: string) => Promise<void>];

const CASES: readonly Case[] = [
  [
    "if the server crashes before COMMIT arrives, the outcome is rolled back and the unit is retried",
    async (
      directory,
    ) => {
      const { rows, result } = await crash(directory, {
        point: COMMIT,
        work: (db) => db.transaction(inTwoFlights),
      });
      assertEquals([rows, result], [1, "done"]);
    },
  ],

  ["if the server crashes right after COMMIT, the outcome is unknown", async (
    directory,
  ) => {
    const { rows, result } = await crash(directory, {
      point: COMMITTED,
      work: (db) => assertRejects(() => db.transaction(inTwoFlights), CommitOutcomeUnknownError),
    });
    assertEquals([rows, (result as CommitOutcomeUnknownError).reason], [1, "restarted"]);
  }],

  ["a key shows that a unit was committed before a crash", async (directory) => {
    const { rows, result } = await crash(directory, {
      point: COMMITTED,
      work: (db) => db.transaction(inTwoFlights, { key: "effect", loadResult }),
    });
    assertEquals([rows, result], [1, "loaded"]);
  }],

  [
    "a key shows that a unit was not committed, although another transaction with its xid was",
    async (
      directory,
    ) => {
      const { rows, result } = await crash(directory, {
        point: COMMIT,
        then: async (run) => void await commitAnother(run),
        work: (db) => db.transaction(inTwoFlights, { key: "effect", loadResult }),
      });
      assertEquals([rows, result], [1, "done"]);
    },
  ],

  [
    "another transaction with the same xid is not taken for the lost one",
    (directory) => reuseId(directory, { find: resolveCommit, expected: "restarted" }),
  ],

  [
    "without the check of the incarnation it would be taken for the lost one",
    (directory) => reuseId(directory, { find: resolveByXidAlone, expected: "done" }),
  ],
];

async function reuseId(
  directory: string,
  { find, expected }: { find: ResolveCommit; expected: string },
): Promise<void> {
  let lost: string | undefined;
  let another: string | undefined;
  const { rows, result } = await crash(directory, {
    point: COMMIT,
    resolve: (transactionId, options) => {
      lost = transactionId?.xid;
      return find(transactionId, options);
    },
    then: async (run) => void (another = await commitAnother(run)),
    work: (db) =>
      db.transaction(inTwoFlights).catch((error) =>
        error instanceof CommitOutcomeUnknownError ? error.reason : error
      ),
  });
  assertEquals(another, lost, "the xid was assigned again");
  assertEquals([rows, result], [0, expected]);
}

Deno.test({
  name: "a lost COMMIT on a server that crashes",
  timeout: 120_000,
  async fn(test) {
    await using scratch = await makeScratch();
    for (const [name, fn] of CASES) await test.step(name, () => fn(scratch.path));
  },
});
