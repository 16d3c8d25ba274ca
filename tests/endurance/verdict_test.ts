/** Every expectation of every scenario, shown to be able to fail: a verdict that cannot be "guilty" is none. */
import { assertEquals, assertThrows } from "@std/assert";
import { PoolMetrics } from "../../src/db/pool/pool_stats.ts";
import { chaosReport, type ChaosResult, scaled } from "./chaos/chaos.ts";
import { splitByStops } from "./chaos/fault_injector.ts";
import { unitOf } from "./chaos/units.ts";
import { contentionReport, type ContentionResult } from "./contention.ts";
import { OutcomeLog } from "./outcome_log.ts";
import {
  outageReport,
  type OutageResult,
  outageResultOf,
  stormReport,
  type StormResult,
} from "./outage.ts";
import { queueSoakReport, type QueueSoakResult } from "./queue_soak.ts";
import { ErrorTally, latenciesOf, textOf } from "./report.ts";
import { Flags, UsageError } from "./scenario.ts";
import { replicaLagReport, type ReplicaLagResult } from "./replica_lag.ts";
import { HEAP_GROWTH_BYTES, soakReport, type SoakResult } from "./soak.ts";
import { atLeast, violationsOf, zero } from "./verdict.ts";
import { disagreed, disagreements, verdictTest } from "./verdict_case.ts";

const SOAK: SoakResult = {
  sessions: 200_000,
  killEveryMs: 50,
  seed: 1,
  seconds: 60,
  runs: 200_100,
  failedReads: 0,
  failedWrites: 0,
  unknownWrites: 40,
  errors: new ErrorTally(),
  disagreements,
  kills: 1_000,
  mostBackends: 10,
  leftBackends: 0,
  heapGrowthBytes: HEAP_GROWTH_BYTES,
  replayed: 50,
  counters: new PoolMetrics().counters,
};

verdictTest("soak", {
  reportOf: soakReport,
  good: SOAK,
  violations: [
    [{ kills: 0, unknownWrites: 0 }, "backends terminated: 0, expected at least 1"],
    [{ failedReads: 1 }, "reads failed: 1, expected 0"],
    [{ failedWrites: 2 }, "writes failed, outcome known: 2, expected 0"],
    [{ unknownWrites: 1_001 }, "writes of unknown outcome: 1001, expected at most 1000"],
    ...disagreed,
    [{ mostBackends: 11 }, "most backends at once: 11, expected at most 10"],
    [{ leftBackends: 1 }, "backends after close(): 1, expected 0"],
    [
      { heapGrowthBytes: HEAP_GROWTH_BYTES + 1 },
      "heap growth, bytes: 2097153, expected at most 2097152",
    ],
  ],
});

Deno.test("soak: a heap that was not measured is no violation", () => {
  assertEquals(violationsOf(soakReport({ ...SOAK, heapGrowthBytes: undefined })), []);
});

verdictTest<QueueSoakResult>("queue soak", {
  reportOf: queueSoakReport,
  good: {
    users: 2_500,
    versions: 20,
    leaseMs: 5_000,
    killEveryMs: 3_000,
    deadlineMs: 1_800_000,
    seed: 1,
    seconds: 60,
    poison: 100,
    killed: 60,
    terminated: 600,
    waiting: 0,
    lost: 0,
    twice: 0,
    disordered: 0,
    wrongDead: 0,
    missingDead: 0,
  },
  violations: [
    [{ killed: 0 }, "processes killed: 0, expected at least 1"],
    [{ terminated: 0 }, "backends terminated: 0, expected at least 1"],
    [{ poison: 0 }, "events that cannot be read: 0, expected at least 1"],
    [{ waiting: 1 }, "events never delivered: 1, expected 0"],
    [{ lost: 2 }, "events without their effect: 2, expected 0"],
    [{ twice: 3 }, "effects done more than once: 3, expected 0"],
    [{ disordered: 4 }, "effects after a later one of their user: 4, expected 0"],
    [{ wrongDead: 5 }, "dead letters of events that can be read: 5, expected 0"],
    [{ missingDead: 6 }, "unreadable events without a dead letter: 6, expected 0"],
  ],
});

const refused = { count: 1_900, p50: 0.2, p99: 1, max: 20 };

verdictTest<OutageResult>("outage", {
  reportOf: (result) => outageReport("gone", result),
  good: {
    calls: 2_000,
    firstRefusalMs: 1_200,
    refused,
    failed: latenciesOf([1_000]),
    servedLate: latenciesOf([]),
    recoveryMs: 40,
  },
  violations: [
    [{ firstRefusalMs: Infinity }, "gone: first refusal, ms: Infinity, expected at most 2000"],
    [{ firstRefusalMs: 2_001 }, "gone: first refusal, ms: 2001, expected at most 2000"],
    [{ refused: { ...refused, p99: 5 } }, "gone: refused, ms at p99: 5, expected below 5"],
    [{ recoveryMs: 1_000 }, "gone: recovery, ms: 1000, expected below 1000"],
  ],
});

const failed = { count: 1_700, p50: 0.1, p99: 10, max: 300 };

verdictTest<StormResult>("storm", {
  reportOf: stormReport,
  good: { calls: 2_000, connects: 60, statements: 200, failed, recoveryMs: 100 },
  violations: [
    [{ failed: { ...failed, count: 0 } }, "failed: 0, expected at least 1"],
    [{ connects: 2_400 }, "sent for each call: 1.3, expected below 1.3"],
    [{ failed: { ...failed, p99: 1_000 } }, "failed, ms at p99: 1000, expected below 1000"],
    [{ failed: { ...failed, p50: 5 } }, "failed, ms at p50: 5, expected below 5"],
    [{ recoveryMs: 1_000 }, "recovery, ms: 1000, expected below 1000"],
  ],
});

const latencies = latenciesOf([1]);

verdictTest<ContentionResult>("contention", {
  reportOf: contentionReport,
  good: { clients: 32, increments: 100, value: 3_200, seconds: 1, latencies, attempts: latencies },
  violations: [
    [{ value: 3_199 }, "increments lost or done twice: 1, expected 0"],
    [{ value: 3_201 }, "increments lost or done twice: -1, expected 0"],
  ],
});

const outcomes = {
  read: 0,
  done: 20_000,
  failed: 100,
  unknown: 30,
  abandoned: 20,
  unanswered: 0,
  hung: 0,
};
const unknown = { calm: 5, inStops: 25 };
const ledger = { money: 0, accounts: 0, rows: 0 };

verdictTest<ChaosResult>("chaos", {
  reportOf: chaosReport,
  good: {
    ...scaled(300_000),
    host: "deno",
    seed: 1,
    seconds: 300,
    outcomes,
    unknown,
    lostCommits: 500,
    repeated: 10,
    errors: new ErrorTally(),
    runs: new Map([[1, 20_000]]),
    faults: new Map([["connection cut", 600], ["backend terminated", 400]]),
    counters: { replayed: 0, resolved: 0, unknown: 0 },
    disagreements,
    ledger,
    leftBackends: 0,
  },
  violations: [
    [
      { outcomes: { ...outcomes, done: 19_999 } },
      "units done: 19999, expected at least 20000",
    ],
    [{ faults: new Map([["connection cut", 999]]) }, "faults: 999, expected at least 1000"],
    ...disagreed,
    [{ ledger: { ...ledger, money: -7 } }, "money made, or destroyed: -7, expected 0"],
    [
      { ledger: { ...ledger, accounts: 2 } },
      "accounts that differ from the ledger: 2, expected 0",
    ],
    [
      { ledger: { ...ledger, rows: 1 } },
      "rows and keys that differ from the ledger: 1, expected 0",
    ],
    [
      { unknown: { ...unknown, calm: 6 } },
      "unknown answers, server running: 6, expected at most 5",
    ],
    [{ outcomes: { ...outcomes, hung: 1 } }, "units that hung: 1, expected 0"],
    [{ outcomes: { ...outcomes, unanswered: 1 } }, "units without an answer: 1, expected 0"],
    [{ leftBackends: 1 }, "connections left: 1, expected 0"],
  ],
});

Deno.test("the outcome log tells lost, phantom, doubled and unended units apart, and allows both ends of an open outcome", () => {
  const log = new OutcomeLog(4);
  for (
    const outcome of [
      "done",
      "done",
      "done",
      "failed",
      "failed",
      "unknown",
      "unknown",
      "read",
      "read",
      "unanswered",
      "hung",
      "abandoned",
    ] as const
  ) log.record(log.begin(), outcome);
  assertEquals([log.begin(), log.begin(), log.begun], [12, 13, 14]);
  // 1 has no row, 2 has two, 4 failed, 8 only read, 12 and 13 have not ended; 99 was never begun.
  const rows = [0, 2, 2, 4, 6, 8, 9, 11, 12, 99];
  assertEquals(log.audit(rows), { lost: 1, twice: 1, phantom: 4, unended: 2 });
  const counts = { read: 2, done: 3, failed: 2, unknown: 2, abandoned: 1, unanswered: 1, hung: 1 };
  assertEquals(log.counts(), counts);
  const open = new OutcomeLog();
  open.record(open.begin(), "unknown");
  assertEquals(open.audit([0, 0]), { ...disagreements, twice: 1 });
});

Deno.test("splitByStops() tells periods that overlap a stop of the server from the others", () => {
  const periods = [[0, 9], [0, 10], [12, 13], [20, 30], [21, 30]] as const;
  const stops = [{ fromMs: 10, toMs: 20 }];
  const split = splitByStops(periods.map(([fromMs, toMs]) => ({ fromMs, toMs })), stops);
  assertEquals(split, { calm: 2, inStops: 3 });
});

Deno.test("unitOf() gives the same unit for the same seed and number, and moves money between two accounts", () => {
  const kinds = new Set<string>();
  for (let id = 0; id < 500; id++) {
    const unit = unitOf(7, id);
    assertEquals(unit, unitOf(7, id));
    kinds.add(unit.kind);
    if (unit.kind === "transfer") assertEquals(unit.debtor === unit.creditor, false);
  }
  assertEquals(kinds, new Set(["transfer", "insert", "effect"]));
});

Deno.test("latenciesOf() takes the nearest rank, in any order of the values", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assertEquals(latenciesOf(hundred), { count: 100, p50: 50, p99: 99, max: 100 });
  assertEquals(latenciesOf([]), { count: 0, p50: 0, p99: 0, max: 0 });
});

Deno.test("outage: refusals, failures and late service are told apart, from the first refusal and from the return on", () => {
  const calls = ([
    [0, 1, "served"],
    [110, 200, "ConnectError"],
    [120, 200, "PoolOverloadedError"],
    [300, 301, "PoolOverloadedError"],
    [400, 1_100, "served"],
    [1_010, 1_015, "served"],
  ] as const).map(([atMs, endMs, outcome]) => ({ atMs, endMs, outcome }));
  const run = { calls, goneAtMs: 100, backAtMs: 1_000, connects: 0, statements: 0 };
  assertEquals(outageResultOf(run), {
    calls: 4,
    firstRefusalMs: 100,
    refused: latenciesOf([1]),
    failed: latenciesOf([90]),
    servedLate: latenciesOf([700]),
    recoveryMs: 15,
  });
});

Deno.test("a report is a table of measures with what is expected of them, and the verdict", () => {
  const lines = textOf([["seed", 7], ["a", 1, atLeast(1)], ["hung", 0.125, zero]]).split("\n");
  assertEquals(lines, [
    "measure  value  expected",
    "seed     7",
    "a        1      at least 1",
    "hung     0.13   0",
    "Violation: hung: 0.13, expected 0",
    "1 violations of 2 expectations",
  ]);
});

Deno.test("a flag that a scenario cannot take is refused", () => {
  const minutes = { otherwise: 5, max: 600 };
  assertThrows(() => new Flags({ seed: "1.5" }).seed(), UsageError);
  assertThrows(() => new Flags({ minutes: "0" }).positive("minutes", minutes), UsageError);
  assertThrows(() => new Flags({ minutes: "601" }).positive("minutes", minutes), UsageError);
  assertThrows(() => new Flags({ host: "node" }).oneOf("host", ["deno"]), UsageError);
  assertEquals(new Flags({ minutes: "0.3" }).positive("minutes", minutes), 0.3);
  assertEquals(new Flags({}).oneOf("host", ["deno"]), undefined);
});

const REPLICA_LAG: ReplicaLagResult = {
  pairs: 10_000,
  callers: 16,
  seed: 1,
  seconds: 30,
  positions: 10_000,
  errors: 0,
  oldWithPosition: 0,
  oldWithout: 3_000,
  reads: latenciesOf([1, 2, 3]),
  onReplicas: 18_000,
  tooFarBehind: 400,
  failed: 0,
  left: 0,
};

verdictTest("replica lag", {
  reportOf: replicaLagReport,
  good: REPLICA_LAG,
  violations: [
    [{ oldWithPosition: 1 }, "old reads, the write's position brought: 1, expected 0"],
    [{ oldWithout: 0 }, "old reads, no position brought: 0, expected at least 1"],
    [{ errors: 2 }, "reads that failed: 2, expected 0"],
    [{ positions: 9_999 }, "writes that gave no position of their own: 1, expected 0"],
    [{ onReplicas: 999 }, "reads that a replica answered: 999, expected at least 1000"],
    [{ tooFarBehind: 0 }, "reads that a replica was too old for: 0, expected at least 1"],
    [{ left: 3 }, "connections left: 3, expected 0"],
  ],
});
