/** What is true of a pool whenever its promises have settled: each rule in the words in which its breach is told. */
import { assert, assertEquals } from "@std/assert";
import { CircuitBreaker } from "../../../src/db/pool/circuit_breaker.ts";
import type { PoolPeer } from "../../support/pool_peer.ts";
import {
  ACQUIRE_TIMEOUT_MS,
  type Ask,
  IDLE_TIMEOUT_MS,
  type PoolWorld,
} from "../../support/pool_world.ts";

type Rule = (world: PoolWorld) => void;
type SlotState = "opening" | "leased" | "idle" | "closing" | "gone";

/** What a connection must be to the pool, as seen from its far end and from its leases. */
export function slotState(world: PoolWorld, peer: PoolPeer): SlotState {
  if (peer.phase !== "given") return peer.phase === "failed" ? "gone" : "opening";
  if (peer.shut) return "gone";
  if (peer.connection.closes > 0) return "closing";
  const isLeased = world.holdings.some((holding) => holding.peer === peer && !holding.back);
  return isLeased ? "leased" : "idle";
}

function count(world: PoolWorld, state: SlotState): number {
  return world.database.peers.filter((peer) => slotState(world, peer) === state).length;
}

/** Idle in a scope that lasts, of those that were ever leased. */
function lastingIdle(world: PoolWorld): number {
  return world.database.peers.filter((peer) =>
    slotState(world, peer) === "idle" &&
    world.holdings.some((holding) => holding.peer === peer && holding.ask.scope.lasting)
  ).length;
}

/** Turns of two that were both in the queue can be compared; an idle connection is taken in fewer microtasks. */
function isPassedOver(earlier: Ask, ask: Ask): boolean {
  if (ask.waited) return earlier.waited && earlier.turn > ask.turn;
  // An idle connection is no use to one that wants a fresh one.
  return earlier.turn === Infinity && !earlier.fresh;
}

/** Whether the pool may be inside a window in which it tries no connect. */
function mayBeOut({ database, clock }: PoolWorld): boolean {
  return database.failuresInRow > 1 &&
    clock.now() < database.lastTriedMs + CircuitBreaker.longestWindowMs;
}

export const RULES: Readonly<Record<string, Rule>> = {
  "sockets never outnumber permits"({ database, limit }) {
    // A busy owner may find its permit reclaimed: it closes the socket as soon as it answers.
    const late =
      database.peers.filter(({ owner, shut, connection }) =>
        !shut && owner?.wasBusy && (owner.isBusy || connection.closes > 0)
      ).length;
    assert(database.open - late <= limit, `${database.open} of ${limit}`);
  },

  "stats() tells what the database sees"(world) {
    // A pool that closes gives up on a connect that does not heed it.
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

  "one scope keeps at most `size` idle"(world) {
    if (world.options.oneScope) assert(world.pool.stats().idle <= world.options.size);
  },

  "nobody waits while a permit is free"(world) {
    const { opening, leased, idle, closing, waiting } = world.pool.stats();
    const isFree = opening + leased + idle + closing < world.limit;
    assert(!isFree || waiting <= opening || mayBeOut(world), `${waiting} wait`);
  },

  "nobody waits for nothing"(world) {
    const { opening, leased, idle, closing, waiting } = world.pool.stats();
    // A request closes what it has left idle at its end.
    assert(waiting === 0 || opening + leased + idle + closing > 0, `${waiting} wait`);
  },

  "nobody waits while an idle connection that anybody may close holds a permit"(world) {
    const { opening, closing, waiting } = world.pool.stats();
    const idle = lastingIdle(world);
    assert(idle === 0 || waiting <= opening + closing || mayBeOut(world), `${waiting} wait`);
  },

  "nobody waits beside an idle connection of the same scope"(world) {
    for (const { scope, fresh } of world.waiting) {
      if (fresh) continue;
      const own = world.holdings.filter(({ ask }) => ask.scope === scope);
      assert(own.every(({ peer }) => slotState(world, peer) !== "idle"));
    }
  },

  "a failed connect is told to one who waits for it"(world) {
    const { oneScope } = world.options;
    // With one who waited all the while, each failure had somebody to be told to.
    if (!oneScope || !world.waiting.some(({ waited }) => waited)) return;
    const told = world.count("connectFailed") - world.failed.told;
    assert(told >= world.failedConnects - world.failed.connects);
  },

  "no more wait than may"({ pool, options: { maxWaiters }, limit, waiting }) {
    assert(waiting.filter(({ fresh }) => !fresh).length <= maxWaiters);
    // Whose connection has died may wait beyond that.
    assert(pool.stats().waiting <= maxWaiters + limit);
  },

  "nobody waits past the time"(world) {
    const nowMs = world.clock.now();
    assert(world.waiting.every(({ sinceMs }) => nowMs < sinceMs + ACQUIRE_TIMEOUT_MS));
  },

  "nobody waits whose caller gave up"(world) {
    assert(world.waiting.every(({ caller }) => !caller.signal.aborted));
  },

  "nobody waits at a closed pool"(world) {
    assert(world.closing === undefined || world.waiting.length === 0);
  },

  "within a scope, nobody is served before one of its kind that came earlier and waits"(
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

  "every ask ends in a way that it is told of"(world) {
    assertEquals(world.count("unknown"), 0);
  },

  "nobody is refused without a reason"(world) {
    const { maxWaiters, shedTargetMs } = world.options;
    const hasFailed = world.database.peers.some(({ refused }) => refused);
    if (maxWaiters === Infinity && shedTargetMs === 0 && !hasFailed) {
      assertEquals(world.count("refused"), 0);
    }
  },

  "a connection serves one lease at a time, of one scope"(world) {
    for (const peer of world.database.peers) {
      const holdings = world.holdings.filter((holding) => holding.peer === peer);
      assert(holdings.filter(({ returned }) => !returned).length <= 1, "leased twice");
      assert(new Set(holdings.map(({ ask }) => ask.scope)).size <= 1, "of two scopes");
    }
  },

  "a fresh connection was never used"({ holdings }) {
    assert(
      holdings.every(({ ask, isFirst, lease }) =>
        !ask.fresh || (isFirst && lease.idleMs === undefined)
      ),
    );
  },

  "nobody is given a connection that is known to be dead"({ holdings }) {
    assert(holdings.every(({ wasDead }) => !wasDead));
  },

  "nobody is given a connection that was kept through a crash of the server"({ holdings }) {
    assert(holdings.every(({ wasOutlived }) => !wasOutlived));
  },

  "nobody is given a connection in the middle of something"({ holdings }) {
    assert(holdings.every(({ wasClean }) => wasClean));
  },

  "what comes back within a transaction is rolled back"({ holdings }) {
    for (const { owesRollback, ask: { scope }, peer: { connection } } of holdings) {
      // A lease whose permit was reclaimed meanwhile ends by closing the connection.
      if (scope.isBusy || scope.wasBusy && connection.closes > 0) continue;
      assert(!owesRollback || connection.flights.some(([text]) => text === "ROLLBACK"));
    }
  },

  "an open pool closes no connection of one who has not given it back"(world) {
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
    const { recycled, staleGeneration, idleClosed, overflowClosed, broken, destroyed } = counters;
    const closed = recycled + staleGeneration + idleClosed + overflowClosed + broken + destroyed;
    assert(closed <= ended.length, "closes");
  },

  "connects add up, and the database alone makes them fail"(world) {
    // What a pool that closes gives up is neither.
    if (world.closing !== undefined) return;
    const { connected, connectFailed } = world.pool.stats().counters;
    const { peers } = world.database;
    assertEquals({ connected, connectFailed }, {
      connected: peers.filter(({ phase, loggedIn }) => phase === "given" && loggedIn).length,
      connectFailed: peers.filter(({ refused }) => refused).length,
    });
  },

  "no connection of a lasting scope stays idle past its time or age"(world) {
    const { oneScope, recycleMs, random } = world.options;
    if (!oneScope) return;
    const nowMs = world.clock.now();
    for (const peer of world.database.peers) {
      if (slotState(world, peer) !== "idle" || nowMs === peer.idleSinceMs) continue;
      assert(nowMs < peer.idleSinceMs + IDLE_TIMEOUT_MS, "time");
      assert(nowMs < peer.bornMs + recycleMs * (1 - random / 10), "age");
    }
  },

  "timers are one for each scope's waiters, one for its idle, and one for each answer waited for"(
    world,
  ) {
    const waiting = new Set(world.waiting.map(({ scope }) => scope)).size;
    const idle = world.scopes.filter(({ lasting }) => lasting).length;
    const returning = world.holdings.filter(({ returned, back }) => returned && !back).length;
    const closing = world.closing === undefined ? 0 : 1;
    assert(world.timers >= waiting, `${world.timers} for ${waiting} that wait`);
    const most = waiting + idle + returning + closing;
    assert(world.timers <= most, `${world.timers}, at most ${most}`);
  },

  "a closed pool has no timer"({ closed, timers }) {
    assert(!closed || timers === 0);
  },

  "what must never reject never does"({ rejections }) {
    assertEquals(rejections, []);
  },
};

/** Rules of owners whose I/O is their own, and who may end without a word. */
const OWNERS_RULES: Readonly<Record<string, Rule>> = {
  "a socket is touched on behalf of its owner alone"({ database }) {
    const foreign = database.peers.filter(({ foreignTouches }) => foreignTouches > 0);
    assertEquals(foreign.length, 0);
  },

  "nobody alive waits while a permit is free"(world) {
    const { opening, leased, idle, closing } = world.pool.stats();
    const isFree = opening + leased + idle + closing < world.limit;
    const waiting = world.waiting.filter(({ scope }) => !scope.isBusy).length;
    assert(!isFree || waiting <= opening || mayBeOut(world), `${waiting} wait`);
  },
};

/** The rules of the pool that hold whether or not owners may end without a word. */
const COMMON_RULES = [
  "sockets never outnumber permits",
  "nobody waits whose caller gave up",
  "nobody waits at a closed pool",
  "every ask ends in a way that it is told of",
  "a connection serves one lease at a time, of one scope",
  "a fresh connection was never used",
  "nobody is given a connection that is known to be dead",
  "nobody is given a connection that was kept through a crash of the server",
  "nobody is given a connection in the middle of something",
  "what comes back within a transaction is rolled back",
  "the pool closes a connection once",
  "what must never reject never does",
];

/** Throws with the name of the first rule that is broken. */
export function checkAll(world: PoolWorld): void {
  const rules = world.options.bound ? { ...OWNERS_RULES, ...pick(RULES, COMMON_RULES) } : RULES;
  for (const [name, rule] of Object.entries(rules)) {
    try {
      rule(world);
    } catch (error) {
      throw new Error(`Not so: ${name}: ${(error as Error).message}`, { cause: error });
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
