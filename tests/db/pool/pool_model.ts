/** The rules that hold for a pool whenever its promises have settled. The name of a broken rule is the failure's text. */
import { assert, assertEquals } from "@std/assert";
import { CircuitBreaker } from "../../../src/db/pool/circuit_breaker.ts";
import type { PoolPeer } from "../../support/pool_peer.ts";
import {
  ACQUIRE_TIMEOUT_MS,
  type Ask,
  IDLE_TIMEOUT_MS,
  type PoolWorld,
} from "../../support/pool_world.ts";

/** More than a history has callers. */
export const MANY_WAITERS = 1_000_000;

type Rule = (world: PoolWorld) => void;
type EntryState = "opening" | "leased" | "idle" | "closing" | "gone";

/** The state that the pool must have for a connection, derived from the connection's peer and its leases. */
export function entryState(world: PoolWorld, peer: PoolPeer): EntryState {
  if (peer.phase !== "given") return peer.phase === "failed" ? "gone" : "opening";
  if (peer.shut) return "gone";
  if (peer.connection.closes > 0) return "closing";
  const isLeased = world.holdings.some((holding) => holding.peer === peer && !holding.back);
  return isLeased ? "leased" : "idle";
}

function count(world: PoolWorld, state: EntryState): number {
  return world.database.peers.filter((peer) => entryState(world, peer) === state).length;
}

/** Number of idle connections of lasting scopes, without those that were never leased. */
function lastingIdle(world: PoolWorld): number {
  return world.database.peers.filter((peer) =>
    entryState(world, peer) === "idle" &&
    world.holdings.some((holding) => holding.peer === peer && holding.ask.scope.lasting)
  ).length;
}

/**
 * Whether `ask` was served although `earlier` came first. Their turns can be compared if both were in the queue: a caller
 * that gets an idle connection at once needs fewer microtasks.
 */
function isPassedOver(earlier: Ask, ask: Ask): boolean {
  if (ask.waited) return earlier.waited && earlier.turn > ask.turn;
  // A caller that wants a fresh connection does not take an idle one.
  return earlier.turn === Infinity && !earlier.fresh;
}

/** Whether the pool may be in a window of the circuit breaker in which it starts no connect. */
function mayBeOut({ database, clock }: PoolWorld): boolean {
  return database.failuresInRow > 1 &&
    clock.now() < database.lastTriedMs + CircuitBreaker.longestWindowMs;
}

export const RULES: Readonly<Record<string, Rule>> = {
  "sockets never outnumber permits"({ database, limit }) {
    // The permit of a busy owner may have been reclaimed: the owner closes the socket as soon as it runs again.
    const late =
      database.peers.filter(({ owner, shut, connection }) =>
        !shut && owner?.wasBusy && (owner.isBusy || connection.closes > 0)
      ).length;
    assert(database.open - late <= limit, `${database.open} of ${limit}`);
  },

  "stats() agrees with the database"(world) {
    // A closing pool does not wait for a connect that ignores its abort signal.
    if (world.closing !== undefined && !world.options.heedsAbort) return;
    const { limit, opening, leased, idle, closing, waiting } = world.pool.stats();
    assertEquals({ limit, opening, leased, idle, closing, waiting }, {
      limit: world.limit,
      opening: count(world, "opening"),
      leased: count(world, "leased"),
      idle: count(world, "idle"),
      closing: count(world, "closing"),
      waiting: world.waiting.length,
    });
  },

  "one scope keeps at most `size` idle connections for more than a second"(world) {
    if (!world.options.oneScope) return;
    const kept = world.pool.inspect().connections.filter(({ state, stateMs }) =>
      state === "idle" && stateMs > 1_000
    );
    assert(kept.length <= world.options.size, `${kept.length} kept`);
  },

  "no caller waits while a permit is free"(world) {
    const { opening, leased, idle, closing, waiting } = world.pool.stats();
    const isFree = opening + leased + idle + closing < world.limit;
    assert(!isFree || waiting <= opening || mayBeOut(world), `${waiting} waiting`);
  },

  "no caller waits without a connection whose permit may come free"(world) {
    const { opening, leased, idle, closing, waiting } = world.pool.stats();
    // A request closes its idle connections when it ends, and their permits come free.
    assert(waiting === 0 || opening + leased + idle + closing > 0, `${waiting} waiting`);
  },

  "no caller waits while an idle connection of a lasting scope holds a permit"(world) {
    const { opening, closing, waiting } = world.pool.stats();
    const idle = lastingIdle(world);
    assert(idle === 0 || waiting <= opening + closing || mayBeOut(world), `${waiting} waiting`);
  },

  "no caller waits while its scope has an idle connection that it takes"(world) {
    for (const { scope, fresh } of world.waiting) {
      if (fresh) continue;
      const own = world.holdings.filter(({ ask }) => ask.scope === scope);
      assert(own.every(({ peer }) => entryState(world, peer) !== "idle"));
    }
  },

  "a failed connect refuses a waiter"(world) {
    const { oneScope } = world.options;
    // If a caller waited all the time, there was a waiter for each failure.
    if (!oneScope || !world.waiting.some(({ waited }) => waited)) return;
    const told = world.count("connectFailed") - world.failed.told;
    assert(told >= world.failedConnects - world.failed.connects);
  },

  "no more callers wait than `maxWaiters` allows"(
    { pool, options: { maxWaiters, oneScope }, limit, waiting, asks },
  ) {
    // Beside those for whom a permit is left. Others may take it: callers whose connection has died go ahead, and those of
    // another scope may find theirs idle.
    const isTheirs = oneScope && !asks.some(({ fresh }) => fresh);
    const left = isTheirs ? limit - pool.stats().leased : limit;
    assert(waiting.filter(({ fresh }) => !fresh).length <= maxWaiters + left);
    // Callers whose connection has died may wait beyond that bound.
    assert(pool.stats().waiting <= maxWaiters + 2 * limit);
  },

  "no caller waits past its timeout"(world) {
    const nowMs = world.clock.now();
    assert(world.waiting.every(({ sinceMs }) => nowMs < sinceMs + ACQUIRE_TIMEOUT_MS));
  },

  "no caller waits whose signal has aborted"(world) {
    assert(world.waiting.every(({ caller }) => !caller.signal.aborted));
  },

  "no caller waits for another holder's lease while its own request holds one"(world) {
    // A caller that asks for a fresh connection goes ahead. Here, unlike in a session, it has given up no permit before.
    if (!world.options.oneScope || world.asks.some(({ fresh }) => fresh)) return;
    const held = world.out.filter(({ peer }) => entryState(world, peer) === "leased");
    const unheld = world.limit - held.length;
    for (const { holder } of world.waiting.slice(unheld)) {
      const isHolding = holder !== undefined && held.some(({ ask }) => ask.holder === holder);
      assert(!isHolding, `${held.length} held`);
    }
  },

  "no caller waits at a closed pool"(world) {
    assert(world.closing === undefined || world.waiting.length === 0);
  },

  "within a scope, callers of the same kind are served in the order in which they came"(
    { asks },
  ) {
    for (const [at, ask] of asks.entries()) {
      if (ask.outcome !== "granted") continue;
      const earlier = asks.slice(0, at).filter(({ scope, fresh }) =>
        scope === ask.scope && fresh === ask.fresh
      );
      assert(!earlier.some((other) => isPassedOver(other, ask)), `ask ${at}`);
    }
  },

  "every acquire() ends with a lease or a known error"(world) {
    assertEquals(world.count("unknown"), 0);
  },

  "no caller is refused without a reason"(world) {
    const { maxWaiters, shedTargetMs } = world.options;
    const hasFailed = world.database.peers.some(({ refused }) => refused);
    if (maxWaiters === MANY_WAITERS && shedTargetMs === 0 && !hasFailed) {
      assertEquals(world.count("refused"), 0);
    }
  },

  "no caller is refused behind fewer others than may wait, and than there are permits"(world) {
    if (world.database.peers.some(({ refused }) => refused)) return;
    const most = Math.min(world.options.maxWaiters, world.limit);
    assert(world.asks.every(({ outcome, behind }) => outcome !== "refused" || behind >= most));
  },

  "a connection serves one lease at a time, of one scope"(world) {
    for (const peer of world.database.peers) {
      const holdings = world.holdings.filter((holding) => holding.peer === peer);
      assert(holdings.filter(({ returned }) => !returned).length <= 1, "leased twice");
      assert(new Set(holdings.map(({ ask }) => ask.scope)).size <= 1, "of two scopes");
    }
  },

  "a fresh lease has a connection that was never used"({ holdings }) {
    assert(
      holdings.every(({ ask, isFirst, lease }) =>
        !ask.fresh || (isFirst && lease.idleMs === undefined)
      ),
    );
  },

  "no lease has a connection that was known to be dead"({ holdings }) {
    assert(holdings.every(({ wasDead }) => !wasDead));
  },

  "no lease has a connection that was kept through a crash of the server"({ holdings }) {
    assert(holdings.every(({ wasOutlived }) => !wasOutlived));
  },

  "no lease begins within a transaction or a flight"({ holdings }) {
    assert(holdings.every(({ wasClean }) => wasClean));
  },

  "a connection that is released within a transaction is rolled back"({ holdings }) {
    for (const { owesRollback, ask: { scope }, peer: { connection, shut } } of holdings) {
      // If the permit was reclaimed meanwhile, the owner closes the connection instead. It may have died until then.
      if (scope.isBusy || scope.wasBusy && (connection.closes > 0 || shut)) continue;
      assert(!owesRollback || connection.flights.some(([text]) => text === "ROLLBACK"));
    }
  },

  "an open pool closes no connection that is leased"(world) {
    if (world.closing !== undefined) return;
    assert(world.out.every(({ peer }) => peer.connection.closes === 0));
  },

  "the pool closes a connection once"({ database }) {
    assert(database.peers.every(({ connection }) => connection.closes <= 1));
  },

  "counters add up"(world) {
    const { counters, leased } = world.pool.stats();
    const { acquired, timedOut, aborted, holdAndWait } = counters;
    const refused = counters.queueFull + counters.shed + counters.unreachable;
    assertEquals({ acquired, timedOut, aborted, refused, holdAndWait }, {
      acquired: world.count("granted"),
      timedOut: world.count("timedOut"),
      aborted: world.count("aborted") -
        world.asks.filter((ask) => ask.abortedBefore && ask.outcome === "aborted").length,
      refused: world.count("refused"),
      holdAndWait: world.count("holdAndWait"),
    });
    assert(leased <= acquired);
    const ended = world.database.peers.filter(({ phase, connection }) =>
      phase === "given" && connection.state === "closed"
    );
    const { recycled, staleGeneration, idleClosed, overflowClosed, broken, destroyed, leftState } =
      counters;
    const closed = recycled + staleGeneration + idleClosed + overflowClosed + broken + destroyed +
      leftState;
    assert(closed <= ended.length, "closes");
  },

  "connects add up, and only the database makes them fail"(world) {
    // A closing pool gives connects up; they count neither as connected nor as failed.
    if (world.closing !== undefined) return;
    const { connected, connectFailed } = world.pool.stats().counters;
    const { peers } = world.database;
    assertEquals({ connected, connectFailed }, {
      connected: peers.filter(({ phase, loggedIn }) => phase === "given" && loggedIn).length,
      connectFailed: peers.filter(({ refused }) => refused).length,
    });
  },

  "no connection of a lasting scope stays idle past its idle timeout or its age"(world) {
    const { oneScope, recycleMs, random } = world.options;
    if (!oneScope) return;
    const nowMs = world.clock.now();
    for (const peer of world.database.peers) {
      if (entryState(world, peer) !== "idle" || nowMs === peer.idleSinceMs) continue;
      assert(nowMs < peer.idleSinceMs + IDLE_TIMEOUT_MS, "time");
      assert(nowMs < peer.bornMs + recycleMs * (1 - random / 10), "age");
    }
  },

  "there is one timer per scope with waiters, per scope with idle connections, and per awaited answer"(
    world,
  ) {
    const waiting = new Set(world.waiting.map(({ scope }) => scope)).size;
    const idle = world.scopes.filter(({ lasting }) => lasting).length;
    const returning = world.holdings.filter(({ returned, back }) => returned && !back).length;
    const closing = world.closing === undefined ? 0 : 1;
    assert(world.timers >= waiting, `${world.timers} for ${waiting} scopes with waiters`);
    const most = waiting + idle + returning + closing;
    assert(world.timers <= most, `${world.timers}, at most ${most}`);
  },

  "a closed pool has no timer"({ closed, timers }) {
    assert(!closed || timers === 0);
  },

  "release(), destroy(), endScope() and close() never reject"({ rejections }) {
    assertEquals(rejections, []);
  },
};

/** The rules for owners whose sockets only they may use, and that may end without telling the pool. */
const OWNERS_RULES: Readonly<Record<string, Rule>> = {
  "a socket is used on behalf of its owner alone"({ database }) {
    const foreign = database.peers.filter(({ foreignTouches }) => foreignTouches > 0);
    assertEquals(foreign.length, 0);
  },

  "no caller of a responsive scope waits while a permit is free"(world) {
    const { opening, leased, idle, closing } = world.pool.stats();
    const isFree = opening + leased + idle + closing < world.limit;
    const waiting = world.waiting.filter(({ scope }) => !scope.isBusy).length;
    assert(!isFree || waiting <= opening || mayBeOut(world), `${waiting} waiting`);
  },
};

/** The rules of `RULES` that also hold if owners may end without telling the pool. */
const COMMON_RULES = [
  "sockets never outnumber permits",
  "no caller waits whose signal has aborted",
  "no caller waits at a closed pool",
  "every acquire() ends with a lease or a known error",
  "a connection serves one lease at a time, of one scope",
  "a fresh lease has a connection that was never used",
  "no lease has a connection that was known to be dead",
  "no lease has a connection that was kept through a crash of the server",
  "no lease begins within a transaction or a flight",
  "a connection that is released within a transaction is rolled back",
  "the pool closes a connection once",
  "release(), destroy(), endScope() and close() never reject",
];

/** Throws with the name of the first rule that is broken. */
export function checkAll(world: PoolWorld): void {
  const rules = world.options.bound ? { ...OWNERS_RULES, ...pick(RULES, COMMON_RULES) } : RULES;
  for (const [name, rule] of Object.entries(rules)) {
    try {
      rule(world);
    } catch (error) {
      throw new Error(`Broken rule: ${name}: ${(error as Error).message}`, { cause: error });
    }
  }
  world.turnThePage();
}

function pick(rules: Readonly<Record<string, Rule>>, names: readonly string[]) {
  return Object.fromEntries(names.map((name) => {
    const rule = rules[name];
    assert(rule !== undefined, `There is no rule "${name}"`);
    return [name, rule];
  }));
}
