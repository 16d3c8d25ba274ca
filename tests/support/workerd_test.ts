import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { startWorkerd } from "./workerd.ts";

const workerd = await startWorkerd({
  entry: "tests/workerd/probe_worker.ts",
  bindings: { GREETING: "good morning" },
  durableObjects: { COUNTER: "Counter" },
});

Deno.test.afterAll(() => workerd.stop());

function ask(path: string): Promise<string> {
  return fetch(new URL(path, workerd.url), { signal: AbortSignal.timeout(10_000) })
    .then((response) => response.text());
}

Deno.test("a Worker has its bindings", async () => {
  assertEquals(await ask("/binding"), "good morning");
});

Deno.test("a Durable Object lives from one request to the next", async () => {
  assertEquals([await ask("/counter"), await ask("/counter")], ["1", "2"]);
});

Deno.test("requests run at the same time in one isolate", async () => {
  const answers = await Promise.all([ask("/meet"), ask("/meet"), ask("/meet")]);
  assertEquals(answers, ["met", "met", "met"]);
});

Deno.test("a request's signal does not abort after its answer, as Deno's does", async () => {
  for (let count = 0; count < 3; count++) assertEquals(await ask("/watch"), "watched");
  assertEquals(await ask("/aborted"), "0");
});

for (
  const [path, text] of [
    ["/throw-in-timer", "thrown without a handler"],
    ["/reject", "rejected without a handler"],
  ] as const
) {
  Deno.test(`errors that are not caught are reported: ${path}`, async () => {
    await ask(path);
    await workerd.logged(text, { timeoutMs: 10_000 });
    const [line, ...others] = workerd.takeUncaught();
    assertStringIncludes(line!, text);
    assertEquals(others, []);
  });
}

Deno.test("a Worker that cannot be bundled rejects with the reason", async () => {
  await assertRejects(
    () => startWorkerd({ entry: "tests/workerd/no_such_worker.ts" }),
    Error,
    "no_such_worker.ts",
  );
});

Deno.test("stop() may be called twice, and leaves nothing behind", async () => {
  const other = await startWorkerd({ entry: "tests/workerd/probe_worker.ts" });
  await other.stop();
  await other.stop();
  await assertRejects(() => fetch(other.url), TypeError);
});
