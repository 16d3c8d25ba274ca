/**
 * Ten thousand random histories of a pool. The rules are checked after every step, and again after the pool is closed.
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
import { checkAll, MANY_WAITERS } from "./pool_model.ts";
import { commands, commandsWithEnds } from "./pool_model_commands.ts";

const RUNS = Number(Deno.env.get("POOL_PROPERTY_RUNS") ?? 10_000);
const SEED = Number(Deno.env.get("POOL_PROPERTY_SEED") ?? Date.now() & 0x7fffffff);

const options: fc.Arbitrary<WorldOptions> = fc.record({
  size: fc.integer({ min: 1, max: 3 }),
  maxOverflow: fc.integer({ min: 0, max: 2 }),
  maxWaiters: fc.constantFrom(MANY_WAITERS, 4),
  shedTargetMs: fc.constantFrom(0, 50),
  recycleMs: fc.constantFrom(Infinity, 1_200),
  pipelined: fc.boolean(),
  heedsAbort: fc.constantFrom(true, true, false),
  oneScope: fc.boolean(),
  bound: fc.constant(false),
  random: fc.constantFrom(0, 0.5, 0.999),
});

/** All waiters are served once the database answers and every lease is returned. */
async function serveAll(world: PoolWorld): Promise<void> {
  world.database.mood = "up";
  for (let rounds = 0; rounds < 200; rounds++) {
    for (const peer of world.database.peers) peer.behave();
    for (const holding of world.out) world.giveBack(holding, "release");
    // Only the end of a request closes the connections that it has left idle.
    for (const scope of world.scopes) if (!scope.lasting) world.endScope(scope);
    await flushPromises();
    checkAll(world);
    if (world.waiting.length + world.out.length === 0) return;
  }
  assert(false, "Broken rule: all waiters are served when all leases are returned");
}

/** No connection of an ended scope stays open, and none that was idle for `IDLE_TIMEOUT_MS`. */
async function endAll(world: PoolWorld): Promise<void> {
  for (const scope of [...world.scopes]) world.endScope(scope);
  await world.clock.advance(IDLE_TIMEOUT_MS);
  checkAll(world);
  assertEquals(world.database.open, 0, "Broken rule: nothing is open when all have ended");
  assertEquals(world.timers, 0, "Broken rule: no timer is left when nothing is idle or waits");
}

/** `close` resolves within its bounds, whatever is in progress, and leaves no socket and no timer. */
async function closeAll(world: PoolWorld): Promise<void> {
  if (world.closing === undefined) world.close(1_000);
  await flushPromises();
  checkAll(world);
  // The deadline, the time for holders to return their leases, and the time for the server to close.
  await world.clock.advance(1_000 + 2_000 + 1_000);
  checkAll(world);
  assert(world.closed, "Broken rule: close() resolves");
  // Connects that ignored their abort signal succeed after the pool has closed.
  for (const peer of world.database.peers) peer.gate.resolve();
  await world.clock.advance(1_000);
  checkAll(world);
  assertEquals(world.database.open, 0, "Broken rule: nothing is open after close()");
  assertEquals(world.timers, 0, "Broken rule: no timer is left after close()");
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

/** All permits can be leased again, in whichever way their earlier holders ended. */
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
  assertEquals(stray.length, 0, "Broken rule: an owner that answers late closes its connections");
  const held = () =>
    world.asks.filter(({ keeps, outcome }) => keeps && outcome === "granted").length;
  // An outage ends with its first probe, and an owner whose permit has expired has one second to act.
  for (let rounds = 0; rounds < 10 && held() < world.limit; rounds++) {
    for (let missing = world.limit - held() - world.waiting.length; missing > 0; missing--) {
      world.acquire(world.newRequest(), { fresh: false, aborted: false, keeps: true });
    }
    await flushPromises();
    for (const peer of world.database.peers) if (!peer.hasVanished) peer.behave();
    await world.clock.advance(500);
  }
  checkAll(world);
  assertEquals(
    held(),
    world.limit,
    "Broken rule: all permits can be had when all owners have ended",
  );
}

Deno.test(`a pool keeps its rules although requests end silently, through ${RUNS / 4} histories (seed ${SEED})`, async () => {
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
      // The deadline, the time for holders to return their leases, the time for the server to close, and the time for
      // owners that do not run any more.
      await world.clock.advance(1_000 + 2_000 + 1_000 + 3_000);
      checkAll(world);
      assert(world.closed, "Broken rule: close() resolves");
      const { opening, leased, idle, closing } = world.pool.stats();
      assertEquals([opening, leased, idle, closing], [0, 0, 0, 0], "Broken rule: nothing is left");
    },
  );
  await fc.assert(property, { numRuns: RUNS / 4, seed: SEED });
});
