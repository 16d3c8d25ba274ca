import { assertEquals } from "@std/assert";
import { requestsAtOnce } from "../../../src/http/fair_use/requests_at_once.ts";
import { createApp } from "../../../src/http/app.ts";
import { Hono } from "hono";
import type { TransactionRunner } from "../../../src/db/mod.ts";
import { BEARER } from "../../support/token.ts";
import { untouchedDatabase } from "../fake_database.ts";
import { assertProblem } from "../requests.ts";
import { authenticator, testApp } from "../test_app.ts";

Deno.test("a refusal does not touch the database", async () => {
  let units = 0;
  const db: TransactionRunner = {
    ...untouchedDatabase,
    transaction() {
      units++;
      return Promise.reject(new Error("used"));
    },
  };
  const app = testApp({ db, fairUse: { perToken: { requests: 1, windowMs: 60_000 } } });
  assertEquals((await app.request("/users")).status, 500);
  for (let count = 0; count < 5; count++) {
    await assertProblem(await app.request("/users"), 429, "rate-limited");
  }
  assertEquals(units, 1);
});

Deno.test("without limits a response has no RateLimit", async () => {
  const { headers } = await testApp({ db: untouchedDatabase }).request("/users");
  assertEquals([headers.get("RateLimit"), headers.get("RateLimit-Policy")], [null, null]);
});

/** An app whose requests run until they are told how to end. */
function held({ max, now }: { max: number; now?: () => number }) {
  const running: PromiseWithResolvers<void>[] = [];
  const limit = requestsAtOnce({
    max,
    clientOf: (c) => c.req.header("client") ?? "",
    ...(now === undefined ? {} : { now }),
  });
  const app = new Hono().use(limit).get("/", async (c) => {
    const end = Promise.withResolvers<void>();
    running.push(end);
    await end.promise;
    return c.text("done");
  });
  app.onError((error, c) => c.text(error.name, error.name === "ProblemError" ? 429 : 500));
  const send = async (client: string) => (await app.request("/", { headers: { client } })).status;
  return { running, send };
}

Deno.test("a client has at most its number of requests at once, whether they succeed or fail", async () => {
  const { running, send } = held({ max: 2 });
  const first = [send("a"), send("a")];
  assertEquals(await send("a"), 429);
  const other = send("b");
  running[0]!.resolve();
  assertEquals(await first[0], 200);
  const next = send("a");
  assertEquals(await send("a"), 429);
  running[1]!.reject(new Error("failed"));
  assertEquals(await first[1], 500);
  const last = send("a");
  for (const { resolve } of running) resolve();
  assertEquals(await Promise.all([other, next, last]), [200, 200, 200]);
});

Deno.test("the place of a request that the runtime has ended is free after two minutes", async () => {
  let nowMs = 0;
  const { running, send } = held({ max: 1, now: () => nowMs });
  const ended = send("a");
  nowMs = 119_999;
  assertEquals(await send("a"), 429);
  nowMs = 120_000;
  const next = send("a");
  assertEquals(await send("a"), 429);
  // One that was only late does not free the place of another.
  running[0]!.resolve();
  assertEquals(await ended, 200);
  assertEquals(await send("a"), 429);
  running[1]!.resolve();
  assertEquals(await next, 200);
});

Deno.test("a token has a place for each of its requests at once", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const db: TransactionRunner = {
    ...untouchedDatabase,
    transaction: () => promise.then(() => Promise.reject(new Error("ended"))),
  };
  const app = createApp({ db, authenticator, fairUse: { maxAtOnce: 3 } });
  const send = () => app.request("/users", { headers: BEARER });
  const running = [send(), send(), send()];
  const refused = await send();
  assertEquals(refused.headers.get("Retry-After"), "1");
  await assertProblem(refused, 429, "too-many-at-once");
  resolve();
  assertEquals((await Promise.all(running)).map(({ status }) => status), [500, 500, 500]);
  assertEquals((await send()).status, 500);
});
