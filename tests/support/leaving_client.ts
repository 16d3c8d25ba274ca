/**
 * A Worker that stands before another one and leaves it as a client does. A local workerd does not notice that a
 * client has gone until it writes to it; Cloudflare's own front does, and then drops the request as this one does.
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

/** An address that answers once the client is to leave. */
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
