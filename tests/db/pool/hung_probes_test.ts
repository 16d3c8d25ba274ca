/**
 * A database that is frozen for a while, and answers none of the connects from that time, or all of them late; and one
 * that is slow to log in. At every limit the pool sees the return of the first within a second, and serves the second.
 */
import { assert, assertEquals } from "@std/assert";
import {
  type AcquireOptions,
  ConnectError,
  type Lease,
  OwnerScope,
  type Pool,
  PoolOverloadedError,
} from "../../../src/db/mod.ts";
import { CircuitBreaker } from "../../../src/db/pool/circuit_breaker.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";
import { poolOf } from "../../support/test_pool.ts";

const LIMITS = [1, 2, 5, 10, 20];
const CONNECT_TIMEOUT_MS = 15_000;
const CALL_EVERY_MS = 20;

/** A server behind a network, on the test's clock. */
class Server {
  readonly clock = new ManualClock();
  /** From the connect to its ReadyForQuery. */
  loginMs = 20;
  isFrozen = false;
  /** Connects in progress, and connections. */
  open = 0;
  mostOpen = 0;
  readonly driver = new ScriptedDriver({ onConnect: () => this.#logIn() });
  readonly #hung: (() => void)[] = [];
  #gate = Promise.withResolvers<void>();

  async connect({ timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal }) {
    const gate = this.#gate = Promise.withResolvers<void>();
    const giveUp = this.clock.after(timeoutMs, () => gate.reject(new Error("no answer")));
    this.mostOpen = Math.max(this.mostOpen, ++this.open);
    try {
      const connection = await this.driver.connect({ timeoutMs, signal });
      void connection.closed.then(() => this.open--);
      return connection;
    } catch (error) {
      this.open--;
      throw error;
    } finally {
      giveUp();
    }
  }

  #logIn(): Promise<void> {
    const { promise, resolve } = this.#gate;
    if (this.isFrozen) this.#hung.push(resolve);
    else this.clock.after(this.loginMs, resolve);
    return promise;
  }

  freeze(): void {
    this.isFrozen = true;
    for (const connection of this.driver.open) if (connection.state === "idle") connection.cut();
  }

  /** From now on new connects are answered, and if it was thawed also the earlier ones. */
  comeBack(how: "thawed" | "its packets were dropped"): void {
    this.isFrozen = false;
    if (how === "thawed") { for (const answer of this.#hung.splice(0)) answer(); }
  }
}

const scope = OwnerScope.lasting();

class Callers {
  served = 0;
  readonly errors: Error[] = [];
  readonly #server: Server;
  readonly #pool: Pool;

  constructor(server: Server, pool: Pool) {
    this.#server = server;
    this.#pool = pool;
  }

  /** Calls at a steady pace for `timeMs`, or until one call is served. Returns how long that took. */
  async run(timeMs: number, { untilServed = false } = {}): Promise<number> {
    const before = this.served;
    for (let passedMs = 0; passedMs < timeMs; passedMs += CALL_EVERY_MS) {
      if (untilServed && this.served > before) return passedMs;
      this.#pool.acquire({ scope }).then((lease) => {
        this.served++;
        return lease.release();
      }, (error) => this.errors.push(error));
      await this.#server.clock.advance(CALL_EVERY_MS);
    }
    return timeMs;
  }
}

function setUp(limit: number, { random = 0.5, loginMs = 20, ignoresAbort = false } = {}) {
  const server = new Server();
  server.loginMs = loginMs;
  const pool = poolOf(server.driver, {
    connect: ({ signal, ...options }) =>
      server.connect({ ...options, signal: ignoresAbort ? new AbortController().signal : signal }),
    size: limit,
    maxOverflow: 0,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    clock: server.clock,
    random: () => random,
  });
  return { server, pool, callers: new Callers(server, pool) };
}

for (const how of ["thawed", "its packets were dropped"] as const) {
  for (const limit of LIMITS) {
    Deno.test(`limit ${limit}: a database that is back after it was frozen (${how}) serves within a second`, async () => {
      for (const frozenMs of [17_000, 22_500, 31_000, 60_000]) {
        const { server, pool, callers } = setUp(limit, { random: frozenMs % 997 / 997 });
        await callers.run(1_000);
        assert(callers.served > 0);
        server.freeze();
        await callers.run(frozenMs);
        server.comeBack(how);
        const takenMs = await callers.run(20_000, { untilServed: true });
        assert(takenMs < 1_000, `${takenMs} ms after ${frozenMs} ms`);
        assert(server.mostOpen <= limit, `${server.mostOpen} sockets`);
        for (const error of callers.errors) {
          assert(error instanceof ConnectError || error instanceof PoolOverloadedError, error.name);
        }
        await closed(pool, server);
      }
    });
  }
}

for (const loginMs of [3_000, 8_000]) {
  for (const limit of LIMITS) {
    Deno.test(`limit ${limit}: a database whose logins take ${loginMs} ms serves, from the first one on`, async () => {
      const { server, pool, callers } = setUp(limit, { loginMs });
      const takenMs = await callers.run(20_000, { untilServed: true });
      assert(takenMs <= loginMs + CALL_EVERY_MS, `${takenMs} ms`);
      assertEquals(callers.errors, []);
      await closed(pool, server);
    });

    Deno.test(`limit ${limit}: a database whose logins take ${loginMs} ms serves after an outage: at once if it was seen to be slow, else in the end`, async () => {
      for (const wasSlow of [true, false]) {
        const { server, pool, callers } = setUp(limit, wasSlow ? { loginMs } : {});
        await callers.run(10_000);
        server.freeze();
        await callers.run(20_000);
        server.loginMs = loginMs;
        server.comeBack("its packets were dropped");
        const takenMs = await callers.run(200_000, { untilServed: true });
        // The oldest probe may be from before the return, and is kept until the connect timeout.
        const boundMs = wasSlow || limit > 1 ? CONNECT_TIMEOUT_MS + 2 * loginMs : 160_000;
        assert(takenMs < boundMs, `${takenMs} ms`);
        await closed(pool, server);
      }
    });
  }
}

/** A pool whose permits all have probes that hang, when the next window is due and each of them may be given up. */
async function setUpHung(limit: number) {
  const { server, pool, callers } = setUp(limit);
  server.isFrozen = true;
  await callers.run(17_000);
  await server.clock.advance(CircuitBreaker.longestWindowMs);
  assertEquals(pool.stats().opening, limit);
  return { server, pool };
}

/** Calls `acquire`, and notes its outcome. */
function call(pool: Pool, options: Partial<AcquireOptions> = {}): { outcome: string } {
  const called = { outcome: "waiting" };
  pool.acquire({ scope, ...options }).then(
    () => called.outcome = "leased",
    (error: Error) => called.outcome = error.name,
  );
  return called;
}

Deno.test("of two callers that come when a window is due, one gets the permit of a hung probe, and the other is refused", async () => {
  const { server, pool } = await setUpHung(3);
  const before = server.driver.connections.length;
  const calls = [call(pool), call(pool)];
  await server.clock.advance(0);
  assertEquals(calls.map(({ outcome }) => outcome), ["waiting", "PoolOverloadedError"]);
  assertEquals(server.driver.connections.length, before + 1);
  await closed(pool, server);
});

Deno.test("a caller that replaces a probe for which nobody waits any more is not refused", async () => {
  const { server, pool } = await setUpHung(1);
  const leaving = new AbortController();
  const first = call(pool, { signal: leaving.signal });
  await server.clock.advance(0);
  await server.clock.advance(CircuitBreaker.longestWindowMs);
  leaving.abort();
  await server.clock.advance(0);
  assertEquals(first.outcome, "DeadlineError");
  const second = call(pool);
  await server.clock.advance(0);
  assertEquals([second.outcome, pool.stats().opening], ["waiting", 1]);
  await closed(pool, server);
});

Deno.test("while leased connections answer no probe is given up, and callers wait for those", async () => {
  const { server, pool, callers } = setUp(3);
  const leases = [await acquired(pool, server), await acquired(pool, server)];
  server.isFrozen = true;
  const failing = call(pool);
  await server.clock.advance(CONNECT_TIMEOUT_MS + CircuitBreaker.longestWindowMs);
  assertEquals(failing.outcome, "ConnectError");
  await leases[0]!.release();
  leases[0] = await acquired(pool, server);
  const waiting = call(pool);
  await server.clock.advance(CircuitBreaker.longestWindowMs);
  const before = server.driver.connections.length;
  const next = call(pool);
  await server.clock.advance(0);
  assertEquals([waiting.outcome, next.outcome], ["waiting", "waiting"]);
  assertEquals(server.driver.connections.length, before);
  await Promise.all(leases.map((lease) => lease.release()));
  assertEquals(callers.errors, []);
  await closed(pool, server);
});

Deno.test("a request's probe that ignores its abort keeps its permit until it ends", async () => {
  const { server, pool } = setUp(1, { ignoresAbort: true });
  server.isFrozen = true;
  for (let passedMs = 0; passedMs < 40_000; passedMs += 250) {
    call(pool, { scope: OwnerScope.request() });
    await server.clock.advance(250);
  }
  assertEquals(server.mostOpen, 1);
  await server.clock.advance(2 * CONNECT_TIMEOUT_MS);
  await closed(pool, server);
});

async function acquired(pool: Pool, { clock, loginMs }: Server): Promise<Lease> {
  const lease = pool.acquire({ scope });
  await clock.advance(loginMs);
  return await lease;
}

async function closed(pool: Pool, { clock, driver }: Server): Promise<void> {
  const closing = pool.close({ timeoutMs: 0 });
  await clock.advance(5_000);
  await closing;
  await flushPromises();
  assertEquals(driver.open.length, 0);
}
