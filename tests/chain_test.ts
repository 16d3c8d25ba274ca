import { assertEquals, assertRejects } from "@std/assert";
import { chain, type Step } from "../src/chain.ts";
import { Hono } from "../src/hono.ts";

/** Notes when it begins, and how what is behind it has ended. */
function noting(name: string, notes: string[]): Step {
  return function note(_c, next) {
    notes.push(`${name} begins`);
    return next().then(() => void notes.push(`${name} ends`), (error) => {
      notes.push(`${name} fails`);
      throw error;
    });
  };
}

Deno.test("chain() runs the first step around the second, and the handler behind both", async () => {
  const notes: string[] = [];
  const app = new Hono();
  app.use(chain(noting("first", notes), noting("second", notes)));
  app.get("/", (c) => {
    notes.push("handler");
    return c.text("answer");
  });
  assertEquals(await (await app.request("/")).text(), "answer");
  assertEquals(notes, ["first begins", "second begins", "handler", "second ends", "first ends"]);
});

Deno.test("chain() rejects what is in front of a step that throws at once, so that it can clean up", async () => {
  const notes: string[] = [];
  const app = new Hono();
  app.use(noting("in front of the chain", notes));
  app.use(chain(noting("step", notes), () => {
    throw new Error("refused");
  }));
  app.onError((error, c) => c.text(error.message, 400));
  const response = await app.request("/");
  assertEquals([response.status, await response.text()], [400, "refused"]);
  assertEquals(notes, [
    "in front of the chain begins",
    "step begins",
    "step fails",
    // Hono has made the answer by then.
    "in front of the chain ends",
  ]);
});

Deno.test("chain() lets its steps see the answer to a request that fails behind it", async () => {
  const statuses: number[] = [];
  const app = new Hono();
  app.use(chain((c, next) => next().then(() => void statuses.push(c.res.status))));
  app.get("/", () => {
    throw new Error("failed");
  });
  app.onError((_error, c) => c.text("", 503));
  await app.request("/");
  assertEquals(statuses, [503]);
});

Deno.test("each step of a chain may call next() once", async () => {
  const app = new Hono();
  app.use(chain((_c, next) => next(), (_c, next) => next().then(next)));
  app.get("/", (c) => c.text("answer"));
  app.onError((error) => {
    throw error;
  });
  await assertRejects(async () => await app.request("/"), Error, "next() called multiple times");
});

Deno.test("a route behind a chain has the inputs of all its steps, also as types", async () => {
  const input = <Target extends "json" | "query", Value extends object>(
    target: Target,
    value: Value,
  ): Step<{ in: { [T in Target]: Value }; out: { [T in Target]: Value } }> =>
  (c, next) => {
    c.req.addValidatedData(target, value);
    return next();
  };
  const app = new Hono();
  app.get("/", chain(input("query", { a: 1 }), input("json", { b: "two" })), (c) => {
    const { a }: { a: number } = c.req.valid("query");
    const { b }: { b: string } = c.req.valid("json");
    // @ts-expect-error: No step has validated it.
    c.req.valid("header");
    return c.text(`${a} ${b}`);
  });
  assertEquals(await (await app.request("/")).text(), "1 two");
});
