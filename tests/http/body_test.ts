import type { Context } from "hono";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { BodyLimit, readBody } from "../../src/http/body.ts";
import { ProblemError } from "../../src/http/problem.ts";
import { untouchedDatabase } from "./fake_database.ts";
import { createApp } from "../../src/http/app.ts";
import { BEARER } from "../support/token.ts";
import { authenticator } from "./test_app.ts";

function requestWith(body: BodyInit | ReadableStream<Uint8Array>): Request {
  const init = { method: "POST", body, duplex: "half" } as RequestInit;
  return new Request("http://localhost/", init);
}

async function statusOf(reading: Promise<unknown>): Promise<number> {
  return (await assertRejects(() => reading, ProblemError)).problem.status;
}

Deno.test("readBody() returns a body of exactly 64 KiB, and refuses one byte more", async () => {
  assertEquals((await readBody(requestWith(new Uint8Array(65_536)))).length, 65_536);
  assertEquals(await statusOf(readBody(requestWith(new Uint8Array(65_537)))), 413);
});

Deno.test("readBody() joins the chunks of a stream", async () => {
  const chunks = [[1, 2], [], [3]].map((bytes) => new Uint8Array(bytes));
  const bytes = await readBody(requestWith(ReadableStream.from(chunks)));
  assertEquals([...bytes], [1, 2, 3]);
});

Deno.test("readBody() stops reading an endless stream", async () => {
  let cancelled = false;
  const stream = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
    cancel: () => {
      cancelled = true;
    },
  });
  assertEquals(await statusOf(readBody(requestWith(stream))), 413);
  assertEquals(cancelled, true);
});

Deno.test("readBody() refuses a stalled stream with 408", async () => {
  let cancelled = false;
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array(1)),
    cancel: () => {
      cancelled = true;
    },
  });
  assertEquals(await statusOf(readBody(requestWith(stream), { timeoutMs: 1 })), 408);
  assertEquals(cancelled, true);
});

Deno.test("readBody() returns no bytes for a request without a body", async () => {
  assertEquals((await readBody(new Request("http://localhost/"))).length, 0);
});

/** A request whose body ends when it is told to. */
function slowRequest(client = "a", path = "/users"): { request: Request; end(): void } {
  const ended = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode('{"email":"slow'));
      await ended.promise;
      controller.close();
    },
  });
  const headers = { ...JSON_HEADERS, "X-Client": client };
  const init = { method: "POST", body, duplex: "half", headers } as RequestInit;
  return { request: new Request(`http://localhost${path}`, init), end: ended.resolve };
}

const JSON_HEADERS = { ...BEARER, "Content-Type": "application/json" };

Deno.test("more bodies at once than the limit are refused with 503, and the place of a body is free after it", async () => {
  const app = createApp({
    db: untouchedDatabase,
    authenticator,
    bodyLimit: new BodyLimit({ max: 2 }),
  });
  // In the second round only if the places of the first are free.
  for (let round = 0; round < 2; round++) {
    const slow = [slowRequest(), slowRequest(), slowRequest()];
    // The check of the token takes time: any of them may be the third whose body is read.
    const answers = slow.map(({ request }) => app.fetch(request));
    const refused = await Promise.race(answers);
    assertEquals([refused.status, refused.headers.get("Retry-After")], [503, "1"]);
    assertEquals((await refused.json()).type, "/problems/overloaded");
    const arrived = await app.fetch(
      new Request("http://localhost/users", { method: "POST", body: "{", headers: JSON_HEADERS }),
    );
    assertEquals(arrived.status, 400, "read, as it need not be waited for");
    slow.forEach(({ end }) => end());
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    assertEquals(statuses.toSorted(), [400, 400, 503]);
  }
});

Deno.test("slow bodies of one client do not refuse those of another", async () => {
  const clientOf = (c: Context) => c.req.header("X-Client");
  const bodyLimit = new BodyLimit({ max: 4, clientOf });
  const app = createApp({ db: untouchedDatabase, authenticator, bodyLimit });
  for (let round = 0; round < 2; round++) {
    const slow = ["a", "a", "a"].map((client) => slowRequest(client));
    const answers = slow.map(({ request }) => app.fetch(request));
    const refused = await Promise.race(answers);
    assertEquals([refused.status, refused.headers.get("Retry-After")], [503, "1"]);
    assertMatch((await refused.json()).detail, /2 requests of its client have a late body/);
    slow.push(...["b", "c", "d"].map((client) => slowRequest(client)));
    const others = slow.slice(3).map(({ request }) => app.fetch(request));
    assertMatch((await (await Promise.race(others)).json()).detail, /4 requests have a late body/);
    slow.forEach(({ end }) => end());
    const statuses = (await Promise.all([...answers, ...others])).map(({ status }) => status);
    assertEquals(statuses.toSorted(), [400, 400, 400, 400, 503, 503]);
  }
});

Deno.test("one client has at most half of the places for batches", async () => {
  const clientOf = (c: Context) => c.req.header("X-Client");
  const app = createApp({
    db: untouchedDatabase,
    authenticator,
    bodyLimit: new BodyLimit({ clientOf }),
  });
  const slow = Array.from({ length: 9 }, () => slowRequest("a", "/users:batch"));
  const answers = slow.map(({ request }) => app.fetch(request));
  const refused = await Promise.race(answers);
  assertMatch((await refused.json()).detail, /8 requests of its client have a late body/);
  slow.forEach(({ end }) => end());
  const statuses = (await Promise.all(answers)).map(({ status }) => status);
  assertEquals(statuses.toSorted(), [400, 400, 400, 400, 400, 400, 400, 400, 503]);
});

Deno.test("the time for a body ends with the body, not with what the request waits for behind it", async () => {
  const maxMs = 200;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void setTimeout(() => controller.close(), 0),
  });
  const bytes = await readBody(requestWith(body), {
    maxMs,
    async waitIn(wait) {
      const value = await wait();
      await new Promise((resolve) => setTimeout(resolve, 2 * maxMs));
      return value;
    },
  });
  assertEquals(bytes.length, 0);
});
