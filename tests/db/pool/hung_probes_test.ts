/**
 * A database that is frozen for a while, and answers none of the connects from that time, or all of them late; and one
 * that is slow to log in. At every limit the pool sees the return of the first within a second, and serves the second.
 */
import { assert, assertEquals } from "@std/assert";
import { ConnectError, OwnerScope, type Pool, PoolOverloadedError } from "../../../src/db/mod.ts";
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

function setUp(limit: number, { random = 0.5, loginMs = 20 } = {}) {
  const server = new Server();
  server.loginMs = loginMs;
  const pool = poolOf(server.driver, {
    connect: (options) => server.connect(options),
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

async function closed(pool: Pool, { clock, driver }: Server): Promise<void> {
  const closing = pool.close({ timeoutMs: 0 });
  await clock.advance(5_000);
  await closing;
  await flushPromises();
  assertEquals(driver.open.length, 0);
}
