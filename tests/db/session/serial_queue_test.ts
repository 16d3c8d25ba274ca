import { assertEquals, assertRejects } from "@std/assert";
import { SerialQueue } from "../../../src/db/session/serial_queue.ts";
import { flushPromises } from "../../support/manual_clock.ts";

Deno.test("tasks run one after the other in the order of the calls, also after one that failed", async () => {
  const queue = new SerialQueue(() => {});
  const first = Promise.withResolvers<string>();
  const steps: string[] = [];
  const one = queue.run(() => (steps.push("one begins"), first.promise));
  const two = assertRejects(() =>
    queue.run(() => {
      steps.push("two");
      throw new Error("two failed");
    })
  );
  const three = queue.run(() => (steps.push("three"), 3));
  await flushPromises();
  assertEquals(steps, ["one begins"]);
  first.resolve("1");
  assertEquals([await one, (await two as Error).message, await three], ["1", "two failed", 3]);
  assertEquals(steps, ["one begins", "two", "three"]);
});

Deno.test("idle waits for a task that a caller adds as soon as its own has ended", async () => {
  for (const fails of [false, true]) {
    const queue = new SerialQueue(() => {});
    let hasRun = false;
    const add = () => queue.run(() => void (hasRun = true));
    const done = queue.run(() => fails ? Promise.reject(new Error("no")) : undefined);
    void (fails ? done.catch(add) : done.then(add));
    await queue.idle();
    assertEquals(hasRun, true, fails ? "after a failure" : "after a success");
  }
});

Deno.test("a caller that must not wait is refused at once", async () => {
  const queue = new SerialQueue(() => {
    throw new RangeError("another request");
  });
  await assertRejects(() => queue.run(() => 1), RangeError);
  await queue.idle();
});
