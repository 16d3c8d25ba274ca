import { assertEquals } from "@std/assert";
import { Signal } from "../../src/queue/signal.ts";

/** Waits, and tells when that is over. */
function waiter(signal: Signal, name: string, woken: string[]): Promise<void> {
  return signal.wait().then(() => void woken.push(name));
}

/** Lets the microtasks run that are due. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("a notification wakes the waiter that has waited longest, and no other", async () => {
  const signal = new Signal();
  const woken: string[] = [];
  const waits = ["first", "second"].map((name) => waiter(signal, name, woken));
  signal.notify();
  await settle();
  assertEquals(woken, ["first"]);
  signal.notify();
  await Promise.all(waits);
  assertEquals(woken, ["first", "second"]);
});

Deno.test("a notification without a waiter is kept for one wait, however many there were", async () => {
  const signal = new Signal();
  const woken: string[] = [];
  signal.notify();
  signal.notify();
  const waits = ["first", "second"].map((name) => waiter(signal, name, woken));
  await settle();
  assertEquals(woken, ["first"]);
  signal.notify();
  await Promise.all(waits);
});

Deno.test("a notification that woke a waiter is not kept for the next one", async () => {
  const signal = new Signal();
  const woken: string[] = [];
  const first = waiter(signal, "first", woken);
  signal.notify();
  await first;
  const second = waiter(signal, "second", woken);
  await settle();
  assertEquals(woken, ["first"]);
  signal.notify();
  await second;
});

Deno.test("notifyAll() wakes all waiters, and is not kept for later ones", async () => {
  const signal = new Signal();
  const woken: string[] = [];
  const waits = ["first", "second"].map((name) => waiter(signal, name, woken));
  signal.notifyAll();
  await Promise.all(waits);
  const late = waiter(signal, "late", woken);
  await settle();
  assertEquals(woken, ["first", "second"]);
  signal.notify();
  await late;
});
