/** What a handler gets is a `Request` in all that can be asked of it, and has the URL that the runtime would have made. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { TakesBody } from "../../src/http/body.ts";
import { listening } from "./listening.ts";
import { requestOf } from "../../src/deno/exchange.ts";

interface Sent {
  readonly method?: string;
  readonly target?: string;
  readonly raw?: readonly string[];
  readonly body?: string;
}

/** As node's parser gives it. */
function messageOf({ method = "GET", target = "/", raw = ["Host", "a"], body }: Sent) {
  const message = Readable.from(body === undefined ? [] : [new TextEncoder().encode(body)]);
  const length = body === undefined ? [] : ["Content-Length", String(body.length)];
  return Object.assign(message, { method, url: target, rawHeaders: [...raw, ...length] });
}

function received(sent: Sent): Request {
  const request = requestOf(messageOf(sent) as unknown as IncomingMessage);
  assert(request instanceof Request);
  return request;
}

const TARGETS = [
  "/users/1?limit=50&after=a-b_c~d",
  "/.well-known/x",
  "/a.json",
  "/a..b",
  "/a/../b",
  "/a/..",
  "/a/./b?c=/../d",
  "/%2e%2E/b",
  "/%41",
  "/a\\b",
  "//b.example/c",
  "/a b\"<>`{}|^'",
  "/?a=b'c?d",
  "/a#b",
  "/\u00e9",
  "/users/..;/healthz",
];

Deno.test("a path becomes the URL that the runtime would make of it", () => {
  for (const target of TARGETS) {
    assertEquals(received({ target }).url, new Request(`http://a${target}`).url);
  }
  const pieces = fc.constantFrom(
    "/",
    ".",
    "..",
    "%",
    "2e",
    "?",
    "#",
    "a",
    "\\",
    ":",
    "@",
    "'",
    "~",
  );
  fc.assert(fc.property(fc.array(pieces), (parts) => {
    const target = `/${parts.join("")}`;
    assertEquals(received({ target }).url, new Request(`http://a${target}`).url);
  }));
});

Deno.test("a host becomes the origin that the runtime would make of it, as often as it comes", () => {
  for (const host of ["A.Example:80", "127.1", "a:8000", "[::0:1]:81", "1", "x_y.z"]) {
    for (let time = 0; time < 2; time++) {
      const { url } = received({ raw: ["host", host], target: "/b" });
      assertEquals(url, new Request(`http://${host}/b`).url);
    }
  }
  for (let index = 0; index < 250; index++) {
    assertEquals(received({ raw: ["host", `h${index}`] }).url, `http://h${index}/`);
  }
  assertEquals(received({ target: "http://B:80/../c" }).url, "http://b/c");
  for (const raw of [["Host", "a", "host", "a"], ["Host", "a/b"], ["Host", ""]]) {
    const message = messageOf({ raw }) as unknown as IncomingMessage;
    assert(requestOf(message) instanceof Response);
  }
});

Deno.test("headers are found as the runtime would find them, before and after they are changed", () => {
  const raw = [
    "Host",
    "a",
    "X-One",
    "1",
    "x-two",
    "2",
    "X-ONE",
    "3",
    "Content-Type",
    "b",
    "Content-type",
    "c",
  ];
  const runtime = new Headers();
  for (let at = 0; at < raw.length; at += 2) runtime.append(raw[at]!, raw[at + 1]!);
  const { headers } = received({ raw });
  for (const name of ["x-one", "X-Two", "content-type", "none", "HOST"]) {
    assertEquals([headers.get(name), headers.has(name)], [runtime.get(name), runtime.has(name)]);
  }
  for (const name of ["", "a b", "\u0130", "a:"]) {
    assertThrows(() => headers.get(name), TypeError);
    assertThrows(() => headers.has(name), TypeError);
  }
  assertEquals([...headers], [...runtime]);
  assertEquals([...new Headers(headers)], [...runtime]);
  headers.set("X-One", "4");
  headers.delete("x-two");
  assertEquals([headers.get("x-one"), headers.has("X-Two")], ["4", false]);
  assert(headers instanceof Headers);
  const request = received({ raw });
  assertEquals([...request.clone().headers], [...runtime]);
  const changed = received({ raw });
  changed.headers.set("X-One", "4");
  assertEquals(changed.clone().headers.get("x-one"), "4");
});

Deno.test("whatever else is asked of a request, it answers as one of the runtime", async () => {
  const raw = ["Host", "a", "Content-Type", "application/json"];
  const sent = { method: "POST", target: "/b", raw, body: '{"c":1}' };
  assertEquals(await received(sent).json(), { c: 1 });
  assertEquals(new TextDecoder().decode(await received(sent).arrayBuffer()), sent.body);
  const read = received(sent);
  assertEquals([read.bodyUsed, read.signal.aborted, read.redirect], [false, false, "follow"]);
  assertEquals(await new Response(read.body).text(), sent.body);
  assertEquals(read.bodyUsed, true);
  await assertRejects(() => read.text(), TypeError);
  const copy = received(sent).clone();
  assertEquals([copy.method, copy.url, copy.headers.get("content-type")], [
    "POST",
    "http://a/b",
    "application/json",
  ]);
  assertEquals(await copy.text(), sent.body);
  const both = received(sent);
  const [other, own] = [both.clone().body, both.body];
  assertEquals(await new Response(other).text(), sent.body);
  assertEquals(await new Response(own).text(), sent.body);
  const empty = received({});
  assertEquals([empty.body, await empty.text()], [null, ""]);
  assertEquals(Object.prototype.toString.call(empty), "[object Request]");
});

Deno.test("a request whose body was read as a stream says so, and is not read again", async () => {
  const raw = ["Host", "a", "X-One", "1"];
  const read = received({ method: "POST", raw, body: "text" });
  assertEquals(await new Response(read.body).text(), "text");
  assertEquals([read.bodyUsed, read.signal.aborted], [true, false]);
  await assertRejects(() => read.text(), TypeError);
  assertThrows(() => read.clone(), TypeError);
  const locked = received({ method: "POST", raw, body: "text" });
  locked.body!.getReader();
  await assertRejects(() => locked.text(), TypeError);
  const seen = received({ method: "POST", raw, body: "text" });
  assert(seen.body === seen.body);
  assertEquals([seen.bodyUsed, seen.mode], [false, "cors"]);
  assertEquals([await seen.text(), seen.bodyUsed], ["text", true]);
});

Deno.test("a body that has come is taken in all of its chunks, and the request then says that it is used", async () => {
  const come = (chunks: string[]) => {
    const message = messageOf({ method: "POST", body: "text" });
    const buffered = chunks.map((chunk) => new TextEncoder().encode(chunk));
    const read = () => buffered.shift() ?? null;
    return requestOf(
      Object.assign(message, { complete: true, read }) as unknown as IncomingMessage,
    ) as Request & TakesBody;
  };
  const taken = (request: TakesBody) => new TextDecoder().decode(request.takeBody());
  const whole = come(["te", "x", "t"]);
  assertEquals([taken(whole), whole.bodyUsed], ["text", true]);
  assertEquals(whole.takeBody(), undefined);
  await assertRejects(() => whole.text(), TypeError);
  assertThrows(() => whole.clone(), TypeError);
  assertEquals(await new Response(come(["te", "xt"]).body).text(), "text");
  assertEquals(await come(["te", "xt"]).text(), "text");
  const opened = come(["te", "xt"]);
  assert(opened.body !== null);
  assertEquals([opened.takeBody(), await opened.text()], [undefined, "text"]);
  const coming = received({ method: "POST", body: "text" }) as Request & TakesBody;
  assertEquals([coming.takeBody(), await coming.text()], [undefined, "text"]);
  const none = received({}) as Request & TakesBody;
  assertEquals([none.takeBody(), none.bodyUsed, none.body], [undefined, false, null]);
});

Deno.test("the classes that a listener replaces behave as the runtime's", async () => {
  await using _server = await listening();
  class OwnRequest extends Request {}
  class OwnResponse extends Response {}
  assertEquals([
    new OwnRequest("http://a/") instanceof OwnRequest,
    new OwnRequest("http://a/") instanceof Request,
    new Request("http://a/") instanceof OwnRequest,
    received({}) instanceof OwnRequest,
    new Response() instanceof OwnResponse,
    new OwnResponse() instanceof Response,
    Response.json({}) instanceof Response,
  ], [true, true, false, false, false, true, true]);
  assertEquals([Request.name, Request.length, fetch.name, fetch.length], [
    "Request",
    1,
    "fetch",
    0,
  ]);
  assert(Object.isPrototypeOf.call(Request.prototype, new Request("http://a/").clone()));
  assertThrows(() => Reflect.construct(Request, []), TypeError, "1 argument required");
});

Deno.test("a listener lets it be passed on, as middleware and proxies do with a request of the runtime", async () => {
  await using server = await listening({
    handler: async (request) => {
      if (new URL(request.url).pathname === "/behind") {
        return new Response(`${request.headers.get("x-one")} ${await request.text()}, hello`);
      }
      const bounded = new Request(request, { body: request.body, headers: { "X-One": "1" } });
      assert(bounded instanceof Request && bounded.clone() instanceof Request);
      const copy = new Request(new URL("/behind", request.url), bounded);
      return await fetch(copy);
    },
  });
  const url = `http://127.0.0.1:${server.listener.port}`;
  const sent = { method: "POST", body: new Blob(["text"]).stream() };
  assertEquals(await (await fetch(url, sent)).text(), "1 text, hello");
  assertEquals(new Request(received({})).url, "http://a/");
  const proxied = received({
    method: "POST",
    raw: ["Host", `127.0.0.1:${server.listener.port}`, "X-One", "2"],
    target: "/behind",
    body: "text",
  });
  assertEquals(await (await fetch(proxied)).text(), "2 text, hello");
});
