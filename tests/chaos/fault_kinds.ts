/** What goes wrong on the way, each kind as often as its share says. */
import {
  answer,
  COMMIT,
  COMMIT_EXECUTE,
  COMMITTED,
  delay,
  dropAfter,
  dropBefore,
  type Fault,
  type Point,
  refuse,
} from "../support/fault_relay.ts";

export interface FaultKind {
  readonly name: string;
  /** Among those of all kinds. */
  readonly share: number;
  /** Whether its strike leaves a COMMIT without its answer, for certain. */
  readonly losesCommit?: boolean;
  readonly at: Point;
  fault(random: () => number): Fault;
}

const STATEMENT = {
  direction: "toServer",
  kind: "Parse",
  text: /^\s*(?:select|update|insert|with)/i,
} as const;
const RESULT = {
  direction: "toClient",
  kind: "CommandComplete",
  text: /^(?:SELECT|UPDATE|INSERT)/,
} as const;
const FATAL = { severity: "FATAL", sqlState: "57P01", message: "terminating connection" } as const;

/** Longer than a client waits for the answer to a COMMIT; see `SETTINGS` in `chaos.ts`. */
export const GIVEN_UP_MS = 2_600;

export const FAULT_KINDS: readonly FaultKind[] = [
  {
    name: "COMMIT dropped before the server",
    share: 3,
    losesCommit: true,
    at: COMMIT,
    fault: (random) => dropBefore({ reset: random() < 0.5 }),
  },
  {
    name: "connection cut once COMMIT had passed",
    share: 3,
    losesCommit: true,
    at: COMMIT_EXECUTE,
    fault: (random) => dropAfter({ reset: random() < 0.5 }),
  },
  {
    name: "COMMIT's answer dropped",
    share: 3,
    losesCommit: true,
    at: COMMITTED,
    fault: () => dropBefore(),
  },
  {
    name: "FATAL in place of COMMIT",
    share: 1,
    losesCommit: true,
    at: COMMIT,
    fault: () => answer(FATAL),
  },
  {
    name: "FATAL in answer to COMMIT",
    share: 1,
    losesCommit: true,
    at: COMMITTED,
    fault: () => answer(FATAL),
  },
  {
    name: "COMMIT held until its client had given up",
    share: 1,
    at: COMMIT,
    fault: (random) => delay(GIVEN_UP_MS + 1_500 * random()),
  },
  {
    name: "ERROR in answer to COMMIT",
    share: 1,
    at: COMMIT,
    fault: () => answer({ sqlState: "40001", message: "could not serialize access" }),
  },
  {
    name: "statement dropped",
    share: 3,
    at: STATEMENT,
    fault: (random) => dropBefore({ reset: random() < 0.5 }),
  },
  { name: "result dropped", share: 3, at: RESULT, fault: () => dropBefore() },
  {
    name: "ERROR in answer to a statement",
    share: 2,
    at: STATEMENT,
    fault: () => answer({ sqlState: "40P01", message: "deadlock detected" }),
  },
  {
    name: "message delayed",
    share: 3,
    at: { kind: "Sync" },
    fault: (random) => delay(50 + 450 * random()),
  },
  {
    name: "connection frozen",
    share: 1,
    at: { kind: "Sync" },
    fault: (random) => freezeFor(500 + 3_500 * random()),
  },
  { name: "dial refused", share: 1, at: { at: "dial" }, fault: () => refuse(503) },
  { name: "dial reset", share: 1, at: { at: "dial" }, fault: () => refuse("reset") },
  {
    name: "frozen at the upgrade",
    share: 0.5,
    at: { at: "upgrade" },
    fault: (random) => freezeFor(500 + 2_000 * random()),
  },
  { name: "login dropped", share: 1, at: { kind: "Startup" }, fault: () => dropBefore() },
  {
    name: "login refused",
    share: 1,
    at: { kind: "Startup" },
    fault: () =>
      answer({ severity: "FATAL", sqlState: "53300", message: "sorry, too many clients already" }),
  },
];

/** Nothing passes, either way, for so long. */
function freezeFor(ms: number): Fault {
  return async function* ({ connection, bytes }) {
    connection.freeze();
    const thaw = () => connection.thaw();
    connection.wait(ms).then(thaw, thaw);
    yield bytes;
  };
}
