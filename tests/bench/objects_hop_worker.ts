/// <reference path="../../src/workers/cloudflare_workers.d.ts" />
/** An object that does nothing but read a request and answer it, for what the way to it costs. */
import {
  DurableObject,
  type DurableObjectNamespace,
  type DurableObjectStub,
} from "cloudflare:workers";

/** As long as a user, with as many headers. */
const BODY = JSON.stringify({
  id: "01939ab0-d000-7000-8000-000000000000",
  email: "ada.lovelace@example.org",
  name: "Ada Lovelace",
  version: 1,
  createdAt: "2026-11-28T16:00:00.000000Z",
  updatedAt: "2026-11-28T16:00:00.000000Z",
});
const HEADERS = {
  "Content-Type": "application/json",
  "ETag": '"1"',
  "X-Request-Id": "01939ab0-d000-7000-8000-000000000000",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
};

export class HopObject extends DurableObject<unknown> {
  override async fetch(request: Request): Promise<Response> {
    if (request.method === "POST") await request.text();
    return new Response(BODY, { headers: HEADERS });
  }

  answer(request: Request): Promise<Response> {
    return this.fetch(request);
  }
}

interface HopStub extends DurableObjectStub {
  answer(request: Request): Promise<Response>;
}

export default {
  async fetch(request: Request, { OBJECT }: { OBJECT: DurableObjectNamespace<HopStub> }) {
    const { searchParams } = new URL(request.url);
    const method = searchParams.get("method")!;
    const body = method === "POST" ? { body: BODY } : {};
    for (let left = Number(searchParams.get("calls")); left > 0; left--) {
      const asked = new Request("http://object/users", { method, headers: HEADERS, ...body });
      const stub = OBJECT.get(OBJECT.idFromName("one"));
      const call = searchParams.get("by") === "rpc" ? stub.answer(asked) : stub.fetch(asked);
      await (await call).text();
    }
    return new Response("done");
  },
};
