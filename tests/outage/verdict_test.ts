import { assertEquals } from "@std/assert";
import type { Call } from "./callers.ts";
import { latenciesOf } from "./latencies.ts";
import { type OutageReport, reportOf } from "./outage.ts";
import { faultsOf } from "./verdict.ts";

Deno.test("latenciesOf() takes the nearest rank, whatever the order", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assertEquals(latenciesOf(hundred), { count: 100, p50: 50, p99: 99, max: 100 });
  assertEquals(latenciesOf([]), { count: 0, p50: 0, p99: 0, max: 0 });
});

Deno.test("reportOf() tells refusals from failures and late service, and counts from the first refusal and the return", () => {
  const call = (atMs: number, ms: number, outcome: string): Call => ({
    atMs,
    endMs: atMs + ms,
    outcome,
  });
  const report = reportOf([
    call(0, 1, "served"),
    call(110, 90, "ConnectError"),
    call(120, 80, "PoolOverloadedError"),
    call(300, 1, "PoolOverloadedError"),
    call(400, 700, "served"),
    call(1_010, 5, "served"),
  ], { goneAtMs: 100, backAtMs: 1_000 });
  assertEquals(report, {
    calls: 4,
    firstRefusalMs: 100,
    refused: latenciesOf([1]),
    failed: latenciesOf([90]),
    servedLate: latenciesOf([700]),
    recoveryMs: 15,
  });
});

const GOOD: OutageReport = {
  way: "gone",
  calls: 2_000,
  firstRefusalMs: 1_200,
  refused: { count: 1_900, p50: 0.2, p99: 1, max: 20 },
  failed: { count: 30, p50: 1_000, p99: 1_000, max: 1_000 },
  servedLate: { count: 0, p50: 0, p99: 0, max: 0 },
  recoveryMs: 40,
};

for (
  const [what, change, said] of [
    ["nothing is wrong", {}, []],
    ["nobody was refused", { firstRefusalMs: undefined }, [
      "gone: the first refusal took Infinity ms",
    ]],
    ["refusals were slow", { refused: { ...GOOD.refused, p99: 5 } }, [
      "gone: refusals took 5.0 ms at p99",
    ]],
    ["service came back late", { recoveryMs: 1_000 }, ["gone: nobody was served for 1000 ms"]],
  ] as const
) {
  Deno.test(`faultsOf() of an outage says so when ${what}`, () => {
    assertEquals(faultsOf([{ ...GOOD, ...change }]), [...said]);
  });
}
