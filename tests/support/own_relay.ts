import { type Relay, startRelay } from "../../src/library/testing/relay/relay.ts";
import type { Env } from "./branch.ts";

/** Starts a relay to the server of these settings, for one test: closing it ends no connection of another test. */
export function ownRelay({ DATABASE_URL: url }: Env): Promise<Relay> {
  const { hostname, port } = new URL(url!);
  return startRelay({ targets: [{ hostname, port: Number(port) }] });
}
