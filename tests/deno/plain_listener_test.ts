/** The HTTP server behind a proxy, `HTTP_SERVER=plain`, on real sockets. */
import { assertEquals, assertMatch } from "@std/assert";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { readBody } from "../../src/http/body.ts";
import type { Handler } from "../../src/deno/exchange.ts";
import type { HttpListener } from "../../src/deno/listener.ts";
import { listenPlainly } from "../../src/deno/plain_listener.ts";
import { attack, type Attacker, leave } from "../hostile/clients.ts";

interface Listening extends AsyncDisposable {
  readonly listener: HttpListener;
  readonly errors: string[];
  readonly url: string;
  open(): Promise<Attacker>;
}

function listening(handler: Handler): Listening {
  const errors: string[] = [];
  const listener = listenPlainly({
    hostname: "127.0.0.1",
    port: 0,
    handler,
    onError: (error) => errors.push(String(error)),
    onSilence: () => {},
  });
  const clients: Attacker[] = [];
  return {
    listener,
    errors,
    url: `http://127.0.0.1:${listener.port}`,
    async open() {
      const client = await attack(listener.port);
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      await leave(clients);
      await listener.close({ timeoutMs: 1_000 });
    },
  };
}

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/** Waits until the client has got `count` answers that end in `end`, or is closed. */
async function answered(client: Attacker, count = 1, end = "hello"): Promise<string> {
  const isThere = () =>
    client.isClosed ||
    (client.received.split("HTTP/1.1 ").length - 1 >= count && client.received.endsWith(end));
  await pollUntil(isThere, { deadlineMs: 5_000, intervalMs: 5 });
  return client.received;
}

Deno.test("the handler gets the client's address, and bodies pass in both directions as streams", async () => {
  await using server = listening((request, { remoteAddr }) =>
    new Response(
      request.body === null ? null : request.body.pipeThrough(new TransformStream()),
      { headers: { client: remoteAddr.hostname, method: request.method } },
    )
  );
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const chunks = ["one ", "two"].map((text) => new TextEncoder().encode(text));
  let index = 0;
  gates[0]!.resolve();
  const response = await fetch(server.url, {
    method: "POST",
    body: new ReadableStream({
      async pull(controller) {
        if (index === chunks.length) return controller.close();
        await gates[index]!.promise;
        controller.enqueue(chunks[index++]!);
      },
    }, { highWaterMark: 0 }),
  });
  assertEquals(
    [response.headers.get("client"), response.headers.get("method")],
    ["127.0.0.1", "POST"],
  );
  const reader = response.body!.getReader();
  const first = await reader.read();
  assertEquals(new TextDecoder().decode(first.value), "one ");
  // The second chunk is sent only after the first has come back.
  gates[1]!.resolve();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "two");
  assertEquals((await reader.read()).done, true);
  assertEquals(server.errors, []);
});

Deno.test("HEAD does not claim a length of 0", async () => {
  await using server = listening((request) =>
    // As Hono does it.
    new Response(request.method === "HEAD" ? null : "hello", { headers: { kept: "yes" } })
  );
  const head = await fetch(server.url, { method: "HEAD" });
  assertEquals(
    [head.status, head.headers.get("kept"), head.headers.get("content-length")],
    [200, "yes", null],
  );
  const get = await fetch(server.url);
  assertEquals([await get.text(), get.headers.get("content-length")], ["hello", "5"]);
});

Deno.test("a handler that throws is answered with 500 without its message, and reported", async () => {
  await using server = listening(() => {
    throw new Error("a secret");
  });
  const response = await fetch(server.url);
  assertEquals([response.status, await response.text()], [500, ""]);
  assertEquals(server.errors, ["Error: a secret"]);
});

Deno.test("a body that breaks off is cut, and a client that leaves cancels it", async () => {
  const cancelled = Promise.withResolvers<void>();
  await using server = listening((request) => {
    let count = 0;
    return new Response(
      new ReadableStream({
        pull(controller) {
          if (request.url.endsWith("/broken") && count++ === 3) throw new Error("broken");
          controller.enqueue(new Uint8Array(1_024));
        },
        cancel: () => cancelled.resolve(),
      }),
    );
  });
  const broken = await server.open();
  broken.socket.write("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n");
  await broken.closed;
  assertEquals(broken.received.endsWith("0\r\n\r\n"), false);
  const leaving = await server.open();
  leaving.socket.write(GET);
  await answered(leaving, 1, "");
  await leave([leaving]);
  await cancelled.promise;
});

Deno.test("once it closes after responses, each response says so, also one whose headers cannot be changed", async () => {
  await using server = listening((request) =>
    request.url.endsWith("/elsewhere")
      ? Response.redirect("http://elsewhere.example/", 303)
      : new Response("hello")
  );
  const open = await server.open();
  open.socket.write(GET);
  assertEquals(/connection: close/i.test(await answered(open)), false);
  server.listener.closeAfterResponses();
  open.socket.write(GET);
  await answered(open, 2);
  assertMatch(open.received, /connection: close/i);
  const redirected = await fetch(`${server.url}/elsewhere`, { redirect: "manual" });
  await redirected.body?.cancel();
  assertEquals([redirected.status, redirected.headers.get("connection")], [303, "close"]);
  assertEquals(server.errors, []);
});

Deno.test("a connection that is idle when the listener closes is answered once more", async () => {
  await using server = listening(() => new Response("hello"));
  const idle = await server.open();
  idle.socket.write(GET);
  await answered(idle);
  const closed = server.listener.close({ timeoutMs: 5_000 });
  idle.socket.write(GET);
  await idle.closed;
  assertEquals(idle.received.split("hello").length - 1, 2);
  assertMatch(idle.received, /connection: close/i);
  await closed;
});

Deno.test("it closes within its time, whatever a client does", async () => {
  const started = Promise.withResolvers<void>();
  await using server = listening(() => {
    started.resolve();
    return new Response(new ReadableStream({}));
  });
  const endless = await server.open();
  endless.socket.write(GET);
  const silent = await server.open();
  silent.socket.write("GET / HT");
  await started.promise;
  const sinceMs = performance.now();
  await server.listener.close({ timeoutMs: 600 });
  const tookMs = performance.now() - sinceMs;
  assertEquals(tookMs < 2_000, true, `${tookMs} ms`);
  await leave([endless, silent]);
});

Deno.test("a body that has come with its head is not waited for", async () => {
  let waits = 0;
  const waited = Promise.withResolvers<void>();
  await using server = listening(async (request) => {
    const bytes = await readBody(request, {
      waitIn: (wait) => {
        waits++;
        waited.resolve();
        return wait();
      },
    });
    return new Response(`${bytes.length} bytes, hello`);
  });
  const client = await server.open();
  const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n";
  const body = "a".repeat(3_000);
  for (let count = 1; count <= 20; count++) {
    client.socket.write(head + body);
    await answered(client, count);
  }
  assertEquals(waits, 0);
  client.socket.write(head);
  await waited.promise;
  client.socket.write(body);
  await answered(client, 21);
  assertEquals(client.received.match(/3000 bytes/g)?.length, 21);
  assertEquals(waits, 1);
});
