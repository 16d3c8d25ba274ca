/** Access to a test's database through a fault relay. The administrator's connections pass no fault. */
import type { RelayTarget } from "../../src/library/testing/relay/relay.ts";
import { branchOf, type Env } from "./branch.ts";
import { type FaultRelay, type FaultRelayOptions, startFaultRelay } from "./fault_relay.ts";
import type { LocalBranch, LocalDatabase } from "./local_database.ts";

export interface FaultBranch extends LocalBranch {
  readonly relay: FaultRelay;
}

/** Gives access to a local database, over TCP or through a WebSocket. `faults` are armed from the start. */
export async function faultBranch(
  database: LocalDatabase,
  { transport = "websocket", ...options }: Pick<FaultRelayOptions, "faults"> & {
    transport?: "websocket" | "tcp";
  } = {},
): Promise<FaultBranch> {
  const plain = await database.connect();
  const relay = await startFaultRelay({ ...options, targets: [targetOf(plain.env)] });
  const envOf: LocalBranch["envOf"] = (role) => {
    const env: Env = { ...plain.envOf(role), DATABASE_WS_PROXY: relay.url };
    if (transport === "websocket") return env;
    const url = new URL(env["DATABASE_URL"]!);
    url.port = String(relay.tcpPort);
    // Without the request for TLS, so that the messages are those of a WebSocket.
    url.search = "sslmode=disable";
    return { ...env, DATABASE_URL: url.href, DATABASE_TRANSPORT: "tcp" };
  };
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
