/** Faults put into a run on purpose, to show that the oracle sees them: a run with one of them must fail. */
import type { DatabaseOptions, Lease } from "../../../src/db/mod.ts";
import { type ResolveCommit, resolveCommit } from "../../../src/db/session/commit_outcome.ts";
import type { TransactionStatus } from "../../../src/db/driver/driver.ts";
import { SYSTEM_IDENTIFIER } from "../../../src/db/driver/system_identifier.ts";
import type { ScriptedConnection } from "../../support/scripted_driver.ts";
import { resolutionOf } from "../chaos/mutations.ts";

export interface Cheat {
  readonly resolution?: Pick<DatabaseOptions, "resolveCommit">;
  readonly onConnect?: (connection: ScriptedConnection) => void;
  readonly onLease?: (lease: Lease) => void;
  /** Keeps the caller's signal from the layer. */
  readonly hidesSignal?: true;
}

const KINDS = {
  /** Takes every lost COMMIT for rolled back. */
  blind: () => ({ resolution: resolutionOf("blind") }),
  /** Finds out nothing. */
  none: () => ({ resolution: resolutionOf("none") }),
  /** Trusts a transaction id although the server has crashed since. */
  incarnation: () => ({ resolution: resolutionOf("incarnation") }),
  /** Trusts a transaction id on whichever cluster. */
  cluster: () => ({ resolution: { resolveCommit: resolveOnAnyCluster } }),
  /** Connections report status `I` in the middle of a transaction. */
  dirty: () => ({ onConnect: sayIdle }),
  /** A destroyed lease is not given back. */
  leak: () => ({ onLease: (lease) => lease.destroy = () => Promise.resolve() }),
  /** A destroyed lease is released, although a cancel request may be on its way to its connection. */
  reuse: () => ({ onLease: (lease) => lease.destroy = () => lease.release() }),
  /** A statement gets the rows of another one. */
  mixed: () => ({ onConnect: exchangeRows() }),
  /** The layer does not get the caller's signal. */
  deaf: () => ({ hidesSignal: true }),
} as const satisfies Readonly<Record<string, () => Cheat>>;

export type CheatName = keyof typeof KINDS;

export const CHEATS = Object.keys(KINDS) as CheatName[];

/** A cheat for one run. */
export function cheatOf(name: CheatName | undefined): Cheat {
  return name === undefined ? {} : KINDS[name]();
}

/** Asks the server as `resolveCommit` does, but takes its cluster for the transaction's own. */
const resolveOnAnyCluster: ResolveCommit = async (transactionId, options) => {
  if (transactionId === undefined) return await resolveCommit(transactionId, options);
  let systemIdentifier: string | undefined;
  const acquire: typeof options.acquire = async (acquireOptions) => {
    const lease = await options.acquire(acquireOptions);
    const text = `select ${SYSTEM_IDENTIFIER} as "systemIdentifier"`;
    const { results } = await lease.connection.flight([{ text, values: [] }]);
    systemIdentifier = String(results[0]?.rows[0]?.["systemIdentifier"]);
    return lease;
  };
  const believed = {
    ...transactionId,
    get systemIdentifier() {
      return systemIdentifier;
    },
  };
  return await resolveCommit(believed, { ...options, acquire });
};

function sayIdle(connection: ScriptedConnection): void {
  let status: TransactionStatus | undefined;
  Object.defineProperty(connection, "status", {
    get: () => status === undefined ? undefined : "I",
    set: (value: TransactionStatus) => status = value,
  });
}

function exchangeRows(): (connection: ScriptedConnection) => void {
  let kept: unknown;
  return (connection) => {
    const answer = connection.answer.bind(connection);
    connection.answer = (given) => {
      const results = given.results.map((result) => {
        const [row] = result.rows;
        if (row === undefined || !("echo" in row)) return result;
        const echo = kept ?? row["echo"];
        kept = row["echo"];
        return { ...result, rows: [{ echo }] };
      });
      answer({ ...given, results });
    };
  };
}
