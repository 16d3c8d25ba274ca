import { assert, assertEquals } from "@std/assert";
import { rememberTexts, unreadText } from "../../src/deno/response_text.ts";

const fromRuntime = new Response("before");
rememberTexts();

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
