/** How browsers sign in to `/ops` and out of it, and how often a token may be guessed. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Hono } from "hono";
import { respondWithProblem } from "../../src/http/problem.ts";
import { problemOf } from "../../src/http/problem_of.ts";
import { guard } from "../../src/ops/guard.ts";
import { Guesses } from "../../src/ops/guesses.ts";
import { PoolPage } from "../../src/ops/pool_page.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { ScriptedDriver } from "../support/scripted_driver.ts";
import { BEARER, noGuesses, operators, serving, statusOf, TOKEN } from "./operator.ts";

Deno.test("signing in with the token sets a cookie for /ops that no script and no other site can use", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get, url) => {
    const post = (path: string, { body, headers = {} }: Omit<RequestInit, "method">) =>
      fetch(`${url}${path}`, { method: "POST", redirect: "manual", body: body ?? null, headers });
    const signIn = (headers?: HeadersInit) =>
      post("/ops/sign-in", {
        body: new URLSearchParams({ token: TOKEN }),
        ...(headers === undefined ? {} : { headers }),
      });
    const welcome = await signIn();
    await welcome.body?.cancel();
    assertEquals([welcome.status, welcome.headers.get("Location")], [303, "/ops"]);
    const [cookie, ...flags] = welcome.headers.get("Set-Cookie")!.split("; ");
    assertEquals(flags.sort(), ["HttpOnly", "Max-Age=43200", "Path=/ops", "SameSite=Strict"]);
    assert(!cookie!.includes(TOKEN));
    assertEquals(await statusOf(get("/ops/events", { Cookie: cookie! })), 200);
    assertEquals(await statusOf(get("/ops/events", { Cookie: `${cookie}x` })), 401);
    assertEquals(await statusOf(get("/metrics", { Cookie: cookie! })), 401);

    const secure = await signIn({ "X-Forwarded-Proto": "https" });
    await secure.body?.cancel();
    assertMatch(secure.headers.get("Set-Cookie")!, /; Secure/);
    const goodbye = await post("/ops/sign-out", {});
    await goodbye.body?.cancel();
    assertMatch(goodbye.headers.get("Set-Cookie")!, /^ops_sign_in=; Max-Age=0; Path=\/ops/);

    const wrong = new URLSearchParams({ token: `${TOKEN}x` });
    assertEquals(await statusOf(post("/ops/sign-in", { body: wrong })), 401);
    assertEquals(await statusOf(post("/ops/sign-in", { body: "no form" })), 401);
    assertEquals(await statusOf(post("/ops/sign-in", { body: "a".repeat(5_000) })), 413);
  });
});

interface Form {
  readonly body?: BodyInit;
  readonly headers?: Record<string, string>;
}

async function post(url: string, { body, headers = {} }: Form = {}): Promise<Response> {
  const response = await fetch(url, {
    method: "POST",
    redirect: "manual",
    body: body ?? null,
    headers,
  });
  await response.body?.cancel();
  return response;
}

async function signedIn(url: string): Promise<string> {
  const welcome = await post(`${url}/ops/sign-in`, { body: new URLSearchParams({ token: TOKEN }) });
  return welcome.headers.get("Set-Cookie")!.split("; ")[0]!;
}

Deno.test("a sign-out ends the sign-in on the server: for copies of its cookie, and for open streams", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get, url) => {
    const [Cookie, other] = [await signedIn(url), await signedIn(url)];
    const stream = await get("/ops/events", { Cookie });
    assertEquals(stream.status, 200);
    const ended = stream.text();
    await post(`${url}/ops/sign-out`, { headers: { Cookie } });
    assertMatch(await ended, /^event: snapshot$/m);
    assertEquals(await statusOf(get("/ops/events", { Cookie })), 401);
    const page = await fetch(`${url}/ops`, { headers: { Cookie }, redirect: "manual" });
    await page.body?.cancel();
    assertEquals([page.status, page.headers.get("Location")], [303, "/ops/sign-in"]);
    assertEquals(await statusOf(get("/ops/events", { Cookie: other })), 200);
  });
});

Deno.test("a sign-in outlasts the start of a shutdown, in which /ops still answers", async () => {
  const pool = databaseOf(poolOf(new ScriptedDriver()));
  await using _pool = pool;
  const page = new PoolPage({
    database: pool,
    operators,
    guesses: noGuesses(),
    isTrusted: () => false,
    shutdownSignal: new AbortController().signal,
  });
  const body = new URLSearchParams({ token: TOKEN });
  const welcome = await page.routes.request("/ops/sign-in", { method: "POST", body });
  const Cookie = welcome.headers.get("Set-Cookie")!.split("; ")[0]!;
  page[Symbol.dispose]();
  assertEquals((await page.routes.request("/ops", { headers: { Cookie } })).status, 200);
});

Deno.test("HEAD of the event stream opens none: it would have no reader that could end it", async () => {
  for (const HTTP_SERVER of ["guarded", "plain"]) {
    await serving({ OPS_TOKEN: TOKEN, HTTP_SERVER }, async (get, url) => {
      // More than may be open at once.
      for (let index = 0; index < 60; index++) {
        const head = await fetch(`${url}/ops/events`, { method: "HEAD", headers: BEARER });
        assertEquals([head.status, head.headers.get("Content-Type")], [200, "text/event-stream"]);
      }
      assertEquals(await statusOf(get("/ops/events", BEARER)), 200, HTTP_SERVER);
    });
  }
});

Deno.test("a form of another site signs nobody in or out", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get, url) => {
    const Cookie = await signedIn(url);
    const body = new URLSearchParams({ token: TOKEN });
    const foreign: Record<string, string>[] = [
      { "Sec-Fetch-Site": "cross-site" },
      { "Sec-Fetch-Site": "same-site" },
      { "Sec-Fetch-Site": "cross-site", Origin: url },
      { Origin: "https://evil.example" },
      { Origin: "null" },
      { Origin: url.replace(/\d+$/, "1") },
    ];
    for (const headers of foreign) {
      for (const path of ["/ops/sign-out", "/ops/sign-in"]) {
        const refused = await post(`${url}${path}`, { headers: { ...headers, Cookie }, body });
        assertEquals([refused.status, refused.headers.get("Set-Cookie")], [403, null], path);
      }
    }
    assertEquals(await statusOf(get("/ops/events", { Cookie })), 200);
    const own = { Cookie, Origin: url, "Sec-Fetch-Site": "same-origin" };
    assertEquals((await post(`${url}/ops/sign-out`, { headers: own })).status, 303);
    assertEquals(await statusOf(get("/ops/events", { Cookie })), 401);
  });
});

Deno.test("the page offers to sign out only to those who have signed in", async () => {
  const button = /<form[^>]*id="sign-out"( hidden)?>/;
  await serving({ OPS_TOKEN: TOKEN }, async (get, url) => {
    const page = await (await get("/ops")).text();
    assertEquals(button.exec(page)?.[1], " hidden");
    const own = await (await get("/ops", { Cookie: await signedIn(url) })).text();
    assertEquals(button.exec(own)?.[1], undefined);
    assertMatch(own, button);
  }, { opensOpsToLoopback: true });
});

Deno.test("after ten wrong tokens in a minute the right one is refused too, and two lines are logged", async () => {
  const lines: string[] = [];
  const { error } = console;
  console.error = (line: string) => lines.push(line);
  try {
    await serving({ OPS_TOKEN: TOKEN, LOG_LEVEL: "warn" }, async (get, url) => {
      const guesses = Array.from(
        { length: 30 },
        (_, index) =>
          index % 2 === 0
            ? statusOf(get("/metrics", { Authorization: `Bearer guess-${index}` }))
            : post(`${url}/ops/sign-in`, { body: new URLSearchParams({ token: `guess-${index}` }) })
              .then(({ status }) => status),
      );
      const seen = await Promise.all(guesses);
      assertEquals(seen.filter((status) => status === 401).length, 10);
      assertEquals(seen.filter((status) => status === 429).length, 20);
      const refused = await get("/metrics", BEARER);
      await refused.body?.cancel();
      assertEquals(refused.status, 429);
      const waitS = Number(refused.headers.get("Retry-After"));
      assert(waitS > 0 && waitS <= 60, `${waitS} s`);
    });
  } finally {
    console.error = error;
  }
  const logged = lines.map((line) => JSON.parse(line)).map((
    { event, client, failures },
  ) => [event, client, failures]);
  assertEquals(logged, [
    ["wrong OPS_TOKEN refused", "127.0.0.1", 1],
    ["wrong OPS_TOKEN refused", "127.0.0.1", 10],
  ]);
  assert(!lines.join().includes("guess-"));
});

Deno.test("guesses are counted by client or /64, for a minute, and right tokens never", async () => {
  let nowMs = 0;
  const refused: string[] = [];
  const guesses = new Guesses({
    clientOf: (c) => c.req.header("Client")!,
    onRefused: ({ client, failures }) => refused.push(`${client} ${failures}`),
    now: () => nowMs,
  });
  const app = new Hono().get("/", guard({ operators, guesses }), (c) => c.text("in"));
  app.onError((error, c) => respondWithProblem(c, problemOf(error)));
  const ask = async (client: string, token: string) =>
    (await app.request("/", { headers: { Client: client, Authorization: `Bearer ${token}` } }))
      .status;
  await Promise.all(Array.from({ length: 50 }, () => ask("192.0.2.1", TOKEN)));
  for (let index = 0; index < 10; index++) {
    assertEquals(await ask(`2001:db8::${index}`, "wrong"), 401);
    assertEquals(await ask("192.0.2.2", TOKEN), 200);
  }
  assertEquals(await ask("2001:db8:0:0:ffff::1", TOKEN), 429);
  assertEquals(await ask("2001:db8:0:1::1", TOKEN), 200);
  assertEquals(await ask("192.0.2.1", TOKEN), 200);
  nowMs = 60_000;
  assertEquals(await ask("2001:db8::1", TOKEN), 200);
  assertEquals(refused, ["2001:db8:0:0::/64 1", "2001:db8:0:0::/64 10"]);
});
