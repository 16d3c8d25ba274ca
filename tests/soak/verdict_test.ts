/** A verdict that cannot be "guilty" is none. */
import { assertEquals } from "@std/assert";
import { PoolMetrics } from "../../src/db/pool/pool_stats.ts";
import { Ledger } from "./ledger.ts";
import { FULL, type SoakReport } from "./soak.ts";
import { faultsOf, HEAP_GROWTH_BYTES } from "./verdict.ts";

const GOOD: SoakReport = {
  ...FULL,
  seed: 1,
  seconds: 60,
  runs: FULL.sessions + 100,
  failedReads: 0,
  failedWrites: 0,
  unknownWrites: 40,
  failures: new Map(),
  ledger: { lost: 0, phantom: 0, twice: 0, untold: 0 },
  kills: 1_000,
  looks: 1_001,
  mostBackends: FULL.poolSize + FULL.maxOverflow,
  leftBackends: 0,
  heap: { first: 10 * HEAP_GROWTH_BYTES, last: 11 * HEAP_GROWTH_BYTES },
  replayed: 50,
  counters: new PoolMetrics().counters,
};

Deno.test("faultsOf() finds nothing wrong with a run that is as it must be, heap measured or not", () => {
  assertEquals(faultsOf(GOOD), []);
  assertEquals(faultsOf({ ...GOOD, heap: undefined }), []);
});

const { ledger } = GOOD;
const BAD: readonly (readonly [what: string, change: Partial<SoakReport>, said: string])[] = [
  [
    "nobody was terminated",
    { kills: 0, unknownWrites: 0 },
    "No backend was terminated: nothing was tried",
  ],
  ["a read failed", { failedReads: 1 }, "1 reads failed that could have been run again"],
  ["a write failed", { failedWrites: 2 }, "2 writes failed though nothing of them was left"],
  [
    "more outcomes are unknown than backends were terminated",
    { unknownWrites: 1_001 },
    "1001 outcomes are unknown, more than the 1000 backends terminated",
  ],
  [
    "a write is lost",
    { ledger: { ...ledger, lost: 1 } },
    "1 writes were told as done, and are not there",
  ],
  [
    "a row is there of a failed write",
    { ledger: { ...ledger, phantom: 1 } },
    "1 rows are there that nobody was told of",
  ],
  [
    "a write was done twice",
    { ledger: { ...ledger, twice: 1 } },
    "1 writes were done more than once",
  ],
  ["a unit never ended", { ledger: { ...ledger, untold: 1 } }, "1 units never ended"],
  [
    "one backend too many was seen",
    { mostBackends: FULL.poolSize + FULL.maxOverflow + 1 },
    "11 backends were seen at once, above the bound of 10",
  ],
  ["a backend outlived the pool", { leftBackends: 1 }, "1 backends were left after close()"],
  [
    "the heap grew",
    { heap: { first: 1, last: HEAP_GROWTH_BYTES + 2 } },
    "The heap grew by 2097153 bytes",
  ],
];

for (const [what, change, said] of BAD) {
  Deno.test(`faultsOf() says so when ${what}`, () => {
    assertEquals(faultsOf({ ...GOOD, ...change }), [said]);
  });
}

Deno.test("the ledger tells lost, phantom, doubled and untold units apart, and forgives either end of an unknown one", () => {
  const ledger = new Ledger(8);
  ledger.tell(0, "written");
  ledger.tell(1, "written");
  ledger.tell(2, "written");
  ledger.tell(3, "failed");
  ledger.tell(4, "unknown");
  ledger.tell(5, "unknown");
  ledger.tell(6, "read");
  // 1 is not there, 2 is there twice, 3 is there though it failed, 5 is there and may be; nobody heard of 7.
  assertEquals(ledger.audit([0, 2, 2, 3, 5]), { lost: 1, phantom: 1, twice: 1, untold: 1 });
  assertEquals(ledger.count("unknown"), 2);
});
