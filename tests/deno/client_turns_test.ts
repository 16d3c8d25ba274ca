import { assertEquals, assertRejects } from "@std/assert";
import { ClientTurns, TURN_TIMEOUT_MS } from "../../src/deno/client_turns.ts";
import { flushPromises, ManualClock } from "../support/manual_clock.ts";

function turnsOf(max: number) {
  const clock = new ManualClock();
  const turns = new ClientTurns({ max, clock });
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const ask = (client: string, name: string) =>
    turns.run(client, () => {
      started.push(name);
      return new Promise<string>((resolve) => ends.set(name, () => resolve(name)));
    });
  const take = async () => {
    await flushPromises();
    return started.splice(0);
  };
  return { clock, turns, ask, take, end: (name: string) => ends.get(name)!() };
}

Deno.test("a client alone runs as many requests as there are connections, and the next in order when one ends", async () => {
  const { clock, ask, take, end } = turnsOf(3);
  const asked = ["1", "2", "3", "4", "5"].map((name) => ask("a", name));
  assertEquals(await take(), ["1", "2", "3"]);
  end("2");
  assertEquals(await take(), ["4"]);
  end("1");
  assertEquals(await take(), ["5"]);
  ["3", "4", "5"].forEach(end);
  assertEquals(await Promise.all(asked), ["1", "2", "3", "4", "5"]);
  assertEquals(clock.pending, 0);
});

Deno.test("beside another client a client gets a third, and the other one does not wait", async () => {
  const { ask, take, end } = turnsOf(6);
  const other = ask("b", "b1");
  const asked = ["1", "2", "3", "4"].map((name) => ask("a", name));
  assertEquals(await take(), ["b1", "1", "2"]);
  const next = ask("b", "b2");
  assertEquals(await take(), ["b2"]);
  ["b1", "b2"].forEach(end);
  await Promise.all([other, next]);
  // The client is alone again, and takes the larger share at once.
  assertEquals(await take(), ["3", "4"]);
  ["1", "2", "3", "4"].forEach(end);
  await Promise.all(asked);
});

Deno.test("a request whose turn does not come runs after a second, and keeps no timer", async () => {
  const { clock, ask, take, end } = turnsOf(1);
  const asked = ["1", "2", "3"].map((name) => ask("a", name));
  assertEquals(await take(), ["1"]);
  await clock.advance(TURN_TIMEOUT_MS - 1);
  assertEquals(await take(), []);
  await clock.advance(1);
  assertEquals(await take(), ["2", "3"]);
  ["1", "2", "3"].forEach(end);
  await Promise.all(asked);
  assertEquals(clock.pending, 0);
});

Deno.test("the addresses of one IPv6 /64 are one client, and others are not", async () => {
  const { ask, take, end } = turnsOf(6);
  const asked = [
    ask("2001:db8::1", "1"),
    ask("2001:db8:0:0:ffff::2", "2"),
    ask("2001:db8:0:1::1", "other"),
    ask("2001:db8::3", "3"),
  ];
  assertEquals(await take(), ["1", "2", "other"]);
  end("1");
  assertEquals(await take(), ["3"]);
  ["2", "3", "other"].forEach(end);
  await Promise.all(asked);
});

Deno.test("a request that fails gives its turn on", async () => {
  const { turns, ask, take, end } = turnsOf(1);
  const failing = turns.run("a", () => Promise.reject(new Error("failed")));
  const next = ask("a", "1");
  await assertRejects(() => failing, Error, "failed");
  assertEquals(await take(), ["1"]);
  end("1");
  await next;
});
