/**
 * Ten thousand random histories of a pool, each checked after every step, then wound up and checked again.
 * `POOL_PROPERTY_SEED` repeats the histories of a failed run, `POOL_PROPERTY_RUNS` makes more of them.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { PoolTimers } from "../../support/pool_timers.ts";
import {
  IDLE_TIMEOUT_MS,
  LOST_PERMIT_MS,
  PoolWorld,
  type WorldOptions,
} from "../../support/pool_world.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { checkAll } from "./pool_model.ts";
import { commands, commandsWithEnds } from "./pool_model_commands.ts";

const RUNS = Number(Deno.env.get("POOL_PROPERTY_RUNS") ?? 10_000);
const SEED = Number(Deno.env.get("POOL_PROPERTY_SEED") ?? Date.now() & 0x7fffffff);

const options: fc.Arbitrary<WorldOptions> = fc.record({
  size: fc.integer({ min: 1, max: 3 }),
  maxOverflow: fc.integer({ min: 0, max: 2 }),
  maxWaiters: fc.constantFrom(Infinity, 4),
  shedTargetMs: fc.constantFrom(0, 50),
  recycleMs: fc.constantFrom(Infinity, 1_200),
  pipelined: fc.boolean(),
  heedsAbort: fc.constantFrom(true, true, false),
  oneScope: fc.boolean(),
  bound: fc.constant(false),
  random: fc.constantFrom(0, 0.5, 0.999),
});

/** Everybody gets what they wait for: the database is well, and each lease comes back. */
async function serveAll(world: PoolWorld): Promise<void> {
  world.database.mood = "up";
  for (let rounds = 0; rounds < 200; rounds++) {
    for (const peer of world.database.peers) peer.behave();
    for (const holding of world.out) world.giveBack(holding, "release");
    // What a request has left idle is closed at its end, by nobody else.
    for (const scope of world.scopes) if (!scope.lasting) world.endScope(scope);
    await flushPromises();
    checkAll(world);
    if (world.waiting.length + world.out.length === 0) return;
  }
  assert(false, "Not so: those who wait are served when all leases come back");
}

/** Nothing is left of scopes that have ended, nor of what nobody has used for long. */
async function endAll(world: PoolWorld): Promise<void> {
  for (const scope of [...world.scopes]) world.endScope(scope);
  await world.clock.advance(IDLE_TIMEOUT_MS);
  checkAll(world);
  assertEquals(world.database.open, 0, "Not so: nothing is open when all have ended");
  assertEquals(world.timers, 0, "Not so: no timer is left when nothing is idle or waits");
}

/** `close` resolves within its bounds, whatever is under way, and leaves nothing. */
async function closeAll(world: PoolWorld): Promise<void> {
  if (world.closing === undefined) world.close(1_000);
  await flushPromises();
  checkAll(world);
  // The deadline, the time to hear of it, and a goodbye.
  await world.clock.advance(1_000 + 2_000 + 1_000);
  checkAll(world);
  assert(world.closed, "Not so: close() resolves");
  // Connects that did not heed the end, and come too late.
  for (const peer of world.database.peers) peer.gate.resolve();
  await world.clock.advance(1_000);
  checkAll(world);
  assertEquals(world.database.open, 0, "Not so: nothing is open after close()");
  assertEquals(world.timers, 0, "Not so: no timer is left after close()");
  const { opening, leased, idle, closing, waiting } = world.pool.stats();
  assertEquals([opening, leased, idle, closing, waiting], [0, 0, 0, 0, 0]);
}

Deno.test(`a pool keeps its rules through ${RUNS} histories (seed ${SEED})`, async () => {
  using timers = new PoolTimers();
  const property = fc.asyncProperty(
    options,
    commands,
    fc.boolean(),
    async (options, commands, endsCalmly) => {
      timers.clock = new ManualClock();
      const world = new PoolWorld(timers.clock, options);
      await fc.asyncModelRun(() => ({ model: { world }, real: world }), commands);
      await flushPromises();
      checkAll(world);
      if (endsCalmly) await serveAll(world);
      if (endsCalmly && world.closing === undefined) await endAll(world);
      await closeAll(world);
    },
  );
  await fc.assert(property, { numRuns: RUNS, seed: SEED });
});

/** Whatever has become of those who had them, all permits can be had again. */
async function leaseAll(world: PoolWorld): Promise<void> {
  world.database.mood = "up";
  for (const scope of [...world.scopes, ...world.ended]) if (!scope.isDead) scope.answer();
  for (let passed = 0; passed < LOST_PERMIT_MS; passed += 500) {
    for (const holding of world.out) world.giveBack(holding, "release");
    for (const scope of world.scopes) world.endScope(scope);
    for (const peer of world.database.peers) if (!peer.hasVanished) peer.behave();
    await world.clock.advance(500);
  }
  checkAll(world);
  const stray = world.database.peers.filter(({ owner, phase, shut }) =>
    phase === "given" && !shut && world.ended.has(owner!)
  );
  assertEquals(stray.length, 0, "Not so: an owner that answers late closes its connections");
  const held = () =>
    world.asks.filter(({ keeps, outcome }) => keeps && outcome === "granted").length;
  // An outage ends with its first probe, and an owner whose time is over is given a second to answer.
  for (let rounds = 0; rounds < 10 && held() < world.limit; rounds++) {
    for (let missing = world.limit - held() - world.waiting.length; missing > 0; missing--) {
      world.acquire(world.newRequest(), { fresh: false, aborted: false, keeps: true });
    }
    await flushPromises();
    for (const peer of world.database.peers) if (!peer.hasVanished) peer.behave();
    await world.clock.advance(500);
  }
  checkAll(world);
  assertEquals(held(), world.limit, "Not so: all permits can be had when all owners have ended");
}

Deno.test(`a pool keeps its rules though requests end without a word, through ${RUNS / 4} histories (seed ${SEED})`, async () => {
  using timers = new PoolTimers();
  const property = fc.asyncProperty(
    options.map((options) => ({ ...options, bound: true, oneScope: false })),
    commandsWithEnds,
    async (options, commands) => {
      timers.clock = new ManualClock();
      const world = new PoolWorld(timers.clock, options);
      await fc.asyncModelRun(() => ({ model: { world }, real: world }), commands);
      await flushPromises();
      checkAll(world);
      if (world.closing === undefined) await leaseAll(world);
      if (world.closing === undefined) world.close(1_000);
      await flushPromises();
      // The deadline, the time to hear of it, a goodbye, and what is left to owners that do not answer.
      await world.clock.advance(1_000 + 2_000 + 1_000 + 3_000);
      checkAll(world);
      assert(world.closed, "Not so: close() resolves");
      const { opening, leased, idle, closing } = world.pool.stats();
      assertEquals([opening, leased, idle, closing], [0, 0, 0, 0], "Not so: nothing is left");
    },
  );
  await fc.assert(property, { numRuns: RUNS / 4, seed: SEED });
});
