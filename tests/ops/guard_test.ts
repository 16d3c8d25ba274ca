/** Access to `/metrics` and `/ops` of the whole service, and the limits on them. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { pollUntil } from "../../src/dev/poll.ts";
import { createApp } from "../../src/http/app.ts";
import { start, type StartOptions } from "../../src/deno/service.ts";
import { Hono } from "hono";
import { guard } from "../../src/ops/guard.ts";
import { Guesses } from "../../src/ops/guesses.ts";
import { HttpMetrics } from "../../src/ops/http_metrics.ts";
import { metricsRoute } from "../../src/ops/metrics_route.ts";
import { PoolPage } from "../../src/ops/pool_page.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { localDatabase } from "../support/local_database.ts";
import { ScriptedDriver } from "../support/scripted_driver.ts";
import { relayTo, testServer } from "../support/test_server.ts";

const database = await localDatabase();

const TOKEN = "a-token-of-24-characters";

type Get = (path: string, headers?: Record<string, string>) => Promise<Response>;

async function serving(
  env: Record<string, string>,
  run: (get: Get, url: string) => Promise<void>,
  options: StartOptions = {},
): Promise<void> {
  await using branch = await database.connect();
  const service = start({ ...branch.env, PORT: "0", LOG_LEVEL: "error", ...env }, {
    hostname: "127.0.0.1",
    ...options,
  });
  try {
    await run((path, headers = {}) => fetch(`${service.url}${path}`, { headers }), service.url);
  } finally {
    await service.shutdown();
  }
}

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.body?.cancel();
  return response.status;
}

const PATHS = ["/metrics", "/ops/events"];

const BEARER = { Authorization: `Bearer ${TOKEN}` };

Deno.test("without OPS_TOKEN, metrics, page and events answer 404, with or without a token", async () => {
  await serving({}, async (get) => {
    for (const path of [...PATHS, "/ops", "/ops/sign-in", "/ops/page.js"]) {
      assertEquals(await statusOf(get(path)), 404);
      assertEquals(await statusOf(get(path, BEARER)), 404);
    }
  });
});

Deno.test("with OPS_TOKEN, metrics and events require it as a bearer token", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get) => {
    for (const path of PATHS) {
      const refused = await get(path);
      assertEquals([refused.status, (await refused.json()).status], [401, 401]);
      assertMatch(refused.headers.get("WWW-Authenticate")!, /^Bearer /);
      assertEquals(await statusOf(get(path, { Authorization: `Bearer ${TOKEN}x` })), 401);
      assertEquals(await statusOf(get(path, BEARER)), 200);
    }
  });
});

Deno.test("loopback clients need no token if that is allowed, except with a foreign Host header or through a proxy", async () => {
  await serving({}, async (get, url) => {
    for (const path of PATHS) assertEquals(await statusOf(get(path)), 200);
    const port = Number(new URL(url).port);
    assertEquals(await statusLineFor({ port, host: "rebound.example" }), "HTTP/1.1 404 Not Found");
    assertEquals(await statusLineFor({ port, host: "localhost" }), "HTTP/1.1 200 OK");
    // A proxy on this machine uses a loopback name, but its client may be remote.
    assertEquals(await statusOf(get("/metrics", { "X-Forwarded-For": "203.0.113.7" })), 404);
  }, { opensOpsToLoopback: true });
});

/** Sends the request that a browser sends after DNS rebinding: to this machine, with another site's name as Host. */
async function statusLineFor({ port, host }: { port: number; host: string }): Promise<string> {
  using socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const request = `GET /metrics HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`;
  await socket.write(new TextEncoder().encode(request));
  const answer = await new Response(socket.readable).text();
  return answer.slice(0, answer.indexOf("\r\n"));
}

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
    token: TOKEN,
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
  const app = new Hono().get("/", guard({ token: TOKEN, guesses }), (c) => c.text("in"));
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

Deno.test("at most 50 event streams are open at once, and a closed one makes room for another", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get, url) => {
    const disconnecting = new AbortController();
    const watch = async (signal: AbortSignal) => {
      const { body, status } = await fetch(`${url}/ops/events`, { headers: BEARER, signal });
      return { body, status };
    };
    const staying = new AbortController();
    const watching = await Promise.all([
      ...Array.from({ length: 49 }, () => watch(staying.signal)),
      watch(disconnecting.signal),
    ]);
    assertEquals([...new Set(watching.map(({ status }) => status))], [200]);
    const refused = await get("/ops/events", BEARER);
    assertEquals([refused.status, refused.headers.get("Retry-After")], [503, "10"]);
    await refused.body?.cancel();
    disconnecting.abort();
    const isFree = async () => await statusOf(get("/ops/events", BEARER)) === 200;
    assert(await pollUntil(isFree, { deadlineMs: 10_000, intervalMs: 100 }));
    staying.abort();
    await Promise.all(watching.map(({ body }) => body!.cancel().catch(() => {})));
  });
});

Deno.test("/metrics reports the queue, and everything else also while the database is unreachable", async () => {
  await using branch = await database.connect();
  const relay = await relayTo(await testServer());
  const service = start({
    ...branch.env,
    DATABASE_WS_PROXY: relay.url,
    PORT: "0",
    LOG_LEVEL: "error",
    OPS_TOKEN: TOKEN,
    QUEUE_CONCURRENCY: "0",
    QUEUE_POLL_INTERVAL: "0.1",
  }, { hostname: "127.0.0.1" });
  const metrics = async () =>
    await (await fetch(`${service.url}/metrics`, { headers: BEARER })).text();
  try {
    await branch.asAdmin(`insert into user_events (user_id, version, type, data, occurred_at)
      select gen_random_uuid(), 1, 'user.created', '{}', now() - interval '1 h'
      from generate_series(1, 3)`);
    await branch.asAdmin(`insert into dead_letters (consumer, message_id, body, error, attempts)
      values ('activity', '1', '{}', 'an error', 5)`);
    const text = await metrics();
    assertMatch(text, /^messaging_queue_depth 3$/m);
    assertMatch(text, /^messaging_queue_oldest_age_seconds 3600\.\d+$/m);
    assertMatch(text, /^messaging_dead_letters 1$/m);
    await relay.close();
    // The cached value is reported for QUEUE_POLL_INTERVAL.
    let without = "";
    const hasExpired = async () => !(without = await metrics()).includes("messaging_queue_depth");
    assert(await pollUntil(hasExpired, { deadlineMs: 5_000, intervalMs: 100 }));
    assertMatch(without, /^db_client_connection_max 50$/m);
  } finally {
    await service.shutdown();
    await branch.asAdmin("truncate user_events, dead_letters");
  }
});

Deno.test("a scan of addresses and methods creates no more series than there are routes and statuses", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get, url) => {
    const methods = ["GET", "POST", "PROPFIND", "BREW", "X-1", "X-2"];
    const paths = (index: number) => [
      `/${crypto.randomUUID()}`,
      `/users/${index}`,
      `/users/${index}/activity`,
      `/ops/${index}`,
      `/ops/${index}/x`,
      `/problems/${index}`,
    ];
    for (let index = 0; index < 20; index++) {
      const requests = methods.flatMap((method) =>
        paths(index).map((path) => statusOf(fetch(`${url}${path}`, { method })))
      );
      await Promise.all(requests);
    }
    const text = await (await get("/metrics", BEARER)).text();
    const series = text.split("\n").filter((line) =>
      line.startsWith("http_server_request_duration_seconds_count")
    );
    // Three methods, because unknown ones count as _OTHER, times at most one route and status for each kind of path.
    assert(series.length <= 3 * paths(0).length, series.join("\n"));
    const total = series.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    assertEquals(total, 20 * methods.length * paths(0).length);
  });
});

Deno.test("/metrics counts requests by the route that they matched", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get) => {
    await statusOf(get("/users/019ab0d0-0000-7000-8000-000000000000"));
    await statusOf(get("/users/019ab0d0-0000-7000-8000-000000000001"));
    await statusOf(get("/no/such/address"));
    const response = await get("/metrics", BEARER);
    assertEquals(response.headers.get("Cache-Control"), "no-store");
    const counts = (await response.text()).split("\n")
      .filter((line) => line.startsWith("http_server_request_duration_seconds_count"));
    assertEquals(counts, [
      'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="404",http_route="/users/:id"} 2',
      'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="404"} 1',
    ]);
  });
});

Deno.test("an event stream starts with the history, continues with snapshots, and ends at shutdown", async () => {
  let rest: ReadableStreamDefaultReader<string> | undefined;
  await serving({ OPS_TOKEN: TOKEN }, async (get) => {
    await statusOf(get("/readyz"));
    const response = await get("/ops/events", BEARER);
    assertEquals(response.headers.get("Content-Type"), "text/event-stream");
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!/event: snapshot\n.*\n\n/.test(text)) text += (await reader.read()).value ?? "";
    const [history, snapshot] = text.split("\n\n").slice(0, 2)
      .map((event) => /^event: (\w+)\ndata: (.*)$/.exec(event)!)
      .map(([, name, data]) => ({ name, data: JSON.parse(data!) }));
    assertEquals([history!.name, history!.data], ["history", []]);
    assertEquals(snapshot!.name, "snapshot");
    assert(snapshot!.data.connections.length > 0);
    assert(snapshot!.data.sample.timeMs > 0);
    rest = reader;
  });
  // The stream ends: the loop reads to its end.
  while (!(await rest!.read()).done);
});

Deno.test("the routes for operators do not make Hono fall back to a slower router", async () => {
  await using db = databaseOf(poolOf(new ScriptedDriver()));
  const ending = new AbortController();
  using page = new PoolPage({
    guesses: noGuesses(),
    database: db,
    token: TOKEN,
    isTrusted: () => false,
    shutdownSignal: ending.signal,
  });
  const metrics = metricsRoute({
    database: db,
    http: new HttpMetrics(),
    guard: guard({ token: TOKEN }),
  });
  const app = createApp({ db, opsRoutes: [metrics, page.routes] });
  assertEquals((await app.request("/healthz")).status, 200);
  assertEquals(app.router.name, "SmartRouter + RegExpRouter");
});

function noGuesses(): Guesses {
  return new Guesses({ clientOf: () => "client", onRefused: () => {} });
}
