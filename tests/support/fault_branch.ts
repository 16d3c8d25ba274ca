/** Access to a test's database through a fault relay. The administrator's connections pass no fault. */
import type { RelayTarget } from "../../src/library/testing/relay/relay.ts";
import { branchOf, type Env } from "./branch.ts";
import { type FaultRelay, type FaultRelayOptions, startFaultRelay } from "./fault_relay.ts";
import type { LocalBranch, LocalDatabase } from "./local_database.ts";

export interface FaultBranch extends LocalBranch {
  readonly relay: FaultRelay;
}

/** Gives access to a local database. `faults` are armed from the start. */
export async function faultBranch(
  database: LocalDatabase,
  options: Pick<FaultRelayOptions, "faults"> = {},
): Promise<FaultBranch> {
  const plain = await database.connect();
  const relay = await startFaultRelay({ ...options, targets: [targetOf(plain.env)] });
  const envOf: LocalBranch["envOf"] = (role) => ({
    ...plain.envOf(role),
    DATABASE_WS_PROXY: relay.url,
  });
  const branch = branchOf({ env: envOf("user_service"), adminEnv: plain.envOf("postgres") });
  return {
    ...branch,
    envOf,
    relay,
    async [Symbol.asyncDispose]() {
      await branch[Symbol.asyncDispose]();
      await relay.close();
      await plain[Symbol.asyncDispose]();
    },
  };
}

function targetOf(env: Env): RelayTarget {
  const { hostname, port } = new URL(env["DATABASE_URL"]!);
  return { hostname, port: Number(port) };
}
