import type { ChaosReport } from "./chaos.ts";

/** Of the COMMITs whose answer was lost while the server was there, how many may stay of unknown outcome. */
export const UNKNOWN_SHARE = 0.01;

/** What is wrong with a run, a sentence each; nothing if it is as it must be. */
export function faultsOf(report: ChaosReport): string[] {
  const { told, book, ledger, unknown, lostCommits, leftBackends } = report;
  const faults = [...report.faults.values()].reduce((all, count) => all + count, 0);
  const rules: readonly (readonly [isBroken: boolean, what: string])[] = [
    [
      told.done < report.leastUnits,
      `${told.done} units were done, fewer than the ${report.leastUnits} that count as a run`,
    ],
    [
      faults < report.leastFaults,
      `${faults} faults struck, fewer than the ${report.leastFaults} that count as a run`,
    ],
    [book.lost > 0, `${book.lost} units were told as done, and are not there`],
    [book.twice > 0, `${book.twice} units were done more than once`],
    [book.falseFailures > 0, `${book.falseFailures} units were told as failed, and are there`],
    [ledger.money !== 0, `The accounts hold ${ledger.money} more than they were made with`],
    [ledger.accounts > 0, `${ledger.accounts} accounts do not hold what the ledger says`],
    [ledger.rows > 0, `${ledger.rows} rows or keys are without their row in the ledger`],
    [
      unknown.calm > UNKNOWN_SHARE * lostCommits,
      `${unknown.calm} outcomes are unknown, of ${lostCommits} COMMITs lost while the server was there`,
    ],
    [told.hung > 0, `${told.hung} requests hung`],
    [told.silence > 0, `${told.silence} requests ended without an answer`],
    [leftBackends > 0, `${leftBackends} connections were left`],
  ];
  return rules.filter(([isBroken]) => isBroken).map(([, what]) => what);
}
