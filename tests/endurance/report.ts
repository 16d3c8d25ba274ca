/** What a run prints: a table of its measures, what is expected of them, and the verdict. */
import { type Measure, shown, violationsOf } from "./verdict.ts";

export function textOf(report: readonly Measure[]): string {
  const rows = [
    ["measure", "value", "expected"],
    ...report.map(([name, value, expected]) => [name, shown(value), expected?.text ?? ""]),
  ];
  const judged = report.filter(([, , expected]) => expected !== undefined);
  // The message of an error must not widen the columns.
  const numbers = report.filter(([, value]) => typeof value === "number");
  const widths = [
    Math.max("measure".length, ...numbers.map(([name]) => name.length)),
    Math.max("value".length, ...numbers.map(([, value]) => shown(value).length)),
  ];
  const violations = violationsOf(report);
  return [
    ...rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("  ").trimEnd()),
    ...violations.map((violation) => `Violation: ${violation}`),
    `${violations.length} violations of ${judged.length} expectations`,
  ].join("\n");
}

export interface Latencies {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Percentiles by the nearest rank, https://en.wikipedia.org/wiki/Percentile */
export function latenciesOf(values: readonly number[]): Latencies {
  const sorted = values.toSorted((one, other) => one - other);
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { count: sorted.length, p50: rank(0.5), p99: rank(0.99), max: sorted.at(-1) ?? 0 };
}

export function sumOf(counts: Iterable<number>): number {
  return [...counts].reduce((sum, count) => sum + count, 0);
}

/** Errors by kind, each with the message of its first occurrence. */
export class ErrorTally {
  readonly #kinds = new Map<string, { count: number; readonly message: string }>();

  add(kind: string, message: string): void {
    const known = this.#kinds.get(kind);
    if (known !== undefined) known.count++;
    else this.#kinds.set(kind, { count: 1, message });
  }

  /** The most frequent first. */
  measures(): Measure[] {
    return [...this.#kinds].toSorted(([, one], [, other]) => other.count - one.count)
      .map(([kind, { count, message }]) => [`${count} × ${kind}`, message]);
  }
}
