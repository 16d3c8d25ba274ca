/**
 * Source of a Worker that forwards requests to another Worker, and aborts them as a client does. A local workerd does
 * not notice that a client has gone until it writes to it. Cloudflare's front does, and then aborts the request as this
 * Worker does.
 */
export const LEAVING_CLIENT = `export default {
  async fetch(request, { SERVICE }) {
    const leaveUrl = request.headers.get("x-leave-url");
    if (leaveUrl === null) return await SERVICE.fetch(request);
    const leaving = new AbortController();
    const answer = SERVICE.fetch(request, { signal: leaving.signal });
    answer.catch(() => {});
    await fetch(leaveUrl);
    leaving.abort();
    return new Response("left");
  },
};`;

/** A server whose answer makes the client leave. */
export interface Leave extends AsyncDisposable {
  readonly headers: Readonly<Record<string, string>>;
  now(): void;
}

export function leaveWhenTold(): Leave {
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => promise.then(() => new Response()),
  );
  return {
    headers: { "x-leave-url": `http://127.0.0.1:${server.addr.port}/` },
    now: resolve,
    [Symbol.asyncDispose]: () => {
      resolve();
      return server[Symbol.asyncDispose]();
    },
  };
}
