/** `deno task relay`: starts a relay in front of the given addresses (`library/testing/relay/relay.ts`). */
import { listenForSignals } from "../deno/signals.ts";
import { type RelayTarget, startRelay } from "../library/testing/relay/relay.ts";

/** Prints each refusal, but not one that repeats the last: a client that tries again and again fails alike. */
export function printRefusals(): (text: string) => void {
  let last = "";
  return (text) => {
    if (text !== last) console.error(`Relay: ${text}`);
    last = text;
  };
}

/** Parses `host:port` arguments. */
function parseTargets(addresses: readonly string[]): RelayTarget[] {
  return addresses.map((address) => {
    const [, hostname, port] = /^(.+):(\d+)$/.exec(address) ?? [];
    if (hostname === undefined) {
      throw new TypeError(
        `Cannot start the relay as a target must be host:port: current value ${address}`,
      );
    }
    return { hostname, port: Number(port) };
  });
}

if (import.meta.main) {
  const targets = parseTargets(Deno.args);
  if (targets.length === 0) {
    console.error("Cannot start the relay as it has no target; pass one, such as 127.0.0.1:5432");
    Deno.exit(2);
  }
  const relay = await startRelay({ targets, onRefusal: printRefusals() });
  console.log(`DATABASE_WS_PROXY=${relay.url}`);
  listenForSignals({
    onFirst: () => relay.close().then(() => Deno.exit(0)),
    onSecond: () => Deno.exit(130),
  });
}
