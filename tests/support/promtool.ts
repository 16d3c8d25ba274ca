/** Evaluates rules with `promtool`, from Debian's package `prometheus`, on metrics that a test has scraped. */
import { join } from "node:path";

/** Between two scrapes, in the evaluation's time. */
export const SCRAPE_INTERVAL_S = 15;

/** A query at a time, and the samples that it must give, as `{label="value"}` with a value. */
export interface Expectation {
  readonly expr: string;
  readonly atS: number;
  readonly samples: Readonly<Record<string, number>>;
}

export async function findPromtool(): Promise<string | undefined> {
  for (const directory of (Deno.env.get("PATH") ?? "").split(":")) {
    const path = join(directory, "promtool");
    if (directory !== "" && await Deno.stat(path).then(({ isFile }) => isFile, () => false)) {
      return path;
    }
  }
  return undefined;
}

/**
 * The scrapes of one instance as promtool's series; `undefined` is a scrape that failed.
 * https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series
 */
export function seriesOf(scrapes: readonly (string | undefined)[]): Record<string, string> {
  const values = new Map<string, string[]>();
  const add = (series: string, index: number, value: string) => {
    let row = values.get(series);
    if (row === undefined) values.set(series, row = scrapes.map(() => "_"));
    row[index] = value;
  };
  for (const [index, text] of scrapes.entries()) {
    // https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness
    if (text === undefined) { for (const row of values.values()) row[index] = "stale"; }
    add("up", index, text === undefined ? "0" : "1");
    for (const line of (text ?? "").split("\n")) {
      const [, series, value] = /^([^#\s]\S*(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
      if (series !== undefined) add(series, index, value!);
    }
  }
  return Object.fromEntries(
    [...values].map(([series, row]) => [labelled(series), row.join(" ")]),
  );
}

/** The labels that Prometheus adds to what it scrapes. */
export function labelled(series: string): string {
  const own = 'job="user-service", instance="a"';
  return series.endsWith("}") ? series.replace(/\}$/, `, ${own}}`) : `${series}{${own}}`;
}

/** Runs `promtool test rules`. Returns what it found wrong; `""` for nothing. */
export async function evaluate(
  program: string,
  { rules, series, expected }: {
    rules: string;
    series: Readonly<Record<string, string>>;
    expected: readonly Expectation[];
  },
): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "promtool-" });
  try {
    await Deno.writeTextFile(join(directory, "rules.yml"), rules);
    const file = join(directory, "test.yml");
    // JSON is YAML.
    const tests = JSON.stringify({
      rule_files: ["rules.yml"],
      evaluation_interval: `${SCRAPE_INTERVAL_S}s`,
      tests: [{
        interval: `${SCRAPE_INTERVAL_S}s`,
        input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
        promql_expr_test: expected.map(({ expr, atS, samples }) => ({
          expr,
          eval_time: `${atS}s`,
          exp_samples: Object.entries(samples).map(([labels, value]) => ({ labels, value })),
        })),
      }],
    });
    await Deno.writeTextFile(file, tests);
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args: ["test", "rules", file],
    }).output();
    const decoder = new TextDecoder();
    return success ? "" : decoder.decode(stdout) + decoder.decode(stderr);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}
