/** Which outcome follows from the server's answers about a lost COMMIT, and how long the lookup lasts. */
import { assertEquals } from "@std/assert";
import { Lease, PoolClosedError, PoolOverloadedError } from "../../../src/db/mod.ts";
import { type ResolveCommit, resolveCommit } from "../../../src/db/session/commit_outcome.ts";
import type { TransactionId } from "../../../src/db/session/xid.ts";
import { flushPromises, ManualClock } from "../../support/manual_clock.ts";
import { type Answer, ScriptedDriver, serverError } from "../../support/scripted_driver.ts";

const LOST = {
  xid: "4294968296",
  incarnation: "1/1",
  systemIdentifier: "7700000000000000001",
} as const satisfies TransactionId;

interface ServerState {
  readonly isRecovering?: boolean;
  readonly incarnation?: string;
  readonly systemIdentifier?: string | null;
  readonly isSubscriber?: boolean;
  readonly status: string | null | Error;
}

/** A server that gives these answers one after the other, and then repeats the last one. */
function serverOf(...states: readonly ServerState[]) {
  const clock = new ManualClock();
  let turn = 0;
  const driver = new ScriptedDriver({
    reply: ({ text }): Answer => {
      const { status, ...state } = states[Math.min(turn, states.length - 1)]!;
      if (text.includes("pg_is_in_recovery")) {
        return { rows: [{ isRecovering: false, isSubscriber: false, ...LOST, ...state }] };
      }
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
    return new Lease(connection, { idleMs: undefined, number: 1, onReturn });
  };
  return { clock, acquire, released, asked: () => turn };
}

const IN_FUTURE = serverError("22023", "transaction ID 4294968296 is in the future");

const CASES: readonly (readonly [what: string, state: ServerState, verdict: string])[] = [
  ["committed", { status: "committed" }, "committed"],
  ["aborted", { status: "aborted" }, "rolled back"],
  ["in the future", { status: IN_FUTURE }, "rolled back"],
  ["committed, after a restart", { status: "committed", incarnation: "2/1" }, "restarted"],
  ["committed, after a crash", { status: "committed", incarnation: "1/2" }, "restarted"],
  ["aborted, after a restart", { status: "aborted", incarnation: "2/2" }, "rolled back"],
  ["in the future, after a crash", { status: IN_FUTURE, incarnation: "1/2" }, "rolled back"],
  ["committed, on a subscriber", { status: "committed", isSubscriber: true }, "committed"],
  ["aborted, on a subscriber", { status: "aborted", isSubscriber: true }, "rolled back"],
  ["committed, on a standby", { status: "committed", isRecovering: true }, "in recovery"],
  ["aborted, on a standby", { status: "aborted", isRecovering: true }, "in recovery"],
  ["in the future, on a standby", { status: IN_FUTURE, isRecovering: true }, "in recovery"],
  ["too old to be known", { status: null }, "not told"],
  ["forbidden to ask", { status: serverError("42501", "permission denied") }, "not told"],
];

const ELSEWHERE = { incarnation: "3/3", systemIdentifier: "7700000000000000002" };
const UNTOLD = { incarnation: "3/3", systemIdentifier: null };
const COPY = { incarnation: "3/3", isSubscriber: true };

/** With another incarnation and without the same cluster, no answer about the xid counts, nor is it asked for again. */
const DOUBTS: typeof CASES = ["committed", "aborted", "in progress", IN_FUTURE, null].flatMap(
  (status) => {
    const what = status instanceof Error ? "in the future" : status ?? "too old to be known";
    return [
      [`${what}, on another cluster`, { ...ELSEWHERE, status }, "other cluster"],
      [`${what}, on a cluster that is not told`, { ...UNTOLD, status }, "cluster unknown"],
      [`${what}, on a copy that is a subscriber`, { ...COPY, status }, "cluster unknown"],
      [
        `${what}, on a standby of another cluster`,
        { ...ELSEWHERE, status, isRecovering: true },
        "in recovery",
      ],
    ] as const;
  },
);

async function verdictOf(...args: Parameters<ResolveCommit>): Promise<string> {
  const verdict = await resolveCommit(...args);
  return verdict.outcome === "unknown" ? verdict.reason : verdict.outcome;
}

for (const [what, state, expected] of [...CASES, ...DOUBTS]) {
  Deno.test(`a lost COMMIT that is ${what}: ${expected}`, async () => {
    const { clock, acquire, released } = serverOf(state);
    const options = { acquire, clock, signal: undefined, random: () => 0.5 };
    assertEquals(await verdictOf(LOST, options), expected);
    assertEquals(released, ["released"]);
    assertEquals(clock.pending, 0);
  });
}

Deno.test("a lost COMMIT whose own cluster is not known is believed in the same life of the server only", async () => {
  const unidentified = { xid: LOST.xid, incarnation: LOST.incarnation };
  for (
    const [state, expected] of [
      [{ status: "aborted" }, "rolled back"],
      [{ status: "committed" }, "committed"],
      [{ status: IN_FUTURE }, "rolled back"],
      [{ status: "aborted", incarnation: "2/1" }, "cluster unknown"],
      [{ status: IN_FUTURE, ...UNTOLD }, "cluster unknown"],
      [{ status: "committed", ...ELSEWHERE }, "cluster unknown"],
    ] as const
  ) {
    const { clock, acquire } = serverOf(state);
    const options = { acquire, clock, signal: undefined, random: () => 0.5 };
    assertEquals(await verdictOf(unidentified, options), expected);
  }
});

Deno.test("the pool is told if a primary answers that is another server", async () => {
  for (
    const [state, expected] of [
      [{ status: "aborted" }, 0],
      [{ status: "aborted", incarnation: "2/1" }, 1],
      [{ status: "aborted", ...ELSEWHERE }, 1],
      [{ status: IN_FUTURE, ...ELSEWHERE }, 1],
      [{ status: "aborted", ...ELSEWHERE, isRecovering: true }, 0],
    ] as const
  ) {
    const { clock, acquire } = serverOf(state);
    let told = 0;
    const onOtherServer = () => void told++;
    await resolveCommit(LOST, {
      ...{ acquire, onOtherServer, clock },
      signal: undefined,
      random: () => 0.5,
    });
    assertEquals(told, expected);
  }
});

Deno.test("a lost COMMIT without a known xid is not looked up", async () => {
  const { clock, acquire, asked } = serverOf({ status: "committed" });
  const options = { acquire, clock, signal: undefined, random: () => 0.5 };
  assertEquals(await verdictOf(undefined, options), "no xid");
  assertEquals(asked(), 0);
});

Deno.test("a transaction in progress is looked up again until it has ended", async () => {
  const busy = { status: "in progress" };
  const { clock, acquire, asked, released } = serverOf(busy, busy, { status: "committed" });
  const verdict = verdictOf(LOST, { acquire, clock, signal: undefined, random: () => 0.5 });
  await flushPromises();
  await clock.advance(1_000);
  assertEquals(await verdict, "committed");
  assertEquals(asked(), 3);
  assertEquals(released, ["released"], "all on one connection");
});

Deno.test("the lookup ends after ten seconds if the transaction stays in progress", async () => {
  const { clock, acquire, released, asked } = serverOf({ status: "in progress" });
  const verdict = verdictOf(LOST, { acquire, clock, signal: undefined, random: () => 0.5 });
  await flushPromises();
  await clock.advance(10_000);
  assertEquals(await verdict, "in progress");
  assertEquals(asked() > 10, true);
  assertEquals(released, ["released"]);
  assertEquals(clock.pending, 0);
});

Deno.test("a lookup that fails with a transient error is repeated", async () => {
  const { clock, acquire, asked } = serverOf(
    { status: serverError("40P01", "deadlock detected") },
    { status: "committed" },
  );
  const verdict = verdictOf(LOST, { acquire, clock, signal: undefined, random: () => 0.5 });
  await flushPromises();
  await clock.advance(1_000);
  assertEquals([await verdict, asked()], ["committed", 2]);
});

Deno.test("a server that is reachable again within ten seconds is asked", async () => {
  const { clock, acquire } = serverOf({ status: "aborted" });
  const refusal = new PoolOverloadedError("scripted", { retryAfterMs: 100 });
  const verdict = verdictOf(LOST, {
    acquire: () => clock.now() < 5_000 ? Promise.reject(refusal) : acquire(),
    clock,
    signal: undefined,
    random: () => 0.5,
  });
  await flushPromises();
  await clock.advance(6_000);
  assertEquals(await verdict, "rolled back");
});

Deno.test("the lookup ends after ten seconds if the server stays unreachable", async () => {
  const clock = new ManualClock();
  const refusal = new PoolOverloadedError("scripted", { retryAfterMs: 100 });
  const acquire = () => Promise.reject(refusal);
  const verdict = verdictOf(LOST, { acquire, clock, signal: undefined, random: () => 0.5 });
  await flushPromises();
  await clock.advance(10_000);
  assertEquals(await verdict, "unreachable");
});

Deno.test("the lookup ends after ten seconds if it gets no connection", async () => {
  const clock = new ManualClock();
  const verdict = verdictOf(LOST, {
    acquire: ({ signal }) =>
      new Promise((_, reject) => signal.onabort = () => reject(signal.reason)),
    clock,
    signal: undefined,
    random: () => 0.5,
  });
  await flushPromises();
  await clock.advance(10_000);
  assertEquals(await verdict, "unreachable");
});

Deno.test("the lookup ends at once if the pool is closed or the caller has aborted", async () => {
  const clock = new ManualClock();
  let asked = 0;
  const acquire = () => {
    asked++;
    return Promise.reject(new PoolClosedError("scripted"));
  };
  const options = { acquire, clock, random: () => 0.5 };
  assertEquals(await verdictOf(LOST, { ...options, signal: undefined }), "unreachable");
  assertEquals(asked, 1);
  assertEquals(await verdictOf(LOST, { ...options, signal: AbortSignal.abort() }), "gave up");
});
