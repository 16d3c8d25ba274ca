/** What is concluded from what a server says of a lost COMMIT, and for how long it is asked. */
import { assertEquals } from "@std/assert";
import {
  Lease,
  PoolClosedError,
  PoolOverloadedError,
  type ResolveCommit,
  resolveCommit,
  type TransactionId,
} from "../../../src/db/mod.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { type Answer, ScriptedDriver, serverError } from "../../support/scripted_driver.ts";

const LOST: TransactionId = { xid: "4294968296", incarnation: "1/1" };

interface Said {
  readonly isRecovering?: boolean;
  readonly incarnation?: string;
  readonly status: string | null | Error;
}

/** A server that says these one after the other, the last one again and again. */
function serverOf(...saids: readonly Said[]) {
  const clock = new ManualClock();
  let turn = 0;
  const driver = new ScriptedDriver({
    reply: ({ text }): Answer => {
      const { isRecovering = false, incarnation = LOST.incarnation, status } =
        saids[Math.min(turn, saids.length - 1)]!;
      if (text.includes("pg_is_in_recovery")) return { rows: [{ isRecovering, incarnation }] };
      if (!text.includes("pg_xact_status")) return undefined;
      turn++;
      return status instanceof Error ? status : { rows: [{ status }] };
    },
  });
  const released: string[] = [];
  const acquire = async () => {
    const connection = await driver.connect({ timeoutMs: 1_000 });
    const onReturn = {
      release: () => Promise.resolve(void released.push("released")),
      destroy: () => Promise.resolve(void released.push("destroyed")),
    };
    return new Lease(connection, { idleMs: undefined, onReturn });
  };
  return { clock, acquire, released, asked: () => turn };
}

const IN_FUTURE = serverError("22023", "transaction ID 4294968296 is in the future");

const CASES: readonly (readonly [what: string, said: Said, told: string])[] = [
  ["committed", { status: "committed" }, "committed"],
  ["aborted", { status: "aborted" }, "rolled back"],
  ["in the future", { status: IN_FUTURE }, "rolled back"],
  ["committed, after a restart", { status: "committed", incarnation: "2/1" }, "restarted"],
  ["committed, after a crash", { status: "committed", incarnation: "1/2" }, "restarted"],
  ["aborted, after a restart", { status: "aborted", incarnation: "2/2" }, "rolled back"],
  ["in the future, after a crash", { status: IN_FUTURE, incarnation: "1/2" }, "rolled back"],
  ["committed, on a standby", { status: "committed", isRecovering: true }, "in recovery"],
  ["aborted, on a standby", { status: "aborted", isRecovering: true }, "in recovery"],
  ["in the future, on a standby", { status: IN_FUTURE, isRecovering: true }, "in recovery"],
  ["too old to be known", { status: null }, "not told"],
  ["forbidden to ask", { status: serverError("42501", "permission denied") }, "not told"],
];

async function tellOf(...args: Parameters<ResolveCommit>): Promise<string> {
  const verdict = await resolveCommit(...args);
  return verdict.outcome === "unknown" ? verdict.reason : verdict.outcome;
}

for (const [what, said, told] of CASES) {
  Deno.test(`a lost COMMIT that is ${what}: ${told}`, async () => {
    const { clock, acquire, released } = serverOf(said);
    const surroundings = { acquire, clock, signal: undefined, random: () => 0.5 };
    assertEquals(await tellOf(LOST, surroundings), told);
    assertEquals(released, ["released"]);
    assertEquals(clock.pending, 0);
  });
}

Deno.test("a lost COMMIT of no known id is not asked about", async () => {
  const { clock, acquire, asked } = serverOf({ status: "committed" });
  const surroundings = { acquire, clock, signal: undefined, random: () => 0.5 };
  assertEquals(await tellOf(undefined, surroundings), "no xid");
  assertEquals(asked(), 0);
});

Deno.test("a transaction that is in progress is asked about until it is over", async () => {
  const busy = { status: "in progress" };
  const { clock, acquire, asked, released } = serverOf(busy, busy, { status: "committed" });
  const told = tellOf(LOST, { acquire, clock, signal: undefined, random: () => 0.5 });
  await flushPromises();
  await clock.advance(1_000);
  assertEquals(await told, "committed");
  assertEquals(asked(), 3);
  assertEquals(released, ["released"], "all on one connection");
});

Deno.test("a transaction that stays in progress is given up after ten seconds", async () => {
  const { clock, acquire, released, asked } = serverOf({ status: "in progress" });
  const told = tellOf(LOST, { acquire, clock, signal: undefined, random: () => 0.5 });
  await flushPromises();
  await clock.advance(10_000);
  assertEquals(await told, "in progress");
  assertEquals(asked() > 10, true);
  assertEquals(released, ["released"]);
  assertEquals(clock.pending, 0);
});

Deno.test("a question that fails for the moment is asked again", async () => {
  const { clock, acquire, asked } = serverOf(
    { status: serverError("40P01", "deadlock detected") },
    { status: "committed" },
  );
  const told = tellOf(LOST, { acquire, clock, signal: undefined, random: () => 0.5 });
  await flushPromises();
  await clock.advance(1_000);
  assertEquals([await told, asked()], ["committed", 2]);
});

Deno.test("a server that is back within ten seconds is asked", async () => {
  const { clock, acquire } = serverOf({ status: "aborted" });
  const refusal = new PoolOverloadedError("scripted", { retryAfterMs: 100 });
  const told = tellOf(LOST, {
    acquire: () => clock.now() < 5_000 ? Promise.reject(refusal) : acquire(),
    clock,
    signal: undefined,
    random: () => 0.5,
  });
  await flushPromises();
  await clock.advance(6_000);
  assertEquals(await told, "rolled back");
});

Deno.test("a server that is away for longer is not waited for", async () => {
  const clock = new ManualClock();
  const refusal = new PoolOverloadedError("scripted", { retryAfterMs: 100 });
  const acquire = () => Promise.reject(refusal);
  const told = tellOf(LOST, { acquire, clock, signal: undefined, random: () => 0.5 });
  await flushPromises();
  await clock.advance(10_000);
  assertEquals(await told, "unreachable");
});

Deno.test("a connection that is waited for is given up after ten seconds", async () => {
  const clock = new ManualClock();
  const told = tellOf(LOST, {
    acquire: ({ signal }) =>
      new Promise((_, reject) => signal.onabort = () => reject(signal.reason)),
    clock,
    signal: undefined,
    random: () => 0.5,
  });
  await flushPromises();
  await clock.advance(10_000);
  assertEquals(await told, "unreachable");
});

Deno.test("nobody is asked once the pool is closed, or the caller has given up", async () => {
  const clock = new ManualClock();
  let asked = 0;
  const acquire = () => {
    asked++;
    return Promise.reject(new PoolClosedError("scripted"));
  };
  const surroundings = { acquire, clock, random: () => 0.5 };
  assertEquals(await tellOf(LOST, { ...surroundings, signal: undefined }), "unreachable");
  assertEquals(asked, 1);
  assertEquals(await tellOf(LOST, { ...surroundings, signal: AbortSignal.abort() }), "gave up");
});
