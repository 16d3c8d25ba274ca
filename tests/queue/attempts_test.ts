/** Which failures count as attempts of a message, and which of the two limits they count to. */
import { assert, assertEquals } from "@std/assert";
import {
  AcquireTimeoutError,
  ConnectError,
  type Database,
  isStatementFault,
  PoolClosedError,
  PoolOverloadedError,
  ServerError,
  type Sql,
  sql,
  trustedSql,
} from "../../src/db/mod.ts";
import { MAX_ATTEMPTS, MAX_OUTAGE_ATTEMPTS } from "../../src/queue/attempts.ts";
import { Consumer, type MessageFailure } from "../../src/queue/consumer.ts";
import { dispatchEvents } from "../../src/queue/cloudflare_queue.ts";
import { LeasedBatch } from "../../src/queue/leased_batch.ts";
import { FIRST_USER, takeFirstEvents } from "../../src/queue/outbox.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import { parseUserEvent, type UserEvent } from "../../src/users/user_event.ts";
import { newUserId } from "../../src/users/user_id.ts";
import type { Branch } from "../support/branch.ts";
import { faultBranch } from "../support/fault_branch.ts";
import { answer } from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";
import { countsOf, writeEvents } from "./events.ts";

const database = await localDatabase();

type Transactions = Pick<Database, "transaction">;

function consumerOf(
  db: Transactions,
  handler: (events: readonly UserEvent[]) => readonly Sql<unknown>[] = (events) => [
    recordActivity(events),
  ],
) {
  const failures: MessageFailure[] = [];
  const { consume } = new Consumer({
    db,
    name: "attempts",
    parse: parseUserEvent,
    handler,
    onFailure: (failure) => failures.push(failure),
    random: () => 0,
  });
  return { consume, failures };
}

let events = 0;

/** The outcome of a message that is delivered for the given time. */
async function outcomeOf(
  db: Transactions,
  { attempts, handler }: { attempts: number; handler: () => readonly Sql<unknown>[] },
): Promise<string> {
  const { consume, failures } = consumerOf(db, handler);
  const id = `${++events}`;
  const body = {
    id,
    type: "user.created",
    userId: newUserId(),
    version: 1,
    occurredAt: new Date().toISOString(),
    data: { email: "ann@example.org", name: "Ann" },
  };
  const outcomes: string[] = [];
  const retry = ({ wasTried = true }: { wasTried?: boolean }) =>
    void outcomes.push(wasTried ? "retried" : "put off");
  await consume([{ id, body, attempts, ack: () => void outcomes.push("acked"), retry }]);
  assertEquals(outcomes.length, 1);
  return failures.some(({ isDead }) => isDead) ? "dead" : outcomes[0]!;
}

const SLOW = [
  ["statement_timeout", { DATABASE_STATEMENT_TIMEOUT: "0.05" }],
  ["transaction_timeout", { DATABASE_TRANSACTION_TIMEOUT: "0.05" }],
] as const;

for (const [setting, env] of SLOW) {
  Deno.test(`a message whose statements are slower than ${setting} is retried up to the long limit`, async () => {
    await using branch = await database.connect();
    const db = branch.open({ ...env, DATABASE_RETRY_ATTEMPTS: "1" });
    const handler = () => [sql`select pg_sleep(3600)`];
    for (const attempts of [MAX_ATTEMPTS, MAX_OUTAGE_ATTEMPTS - 1]) {
      assertEquals(await outcomeOf(db, { attempts, handler }), "retried");
    }
    assertEquals(await outcomeOf(db, { attempts: MAX_OUTAGE_ATTEMPTS, handler }), "dead");
  });
}

Deno.test("a message that waits for a lock for longer than lock_timeout is retried up to the long limit", async () => {
  await using branch = await database.connect();
  await using blocking = branch.open().session();
  await blocking.query(sql`lock table user_activity in access exclusive mode`);
  const db = branch.open({ DATABASE_LOCK_TIMEOUT: "0.05", DATABASE_RETRY_ATTEMPTS: "1" });
  const handler = () => [sql`select from user_activity`];
  for (const attempts of [MAX_ATTEMPTS, MAX_OUTAGE_ATTEMPTS - 1]) {
    assertEquals(await outcomeOf(db, { attempts, handler }), "retried");
  }
  await blocking.rollback();
});

for (const sqlState of ["25P03", "57P01", "57P02"]) {
  Deno.test(`a message whose connection the server ends with ${sqlState} is retried up to the long limit`, async () => {
    await using branch = await faultBranch(database);
    const db = branch.open({ DATABASE_RETRY_ATTEMPTS: "1" });
    const ends = answer({ severity: "FATAL", sqlState, message: "terminating connection" });
    branch.relay.when({ direction: "toServer", kind: "Execute", statement: /now_ends/ }, ends);
    const handler = () => [sql`select 1 as now_ends`];
    assertEquals(await outcomeOf(db, { attempts: MAX_ATTEMPTS, handler }), "retried");
  });
}

const CONDITIONS = [
  ...["08000", "08006", "08P01", "25006", "25P03", "25P04", "26000", "28000", "3D000", "42P05"],
  ...["40001", "40002", "40003", "40P01", "53000", "53100", "53200", "53300", "53400"],
  ...["55006", "55P03", "57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05"],
  ...["58000", "58030", "58P01", "72000", "F0000", "HV000", "XX000", "XX001", "XX002"],
];
const FAULTS = [
  ...["0A000", "21000", "22003", "22012", "22P02", "23502", "23503", "23505", "23514", "25001"],
  ...["42501", "42601", "42703", "42P01", "44000", "54000", "54001", "55000", "P0001", "U0001"],
];

for (
  const [sqlStates, expected, why] of [
    [CONDITIONS, "retried", "the server's condition"],
    [FAULTS, "dead", "what the statement asks for"],
  ] as const
) {
  Deno.test(`a message that fails by ${why} is ${expected} on its fifth attempt`, async () => {
    await using branch = await database.connect();
    const db = branch.open({ DATABASE_RETRY_ATTEMPTS: "1" });
    for (const sqlState of sqlStates) {
      const raise = trustedSql(
        `do $$ begin raise exception 'it failed' using errcode = '${sqlState}'; end $$`,
      );
      const options = { attempts: MAX_ATTEMPTS, handler: () => [raise] };
      assertEquals(await outcomeOf(db, options), expected, sqlState);
      const before = { ...options, attempts: MAX_ATTEMPTS - 1 };
      assertEquals(await outcomeOf(db, before), "retried", sqlState);
    }
  });
}

Deno.test("a message may take effect on its hundredth delivery, and is given up on the next one", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const handler = () => [];
  assertEquals(await outcomeOf(db, { attempts: MAX_OUTAGE_ATTEMPTS, handler }), "acked");
  assertEquals(await outcomeOf(db, { attempts: MAX_OUTAGE_ATTEMPTS + 1, handler }), "dead");
});

Deno.test("a handler that throws counts to the short limit", async () => {
  await using branch = await database.connect();
  const handler = () => {
    throw new TypeError("not a function");
  };
  const db = branch.open();
  assertEquals(await outcomeOf(db, { attempts: MAX_ATTEMPTS - 1, handler }), "retried");
  assertEquals(await outcomeOf(db, { attempts: MAX_ATTEMPTS, handler }), "dead");
});

Deno.test("isStatementFault() tells by their texts the conditions that share a SQLSTATE with faults", () => {
  const conditions = [
    ["54000", 'database is not accepting commands that assign new transaction IDs, database "x"'],
    ["0A000", "cached plan must not change result type"],
  ];
  for (const [sqlState, message] of conditions) {
    const error = new ServerError({ severity: "ERROR", sqlState: sqlState!, message: message! });
    assertEquals(isStatementFault(error), false, message);
  }
});

/** Consumes the events of the outbox, and gives the attempts of those that are left, the highest first. */
async function attemptsAfter(
  { taken, consumed }: { taken: Database; consumed: Transactions },
): Promise<{ counted: number[]; failures: MessageFailure[] }> {
  const take = takeFirstEvents({ limit: 10, leaseMs: 60_000, after: FIRST_USER });
  const [rows] = await taken.transaction((session) => session.commit([take]));
  const batch = new LeasedBatch(rows);
  const { consume, failures } = consumerOf(consumed);
  await consume(batch.deliveries);
  await taken.transaction((session) => session.commit(batch.outcomeStatements()));
  const [left] = await taken.transaction((session) =>
    session.commit([
      sql<{ attempts: number }>`select attempts from user_events order by attempts desc`,
    ])
  );
  return { counted: left.map(({ attempts }) => attempts), failures };
}

function failing(...errors: readonly (Error | undefined)[]): (db: Database) => Transactions {
  const left = [...errors];
  return (db) => ({
    transaction: ((work, options) => {
      const error = left.length > 1 ? left.shift() : left[0];
      return error === undefined ? db.transaction(work, options) : Promise.reject(error);
    }) as Database["transaction"],
  });
}

const NEVER_SENT = [
  new ConnectError("Cannot connect"),
  new ConnectError("Cannot connect", {
    sent: true,
    cause: new ServerError({ severity: "FATAL", sqlState: "57P03", message: "starting up" }),
  }),
  new AcquireTimeoutError("Cannot get a connection", { retryAfterMs: 1 }),
  new PoolOverloadedError("Cannot get a connection", { retryAfterMs: 1 }),
  new PoolClosedError("Cannot get a connection"),
];
const LOST_IN_FIRST_FLIGHT = new ConnectError("Cannot connect", { sent: true });

function outboxTest(name: string, fn: (branch: Branch, db: Database) => Promise<void>): void {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    try {
      await fn(branch, branch.open());
    } finally {
      await branch.asAdmin("delete from user_events");
    }
  });
}

for (const attempts of [0, 3]) {
  outboxTest(
    `messages that find no connection after ${attempts} attempts have as many afterwards`,
    async (branch, db) => {
      await writeEvents(branch, { users: 3, versions: 1 });
      for (const error of NEVER_SENT) {
        await branch.asAdmin(`update user_events set attempts = ${attempts}, due_at = now()`);
        const { counted } = await attemptsAfter({ taken: db, consumed: failing(error)(db) });
        assertEquals(counted, [attempts, attempts, attempts], error.name);
      }
    },
  );
}

outboxTest("messages that an unreachable database puts off are not counted", async (branch, db) => {
  await writeEvents(branch, { users: 3, versions: 1 });
  // Nothing listens there.
  const unreachable = branch.open({
    DATABASE_WS_PROXY: "ws://127.0.0.1:1",
    DATABASE_RETRY_ATTEMPTS: "1",
  });
  const { counted } = await attemptsAfter({ taken: db, consumed: unreachable });
  assertEquals(counted, [0, 0, 0]);
});

outboxTest(
  "a message whose statements may have reached the server is counted, and those behind it are not",
  async (branch, db) => {
    await writeEvents(branch, { users: 3, versions: 1 });
    await branch.asAdmin("update user_events set attempts = 1");
    const consumed = failing(LOST_IN_FIRST_FLIGHT)(db);
    const { counted } = await attemptsAfter({ taken: db, consumed });
    assertEquals(counted, [2, 1, 1]);
  },
);

outboxTest(
  "messages that share a first flight that was lost are counted, as one of them may end its server's process",
  async (branch, db) => {
    await writeEvents(branch, { users: 3, versions: 1 });
    const consumed = failing(LOST_IN_FIRST_FLIGHT)(db);
    const { counted } = await attemptsAfter({ taken: db, consumed });
    assertEquals(counted, [1, 1, 1]);
  },
);

outboxTest(
  "an outage that begins within a batch counts nothing for the messages behind it",
  async (branch, db) => {
    await writeEvents(branch, { users: 4, versions: 1 });
    await branch.asAdmin("update user_events set attempts = 1");
    const consumed = failing(undefined, new TypeError("own"), NEVER_SENT[0])(db);
    const { counted, failures } = await attemptsAfter({ taken: db, consumed });
    // The first one is done, the second one failed, and nothing of the others was sent.
    assertEquals(counted, [2, 1, 1]);
    assert(failures.every(({ isDead }) => !isDead));
  },
);

outboxTest(
  "a message that a long outage put off more often than the long limit allows is processed afterwards",
  async (branch, db) => {
    await writeEvents(branch, { users: 1, versions: 1 });
    const { activity } = await countsOf(branch);
    const outage = failing(NEVER_SENT[0])(db);
    for (let round = 0; round <= MAX_OUTAGE_ATTEMPTS; round++) {
      await attemptsAfter({ taken: db, consumed: outage });
      await branch.asAdmin("update user_events set due_at = now()");
    }
    const { counted, failures } = await attemptsAfter({ taken: db, consumed: db });
    assertEquals([counted, failures], [[], []]);
    assertEquals((await countsOf(branch)).activity - activity, 1);
  },
);

outboxTest("a dispatch that fails is no attempt to process its events", async (branch, db) => {
  await writeEvents(branch, { users: 2, versions: 1 });
  const unsendable = { sendBatch: () => Promise.reject(new Error("queue unavailable")) };
  await dispatchEvents(db, unsendable).catch(() => {});
  const rows = await branch.asAdmin(
    "select attempts, due_at > now() as leased from user_events",
  );
  assertEquals(rows, Array(2).fill({ attempts: 0, leased: true }));
});
