/** Reads Prometheus' text format with a parser that is not part of this project. */
import { lockedOutput } from "./locked_output.ts";

interface Metric {
  readonly name: string;
  readonly type: string;
  readonly metrics: readonly {
    readonly labels?: Readonly<Record<string, string>>;
    readonly value?: string;
    readonly count?: string;
    readonly sum?: string;
  }[];
}

/**
 * Values by `name{label="value"}`. A histogram has its count under its name, and its sum under the name and `_sum`. The
 * parser omits the values of histograms with labels.
 */
export async function parsePrometheus(text: string): Promise<Map<string, number>> {
  const families = await lockedOutput("prometheus", text) as Metric[];
  return new Map(families.flatMap(valuesOf));
}

function valuesOf({ name, metrics }: Metric): [string, number][] {
  return metrics.flatMap(({ labels = {}, value, count, sum }): [string, number][] => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${text}"`);
    const full = `${name}${pairs.length === 0 ? "" : `{${pairs.join()}}`}`;
    return value === undefined
      ? [[full, Number(count)], [`${full}_sum`, Number(sum)]]
      : [[full, Number(value)]];
  });
}
