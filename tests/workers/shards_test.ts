/// <reference path="../../src/workers/cloudflare_workers.d.ts" />
import { assertEquals, assertRejects } from "@std/assert";
import type { DurableObjectNamespace } from "cloudflare:workers";
import type { Settings } from "../../src/settings/settings.ts";
import { Shards } from "../../src/library/workers/shards.ts";

/** Durable Objects that answer with their names, or fail if they are in `broken`. */
class FakeNamespace implements DurableObjectNamespace {
  readonly asked: string[] = [];
  readonly hints: unknown[] = [];
  readonly broken = new Set<string>();
  failure = new Error("Network connection lost.");

  idFromName(name: string) {
    return name;
  }

  get(id: { toString(): string }, options?: { locationHint?: string }) {
    const name = id.toString();
    this.hints.push(options?.locationHint);
    return {
      fetch: () => {
        this.asked.push(name);
        return this.broken.has(name)
          ? Promise.reject(this.failure)
          : Promise.resolve(new Response(name));
      },
    };
  }
}

function shardsOf(namespace: FakeNamespace, objects: Settings["objects"]) {
  const clock = { nowMs: 0 };
  const shards = new Shards(namespace, { ...objects, now: () => clock.nowMs, random: () => 0 });
  return {
    clock,
    async ask(init: RequestInit = { method: "DELETE" }) {
      return await (await shards.fetch(new Request("http://service/users", init))).text();
    },
  };
}

Deno.test("requests are distributed evenly over the objects", async () => {
  const namespace = new FakeNamespace();
  const { ask } = shardsOf(namespace, { shards: 3 });
  for (let count = 0; count < 7; count++) await ask();
  assertEquals(namespace.asked.map((name) => name.at(-1)).join(""), "0120120");
});

Deno.test("a read is sent again if its object fails, to another one or to a new stub, at most twice", async () => {
  for (const method of ["GET", "HEAD"]) {
    const namespace = new FakeNamespace();
    const { ask } = shardsOf(namespace, { shards: 2 });
    namespace.broken.add("pool-0");
    await ask({ method });
    assertEquals(namespace.asked, ["pool-0", "pool-1"]);
  }
  const namespace = new FakeNamespace();
  const { ask } = shardsOf(namespace, { shards: 1 });
  namespace.broken.add("pool-0");
  await assertRejects(() => ask({ method: "GET" }), Error, "Network connection lost.");
  assertEquals(namespace.asked, ["pool-0", "pool-0", "pool-0"]);
});

Deno.test("a read that an overloaded object refuses is not sent again", async () => {
  const namespace = new FakeNamespace();
  const { ask } = shardsOf(namespace, { shards: 2 });
  namespace.broken.add("pool-0");
  namespace.failure = Object.assign(new Error("Too many requests"), { overloaded: true });
  await assertRejects(() => ask({ method: "GET" }), Error, "Too many requests");
  assertEquals(namespace.asked, ["pool-0"]);
});

Deno.test("an object that has failed is skipped for a second, and no write is sent twice", async () => {
  const namespace = new FakeNamespace();
  const { ask, clock } = shardsOf(namespace, { shards: 3 });
  namespace.broken.add("pool-0");
  await assertRejects(() => ask(), Error, "Network connection lost.");
  assertEquals(namespace.asked, ["pool-0"]);
  const answers: string[] = [];
  for (let count = 0; count < 4; count++) answers.push(await ask());
  assertEquals(answers, ["pool-1", "pool-2", "pool-1", "pool-2"]);
  namespace.broken.clear();
  clock.nowMs = 1_000;
  assertEquals(await ask(), "pool-0");
});

Deno.test("when all objects have failed, they are used nevertheless", async () => {
  const namespace = new FakeNamespace();
  const { ask } = shardsOf(namespace, { shards: 2 });
  for (const name of ["pool-0", "pool-1"]) namespace.broken.add(name);
  for (let count = 0; count < 4; count++) await assertRejects(() => ask());
  assertEquals(namespace.asked, ["pool-0", "pool-1", "pool-0", "pool-1"]);
});

Deno.test("a request that its client aborted does not make later requests skip the object", async () => {
  const namespace = new FakeNamespace();
  const { ask } = shardsOf(namespace, { shards: 2 });
  namespace.broken.add("pool-0");
  await assertRejects(() => ask({ signal: AbortSignal.abort() }));
  await ask();
  await assertRejects(() => ask());
  assertEquals(namespace.asked, ["pool-0", "pool-1", "pool-0"]);
});

Deno.test("an object that is asked for by its number gets the request, also while it is skipped, and takes no turn", async () => {
  const namespace = new FakeNamespace();
  const shards = new Shards(namespace, { shards: 3, now: () => 0, random: () => 0 });
  const get = (object?: number) => shards.fetch(new Request("http://service/"), { object });
  namespace.broken.add("pool-2");
  await assertRejects(() => get(2), Error, "Network connection lost.");
  assertEquals(namespace.asked, ["pool-2", "pool-2", "pool-2"]);
  namespace.broken.clear();
  namespace.asked.length = 0;
  for (const object of [2, undefined, 0, undefined]) await get(object);
  assertEquals(namespace.asked, ["pool-2", "pool-0", "pool-0", "pool-1"]);
});

Deno.test("the location in the settings is passed as location hint", async () => {
  const namespace = new FakeNamespace();
  await shardsOf(namespace, { shards: 1, location: "weur" }).ask();
  await shardsOf(namespace, { shards: 1 }).ask();
  assertEquals(namespace.hints, ["weur", undefined]);
});
