import { assertEquals } from "@std/assert";
import { WaiterQueue } from "../../../src/db/pool/waiter_queue.ts";

Deno.test("a queue gives its waiters oldest first", () => {
  const queue = new WaiterQueue<string>();
  const nodes = ["a", "b", "c"].map((waiter) => queue.push(waiter));
  assertEquals([...queue], ["a", "b", "c"]);
  queue.remove(nodes[0]!);
  assertEquals(queue.head, "b");
  assertEquals(queue.size, 2);
});

Deno.test("a waiter may leave from anywhere, once", () => {
  for (const leaving of [0, 1, 2]) {
    const queue = new WaiterQueue<number>();
    const nodes = [0, 1, 2].map((waiter) => queue.push(waiter));
    queue.remove(nodes[leaving]!);
    queue.remove(nodes[leaving]!);
    assertEquals([...queue], [0, 1, 2].filter((waiter) => waiter !== leaving));
    assertEquals(queue.size, 2);
    queue.push(3);
    assertEquals([...queue].at(-1), 3);
  }
});

Deno.test("a queue that has been emptied takes waiters again", () => {
  const queue = new WaiterQueue<string>();
  queue.remove(queue.push("a"));
  assertEquals([...queue], []);
  assertEquals(queue.head, undefined);
  queue.push("b");
  assertEquals(queue.head, "b");
});

Deno.test("waiters may be removed while iterating", () => {
  const queue = new WaiterQueue<number>();
  const nodes = [0, 1, 2].map((waiter) => queue.push(waiter));
  const seen: number[] = [];
  for (const waiter of queue) {
    seen.push(waiter);
    queue.remove(nodes[waiter]!);
  }
  assertEquals(seen, [0, 1, 2]);
  assertEquals(queue.size, 0);
});

Deno.test("a node that was removed keeps no other one alive", () => {
  const queue = new WaiterQueue<number>();
  const nodes = [0, 1, 2].map((waiter) => queue.push(waiter));
  for (const node of nodes) queue.remove(node);
  assertEquals(
    nodes.map(({ previous, next }) => [previous, next]),
    nodes.map(() => [undefined, undefined]),
  );
  for (const _ of queue) throw new Error("the queue is empty");
  const last = queue.push(3);
  queue.push(4);
  for (const _ of queue) break;
  queue.remove(last);
  assertEquals(last.next, undefined);
});

Deno.test("the priority lane is in FIFO order, ahead of the regular lane", () => {
  const queue = new WaiterQueue<string>();
  queue.push("a");
  queue.pushPriority("first");
  const second = queue.pushPriority("second");
  queue.push("b");
  assertEquals([...queue], ["first", "second", "a", "b"]);
  queue.remove(second);
  queue.pushPriority("third");
  assertEquals([...queue], ["first", "third", "a", "b"]);
  queue.removeHead();
  queue.removeHead();
  queue.pushPriority("fourth");
  assertEquals([...queue], ["fourth", "a", "b"]);
});
