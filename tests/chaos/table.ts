import type { ChaosReport } from "./chaos.ts";

export function chaosTable(report: ChaosReport): string {
  const { told, unknown, counters, book, ledger } = report;
  const total = (counts: Iterable<number>) => [...counts].reduce((all, count) => all + count, 0);
  const units = total(Object.values(told));
  const runs = [...report.runs].toSorted(([one], [other]) => one - other);
  const again = runs.filter(([count]) => count > 1);
  return aligned([
    ["host, seed", `${report.host}, --seed ${report.seed}`],
    ["cheat", report.cheat ?? "none"],
    ["units", `${units}, ${(units / report.seconds).toFixed(0)}/s`],
    ["  done", told.done],
    ["  failed for certain", told.failed],
    ["  of unknown outcome", told.unknown],
    ["  whose client was gone", told.gone],
    ["  without an answer, hung", `${told.silence}, ${told.hung}`],
    ["answers: unknown, as the server was stopped", `${unknown.calm}, ${unknown.inStops}`],
    ["effects asked for again", report.askedAgain],
    ["units by runs", runs.map(([count, units]) => `${units} × ${count}`).join(", ")],
    ["units retried", total(again.map(([, units]) => units))],
    ["first flights replayed", counters.replayed],
    ["lost COMMITs settled, unknown", `${counters.settled}, ${counters.unknown}`],
    ["COMMITs lost by faults", report.lostCommits],
    ["lost, twice, false failures", `${book.lost}, ${book.twice}, ${book.falseFailures}`],
    [
      "money, accounts, rows off",
      `${ledger.money}, ${ledger.accounts}, ${ledger.rows}`,
    ],
    ["connections left", report.leftBackends],
    ["faults", total(report.faults.values())],
    ...[...report.faults].toSorted(([, one], [, other]) => other - one)
      .map(([name, count]) => [`  ${name}`, count] as const),
    ...[...report.errors].toSorted(([, one], [, other]) => other.count - one.count)
      .map(([what, { count, message }]) => [`${count} × ${what}`, message] as const),
  ]);
}

export function aligned(rows: readonly (readonly [name: string, value: string | number])[]) {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}
