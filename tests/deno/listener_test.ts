/** The HTTP server on real sockets, with small bounds. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "node:net";
import process from "node:process";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { readBody } from "../../src/http/body.ts";
import type { Handler } from "../../src/deno/exchange.ts";
import { attack, leave } from "../hostile/clients.ts";
import { answered, GET, listening, received } from "./listening.ts";
import { sentTogether } from "./sent_together.ts";

Deno.test("connections that send nothing, half a header or a byte at a time are closed in time", async () => {
  await using server = await listening({ timeouts: { headersMs: 150, checkMs: 50 } });
  const silent = await server.open();
  const half = await server.open();
  half.socket.write("GET / HTTP/1.1\r\nHost: x\r\nX-Half: ");
  const trickling = await server.open();
  trickling.socket.write("GET / HTTP/1.1\r\nX: ");
  const timer = setInterval(() => trickling.socket.write("x"), 20);
  const used = await server.open();
  used.socket.write(GET);
  await answered(used);
  used.socket.write(GET.slice(0, 10));
  await Promise.all([silent.closed, half.closed, trickling.closed, used.closed]);
  clearInterval(timer);
  const later = await server.open();
  later.socket.write(GET);
  assertMatch(await answered(later), /^HTTP\/1\.1 200 /);
});

Deno.test("a connection that sends no further request is closed, and one that has begun to send it is not", async () => {
  await using server = await listening({ timeouts: { keepAliveMs: 100, checkMs: 20 } });
  const [idle, begun] = [await server.open(), await server.open()];
  for (const client of [begun, idle]) {
    client.socket.write(GET);
    await answered(client);
    assertMatch(client.received, /\r\nkeep-alive: timeout=0.1\r\n/i);
  }
  begun.socket.write(GET.slice(0, 10));
  await idle.closed;
  // It became idle before the other one, and is looked at first.
  assertEquals(begun.isClosed, false);
  begun.socket.write(GET.slice(10));
  await answered(begun, 2);
  await begun.closed;
});

Deno.test("bytes that begin no request keep a connection for the same time only", async () => {
  await using server = await listening({ timeouts: { keepAliveMs: 100, checkMs: 20 } });
  const [breaks, late] = [await server.open(), await server.open()];
  breaks.socket.write(GET);
  await answered(breaks);
  breaks.socket.write("\r\n");
  // The rest of a body that the handler has not read.
  late.socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
  await answered(late);
  late.socket.write("cd");
  await Promise.all([breaks.closed, late.closed]);
});

Deno.test("when all connections are taken, the one that never sent a request makes room, then the longest idle one", async () => {
  await using server = await listening({ max: 3 });
  const used = await server.open();
  used.socket.write(GET);
  await answered(used);
  const silent = [await server.open(), await server.open()];
  const next = await server.open();
  next.socket.write(GET);
  await answered(next);
  await silent[0]!.closed;
  assertEquals([used.isClosed, silent[1]!.isClosed, next.isClosed], [false, false, false]);
  const another = await server.open();
  another.socket.write(GET);
  await answered(another);
  await silent[1]!.closed;
  await server.open();
  await used.closed;
  assertEquals([next.isClosed, another.isClosed], [false, false]);
  assertEquals(server.refused, ["made room", "made room", "made room"]);
  assertEquals(server.listener.connections, 3);
});

Deno.test("busy connections never make room: a further one is refused", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const handler: Handler = () => promise.then(() => new Response("hello"));
  await using server = await listening({ max: 2, handler });
  const busy = [await server.open(), await server.open()];
  for (const { socket } of busy) socket.write(GET);
  // Both requests have been read once a third connection is refused and not one of them.
  const refused = await server.open();
  await refused.closed;
  resolve();
  for (const client of busy) assertMatch(await answered(client), /^HTTP\/1\.1 200 /);
  assertEquals(server.refused, ["full"]);
});

Deno.test("one client's connections are bounded, whatever it does with them, and another client is served", async () => {
  await using server = await listening({ maxPerClient: 2 });
  const first = [await server.open(), await server.open()];
  const third = await server.open();
  await third.closed;
  const other = await server.open("127.0.0.2");
  other.socket.write(GET);
  assertMatch(await answered(other), /^HTTP\/1\.1 200 /);
  assertEquals(server.refused, ["client has too many"]);
  await leave([first[0]!]);
  await pollUntil(() => server.listener.connections === 2, { deadlineMs: 5_000, intervalMs: 1 });
  const again = await server.open();
  again.socket.write(GET);
  assertMatch(await answered(again), /^HTTP\/1\.1 200 /);
});

Deno.test("requests that are sent ahead run one after the other, and more than 32 close the connection", async () => {
  let running = 0;
  let most = 0;
  let served = 0;
  const handler: Handler = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 1));
    running--;
    served++;
    return new Response("hello");
  };
  await using server = await listening({ handler });
  const polite = await server.open();
  polite.socket.write(GET.repeat(20));
  await answered(polite, 20);
  assertEquals([most, served], [1, 20]);
  const greedy = await server.open();
  greedy.socket.write(GET.repeat(200));
  await greedy.closed;
  assertEquals(server.refused, ["pipelined too much"]);
  assert(served <= 22, `${served} requests were served`);
});

Deno.test("a reader that takes nothing loses its connection, and the body's source is cancelled", async () => {
  const cancelled = Promise.withResolvers<void>();
  const chunk = new Uint8Array(1_000_000);
  const handler: Handler = () =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(chunk),
        cancel: () => cancelled.resolve(),
      }),
    );
  await using server = await listening({ handler, timeouts: { writeMs: 200, checkMs: 50 } });
  const reader = await attack(server.listener.port, { reads: false });
  reader.socket.pause();
  reader.socket.write(GET);
  await cancelled.promise;
  await leave([reader]);
});

Deno.test("a reader that takes chunks of equal size slowly keeps its connection", async () => {
  const chunk = new Uint8Array(1_000_000);
  let left = 20;
  const length = left * chunk.length;
  const body = () =>
    new ReadableStream({
      async pull(controller) {
        // Not ready at once, so that the chunks are written one by one.
        await new Promise((resolve) => setTimeout(resolve, 0));
        if (left-- > 0) controller.enqueue(chunk);
        else controller.close();
      },
    });
  await using server = await listening({
    handler: () => new Response(body()),
    // Shorter than the whole, and far longer than one chunk.
    timeouts: { writeMs: 1_000, checkMs: 20 },
  });
  const { socket, closed } = await attack(server.listener.port, { reads: false });
  let received = 0;
  const done = new Promise<void>((resolve) => {
    socket.on("data", (bytes) => {
      received += bytes.length;
      if (received > length) return resolve();
      socket.pause();
      setTimeout(() => socket.resume(), 4);
    });
  });
  socket.write(GET);
  await Promise.race([done, closed]);
  assert(received > length, `got ${received} bytes`);
  socket.destroy();
  await closed;
});

Deno.test("a reader that pauses again and again leaves no listeners behind, and no warning on standard error", async () => {
  const warnings: string[] = [];
  const note = (warning: Error) => warnings.push(warning.message);
  process.on("warning", note);
  let left = 40;
  const body = new ReadableStream({
    // Not ready at once, so that the chunks are written one by one.
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (left-- > 0) controller.enqueue(new Uint8Array(256 * 1024));
      else controller.close();
    },
  });
  await using server = await listening({ handler: () => new Response(body) });
  const response = await fetch(`http://127.0.0.1:${server.listener.port}/`);
  assertEquals((await response.arrayBuffer()).byteLength, 40 * 256 * 1024);
  process.off("warning", note);
  assertEquals(warnings, []);
});

Deno.test("a client that leaves cancels the body that is written to it", async () => {
  const cancelled = Promise.withResolvers<void>();
  const handler: Handler = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new TextEncoder().encode("first")),
        cancel: () => cancelled.resolve(),
      }),
    );
  await using server = await listening({ handler });
  const client = await server.open();
  client.socket.write(GET);
  await received(client);
  await leave([client]);
  await cancelled.promise;
});

Deno.test("a body that breaks off is cut, so that no client takes it for complete", async () => {
  let isFirst = true;
  const handler: Handler = () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          if (!isFirst) return controller.error(new Error("rows lost"));
          isFirst = false;
          controller.enqueue(new TextEncoder().encode("first"));
          return new Promise((resolve) => setTimeout(resolve, 5));
        },
      }),
    );
  await using server = await listening({ handler });
  const client = await server.open();
  client.socket.write(GET);
  await client.closed;
  assertMatch(client.received, /first/);
  assert(!client.received.endsWith("0\r\n\r\n"), client.received);
});

Deno.test("request and response bodies, headers and HEAD pass unchanged", async () => {
  const handler: Handler = async (request, { remoteAddr }) => {
    const body = request.method === "HEAD" ? null : await request.text();
    const headers = new Headers({ "X-From": remoteAddr.hostname, "X-Url": request.url });
    headers.append("Set-Cookie", "a=1");
    headers.append("Set-Cookie", "b=2");
    headers.set("X-Sent", request.headers.get("X-Sent") ?? "");
    return new Response(body, { status: 201, headers });
  };
  await using server = await listening({ handler });
  const url = `http://127.0.0.1:${server.listener.port}/a%20b?c=d`;
  const long = "x".repeat(1_000_000);
  const client = Deno.createHttpClient({});
  for (const body of ["", "short", long]) {
    const response = await fetch(url, { client, method: "POST", body, headers: { "X-Sent": "é" } });
    assertEquals([response.status, await response.text() === body], [201, true]);
    assertEquals(response.headers.getSetCookie(), ["a=1", "b=2"]);
    assertEquals(response.headers.get("X-From"), "127.0.0.1");
    assertEquals(response.headers.get("X-Url"), url);
    assertEquals(response.headers.get("X-Sent"), "é");
  }
  const stream = new Blob([long]).stream();
  const streamed = await fetch(url, { client, method: "POST", body: stream });
  assertEquals((await streamed.text()).length, long.length);
  const head = await fetch(url, { client, method: "HEAD" });
  assertEquals([head.status, await head.text()], [201, ""]);
  client.close();
});

Deno.test("a body is read whole, whether it comes with its head, behind it or in parts", async () => {
  let onRead = () => {};
  const handler: Handler = async (request) => {
    let text = "";
    const decoder = new TextDecoder();
    onRead();
    for await (const chunk of request.body!) {
      text += decoder.decode(chunk);
      onRead();
    }
    return new Response(`${text}hello`);
  };
  await using server = await listening({ handler });
  const client = await server.open();
  const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n";
  const ways = [[`${head}abcdef`], [head, "abcdef"], [`${head}ab`, "cd", "ef"]];
  for (const [index, parts] of ways.entries()) {
    for (const part of parts) {
      const isRead = new Promise<void>((resolve) => onRead = resolve);
      client.socket.write(part);
      await isRead;
    }
    await answered(client, index + 1);
  }
  assertEquals(client.received.match(/\r\n\r\nabcdefhello/g)?.length, ways.length);
});

Deno.test("a body that has come in several buffers before it is read keeps all of them", async () => {
  const reads: Record<string, (request: Request) => Promise<Uint8Array>> = {
    whole: (request) => readBody(request, { maxBytes: 200_000 }),
    "as a stream": async (request) =>
      new Uint8Array(await new Response(request.body).arrayBuffer()),
    "by the runtime": async (request) => new Uint8Array(await request.arrayBuffer()),
  };
  const chunked = (...chunks: string[]) =>
    `Transfer-Encoding: chunked\r\n\r\n${
      [...chunks, ""].map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")
    }`;
  const text = "0123456789".repeat(15_000);
  const sized = [65_400, 65_536, 65_537, 150_000].map((length) => text.slice(0, length));
  const bodies = [
    ["abcd", chunked("ab", "cd")],
    ["abcdefghi", chunked("abc", "def", "ghi")],
    ...sized.map((body) => [body, `Content-Length: ${body.length}\r\n\r\n${body}`]),
  ];
  for (const [name, read] of Object.entries(reads)) {
    const seen: string[] = [];
    const handler: Handler = async (request) => {
      seen.push(new TextDecoder().decode(await read(request)));
      return new Response("hello");
    };
    await using server = await listening({ handler });
    const client = await server.open();
    for (const [index, [, sent]] of bodies.entries()) {
      client.socket.write(`POST / HTTP/1.1\r\nHost: x\r\n${sent}`);
      await answered(client, index + 1);
    }
    assertEquals(seen.map(({ length }) => length), bodies.map(([body]) => body!.length), name);
    assertEquals(seen.every((body, index) => body === bodies[index]![0]), true, name);
  }
});

Deno.test("connections that wait to be accepted when the listener closes are served", async () => {
  await using server = await listening();
  using clients = sentTogether(server.listener.port, Array.from({ length: 50 }, () => GET));
  await server.listener.close({ timeoutMs: 1_000 });
  const closing = (answer: string) =>
    /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n.*hello$/is.test(answer);
  assertEquals((await clients.answers).filter((answer) => !closing(answer)), []);
});

Deno.test("clients that come while the process is busy wait to be accepted, as many as the backlog has", async () => {
  const count = 300;
  const options = { max: count, maxPerClient: count, backlog: count };
  await using server = await listening(options);
  const request = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
  using clients = sentTogether(server.listener.port, Array.from({ length: count }, () => request));
  const answers = await clients.answers;
  assertEquals(answers.filter((answer) => !answer.startsWith("HTTP/1.1 200 ")), []);
});

Deno.test("a text is written with its length in bytes, also an empty one, and after its stream was touched", async () => {
  const texts = ["hello", "", "h\u00e9llo \u{1F600}", "x".repeat(100_000)];
  const bytes = texts.map((text) => new TextEncoder().encode(text).length);
  const touched = () => {
    const response = new Response("hello");
    assert(response.body !== null);
    return response;
  };
  const handler: Handler = ({ url }) => {
    const index = Number(url.at(-1));
    return index < texts.length ? new Response(texts[index]) : touched();
  };
  await using server = await listening({ handler });
  const client = Deno.createHttpClient({});
  for (const [index, text] of [...texts, "hello"].entries()) {
    const url = `http://127.0.0.1:${server.listener.port}/${index}`;
    const response = await fetch(url, { client });
    assertEquals(response.headers.get("Content-Length"), String(bytes[index] ?? 5));
    assertEquals(await response.text() === text, true);
  }
  client.close();
});

Deno.test("once it closes after responses, each response says so and closes its connection", async () => {
  await using server = await listening();
  const client = await server.open();
  client.socket.write(GET);
  await answered(client);
  assert(!/connection: close/i.test(client.received));
  server.listener.closeAfterResponses();
  client.socket.write(GET);
  await client.closed;
  assertMatch(client.received, /connection: close/i);
});

Deno.test("a handler that throws, and a response that cannot be written, are answered with 500 and reported", async () => {
  const used = new Response("used");
  used.body!.getReader();
  for (const handler of [() => Promise.reject(new Error("broken")), () => used] as Handler[]) {
    await using server = await listening({ handler });
    const client = await server.open();
    client.socket.write(GET);
    await client.closed;
    assertMatch(client.received, /^HTTP\/1\.1 500 /);
    assertEquals(server.errors.length, 1);
  }
});

Deno.test("it listens on the given address only", async () => {
  await using server = await listening();
  const { port } = server.listener;
  const other = connect({ host: "127.0.0.2", port });
  const code = await new Promise((resolve) => {
    other.once("error", (error: Error & { code?: string }) => resolve(error.code));
    other.once("connect", () => resolve("connected"));
  });
  other.destroy();
  assertEquals(code, "ECONNREFUSED");
});

Deno.test("a body whose source pauses for longer than a reader may is not cut", async () => {
  const handler: Handler = () =>
    new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode("first, "));
          await new Promise((resolve) => setTimeout(resolve, 200));
          controller.enqueue(new TextEncoder().encode("second"));
          controller.close();
        },
      }),
    );
  await using server = await listening({ handler, timeouts: { writeMs: 50, checkMs: 10 } });
  const client = Deno.createHttpClient({});
  const response = await fetch(`http://127.0.0.1:${server.listener.port}/`, { client });
  assertEquals(await response.text(), "first, second");
  client.close();
});

Deno.test("a client that leaves while its request runs ends the exchange, and the response's source is cancelled", async () => {
  const started = Promise.withResolvers<void>();
  const result = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  const handler: Handler = async () => {
    started.resolve();
    await result.promise;
    return new Response(new ReadableStream({ cancel: () => cancelled.resolve() }));
  };
  await using server = await listening({ handler });
  const client = await server.open();
  client.socket.write(GET);
  await started.promise;
  await leave([client]);
  await pollUntil(() => server.listener.connections === 0, { deadlineMs: 5_000, intervalMs: 1 });
  result.resolve();
  await cancelled.promise;
});

Deno.test("after a body that the handler reads in part the next request is served, and its rest is not kept", async () => {
  let isFirst = true;
  const handler: Handler = async (request) => {
    if (!isFirst) return new Response("hello");
    isFirst = false;
    // Neither read to its end nor cancelled.
    await request.body!.getReader().read();
    return new Response("hello");
  };
  await using server = await listening({ handler });
  const client = await server.open();
  const body = "x".repeat(5_000_000);
  client.socket.write(
    `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await answered(client);
  client.socket.write(GET);
  await answered(client, 2);
});

Deno.test("the body of a request that comes with others is read by its handler, and those of GET and HEAD by none", async () => {
  const seen: string[] = [];
  const handler: Handler = async (request) => {
    seen.push(`${request.method} ${request.body === null ? null : await request.text()}`);
    return new Response("hello");
  };
  await using server = await listening({ handler });
  for (const cut of [Infinity, 40, 60, 110]) {
    seen.length = 0;
    const client = await server.open();
    const withBody = (method: string, body: string) =>
      `${method} / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const methods = ["POST", "GET", "HEAD", "POST"];
    const sent = GET + methods.map((method, at) => withBody(method, `body ${at}`)).join("");
    client.socket.write(sent.slice(0, cut));
    await new Promise((resolve) => setImmediate(resolve));
    client.socket.write(sent.slice(cut));
    await answered(client, 5);
    assertEquals(seen, ["GET null", "POST body 0", "GET null", "HEAD null", "POST body 3"]);
  }
});

Deno.test("node has nothing to discard of a request without a body", async (t) => {
  await using server = await listening();
  const without = ["GET / HTTP/1.1", "DELETE / HTTP/1.1", "POST / HTTP/1.1\r\nContent-Length: 0"];
  for (const line of without) {
    await t.step(line, async () => {
      const request = `${line}\r\nHost: x\r\n\r\n`;
      const client = await server.open();
      client.socket.write(request);
      await answered(client);
      const { nextTick } = process;
      const ticks: string[] = [];
      process.nextTick = (callback: () => void, ...args: unknown[]) => {
        ticks.push(callback.name);
        return Reflect.apply(nextTick, process, [callback, ...args]);
      };
      try {
        client.socket.write(request);
        await answered(client, 2);
      } finally {
        process.nextTick = nextTick;
      }
      const ofRequest = ["emitReadable_", "resume_", "endReadableNT"];
      assertEquals(ticks.filter((name) => ofRequest.includes(name)), ["endReadableNT"]);
    });
  }
});

Deno.test("a body that the handler does not read, Expect and Upgrade leave the connection usable", async () => {
  await using server = await listening();
  const client = await server.open();
  const body = "x".repeat(200_000);
  client.socket.write(
    `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await answered(client);
  client.socket.write(
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  );
  await answered(client, 2);
  client.socket.write(
    "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
  );
  // The interim response counts too.
  await answered(client, 4);
  assertEquals(client.received.match(/HTTP\/1\.1 \d+/g)?.slice(0, 2), [
    "HTTP/1.1 200",
    "HTTP/1.1 200",
  ]);
  assertMatch(client.received, /HTTP\/1\.1 100 Continue/);
});

Deno.test("a request with two lengths is refused: two servers would see two requests in it", async () => {
  await using server = await listening();
  const client = await server.open();
  client.socket.write(
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /",
  );
  await client.closed;
  assertMatch(client.received, /^HTTP\/1\.1 400 /);
});
