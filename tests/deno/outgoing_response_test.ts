import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  makeOutgoingResponses,
  outgoingHeaders,
  unreadText,
} from "../../src/deno/outgoing_response.ts";

const fromRuntime = new Response("before");
makeOutgoingResponses();

Deno.test("a response knows the text that it was made of until its body is touched", async () => {
  assertEquals(unreadText(new Response("text")), "text");
  assertEquals(unreadText(new Response("", { status: 201 })), "");
  const read = new Response("text");
  await read.text();
  const locked = new Response("text");
  locked.body!.getReader();
  const none = [
    read,
    locked,
    fromRuntime,
    new Response(null),
    new Response(new Uint8Array([1])),
    new Response(new Blob(["text"]).stream()),
    Response.json({}),
    Response.error(),
  ];
  assertEquals(none.map(unreadText), none.map(() => undefined));
});

Deno.test("it is a response like those of the runtime", async () => {
  const original = new Response("text", { status: 201, headers: { "X-A": "1" } });
  const copy = original.clone();
  const changed = new Response(original.body, original);
  for (const response of [copy, changed]) {
    assertEquals([response.status, response.headers.get("X-A")], [201, "1"]);
    assertEquals(await response.text(), "text");
  }
  assert([fromRuntime, Response.json({}), changed, copy].every((each) => each instanceof Response));
  assert(!(({}) instanceof Response));
  const server = Deno.serve({ port: 0, onListen: () => {} }, () => new Response("served"));
  assertEquals(await (await fetch(`http://127.0.0.1:${server.addr.port}`)).text(), "served");
  await server.shutdown();
});

const NAMES = ["ETag", "etag", "X-B", "Set-Cookie", "a b", 5 as unknown as string];
const VALUES = [
  "1",
  "text/plain",
  " 2",
  "3\t",
  "\u20ac",
  "4\r\nX: 5",
  "6\n7",
  "8\0",
  9 as unknown as string,
];

/** What a change of headers returns, or the class of what it throws. */
function outcome(change: () => unknown): unknown {
  try {
    return change();
  } catch (error) {
    return (error as Error).name;
  }
}

function listed(headers: Headers): string[][] {
  const pairs: string[][] = [];
  headers.forEach(function (this: unknown, value, name, all) {
    assert(this === pairs && all === headers);
    pairs.push([name, value]);
    // It is asked for more in between.
    assertEquals([...headers.keys()].includes(name), true);
  }, pairs);
  // A server may write them in any order, but for those of one name.
  return pairs.sort(([a], [b]) => a! < b! ? -1 : Number(a! > b!));
}

Deno.test("its headers are those of the runtime, whatever is set, asked for and removed", () => {
  const kind = fc.constantFrom("set", "append", "delete", "get", "has", "getSetCookie", "list");
  const change = fc.tuple(kind, fc.constantFrom(...NAMES), fc.constantFrom(...VALUES));
  fc.assert(
    fc.property(fc.array(change), (changes) => {
      const init = { headers: { "Content-Type": "application/json", "X-B": "0" } };
      const response = new Response("text", init);
      const [own, runtime] = [outgoingHeaders(response), new Headers(init.headers)];
      for (const [kind, name, value] of changes) {
        const does = (headers: Headers) => () =>
          kind === "list" ? [...headers] : Reflect.apply(headers[kind] as never, headers, [
            name,
            ...(kind === "set" || kind === "append" ? [value] : []),
          ]);
        assertEquals(outcome(does(own)), outcome(does(runtime)));
      }
      assertEquals(listed(own), listed(runtime));
      assertEquals([...response.clone().headers], [...runtime]);
      assertEquals([...new Response(null, response).headers], [...runtime]);
      assertEquals([...new Headers(response.headers)], [...runtime]);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("a proxy of another response shows what that shows", async () => {
  const proxy = new Proxy(fromRuntime.clone(), {
    get: (target, key, receiver) =>
      key === "text"
        ? () => target.text()
        : Reflect.get(Response.prototype, key, target) ?? receiver,
  });
  assertEquals(proxy.headers.get("content-type"), "text/plain;charset=UTF-8");
  assert(proxy.body instanceof ReadableStream);
  assertEquals(await proxy.text(), "before");
});

Deno.test("only a response whose headers were asked for as outgoing keeps them apart", () => {
  const response = new Response("text");
  const before = response.headers;
  assert(outgoingHeaders(response) !== before && response.headers === outgoingHeaders(response));
  assert(response.headers instanceof Headers);
  assert(new Response("text").headers.constructor === Headers);
  assertEquals(outgoingHeaders(fromRuntime), fromRuntime.headers);
});
