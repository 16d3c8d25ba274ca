/** Faults at single messages of the relay. */
import {
  answer,
  bindOf,
  COMMIT,
  COMMIT_EXECUTE,
  COMMITTED,
  delay,
  dropAfter,
  dropBefore,
  type Fault,
  type Point,
  refuse,
} from "../../support/fault_relay.ts";
import type { Random } from "../random.ts";

/** The share says how frequent a kind is, relative to the sum of all shares. */
type Kind = readonly [name: string, share: number, at: Point, fault: (random: Random) => Fault];

export interface FaultKind {
  readonly name: string;
  readonly share: number;
  readonly at: Point;
  readonly fault: (random: Random) => Fault;
  /** True if each strike certainly leaves a COMMIT without an answer. */
  readonly losesCommit: boolean;
}

const STATEMENT = bindOf(/^\s*(?:select|update|insert|with)/i);
const RESULT = {
  direction: "toClient",
  kind: "CommandComplete",
  text: /^(?:SELECT|UPDATE|INSERT)/,
} as const;
const SYNC = { kind: "Sync" } as const;
const STARTUP = { kind: "Startup" } as const;
const FATAL = { severity: "FATAL", sqlState: "57P01", message: "terminating connection" } as const;
const NOT_SERIALIZABLE = { sqlState: "40001", message: "could not serialize access" };
const DEADLOCK = { sqlState: "40P01", message: "deadlock detected" };
const TOO_MANY = {
  severity: "FATAL",
  sqlState: "53300",
  message: "sorry, too many clients already",
} as const;

/** Longer than a session waits for an answer: the statement timeout in `chaos.ts`, and a second of grace. */
const GIVEN_UP_MS = 2_600;

const drop = (random: Random) => dropBefore({ reset: random() < 0.5 });

const LOST_COMMITS: readonly Kind[] = [
  ["COMMIT dropped before the server", 3, COMMIT, drop],
  [
    "connection cut after COMMIT had passed",
    3,
    COMMIT_EXECUTE,
    (random) => dropAfter({ reset: random() < 0.5 }),
  ],
  ["COMMIT's answer dropped", 3, COMMITTED, () => dropBefore()],
  ["FATAL in place of COMMIT", 1, COMMIT, () => answer(FATAL)],
  ["FATAL in answer to COMMIT", 1, COMMITTED, () => answer(FATAL)],
];

const OTHERS: readonly Kind[] = [
  [
    "COMMIT held until the session had given up",
    1,
    COMMIT,
    (random) => delay(GIVEN_UP_MS + 1_500 * random()),
  ],
  ["ERROR in answer to COMMIT", 1, COMMIT, () => answer(NOT_SERIALIZABLE)],
  ["statement dropped", 3, STATEMENT, drop],
  ["result dropped", 3, RESULT, () => dropBefore()],
  ["ERROR in answer to a statement", 2, STATEMENT, () => answer(DEADLOCK)],
  ["message delayed", 3, SYNC, (random) => delay(50 + 450 * random())],
  ["connection frozen", 1, SYNC, (random) => freezeFor(500 + 3_500 * random())],
  ["dial refused", 1, { at: "dial" }, () => refuse(503)],
  ["dial reset", 1, { at: "dial" }, () => refuse("reset")],
  [
    "frozen at the upgrade",
    0.5,
    { at: "upgrade" },
    (random) => freezeFor(500 + 2_000 * random()),
  ],
  ["login dropped", 1, STARTUP, () => dropBefore()],
  ["login refused", 1, STARTUP, () => answer(TOO_MANY)],
];

export const FAULT_KINDS: readonly FaultKind[] = [
  ...LOST_COMMITS.map((kind) => faultKind(kind, { losesCommit: true })),
  ...OTHERS.map((kind) => faultKind(kind, { losesCommit: false })),
];

function faultKind([name, share, at, fault]: Kind, { losesCommit }: { losesCommit: boolean }) {
  return { name, share, at, fault, losesCommit };
}

/** Lets nothing pass in either direction for this time. */
function freezeFor(ms: number): Fault {
  return async function* ({ connection, bytes }) {
    connection.freeze();
    const thaw = () => connection.thaw();
    connection.wait(ms).then(thaw, thaw);
    yield bytes;
  };
}
