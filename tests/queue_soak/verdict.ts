import type { QueueSoakReport } from "./soak.ts";

/** What is wrong with a run, a sentence each; nothing if it is as it must be. */
export function faultsOf(report: QueueSoakReport): string[] {
  const rules: readonly (readonly [count: number, what: string])[] = [
    [Number(report.killed === 0), "No process was killed: nothing was tried"],
    [Number(report.terminated === 0), "No backend was terminated: nothing was tried"],
    [Number(report.poison === 0), "There was no poison: nothing was tried"],
    [report.waiting, `${report.waiting} events were never delivered`],
    [report.lost, `${report.lost} events never took effect`],
    [report.twice, `${report.twice} effects were there more than once`],
    [report.disordered, `${report.disordered} effects came after a later one of their user`],
    [report.wrongDead, `${report.wrongDead} events are dead that are no poison`],
    [report.missingDead, `${report.missingDead} poisoned events are not among the dead letters`],
  ];
  return rules.filter(([count]) => count > 0).map(([, what]) => what);
}
