import { type Relay, startRelay } from "../../src/dev/relay/relay.ts";
import type { Env } from "./branch.ts";

/** A relay that one test alone uses, to the server of these settings: closing it hangs up on nobody else. */
export function ownRelay({ DATABASE_URL: url }: Env): Promise<Relay> {
  const { hostname, port } = new URL(url!);
  return startRelay({ targets: [{ hostname, port: Number(port) }] });
}
