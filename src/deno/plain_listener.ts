/**
 * The HTTP server of a process behind a proxy, on `Deno.serve`: it costs a request about 30 µs less than `listener.ts`, and
 * leaves connections, slow clients and a client's share to the proxy.
 */
import { completesWithin } from "../db/time/timeout.ts";
import { isHost, refuseHost } from "../http/host.ts";
import type { HttpListener, ListenerOptions } from "./listener.ts";

/** Throws the error of the system if it cannot listen. */
export function listenPlainly(
  { hostname, port, handler, onError }: Pick<
    ListenerOptions,
    "hostname" | "port" | "handler" | "onError"
  >,
): HttpListener {
  let isClosing = false;
  const server = Deno.serve({
    hostname,
    port,
    onListen: () => {},
    onError(error) {
      onError(error);
      return new Response(null, { status: 500 });
    },
  }, async (request, { remoteAddr }) => {
    const response = hasHost(request) ? await handler(request, { remoteAddr }) : refuseHost();
    if (isClosing) response.headers.set("Connection", "close");
    return response;
  });
  return {
    port: server.addr.port,
    closeAfterResponses: () => isClosing = true,
    async close({ timeoutMs }) {
      await completesWithin(server.shutdown(), timeoutMs);
    },
  };
}

/**
 * Deno makes the URL of the Host header or of an absolute target, so that both could choose the route. A request without
 * either gets the address that the client has connected to.
 */
function hasHost({ headers, url }: Request): boolean {
  const host = headers.get("host");
  const [, authority = ""] = /^http:\/\/([^/?#]*)/.exec(url) ?? [];
  return (host === null || isHost(host)) && (host === authority || isHost(authority));
}
