/**
 * The Worker as `deno task worker` runs it: the same, but it refuses requests under another name than this machine's.
 * `loopback_hosts.ts` gives the reason. It is not part of a deployment.
 */
import type { ExecutionContext } from "cloudflare:workers";
import { isLoopbackHeader, isLoopbackHost } from "../../library/loopback.ts";
import worker, { DatabaseObject, UsersEntrypoint } from "../../worker.ts";
import type { Bindings } from "../../workers/settings.ts";

export { DatabaseObject, UsersEntrypoint };

export default {
  ...worker,
  fetch(request: Request, bindings: Bindings, ctx: ExecutionContext): Promise<Response> {
    const host = request.headers.get("host") ?? undefined;
    const { hostname } = new URL(request.url);
    if (isLoopbackHost(hostname) && isLoopbackHeader(host)) {
      return worker.fetch(request, bindings, ctx);
    }
    const text = `Cannot serve this Host as "deno task worker" serves only this machine's names: ` +
      `current value ${JSON.stringify(host ?? "")}; use localhost or 127.0.0.1\n`;
    return Promise.resolve(new Response(text, { status: 400 }));
  },
};
