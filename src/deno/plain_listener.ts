/**
 * The HTTP server of a process behind a proxy, on `Deno.serve`: it costs a request 6 to 13 µs less than `listener.ts`, and
 * leaves connections, slow clients and a client's share to the proxy.
 */
import { completesWithin, sleep } from "../db/time/timeout.ts";
import { isHost, refuseHost } from "../http/host.ts";
import { type HttpListener, LINGER_MS, type ListenerOptions } from "./listener.ts";

/** How long the port stays closed after `accept` has failed: connections that end meanwhile free descriptors. */
const PAUSE_MS = 200;

/** Throws the error of the system if it cannot listen. */
export function listenPlainly(
  { hostname, port, handler, onError, onSilence }: Pick<
    ListenerOptions,
    "hostname" | "port" | "handler" | "onError" | "onSilence"
  >,
): HttpListener {
  let isClosing = false;
  const serve = (port: number) =>
    Deno.serve({
      hostname,
      port,
      onListen: () => {},
      onError(error) {
        onError(error);
        return new Response(null, { status: 500 });
      },
    }, (request, info) => {
      const { method } = request;
      const answer = hasHost(request) ? handler(request, info) : refuseHost();
      // No async function, whose frame would stay for as long as the request waits.
      return Promise.resolve(answer).then((response) =>
        isClosing || method === "HEAD" ? adapted(response, { method, isClosing }) : response
      );
    });
  let server = serve(port);
  const bound = server.addr.port;
  // `Deno.serve` ends when the process has no descriptor left for a new connection.
  const serveAgain = () => {
    if (isClosing) return;
    onSilence();
    retry();
  };
  const retry = () => {
    setTimeout(() => {
      if (isClosing) return;
      try {
        server = serve(bound);
        server.finished.catch(serveAgain);
      } catch {
        retry();
      }
    }, PAUSE_MS);
  };
  server.finished.catch(serveAgain);
  return {
    port: bound,
    closeAfterResponses: () => isClosing = true,
    async close({ timeoutMs }) {
      const endsAtMs = performance.now() + timeoutMs;
      isClosing = true;
      // Deno shows no connections, so that it always waits for those that are idle.
      await sleep(Math.min(LINGER_MS, timeoutMs / 2));
      // What has not ended by then ends with the process: to abort the server after this call throws in Deno.
      const finished = server.shutdown().catch(() => {});
      await completesWithin(finished, Math.max(0, endsAtMs - performance.now()));
    },
  };
}

/**
 * Says that the connection closes. For HEAD, Hono drops the body, of which Deno would make a length of 0; for a stream it
 * states none: https://www.rfc-editor.org/rfc/rfc9110#section-8.6
 */
function adapted(
  { body, status, statusText, headers: given }: Response,
  { method, isClosing }: { method: string; isClosing: boolean },
): Response {
  const headers = new Headers(given);
  if (isClosing) headers.set("Connection", "close");
  const isHead = method === "HEAD" && body === null && ![204, 205, 304].includes(status);
  return new Response(isHead ? new Blob([]).stream() : body, { status, statusText, headers });
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
