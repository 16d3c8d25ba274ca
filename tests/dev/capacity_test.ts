/** The model of `deno task capacity`: counts and arithmetic alone. `deno task bench capacity` compares it with runs. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { limitsOf, needsOf, SAFE_SHARE } from "../../src/dev/capacity/limits.ts";
import {
  type CapacityPlan,
  exponentialTimes,
  MEASURED_COSTS,
} from "../../src/dev/capacity/plan.ts";
import { adviceOf, examinePlan, textOf } from "../../src/dev/capacity/report.ts";
import { simulate } from "../../src/dev/capacity/simulation.ts";
import { planOf } from "../../src/dev/capacity/main.ts";
import { SimulatedClock } from "../../src/dev/capacity/simulated_clock.ts";

const PLAN: CapacityPlan = {
  perSecond: 1_000,
  writes: 0,
  latencyMs: 20,
  jitterMs: [],
  pauses: { perRequest: 0, lengthsMs: [], perConcurrentMs: 0 },
  wakeMs: 0,
  instances: 1,
  size: 16,
  overflow: 0,
  readDepth: 1,
  maxConnections: 100,
  serverConnections: undefined,
  cores: 2,
  read: { serviceMs: 0.1, databaseMs: 0.9, diskMs: 0 },
  write: { serviceMs: 0.2, databaseMs: 1, diskMs: 1 },
};

const RUN = { measureMs: 4_000, warmUpMs: 1_000, arrivals: "even", seed: 7 } as const;

Deno.test("a load below the capacity is served whole, each request in a round trip", async () => {
  const { served, refused, p50Ms, connections } = await simulate({ ...PLAN, perSecond: 250 }, RUN);
  assertEquals({ served, refused, connections }, { served: 1_000, refused: 0, connections: 16 });
  assert(p50Ms > 40 && p50Ms < 42, `${p50Ms} ms`);
});

Deno.test("an overload is served as far as the connections go, and the rest is refused at once", async () => {
  const { served, refused, p99Ms, refusedP99Ms } = await simulate(PLAN, RUN);
  // 16 connections of 41 ms each serve 390 a second. The callers that are let in wait for the pool's target of 500 ms.
  assertEquals(served + refused, 4_000);
  assert(Math.abs(served - 4_000 * 0.39) < 60, `${served} served`);
  assert(p99Ms > 500 && p99Ms < 700, `${p99Ms} ms`);
  assert(refusedP99Ms < 1, `${refusedP99Ms} ms`);
});

Deno.test("the same seed gives the same figures, and another one gives others", async () => {
  const run = (seed: number) =>
    simulate({ ...PLAN, writes: 0.5 }, { ...RUN, arrivals: "random", seed });
  const first = await run(1);
  assertEquals(await run(1), first);
  assert((await run(2)).p99Ms !== first.p99Ms);
});

Deno.test("clients that wait for their answers are served as fast as the connections allow", async () => {
  const { goodput, refused } = await simulate(PLAN, { ...RUN, arrivals: { clients: 64 } });
  assertEquals(refused, 0);
  assert(Math.abs(goodput - 16_000 / 41) < 8, `${goodput}/s`);
});

for (
  const [what, change, perConnection] of [
    ["reads share connections, as many as the depth allows", { readDepth: 4 }, 4],
    ["auto is a line of up to 16", { readDepth: "auto" }, 16],
    ["writes share none", { readDepth: "auto", writes: 1 }, 1],
    ["behind a pooler no reads share one", { readDepth: "auto", serverConnections: 50 }, 1],
  ] as const
) {
  Deno.test(what, async () => {
    const plan: CapacityPlan = {
      ...PLAN,
      ...change,
      size: 2,
      cores: 8,
      read: { serviceMs: 0.01, databaseMs: 0.05, diskMs: 0 },
      write: { serviceMs: 0.01, databaseMs: 0.05, diskMs: 0 },
    };
    const { goodput } = await simulate(plan, { ...RUN, arrivals: { clients: 64 } });
    const expected = 2 * perConnection * 1_000 / 40;
    assert(goodput > 0.9 * expected && goodput <= expected, `${goodput}/s of ${expected}/s`);
    const limit = limitsOf(plan).find(({ name }) => name === "connections")!;
    assert(Math.abs(limit.perSecond / goodput - 1) < 0.15, `${limit.perSecond}/s by arithmetic`);
  });
}

Deno.test("a slow read moves the reads behind it, and each is answered once", async () => {
  // One in a hundred takes longer than the 25 ms by which a read counts as slow.
  const read = { serviceMs: 0.01, databaseMs: 6, diskMs: 0 };
  const plan = { ...PLAN, readDepth: 8, size: 4, overflow: 4, cores: 8, read } as const;
  const options = { ...RUN, arrivals: { clients: 24 } } as const;
  const { goodput, refused } = await simulate(plan, options);
  const alone = await simulate({ ...plan, readDepth: 1 }, options);
  assertEquals(refused, 0);
  assert(goodput > 2 * alone.goodput, `${goodput}/s shared, ${alone.goodput}/s alone`);
});

Deno.test("reads share connections in an overload too, while writes wait for theirs", async () => {
  const cost = { serviceMs: 0.01, databaseMs: 0.03, diskMs: 0 };
  const plan: CapacityPlan = {
    ...PLAN,
    writes: 0.1,
    latencyMs: 5,
    size: 4,
    readDepth: "auto",
    read: cost,
    write: cost,
    perSecond: 4_000,
  };
  const { goodput } = await simulate(plan, { ...RUN, arrivals: "random" });
  const limit = limitsOf(plan).find(({ name }) => name === "connections")!;
  assert(goodput > 0.7 * limit.perSecond, `${goodput}/s of ${limit.perSecond}/s by arithmetic`);
});

Deno.test("a generator that wakes up every so often sends late, and latencies count that", async () => {
  const plan = { ...PLAN, perSecond: 97 };
  const [without, late] = await Promise.all([
    simulate(plan, RUN),
    simulate(plan, { ...RUN, tickMs: 10 }),
  ]);
  assertEquals([late.served, late.refused], [without.served, 0]);
  // Requests come due at any time between two wakes: half of them 5 ms or more before the next, and some 10 ms.
  const by = { p50: late.p50Ms - without.p50Ms, p99: late.p99Ms - without.p99Ms };
  assert(by.p50 > 4 && by.p50 < 6, `p50 later by ${by.p50} ms`);
  assert(by.p99 > 7 && by.p99 < 11, `p99 later by ${by.p99} ms`);
});

Deno.test("an answer takes longer by one of the times of the way, each as likely as the others", async () => {
  const times = [...new Array(97).fill(0), 30, 30, 30];
  const read = { serviceMs: 0.01, databaseMs: 0.01, diskMs: 0 };
  const plan = { ...PLAN, read, perSecond: 200 };
  const [without, varied] = await Promise.all([
    simulate(plan, RUN),
    simulate({ ...plan, jitterMs: times }, RUN),
  ]);
  assert(Math.abs(varied.p50Ms - without.p50Ms) < 0.5, `p50 ${varied.p50Ms} ms`);
  assert(Math.abs(varied.p99Ms - without.p99Ms - 30) < 0.5, `p99 ${varied.p99Ms} ms`);
});

Deno.test("a pause holds up all requests of its instance, and costs it their time", async () => {
  const busy = { ...PLAN, latencyMs: 0, read: { serviceMs: 1, databaseMs: 0, diskMs: 0 } };
  const pauses = { perRequest: 0.01, lengthsMs: exponentialTimes(20), perConcurrentMs: 0 };
  const options = { ...RUN, arrivals: { clients: 4 } } as const;
  const [without, paused] = await Promise.all([
    simulate(busy, options),
    simulate({ ...busy, pauses }, options),
  ]);
  // Of 100 ms and a pause, 20 ms are the pause.
  assert(Math.abs(paused.goodput / without.goodput - 100 / 120) < 0.1, `${paused.goodput}/s`);
  assert(paused.p99Ms > without.p99Ms + 20, `${paused.p99Ms} ms`);
});

Deno.test("a pause takes longer the more requests are in progress", async () => {
  const read = { serviceMs: 1, databaseMs: 0, diskMs: 0 };
  const pauses = { perRequest: 0.02, lengthsMs: [5], perConcurrentMs: 1 };
  const p99Of = async (clients: number) => {
    const plan = { ...PLAN, latencyMs: 0, read, pauses };
    return (await simulate(plan, { ...RUN, arrivals: { clients } })).p99Ms;
  };
  // Each client waits for the others, and for a pause: 5 ms and as many as there are clients.
  assert(Math.abs(await p99Of(2) - (2 + 5 + 2)) < 1.1, `${await p99Of(2)} ms of 2 clients`);
  assert(await p99Of(10) > 10 + 5 + 8, `${await p99Of(10)} ms of 10 clients`);
});

Deno.test("a thread that has been idle takes longer, and one that is busy does not", async () => {
  const cost = { serviceMs: 1, databaseMs: 0, diskMs: 0 };
  const plan = { ...PLAN, latencyMs: 5, readDepth: 16, read: cost, wakeMs: 0.5 } as const;
  const idle = await simulate({ ...plan, perSecond: 10 }, RUN);
  // Once as the request comes, and once as its answer does.
  assert(Math.abs(idle.p50Ms - (10 + 1 + 1)) < 0.01, `${idle.p50Ms} ms`);
  const busy = await simulate(plan, { ...RUN, arrivals: { clients: 64 } });
  assert(busy.goodput > 990 && busy.goodput < 1_001, `${busy.goodput}/s`);
});

Deno.test("connections beyond those of the database are refused by it, and no request hangs", async () => {
  const crowded = { ...PLAN, instances: 4, maxConnections: 20, perSecond: 400 };
  const { served, refused, connections } = await simulate(crowded, RUN);
  assertEquals(served + refused, 1_600);
  assertEquals(connections, 20);
  assert(refused > 0);
});

Deno.test("a pooler lends its server connections for as long as the database works", async () => {
  const plan = {
    ...PLAN,
    latencyMs: 1,
    size: 100,
    maxConnections: 1_000,
    read: { serviceMs: 0.01, databaseMs: 1, diskMs: 9 },
    cores: 8,
  };
  const run = { ...RUN, arrivals: { clients: 100 } } as const;
  const { goodput } = await simulate({ ...plan, serverConnections: 10 }, run);
  assert(Math.abs(goodput - 1_000) < 50, `${goodput}/s`);
  assert((await simulate(plan, run)).goodput > 5_000);
});

for (
  const [first, change] of [
    ["CPU of the service", { latencyMs: 0 }],
    ["connections", { latencyMs: 50 }],
    ["CPU of the database", { cores: 1, instances: 50, latencyMs: 0, maxConnections: 5_000 }],
    ["server connections of the pooler", {
      serverConnections: 1,
      instances: 50,
      latencyMs: 0,
      maxConnections: 5_000,
      writes: 1,
    }],
  ] as const
) {
  Deno.test(`breaks first: ${first}`, () => {
    const plan = { ...PLAN, size: 50, ...MEASURED_COSTS, ...change };
    assertEquals(limitsOf(plan)[0]?.name, first);
  });
}

Deno.test("the report names what breaks first, and what to set", async () => {
  const report = await examinePlan({ ...PLAN, ...MEASURED_COSTS });
  assertEquals(report.fits, false);
  assertEquals(report.advice, ["DATABASE_POOL_SIZE=60", "DATABASE_MAX_OVERFLOW=40"]);
  const text = textOf(report);
  assert(text.includes("Breaks first: connections, at 399 requests/s"), text);
  assert(text.includes("connections: 251 % in use"), text);
});

Deno.test("pools that may open more connections than there are break first, at any load", async () => {
  const crowded = { ...PLAN, ...MEASURED_COSTS, instances: 20, size: 20, overflow: 30 };
  for (const perSecond of [20, 500]) {
    const report = await examinePlan({ ...crowded, perSecond, maxConnections: 97 });
    const text = textOf(report);
    assert(report.figures.refused > 0, text);
    assert(text.includes("Breaks first: connections, at any load, as the pools may open"), text);
    assert(text.includes("connections: the pools may open 1000, and there are 97"), text);
  }
});

Deno.test("one database is not enough: the report says how many would be", () => {
  const advice = adviceOf({
    ...PLAN,
    ...MEASURED_COSTS,
    perSecond: 100_000,
    latencyMs: 1,
    instances: 20,
    size: 20,
    maxConnections: 1_000,
  });
  assertEquals(advice[0]?.startsWith("One database of 2 cores is not enough: 5 cores"), true);
});

Deno.test("behind the pooler that the report proposes no reads share, and its numbers fit", async () => {
  const plan: CapacityPlan = {
    ...PLAN,
    ...MEASURED_COSTS,
    readDepth: "auto",
    perSecond: 20_000,
    writes: 0.1,
    latencyMs: 5,
    instances: 10,
    cores: 8,
    maxConnections: 60,
  };
  const text = adviceOf(plan).join("; ");
  const [, clients, serverConnections] = /takes ([\d,]+) clients and has (\d+)/.exec(text)!;
  const [, size] = /DATABASE_POOL_SIZE=(\d+)/.exec(text)!;
  assertEquals(Number(clients!.replace(",", "")), 10 * Number(size));
  const { problems } = await examinePlan({
    ...plan,
    size: Number(size),
    maxConnections: 10 * Number(size),
    serverConnections: Number(serverConnections),
  });
  assertEquals(problems, []);
});

Deno.test("arguments that cannot be used are refused by name", () => {
  for (
    const [args, problem] of [
      [
        ["--writes", "3"],
        "Cannot use --writes as it must be a number from 0 to 1: current value is 3",
      ],
      [
        ["--instances", "1.5"],
        "Cannot use --instances as it must be a whole number from 1 to 1000",
      ],
      [["--latency", ""], "Cannot use --latency as it must be a number from 0 to 1000"],
      [["--requests=-1"], "Cannot use --requests as it must be a number from 0.01"],
      [
        ["--read-depth", "all"],
        "Cannot use --read-depth as it must be a whole number from 1 to 64",
      ],
      [["--speed", "1"], "Cannot read the arguments"],
    ] as const
  ) {
    assertThrows(() => planOf(args), Error, problem);
  }
  assertEquals(planOf([]).serverConnections, undefined);
  assertEquals(planOf([]).readDepth, "auto");
  assertEquals(planOf(["--read-depth", "1"]).readDepth, 1);
  assertEquals(planOf(["--server-connections", "90"]).serverConnections, 90);
});

Deno.test("property: a plan that follows the advice fits", async () => {
  const plans = fc.record({
    perSecond: fc.double({ min: 1, max: 2_000, noNaN: true }),
    writes: fc.double({ min: 0, max: 1, noNaN: true }),
    latencyMs: fc.double({ min: 0, max: 60, noNaN: true }),
  });
  await fc.assert(
    fc.asyncProperty(plans, async (load) => {
      const asked = {
        ...PLAN,
        ...MEASURED_COSTS,
        ...load,
        maxConnections: 100_000,
        cores: 64,
      };
      const { instances, permits } = needsOf(asked);
      const { problems } = await examinePlan({ ...asked, instances, size: permits });
      assertEquals(problems, []);
    }),
    { numRuns: 12 },
  );
});

Deno.test("property: no limit is safe beyond its share, whatever the plan", () => {
  const plans = fc.record({
    perSecond: fc.integer({ min: 1, max: 100_000 }),
    instances: fc.integer({ min: 1, max: 50 }),
    size: fc.integer({ min: 1, max: 100 }),
    latencyMs: fc.integer({ min: 0, max: 100 }),
  });
  fc.assert(fc.property(plans, (change) => {
    const plan = { ...PLAN, ...change };
    const { instances, permits } = needsOf(plan);
    const needed = { ...plan, instances: Math.max(instances, plan.instances), size: permits };
    const [service, connections] = ["CPU of the service", "connections"].map((wanted) =>
      limitsOf({ ...needed, maxConnections: 1e9 }).find(({ name }) => name === wanted)!.perSecond
    );
    assert(plan.perSecond <= SAFE_SHARE * service! * 1.001);
    assert(plan.perSecond <= connections!);
  }));
});

Deno.test("a simulated clock rings its alarms in order, and those of one time in the order of their making", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(50), fc.boolean())), async (alarms) => {
      const clock = new SimulatedClock();
      const rung: number[] = [];
      const cancels = alarms.map(([atMs], k) => clock.after(atMs, () => rung.push(k)));
      for (const [k, [, isCancelled]] of alarms.entries()) if (isCancelled) cancels[k]!();
      await clock.run(100);
      const kept = alarms.map(([atMs, isCancelled], k) => ({ atMs, isCancelled, k }))
        .filter(({ isCancelled }) => !isCancelled);
      assertEquals(rung, kept.sort((a, b) => a.atMs - b.atMs || a.k - b.k).map(({ k }) => k));
      assertEquals(clock.now(), 100);
    }),
    { numRuns: 100 },
  );
});
