/** The address of a request's client, which limits count by. */

import type { Context } from "hono";
import { clientNetwork } from "../../client_network.ts";

/** The longest text of an IPv6 address. What a header has instead is cut, so that no key of a table is longer. */
const LENGTH_MAX = 45;

export interface ClientAddressOptions {
  /**
   * The header in which the proxy in front of the service names the client. Of a list, as in `X-Forwarded-For`, the last
   * entry counts: that proxy has written it, and the client may have sent the others. Without a proxy that sets the
   * header a client could choose its address, so that there is no default on Deno.
   */
  readonly header: string | undefined;
  /** The other end of the connection, for a request without the header. */
  readonly peerOf: (c: Context) => string | undefined;
}

/** Returns the function that tells a request's address, as limits count it; `undefined` if nothing tells it. */
export function clientAddress(
  { header, peerOf }: ClientAddressOptions,
): (c: Context) => string | undefined {
  return (c) => {
    const named = header === undefined ? undefined : c.req.header(header);
    const address = withoutPort(named?.slice(named.lastIndexOf(",") + 1).trim()) || peerOf(c);
    return address === undefined ? undefined : clientNetwork(address.slice(0, LENGTH_MAX));
  };
}

/** Some proxies write the client's port behind its address. */
function withoutPort(entry: string | undefined): string | undefined {
  const [, ipv6, ipv4] = /^(?:\[(.+)\](?::\d+)?|([\d.]+):\d+)$/.exec(entry ?? "") ?? [];
  return ipv6 ?? ipv4 ?? entry;
}
