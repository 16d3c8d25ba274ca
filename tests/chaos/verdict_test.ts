/** A verdict that cannot be "guilty" is none. */
import { assertEquals } from "@std/assert";
import { audit, type Entry, split } from "./book.ts";
import { type ChaosReport, scaled } from "./chaos.ts";
import { contentionFaults, type ContentionReport, FULL_CONTENTION } from "./contention.ts";
import { stormFaults, type StormReport } from "./storm.ts";
import { unitOf } from "./units.ts";
import { faultsOf } from "./verdict.ts";

const GOOD: ChaosReport = {
  ...scaled(300_000),
  host: "deno",
  seed: 1,
  seconds: 300,
  told: { done: 20_000, failed: 100, unknown: 30, gone: 20, silence: 0, hung: 0 },
  unknown: { calm: 5, inStops: 25 },
  lostCommits: 500,
  askedAgain: 10,
  errors: new Map(),
  runs: new Map([[1, 20_000]]),
  faults: new Map([["connection cut", 600], ["backend terminated", 400]]),
  counters: { replayed: 0, retried: 0, settled: 0, unknown: 0 },
  book: { lost: 0, twice: 0, falseFailures: 0 },
  ledger: { money: 0, accounts: 0, rows: 0 },
  leftBackends: 0,
};

const { told, book, ledger, unknown } = GOOD;
const CASES: readonly (readonly [what: string, change: Partial<ChaosReport>, said: string[]])[] = [
  ["nothing is wrong", {}, []],
  ["little was done", { told: { ...told, done: 19_999 } }, [
    "19999 units were done, fewer than the 20000 that count as a run",
  ]],
  ["few faults struck", { faults: new Map([["connection cut", 999]]) }, [
    "999 faults struck, fewer than the 1000 that count as a run",
  ]],
  ["a unit was lost", { book: { ...book, lost: 1 } }, [
    "1 units were told as done, and are not there",
  ]],
  ["a unit was done twice", { book: { ...book, twice: 2 } }, [
    "2 units were done more than once",
  ]],
  ["a failure was none", { book: { ...book, falseFailures: 3 } }, [
    "3 units were told as failed, and are there",
  ]],
  ["money was destroyed", { ledger: { ...ledger, money: -7 } }, [
    "The accounts hold -7 more than they were made with",
  ]],
  ["an account is not what its ledger says", { ledger: { ...ledger, accounts: 2 } }, [
    "2 accounts do not hold what the ledger says",
  ]],
  ["a row has no row in the ledger", { ledger: { ...ledger, rows: 1 } }, [
    "1 rows or keys are without their row in the ledger",
  ]],
  ["more than one lost COMMIT in a hundred is unknown", { unknown: { ...unknown, calm: 6 } }, [
    "6 outcomes are unknown, of 500 COMMITs lost while the server was there",
  ]],
  ["a request hung", { told: { ...told, hung: 1 } }, ["1 requests hung"]],
  ["a request was not answered", { told: { ...told, silence: 1 } }, [
    "1 requests ended without an answer",
  ]],
  ["a connection was left", { leftBackends: 1 }, ["1 connections were left"]],
];

for (const [what, change, said] of CASES) {
  Deno.test(`faultsOf() of a chaos run says so when ${what}`, () => {
    assertEquals(faultsOf({ ...GOOD, ...change }), said);
  });
}

const entry = (id: number, told: Entry["told"]): Entry => ({ id, told });

Deno.test("audit() tells lost, doubled and falsely failed units apart, and forgives either end of the others", () => {
  const entries = [
    entry(0, "done"),
    entry(1, "done"),
    entry(2, "done"),
    entry(3, "failed"),
    entry(4, "failed"),
    entry(5, "unknown"),
    entry(6, "unknown"),
    entry(7, "silence"),
    entry(8, "hung"),
  ];
  // 1 is not there, 2 is there twice, 4 is there though it failed.
  assertEquals(audit(entries, [0, 2, 2, 4, 6, 7]), { lost: 1, twice: 1, falseFailures: 1 });
  assertEquals(audit([entry(0, "unknown")], [0, 0]), { lost: 0, twice: 1, falseFailures: 0 });
});

Deno.test("split() tells what overlaps a stop of the server from the rest", () => {
  const windows = [[0, 9], [0, 10], [12, 13], [20, 30], [21, 30]] as const;
  const stops = [{ fromMs: 10, toMs: 20 }];
  assertEquals(split(windows.map(([fromMs, toMs]) => ({ fromMs, toMs })), stops), {
    calm: 2,
    inStops: 3,
  });
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

const STORM: StormReport = {
  requests: 2_000,
  connects: 60,
  statements: 200,
  failed: { count: 1_700, p50: 0.1, p99: 10, max: 300 },
  recoveryMs: 100,
};

for (
  const [what, change, said] of [
    ["nothing is wrong", {}, []],
    ["nobody failed", { failed: { ...STORM.failed, count: 0 } }, [
      "Nobody was refused: nothing was tried",
    ]],
    ["much was sent", { connects: 2_400 }, [
      "2400 connects and 200 statements were sent for 2000 requests",
    ]],
    ["failures were slow", { failed: { ...STORM.failed, p99: 1_000 } }, [
      "Failures took 1000 ms at p99",
    ]],
    ["refusals were slow", { failed: { ...STORM.failed, p50: 5 } }, [
      "Half of the failures took 5.0 ms or more",
    ]],
    ["service came back late", { recoveryMs: 1_000 }, ["Nobody was served for 1000 ms"]],
  ] as const
) {
  Deno.test(`stormFaults() says so when ${what}`, () => {
    assertEquals(stormFaults({ ...STORM, ...change }), [...said]);
  });
}

Deno.test("contentionFaults() says so when an increment was lost or done twice", () => {
  const latencies = { count: 3_200, p50: 1, p99: 1, max: 1 };
  const report: ContentionReport = {
    ...FULL_CONTENTION,
    value: 3_200,
    seconds: 1,
    latencies,
    runs: latencies,
  };
  assertEquals(contentionFaults(report), []);
  assertEquals(contentionFaults({ ...report, value: 3_199 }), [
    "The counter is at 3199 after 3200 increments",
  ]);
});
