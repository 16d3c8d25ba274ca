import { assertEquals, assertRejects } from "@std/assert";
import { bodyOf } from "../../../src/library/hono/body_of.ts";

Deno.test("texts and bytes arrive in their order, texts as UTF-8", async () => {
  async function* parts(): AsyncGenerator<string | Uint8Array> {
    yield "ä,";
    yield "";
    yield new Uint8Array([0x62]);
  }
  assertEquals(await new Response(bodyOf(parts())).text(), "ä,b");
});

Deno.test("a body does not start before it is read, and makes one part for each read", async () => {
  let made = 0;
  async function* parts(): AsyncGenerator<string> {
    for (;;) {
      made++;
      yield "part";
    }
  }
  const body = bodyOf(parts());
  await Promise.resolve();
  assertEquals(made, 0);
  const reader = body.getReader();
  await reader.read();
  await reader.read();
  assertEquals(made, 2);
  await reader.cancel();
});

Deno.test("a failure breaks the body off", async () => {
  const failure = new Error("broken");
  async function* parts(): AsyncGenerator<string> {
    yield "part";
    throw failure;
  }
  const thrown = await assertRejects(() => new Response(bodyOf(parts())).text(), Error);
  assertEquals(thrown, failure);
});

Deno.test("a reader that leaves ends the generator", async () => {
  let ended = false;
  async function* parts(): AsyncGenerator<string> {
    try {
      for (;;) yield "part";
    } finally {
      ended = true;
    }
  }
  const reader = bodyOf(parts()).getReader();
  await reader.read();
  await reader.cancel();
  assertEquals(ended, true);
});
