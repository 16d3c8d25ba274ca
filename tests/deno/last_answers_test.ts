/** What the default HTTP server answers on a connection that is about to end: each request its own answer, or none. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Socket } from "node:net";
import { setImmediate } from "node:timers";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { readBody } from "../../src/http/body.ts";
import type { Handler } from "../../src/deno/exchange.ts";
import { attack, type Attacker, leave } from "../hostile/clients.ts";
import { answered, GET, listening } from "./listening.ts";

const post = (path: string, { host = "x", lines = "", body = "" } = {}) =>
  `POST ${path} HTTP/1.1\r\nHost: ${host}\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`;

const statuses = ({ received }: Attacker) =>
  Array.from(received.matchAll(/HTTP\/1\.1 (\d{3}) /g), ([, status]) => Number(status));

Deno.test("a request behind an answer that closes the connection is not run", async () => {
  const ran: string[] = [];
  const run: Handler = (request) => {
    ran.push(new URL(request.url).pathname);
    if (request.url.endsWith("/fails")) throw new Error("a failure");
    return new Response("hello");
  };
  await using server = await listening({ handler: run });
  for (
    const [first, status, runs] of [
      [post("/fails"), 500, ["/fails"]],
      [post("/refused", { host: "a b" }), 400, []],
      ["GET /refused HTTP/1.1\r\n\r\n", 400, []],
      [post("/closes", { lines: "Connection: close\r\n" }), 200, ["/closes"]],
    ] as const
  ) {
    const client = await server.open();
    client.socket.write(first + post("/behind"));
    await client.closed;
    assertEquals([statuses(client), ran.splice(0)], [[status], runs]);
    assertMatch(client.received, /\r\nconnection: close\r\n/i);
  }
  server.listener.closeAfterResponses();
  const client = await server.open();
  client.socket.write(post("/one") + post("/behind"));
  await client.closed;
  assertEquals([statuses(client), ran], [[200], ["/one"]]);
});

/** What is no request, and its answer. */
const RUBBISH: readonly [name: string, bytes: string, status: number][] = [
  ["a letter", "x", 400],
  ["a brace", "{", 400],
  ["a coding without an end", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400],
  ["an unknown method", "NOPE / HTTP/1.1\r\nHost: x\r\n\r\n", 400],
  ["a path in UTF-8", "GET /\u00e9 HTTP/1.1\r\nHost: x\r\n\r\n", 400],
  ["long headers", `GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, 431],
  [
    "two lengths",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    400,
  ],
];

Deno.test("what is no request is answered behind the requests before it, and closes the connection", async () => {
  let gate = Promise.withResolvers<void>();
  const started = { resolve: () => {} };
  const handler: Handler = async () => {
    started.resolve();
    await gate.promise;
    return new Response("hello");
  };
  await using server = await listening({ handler });
  for (const [name, bytes, status] of RUBBISH) {
    const alone = await server.open();
    alone.socket.write(bytes);
    await alone.closed;
    assertEquals([name, statuses(alone)], [name, [status]]);
    for (const before of [1, 2]) {
      gate = Promise.withResolvers();
      const isRunning = new Promise<void>((resolve) => started.resolve = resolve);
      const client = await server.open();
      client.socket.write(GET.repeat(before) + bytes);
      await isRunning;
      gate.resolve();
      await client.closed;
      const expected = [...Array.from({ length: before }, () => 200), status];
      assertEquals([name, statuses(client)], [name, expected]);
    }
  }
  const isEmpty = () => server.listener.connections === 0;
  assertEquals(await pollUntil(isEmpty, { deadlineMs: 5_000, intervalMs: 1 }), true);
  assertEquals(server.errors, []);
});

Deno.test("what a client sends behind what is no request reaches no other client's connection", async () => {
  const ran: string[] = [];
  const release = { resolve: () => {} };
  const handler: Handler = async ({ url, body }) => {
    const { pathname } = new URL(url);
    ran.push(pathname);
    if (pathname === "/slow") await new Promise<void>((resolve) => release.resolve = resolve);
    if (pathname === "/body") await new Response(body).text().catch(() => {});
    return new Response(`${pathname}, hello`);
  };
  await using server = await listening({ handler, timeouts: { headersMs: 100, checkMs: 20 } });
  const chunked = "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (
    const [bytes, before] of [
      ["{", []],
      ["GET / HTTP/1.1\r\nX: ", []],
      [`${GET.replace("/", "/slow")}{`, ["/slow"]],
      [`${chunked}zz\r\n`, ["/body"]],
    ] as const
  ) {
    const attacker = await server.open();
    attacker.socket.write(bytes);
    // Until the server has refused it. The answer to the slow request is still to come.
    const isRefused = () => ran.includes("/slow") || attacker.received !== "";
    assertEquals(await pollUntil(isRefused, { deadlineMs: 5_000, intervalMs: 1 }), true);
    const other = await server.open();
    attacker.socket.write("GET /of-another HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((resolve) => setTimeout(resolve, 20));
    other.socket.write(GET.replace("/", "/own"));
    assertMatch(await answered(other), /^HTTP\/1\.1 200 [^]*\/own, hello$/);
    release.resolve();
    await attacker.closed;
    assertEquals(ran.splice(0), [...before, "/own"]);
    await leave([other]);
  }
});

Deno.test("a connection that only waits for its client to read its refusal makes room", async () => {
  await using server = await listening({ max: 2 });
  const refused = [await server.open(), await server.open()];
  for (const client of refused) {
    client.socket.write("{");
    const isRefused = () => client.received !== "";
    assertEquals(await pollUntil(isRefused, { deadlineMs: 5_000, intervalMs: 1 }), true);
  }
  const client = await attack(server.listener.port);
  client.socket.write(GET);
  assertMatch(await answered(client), /^HTTP\/1\.1 200 /);
  await leave([client]);
});

Deno.test("who still reads a body that the server drops does not take it for whole", async () => {
  const reads: Promise<string>[] = [];
  const handler: Handler = (request) => {
    reads.push(new Response(request.body).text());
    reads.at(-1)!.catch(() => {});
    return new Response("hello");
  };
  await using server = await listening({ handler });
  for (const lines of ["", "Connection: close\r\n"]) {
    const client = await server.open();
    client.socket.write(`POST / HTTP/1.1\r\nHost: x\r\n${lines}Content-Length: 8\r\n\r\nhalf`);
    // Until the answer is sent, or held back for the rest.
    await pollUntil(() => reads.length > 0, { deadlineMs: 5_000, intervalMs: 20 });
    client.socket.write("half");
    await answered(client);
    await assertRejects(() => reads.shift()!, Error, "The body broke off");
  }
});

Deno.test("a request that comes too slowly does not take the answer of the one before it", async () => {
  const handler: Handler = async () => {
    // Longer than a head may take.
    await new Promise((resolve) => setTimeout(resolve, 600));
    return new Response("hello");
  };
  await using server = await listening({ handler, timeouts: { headersMs: 100, checkMs: 20 } });
  const client = await server.open();
  client.socket.write(`${GET}GET / HTTP/1.1\r\nX: `);
  await client.closed;
  assertEquals(statuses(client), [200, 408]);
});

Deno.test("however many refusals come at once, each is answered, also where the client has closed its side", async () => {
  await using server = await listening();
  const clients = await Promise.all(Array.from({ length: 60 }, () => server.open()));
  for (const { socket } of clients) socket.end("{");
  await Promise.all(clients.map(({ closed }) => closed));
  for (const client of clients) assertEquals(statuses(client), [400]);
  assertEquals(server.errors, []);
});

Deno.test("a client that closes its side behind what is no request gets the answers to the requests before it", async () => {
  const [running, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const handler: Handler = async ({ url }) => {
    running.resolve();
    if (!url.endsWith("/other")) await gate.promise;
    return new Response("hello");
  };
  await using server = await listening({ handler });
  const client = await server.open();
  client.socket.end(`${GET}{`);
  await running.promise;
  // When another client has its answer, the end of the first one's bytes has come.
  const other = await server.open();
  other.socket.write(GET.replace("/", "/other"));
  await answered(other);
  gate.resolve();
  await client.closed;
  assertEquals(statuses(client), [200, 400]);
  const isEmpty = () => server.listener.connections === 1;
  assertEquals(await pollUntil(isEmpty, { deadlineMs: 5_000, intervalMs: 1 }), true);
});

Deno.test("connections whose heads are late at once are refused over several turns", async () => {
  // All are open before the first look, which so finds them late together.
  const timeouts = { headersMs: 100, checkMs: 500 };
  await using server = await listening({ max: 100, timeouts });
  /** The turn of each. */
  const ended: number[] = [];
  let turn = 0;
  let isOver = false;
  const nextTurn = () => {
    turn++;
    if (!isOver) setImmediate(nextTurn);
  };
  const { end } = Socket.prototype;
  Socket.prototype.end = function (this: Socket, ...given: unknown[]) {
    if (this.localPort === server.listener.port) ended.push(turn);
    return Reflect.apply(end, this, given);
  } as typeof end;
  try {
    nextTurn();
    const clients = await Promise.all(Array.from({ length: 60 }, () => server.open()));
    await Promise.all(clients.map(({ closed }) => closed));
    for (const client of clients) assertEquals(statuses(client), [408]);
  } finally {
    Socket.prototype.end = end;
    isOver = true;
  }
  assertEquals(ended.length, 60);
  const perTurn = Map.groupBy(ended, (turn) => turn).values();
  assertEquals([...perTurn].filter(({ length }) => length > 16), []);
});

Deno.test("a body that is no HTTP ends as one that broke off, behind the answers to earlier requests", async () => {
  const handler: Handler = async (request) => {
    if (request.method === "GET") return new Response("hello");
    const text = await readBody(request).then(() => "whole", () => "broken");
    return new Response(text, { status: 400 });
  };
  await using server = await listening({ handler });
  const head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const before of [0, 1]) {
    for (const parts of [[`${head}zz\r\n`], [head, "2\r\nab\r\nzz\r\n"]]) {
      const client = await server.open();
      client.socket.write(GET.repeat(before));
      for (const part of parts) {
        client.socket.write(part);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await client.closed;
      assertEquals(statuses(client), before === 0 ? [400] : [200, 400]);
      assertMatch(client.received, /\r\nconnection: close\r\n[^]*broken$/i);
    }
  }
  assertEquals(server.errors, []);
});

/** Writes the rest in parts, and reads only behind the last one. */
async function writeThenRead(socket: Socket, parts: readonly string[]): Promise<void> {
  for (const part of parts) {
    await new Promise((resolve) => socket.write(part, resolve));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  socket.resume();
}

Deno.test("an answer that closes the connection reaches a client that is still sending", async () => {
  const handler: Handler = () => new Response("no", { status: 401 });
  await using server = await listening({ handler });
  const rest = Array.from({ length: 6 }, () => "x".repeat(10_000));
  const head = (lines: string, host = "x") =>
    `POST / HTTP/1.1\r\nHost: ${host}\r\n${lines}Content-Length: 60000\r\n\r\n`;
  for (
    const [first, status] of [
      [head("Connection: close\r\n"), 401],
      [head("", "a b"), 400],
    ] as const
  ) {
    const client = await attack(server.listener.port);
    client.socket.pause();
    await writeThenRead(client.socket, [first, ...rest]);
    await client.closed;
    assertEquals(statuses(client), [status]);
  }
  const silent = await server.open();
  silent.socket.write(head("Connection: close\r\n"));
  await silent.closed;
  assertEquals(statuses(silent), [401]);
});

Deno.test("a client that reads a long text slowly keeps its connection", async () => {
  const text = "x".repeat(20_000_000);
  await using server = await listening({
    handler: () => new Response(text),
    // Shorter than the whole takes, and far longer than a slice.
    timeouts: { writeMs: 400, checkMs: 20 },
  });
  const { socket, closed } = await attack(server.listener.port, { reads: false });
  let received = 0;
  socket.on("data", (bytes) => {
    received += bytes.length;
    socket.pause();
    setTimeout(() => socket.resume(), 4);
    if (received > text.length) socket.destroy();
  });
  socket.write(GET);
  await closed;
  assert(received > text.length, `got ${received} bytes`);
});

Deno.test("a response's stream that fails is reported, and answered with 500 if nothing of it was sent", async () => {
  const failing = (chunks: string[]) =>
    new ReadableStream({
      async pull(controller) {
        const chunk = chunks.shift();
        if (chunk !== undefined) controller.enqueue(new TextEncoder().encode(chunk));
        else controller.error(new Error(`failed`));
        // So that the chunks are written one by one.
        await new Promise((resolve) => setTimeout(resolve, 1));
      },
    });
  const handler: Handler = ({ url }) =>
    new Response(failing(url.endsWith("/late") ? ["a", "b"] : []));
  await using server = await listening({ handler });
  const early = await server.open();
  early.socket.write("GET /early HTTP/1.1\r\nHost: x\r\n\r\n");
  await early.closed;
  assertEquals([statuses(early), server.errors], [[500], ["Error: failed"]]);
  const late = await server.open();
  late.socket.write("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
  await late.closed;
  assertEquals([statuses(late), server.errors.length], [[200], 2]);
  assert(!late.received.endsWith("0\r\n\r\n"), late.received);
});

Deno.test("a request with an unknown expectation is one as any other, whose connection is closed when it is idle", async () => {
  await using server = await listening({ timeouts: { keepAliveMs: 100, checkMs: 20 } });
  const client = await server.open();
  client.socket.write("GET / HTTP/1.1\r\nHost: x\r\nExpect: something\r\n\r\n");
  await client.closed;
  assertEquals(statuses(client), [200]);
});

Deno.test("a body is found behind any number of headers", async () => {
  const handler: Handler = async (request) =>
    new Response(`${new TextDecoder().decode(await readBody(request))}, hello`);
  await using server = await listening({ handler });
  const client = await server.open();
  client.socket.write(post("/", { lines: "a:\r\n".repeat(2_100), body: "body" }));
  assertMatch(await answered(client), /body, hello$/);
  await leave([client]);
});
