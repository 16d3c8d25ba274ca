/**
 * Every kind of fault at every point of a unit of work, on a real server: the caller's result, the rows in the
 * database, and the connections that the pool keeps. Through a WebSocket and over TCP alike.
 */
import { assertEquals } from "@std/assert";
import { type Database, sql } from "../../src/db/mod.ts";
import { classify } from "../../src/db/failures/classify.ts";
import { type FaultBranch, faultBranch } from "../support/fault_branch.ts";
import { rowsInTheEnd } from "../support/fault_fixture.ts";
import {
  answer,
  BEGIN,
  bindOf,
  COMMIT,
  COMMITTED,
  delay,
  dropAfter,
  dropBefore,
  type Fault,
  freeze,
  halfClose,
  hold,
  type Point as RelayPoint,
  refuse,
  trickle,
} from "../support/fault_relay.ts";
import { localDatabase } from "../support/local_database.ts";

const POINTS = [
  "dial",
  "upgrade",
  "startup",
  "password",
  "first flight sent",
  "first answer",
  "mid-statement",
  "before COMMIT",
  "COMMIT sent",
  "COMMIT unanswered",
  "idle",
  "release",
] as const;
const KINDS = ["drop", "half-close", "freeze", "error", "trickle"] as const;
type Point = typeof POINTS[number];
type Kind = typeof KINDS[number];

/**
 * `result` is "done", or the error's class, its kind, whether the unit was applied, and whether the failure is
 * transient ("again") or not ("final"). Then come the unit's rows in the database, and the connections that the pool
 * has kept.
 */
type Outcome = readonly [result: string, rows: number, idle: number];

const DONE: Outcome = ["done", 1, 1];
const UNDONE: Outcome = ["done", 0, 1];
const UNDONE_AND_CUT: Outcome = ["done", 0, 0];
const NOT_REACHED: Outcome = ["ConnectError: not_reached, no, again", 0, 0];
const REFUSED: Outcome = ["ConnectError: admin_shutdown, no, again", 0, 0];
const LOST: Outcome = ["ConnectionLostError: connection_lost, no, again", 0, 0];
const KILLED: Outcome = ["ConnectionLostError: admin_shutdown, no, again", 0, 0];
const TOO_LONG: Outcome = ["DeadlineError: deadline, no, final", 0, 0];
/** The outcome of COMMIT was looked up, on a second connection, which the pool has kept. */
const resolved = ([result, rows]: Outcome): Outcome => [result, rows, 1];
/** The answer to COMMIT arrived, and ReadyForQuery did not: no lookup is needed. */
const ANSWERED: Outcome = ["done", 1, 0];

/**
 * In the order of `KINDS`. Before the upgrade is complete there is no stream to half-close: the relay then drops the
 * connection.
 */
const EXPECTED: Readonly<Record<Point, readonly [Outcome, Outcome, Outcome, Outcome, Outcome]>> = {
  "dial": [NOT_REACHED, NOT_REACHED, NOT_REACHED, NOT_REACHED, DONE],
  "upgrade": [NOT_REACHED, NOT_REACHED, NOT_REACHED, NOT_REACHED, DONE],
  "startup": [NOT_REACHED, NOT_REACHED, NOT_REACHED, REFUSED, DONE],
  "password": [NOT_REACHED, NOT_REACHED, NOT_REACHED, REFUSED, DONE],
  // After a half-close the server ends in order, and still sends the ReadyForQuery of the login.
  "first flight sent": [NOT_REACHED, LOST, NOT_REACHED, KILLED, DONE],
  "first answer": [NOT_REACHED, NOT_REACHED, NOT_REACHED, REFUSED, DONE],
  "mid-statement": [LOST, LOST, TOO_LONG, KILLED, DONE],
  "before COMMIT": [resolved(LOST), resolved(LOST), resolved(TOO_LONG), resolved(KILLED), DONE],
  // Without a Sync the server does not send its answer before it ends.
  "COMMIT sent": [DONE, DONE, DONE, ANSWERED, DONE],
  "COMMIT unanswered": [DONE, DONE, DONE, DONE, DONE],
  // A frozen peer sends no error that would allow a replay.
  "idle": [DONE, DONE, TOO_LONG, DONE, DONE],
  "release": [UNDONE_AND_CUT, UNDONE_AND_CUT, UNDONE_AND_CUT, UNDONE_AND_CUT, UNDONE],
};

/**
 * Where the relay applies the fault. The client sends several messages as one, so the relay matches single messages.
 */
const STRIKES: Readonly<Record<Exclude<Point, "idle">, RelayPoint>> = {
  "dial": { at: "dial" },
  "upgrade": { at: "upgrade" },
  "startup": { direction: "toServer", kind: "Startup" },
  "password": { direction: "toServer", kind: "Password" },
  "first flight sent": BEGIN,
  "first answer": { direction: "toClient" },
  "mid-statement": { direction: "toClient", kind: "DataRow", statement: /^insert/ },
  "before COMMIT": COMMIT,
  "COMMIT sent": { direction: "toServer", kind: "Sync", statement: /^commit$/m },
  "COMMIT unanswered": COMMITTED,
  "release": bindOf(/^ROLLBACK$/),
};

const TERMINATED = {
  severity: "FATAL",
  sqlState: "57P01",
  message: "terminating connection due to administrator command",
} as const;

function faultOf(point: Exclude<Point, "idle">, kind: Kind): Fault {
  const isMoment = point === "dial" || point === "upgrade";
  switch (kind) {
    case "drop":
      if (point === "dial") return refuse("reset");
      return point === "COMMIT sent" ? dropAfter() : dropBefore();
    case "half-close":
      return point === "dial" ? refuse("reset") : halfClose(directionOf(STRIKES[point]));
    case "freeze":
      return point === "dial" ? hold() : freeze();
    case "error":
      return isMoment ? refuse(503) : answer(TERMINATED);
    case "trickle":
      return isMoment ? delay(20) : trickle();
  }
}

function directionOf(point: RelayPoint) {
  return "direction" in point && point.direction === "toClient" ? "toClient" : "toServer";
}

const database = await localDatabase();

type Transport = "websocket" | "tcp";

interface Cell {
  readonly point: Point;
  readonly kind: Kind;
  readonly expected: Outcome;
  readonly transport: Transport;
}

async function strike({ point, kind, expected, transport }: Cell): Promise<Outcome> {
  await using branch = await faultBranch(database, { transport });
  const db = branch.open({
    DATABASE_CONNECT_TIMEOUT: "0.5",
    DATABASE_STATEMENT_TIMEOUT: "0.1",
    DATABASE_RETRY_ATTEMPTS: "1",
    DATABASE_LOCK_TIMEOUT: "0.1",
  });
  const name = `${point} ${kind} ${transport}`;
  const result = point === "idle"
    ? await strikeIdle(branch, db, { kind, name })
    : await strikeUnit(branch, db, { point, kind, name });
  const { idle, leased, opening, waiting } = db.stats();
  assertEquals([leased, opening, waiting], [0, 0, 0], "no permit is leased or awaited");
  return [result, await rowsInTheEnd(branch, { name, expected: expected[1] }), idle];
}

async function strikeUnit(
  branch: FaultBranch,
  db: Database,
  { point, kind, name }: { point: Exclude<Point, "idle">; kind: Kind; name: string },
): Promise<string> {
  const times = kind === "trickle" ? Infinity : 1;
  const armed = branch.relay.when({ ...STRIKES[point], times }, faultOf(point, kind));
  const outcome = await outcomeOf(db, name, { commits: point !== "release" });
  await armed.struck({ timeoutMs: 0 });
  return outcome;
}

async function strikeIdle(
  branch: FaultBranch,
  db: Database,
  { kind, name }: { kind: Kind; name: string },
): Promise<string> {
  await db.transaction((session) => session.commit([sql`select 1`]));
  const [connection] = branch.relay.connections;
  switch (kind) {
    case "drop":
      connection!.cut();
      break;
    case "half-close":
      connection!.halfClose("toClient");
      break;
    case "freeze":
      connection!.freeze();
      break;
    case "error":
      await branch.asAdmin(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = 'user-service' and datname = current_database()`,
      );
      break;
    case "trickle":
      branch.relay.when({ times: Infinity }, trickle());
  }
  return await outcomeOf(db, name, { commits: true });
}

async function outcomeOf(
  db: Database,
  name: string,
  { commits }: { commits: boolean },
): Promise<string> {
  try {
    await db.transaction(async (session) => {
      await session.query(sql`insert into users (id, email, name)
        values (gen_random_uuid(), gen_random_uuid()::text, ${name}) returning id`);
      if (commits) await session.commit();
      else await session.rollback();
    });
    return "done";
  } catch (error) {
    const { kind, applied, transient } = classify(error, "statement");
    return `${(error as Error).name}: ${kind}, ${applied}, ${transient ? "again" : "final"}`;
  }
}

for (const point of POINTS) {
  for (const [index, kind] of KINDS.entries()) {
    for (const transport of ["websocket", "tcp"] as const) {
      const expected = EXPECTED[point][index]!;
      const [result, rows, idle] = expected;
      Deno.test({
        name: `${kind} at ${point}, ${transport}: ${result}, rows ${rows}, connections ${idle}`,
        timeout: 30_000,
        fn: async () => assertEquals(await strike({ point, kind, expected, transport }), expected),
      });
    }
  }
}
