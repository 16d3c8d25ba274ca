import { assertEquals } from "@std/assert";
import {
  AcquireTimeoutError,
  ConnectError,
  ConnectionLostError,
  DeadlineError,
  isReplayable,
  judge,
  type Phase,
  PoolClosedError,
  PoolOverloadedError,
  type Verdict,
} from "../../src/db/errors.ts";
import { serverError } from "../support/scripted_driver.ts";

const lost = new ConnectionLostError("lost", { begun: true });
const neon = (text: string) =>
  new ConnectError("refused", { cause: serverError("XX000", text, "FATAL") });
const refused = (sqlState: string) =>
  new ConnectError("refused", { cause: serverError(sqlState, "refused", "FATAL") });

const again: Verdict = { applied: "no", transient: true };
const final: Verdict = { applied: "no", transient: false };

const rows: [what: string, error: unknown, phase: Phase, verdict: Verdict][] = [
  ["a socket that could not be opened", new ConnectError("no route"), "statement", again],
  ["a login refused as there are too many connections", refused("53300"), "statement", again],
  ["a login refused as the server starts up", refused("57P03"), "commit", again],
  ["a wrong password", refused("28P01"), "statement", final],
  ["a database that does not exist", refused("3D000"), "statement", final],
  ["a pipelined password that the server does not take", refused("08P01"), "statement", final],
  ["Neon waking up", neon("Couldn't connect to compute node"), "statement", again],
  ["Neon's control plane", neon("Control plane request failed"), "statement", again],
  ["Neon's quota", neon("your project has exceeded the data transfer quota"), "statement", final],
  ["Neon's unknown endpoint", neon("The requested endpoint cannot be found"), "statement", final],
  ["a connection lost before COMMIT", lost, "statement", again],
  ["a connection lost after COMMIT", lost, "commit", { applied: "unknown", transient: true }],
  ["a serialization failure", serverError("40001", "x"), "statement", again],
  ["a serialization failure at COMMIT", serverError("40001", "x"), "commit", again],
  ["a deadlock", serverError("40P01", "x"), "statement", again],
  ["a lock that was not to be had", serverError("55P03", "x"), "statement", again],
  ["a statement timeout", serverError("57014", "x"), "statement", final],
  ["a unique conflict", serverError("23505", "x"), "statement", final],
  ["a deferred constraint at COMMIT", serverError("23503", "x"), "commit", final],
  ["a syntax error", serverError("42601", "x"), "statement", final],
  ["completion unknown, at COMMIT", serverError("40003", "x"), "commit", {
    applied: "unknown",
    transient: false,
  }],
  ["transaction resolution unknown", serverError("08007", "x"), "statement", {
    applied: "unknown",
    transient: false,
  }],
  ["a full queue", new PoolOverloadedError("x", { retryAfterMs: 1 }), "statement", final],
  ["a wait too long", new AcquireTimeoutError("x", { retryAfterMs: 1 }), "statement", final],
  ["a closed pool", new PoolClosedError("x"), "statement", final],
  ["a deadline during a statement", new DeadlineError("x", { cause: lost }), "statement", final],
  ["a deadline during COMMIT", new DeadlineError("x", { cause: lost }), "commit", {
    applied: "unknown",
    transient: false,
  }],
  [
    "a deadline that stopped the COMMIT's statement",
    new DeadlineError("x", { cause: serverError("57014", "x") }),
    "commit",
    final,
  ],
  ["an error of the caller's own", new Error("x"), "statement", final],
  ["something that is no error", "x", "statement", final],
];

for (const [what, error, phase, verdict] of rows) {
  const { applied, transient } = verdict;
  Deno.test(`judge() of ${what}: applied ${applied}, ${transient ? "transient" : "final"}`, () => {
    assertEquals(judge(error, phase), verdict);
  });
}

Deno.test("a first flight is sent again if it held no COMMIT, or if the server had ended before it", () => {
  const fatal = serverError("57P01", "terminating", "FATAL");
  const silent = new ConnectionLostError("x", { begun: false });
  const dead = new ConnectionLostError("x", { begun: false, cause: fatal });
  const killed = new ConnectionLostError("x", { begun: true, cause: fatal });
  const answers = (commits: boolean) =>
    [silent, dead, killed, new ConnectError("x")].map((error) => isReplayable(error, { commits }));
  assertEquals(answers(false), [true, true, true, false]);
  assertEquals(answers(true), [false, true, false, false]);
});
