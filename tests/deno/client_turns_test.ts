import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  BUSY_TIMEOUT_MS,
  ClientTurns,
  type Turn,
  TURN_TIMEOUT_MS,
} from "../../src/deno/client_turns.ts";
import { flushPromises, ManualClock } from "../support/manual_clock.ts";
import { processTimes } from "./process_times.ts";

const SHED_TARGET_MS = 500;

const NAMES = Array.from({ length: 40 }, (_, index) => `${index}`);

/** Requests whose names begin with `r` read. `onLook` is called when it is asked how many may run. */
function turnsOf(connections: number, { readDepth = 1, onLook = () => {} } = {}) {
  const clock = new ManualClock();
  const load = { readDepth, isBusy: false };
  const options = {
    connections,
    readDepth() {
      onLook();
      return load.readDepth;
    },
    shedTargetMs: SHED_TARGET_MS,
  };
  const times = processTimes(clock, { isBusy: () => load.isBusy });
  const turns = new ClientTurns(options, { clock, times });
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const running = new Map<string, Turn>();
  const refused: number[] = [];
  const ask = (address: string, name: string) =>
    turns.run({ client: address, isRead: name.startsWith("r") }, (turn) => {
      if ("waiting" in turn) {
        refused.push(turn.waiting);
        return "refused";
      }
      started.push(name);
      running.set(name, turn);
      return new Promise<string>((resolve) => ends.set(name, () => resolve(name)));
    });
  const waitForBody = (name: string) => {
    const body = Promise.withResolvers<void>();
    void running.get(name)!.leaveWhile(() => body.promise).then(() =>
      started.push(`${name} again`)
    );
    return body.resolve;
  };
  const take = async () => {
    await flushPromises();
    return started.splice(0);
  };
  const end = (name: string) => ends.get(name)!();
  return { clock, load, turns, ask, waitForBody, take, end, refused };
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

Deno.test("in a busy process a request whose turn does not come waits until others end, and for five seconds at most", async () => {
  const { clock, load, ask, take, end } = turnsOf(18);
  load.isBusy = true;
  const asked = NAMES.map((name) => ask("a", name));
  // As many as may in any case.
  assertEquals(await take(), NAMES.slice(0, 16));
  for (const second of [0, 1, 2, 3, 4]) {
    await clock.advance(TURN_TIMEOUT_MS - 1);
    assertEquals(await take(), []);
    end(`${second}`);
    assertEquals(await take(), [`${16 + second}`]);
    await clock.advance(1);
  }
  assertEquals(clock.now(), BUSY_TIMEOUT_MS);
  // Timers of one moment fire in no order.
  assertEquals((await take()).sort((one, other) => Number(one) - Number(other)), NAMES.slice(21));
  NAMES.slice(5).forEach(end);
  await Promise.all(asked);
  // The limit looks once more whether the process is idle.
  await clock.advance(15);
  assertEquals(clock.pending, 0);
});

/** A busy process in which 23 requests have waited for a second, and one has ended meanwhile. */
async function busyTurns() {
  const turns = turnsOf(18);
  const { clock, load, ask, take, end } = turns;
  load.isBusy = true;
  for (const name of NAMES) void ask("a", name);
  await clock.advance(TURN_TIMEOUT_MS - 1);
  end("0");
  assertEquals(await take(), NAMES.slice(0, 17));
  await clock.advance(1);
  return turns;
}

Deno.test("requests run after a second in which none has ended, also in a busy process", async () => {
  const { clock, take } = await busyTurns();
  await clock.advance(TURN_TIMEOUT_MS - 1);
  assertEquals(await take(), []);
  await clock.advance(1);
  assertEquals((await take()).length, NAMES.length - 17);
});

Deno.test("requests that have waited for a second run once the process is idle, whether or not the pool has a place", async () => {
  const { clock, load, take } = await busyTurns();
  load.isBusy = false;
  await clock.advance(100);
  assertEquals(await take(), NAMES.slice(17));
});

Deno.test("requests that have waited for a second take turns among clients", async () => {
  const { clock, load, ask, take, end } = turnsOf(6);
  load.isBusy = true;
  for (const client of ["a", "b"]) {
    for (const name of NAMES) void ask(client, `${client} ${name}`);
  }
  await clock.advance(TURN_TIMEOUT_MS - 1);
  ["a 0", "b 0"].forEach(end);
  const before = await take();
  await clock.advance(1);
  const ofEach = (names: string[]) =>
    ["a", "b"].map((client) => names.filter((name) => name.startsWith(client)).length);
  const begun = await take();
  assertEquals(ofEach(begun), [5, 4]);
  // What comes free, although all of it was one client's.
  for (const name of before.filter((name) => name.startsWith("a")).slice(1)) {
    end(name);
    await flushPromises();
  }
  assertEquals(ofEach(await take()), [2, 3]);
});

Deno.test("requests that have waited for a second are looked at together", async () => {
  let looks = 0;
  const { clock, load, ask, take, end } = turnsOf(6, { onLook: () => looks++ });
  load.isBusy = true;
  for (let client = 0; client < 300; client++) {
    for (const name of ["1", "2"]) {
      void ask(`10.0.${client >> 8}.${client & 255}`, `${client} ${name}`);
    }
  }
  await clock.advance(TURN_TIMEOUT_MS - 1);
  end((await take())[0]!);
  await flushPromises();
  looks = 0;
  await clock.advance(1);
  assert(looks > 0 && looks < 2_000, `${looks} looks`);
});

Deno.test("once no request waits for more than a second, what ends in a full pool is offered to its own client alone", async () => {
  let looks = 0;
  const { clock, ask, take, end } = turnsOf(6, { onLook: () => looks++ });
  for (const name of NAMES.slice(0, 8)) void ask("a", `a ${name}`);
  await clock.advance(TURN_TIMEOUT_MS - 1);
  end("a 0");
  await flushPromises();
  await clock.advance(1);
  assertEquals((await take()).at(-1), "a 7");
  for (let client = 0; client < 4; client++) {
    for (const name of ["1", "2", "3"]) void ask(`10.0.0.${client}`, `${client} ${name}`);
  }
  await flushPromises();
  looks = 0;
  end("a 1");
  await flushPromises();
  assertEquals(looks, 1);
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
  const failing = turns.run(
    { client: "a", isRead: true },
    () => Promise.reject(new Error("failed")),
  );
  const next = ask("a", "1");
  await assertRejects(() => failing, Error, "failed");
  assertEquals(await take(), ["1"]);
  end("1");
  await next;
});

Deno.test("what comes free goes round the clients, and none has less than its part", async () => {
  const { ask, take, end } = turnsOf(6);
  const asked = ["a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3"]
    .map((name) => ask(name.slice(0, 1), name));
  // Client a was alone when it came.
  assertEquals(await take(), ["a1", "a2", "a3", "b1", "b2", "c1", "c2"]);
  // All is taken, but a fourth client gets its part.
  asked.push(...["d1", "d2", "d3"].map((name) => ask("d", name)));
  assertEquals(await take(), ["d1", "d2"]);
  end("d1");
  assertEquals(await take(), ["d3"], "still its part");
  ["a1", "a2", "a3"].forEach(end);
  assertEquals(await take(), [], "until less is taken than there is");
  end("c1");
  assertEquals(await take(), ["c3"], "b waits for longest, but has a third");
  end("b1");
  assertEquals(await take(), ["b3"]);
  ["b2", "b3", "c2", "c3", "d2", "d3"].forEach(end);
  await Promise.all(asked);
});

Deno.test("a client has as many reads at once as share the connections, and a write takes a connection", async () => {
  const { load, ask, take, end } = turnsOf(2, { readDepth: 3 });
  const asked = ["w1", "r1", "r2", "r3", "r4", "w2"].map((name) => ask("a", name));
  assertEquals(await take(), ["w1", "r1", "r2", "r3"]);
  end("w1");
  assertEquals(await take(), ["r4", "w2"]);
  // The server has become slow, so that no read shares a connection.
  load.readDepth = 1;
  const more = ["r5", "r6"].map((name) => ask("a", name));
  ["r1", "r2", "r3"].forEach(end);
  assertEquals(await take(), []);
  end("r4");
  assertEquals(await take(), ["r5"]);
  ["w2", "r5"].forEach(end);
  assertEquals(await take(), ["r6"]);
  end("r6");
  await Promise.all([...asked, ...more]);
});

Deno.test("a request is refused at once when the wait for its turn would be too long", async () => {
  const { clock, ask, take, end, refused } = turnsOf(1);
  const waits: number[] = [];
  const running: string[] = [];
  const asked: Promise<void>[] = [];
  const came = async (name: string) => {
    const atMs = clock.now();
    if (await ask("a", name) === "refused") assertEquals(clock.now(), atMs);
    else waits.push(clock.now() - atMs);
  };
  // 100 requests a second can be served, and 400 come.
  for (let round = 0; round < 400; round++) {
    for (let k = 0; k < 4; k++) asked.push(came(`${round} ${k}`));
    running.push(...await take());
    await clock.advance(10);
    end(running.shift()!);
  }
  while (running.push(...await take()) > 0) end(running.shift()!);
  await Promise.all(asked);
  assertEquals(clock.pending, 0);
  assert(
    waits.length >= 400 && refused.length >= 1_000,
    `${waits.length} served, ${refused.length} refused`,
  );
  // The first second gives no rate by which a wait could be told.
  assert(Math.min(...refused) >= 50 && Math.max(...refused) <= 400, `${refused}`);
  waits.sort((a, b) => a - b);
  const p99 = waits[Math.floor(waits.length * 0.99)]!;
  assert(p99 <= TURN_TIMEOUT_MS, `p99 ${p99} ms`);
});

Deno.test("a burst is not refused, however many requests it has", async () => {
  const { ask, take, end } = turnsOf(2);
  const asked = Array.from({ length: 1_000 }, (_, index) => ask("a", `${index}`));
  for (let left = 1_000; left > 0;) {
    const names = await take();
    names.forEach(end);
    left -= names.length;
  }
  assertEquals((await Promise.all(asked)).includes("refused"), false);
});

Deno.test("a burst that is not served yet is not refused while the limit of requests at once grows", async () => {
  const { clock, ask, take, refused } = turnsOf(50, { readDepth: 16 });
  for (let count = 0; count < 1_000; count++) {
    void ask("a", `r${count}`);
    if (count % 10 === 9) await clock.advance(1);
  }
  assertEquals(refused, []);
  // What the pool serves at a time, by and by.
  await clock.advance(300);
  assertEquals((await take()).length > 300, true);
});

Deno.test("a request whose body has not arrived leaves its turn to others", async () => {
  const { ask, take, end, waitForBody } = turnsOf(3);
  const names = Array.from({ length: 50 }, (_, index) => `slow ${index}`);
  const slow: Promise<string>[] = [];
  const arrive: (() => void)[] = [];
  for (const name of names) {
    slow.push(ask(name, name));
    assertEquals(await take(), [name]);
    arrive.push(waitForBody(name));
  }
  const asked = ["1", "2", "3", "4"].map((name) => ask("a", name));
  assertEquals(await take(), ["1", "2", "3"], "as if it were alone");
  arrive.forEach((arrived) => arrived());
  assertEquals(await take(), names.map((name) => `${name} again`), "each is alone too");
  end("1");
  assertEquals(await take(), [], "the others run now, so that the client has its part already");
  names.forEach(end);
  assertEquals(await take(), ["4"]);
  ["2", "3", "4"].forEach(end);
  await Promise.all([...slow, ...asked]);
});

Deno.test("a turn that was left goes to a request that waits", async () => {
  const { clock, ask, take, end, waitForBody } = turnsOf(1);
  const asked = ["1", "2", "3"].map((name) => ask("a", name));
  assertEquals(await take(), ["1"]);
  const arrived = waitForBody("1");
  assertEquals(await take(), ["2"]);
  end("2");
  assertEquals(await take(), ["3"]);
  // It ends before its body, as one that was refused.
  end("1");
  await asked[0];
  arrived();
  await take();
  end("3");
  const next = ask("a", "4");
  assertEquals(await take(), ["4"]);
  end("4");
  await Promise.all([...asked, next]);
  assertEquals(clock.pending, 0);
});

Deno.test("requests whose bodies arrive at once wait for their turns again, and others do not wait for them", async () => {
  const { clock, ask, take, end, waitForBody } = turnsOf(6);
  await clock.advance(10_000);
  const other = ask("b", "b1");
  const names = Array.from({ length: 50 }, (_, index) => `${index}`);
  const asked: Promise<string>[] = [];
  const arrive: (() => void)[] = [];
  for (const name of names) {
    asked.push(ask("a", name));
    assertEquals(await take(), asked.length === 1 ? ["b1", name] : [name]);
    arrive.push(waitForBody(name));
  }
  arrive.forEach((arrived) => arrived());
  assertEquals(await take(), ["0 again", "1 again"]);
  const next = ask("b", "b2");
  asked.push(ask("a", "50"));
  assertEquals(await take(), ["b2"]);
  for (const [index, name] of names.entries()) {
    end(name);
    const following = index < 48 ? [`${index + 2} again`] : index === 48 ? ["50"] : [];
    assertEquals(await take(), following);
  }
  ["50", "b1", "b2"].forEach(end);
  await Promise.all([...asked, other, next]);
  assertEquals(clock.pending, 0);
});

Deno.test("a request that ends while it waits for its turn again keeps none", async () => {
  const { clock, ask, take, end, waitForBody } = turnsOf(1);
  const slow = ask("a", "slow");
  assertEquals(await take(), ["slow"]);
  const arrived = waitForBody("slow");
  const asked = ["1", "2"].map((name) => ask("a", name));
  assertEquals(await take(), ["1"]);
  arrived();
  assertEquals(await take(), []);
  // It has not waited for that.
  end("slow");
  await slow;
  end("1");
  assertEquals(await take(), ["2"]);
  const more = ask("a", "3");
  assertEquals(await take(), []);
  end("2");
  await take();
  end("3");
  await Promise.all([...asked, more]);
  assertEquals(clock.pending, 0);
});

Deno.test("a request whose body does not arrive takes no part any more, and fails with its error", async () => {
  const { turns, ask, take, end, refused } = turnsOf(1);
  const body = Promise.withResolvers<void>();
  const ending = Promise.withResolvers<void>();
  const slow = turns.run({ client: "a", isRead: false }, async (turn) => {
    assert("leaveWhile" in turn);
    const error = await assertRejects(() => turn.leaveWhile(() => body.promise), Error, "gone");
    await ending.promise;
    return error.message;
  });
  const asked = ["1", "2", "3"].map((name) => ask("a", name));
  assertEquals(await take(), ["1"]);
  body.reject(new Error("gone"));
  assertEquals(await take(), [], "nor does it wait");
  end("1");
  assertEquals(await take(), ["2"]);
  ending.resolve();
  assertEquals(await slow, "gone");
  assertEquals(await take(), []);
  end("2");
  assertEquals(await take(), ["3"]);
  end("3");
  await Promise.all(asked);
  assertEquals(refused, []);
});

Deno.test("when a client has left, those that wait take its part at once", async () => {
  const { ask, take, end } = turnsOf(6);
  const alone = ["a1", "a2", "a3", "a4", "a5", "a6"];
  const first = ["b1", "c1", "d1", "e1", "f1"];
  const second = ["b2", "c2", "d2", "e2"];
  const asked = [...alone, ...first, ...second].map((name) => ask(name.slice(0, 1), name));
  // Client a was alone when it came. Of six clients each has a sixth.
  assertEquals(await take(), [...alone, ...first]);
  end("f1");
  assertEquals(await take(), second);
  [...alone, "b1", "c1", "d1", "e1", ...second].forEach(end);
  await Promise.all(asked);
});
