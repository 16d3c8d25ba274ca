/** Who may see `/metrics` and `/ops/events`, of the service as a whole. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { start, type StartOptions } from "../../src/main.ts";
import { localDatabase } from "../support/local_database.ts";

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

Deno.test("without OPS_TOKEN, metrics and events are not there, whatever a client shows", async () => {
  await serving({}, async (get) => {
    for (const path of PATHS) {
      assertEquals(await statusOf(get(path)), 404);
      assertEquals(await statusOf(get(path, { Authorization: `Bearer ${TOKEN}` })), 404);
    }
  });
});

Deno.test("with OPS_TOKEN, metrics and events want it as a bearer token", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get) => {
    for (const path of PATHS) {
      const refused = await get(path);
      assertEquals([refused.status, (await refused.json()).status], [401, 401]);
      assertMatch(refused.headers.get("WWW-Authenticate")!, /^Bearer /);
      assertEquals(await statusOf(get(path, { Authorization: `Bearer ${TOKEN}x` })), 401);
      assertEquals(await statusOf(get(path, { Authorization: `Bearer ${TOKEN}` })), 200);
    }
  });
});

Deno.test("a developer's own machine needs no token, unless it is asked by a name from elsewhere", async () => {
  await serving({}, async (get, url) => {
    for (const path of PATHS) assertEquals(await statusOf(get(path)), 200);
    const port = Number(new URL(url).port);
    assertEquals(await statusLineFor({ port, host: "rebound.example" }), "HTTP/1.1 404 Not Found");
    assertEquals(await statusLineFor({ port, host: "localhost" }), "HTTP/1.1 200 OK");
  }, { opensOpsToLoopback: true });
});

/** As a browser asks whose page's name has come to mean this machine. */
async function statusLineFor({ port, host }: { port: number; host: string }): Promise<string> {
  using socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const request = `GET /metrics HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`;
  await socket.write(new TextEncoder().encode(request));
  const answer = await new Response(socket.readable).text();
  return answer.slice(0, answer.indexOf("\r\n"));
}

Deno.test("/metrics counts requests by the route that they matched", async () => {
  await serving({ OPS_TOKEN: TOKEN }, async (get) => {
    await statusOf(get("/users/019ab0d0-0000-7000-8000-000000000000"));
    await statusOf(get("/users/019ab0d0-0000-7000-8000-000000000001"));
    await statusOf(get("/no/such/address"));
    const response = await get("/metrics", { Authorization: `Bearer ${TOKEN}` });
    assertEquals(response.headers.get("Cache-Control"), "no-store");
    const counts = (await response.text()).split("\n")
      .filter((line) => line.startsWith("http_server_request_duration_seconds_count"));
    assertEquals(counts, [
      'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="404",http_route="/users/:id"} 2',
      'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="404"} 1',
    ]);
  });
});

Deno.test("events begin with the past and go on with the present, and end with the service", async () => {
  let rest: ReadableStreamDefaultReader<string> | undefined;
  await serving({ OPS_TOKEN: TOKEN }, async (get) => {
    await statusOf(get("/readyz"));
    const response = await get("/ops/events", { Authorization: `Bearer ${TOKEN}` });
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
  // What is left, to its end.
  while (!(await rest!.read()).done);
});
