/**
 * Writes Prometheus' text format. Not `prom-client`: it needs Node's modules, which Workers have only behind a
 * compatibility flag that the service does not need otherwise. Not OpenTelemetry's SDK with its exporter: it is larger
 * than the service. The counters exist already; only their text is made here.
 * https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */

export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type Labels = Readonly<Record<string, string>>;

/** One metric, with a sample for each set of labels. */
export interface Family<Value = number> {
  readonly name: string;
  readonly help: string;
  readonly samples: readonly (readonly [Labels, Value])[];
}

/** Durations by bucket, like `HistogramStats` of `src/db`. */
export interface Times {
  readonly boundsMs: readonly number[];
  readonly counts: readonly number[];
  readonly sumMs: number;
}

/** A value that may rise and fall. */
export function gauge(family: Family): string {
  return head(family, "gauge") + lines(family);
}

/** A value that only rises. Its name must end in `_total`. */
export function counter(family: Family): string {
  return head(family, "counter") + lines(family);
}

/** Durations, written in seconds. Its name must end in `_seconds`. */
export function histogram(family: Family<Times>): string {
  const samples = family.samples.map(([labels, times]) =>
    histogramLines(family.name, labels, times)
  );
  return head(family, "histogram") + samples.join("");
}

function head({ name, help }: Omit<Family, "samples">, type: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function lines({ name, samples }: Family): string {
  return samples.map(([labels, value]) => line(name, labels, value)).join("");
}

function histogramLines(name: string, labels: Labels, { boundsMs, counts, sumMs }: Times): string {
  let count = 0;
  const buckets = counts.map((each, index) => {
    const bound = boundsMs[index];
    const le = bound === undefined ? "+Inf" : String(bound / 1_000);
    return line(`${name}_bucket`, { ...labels, le }, count += each);
  });
  return buckets.join("") + line(`${name}_sum`, labels, sumMs / 1_000) +
    line(`${name}_count`, labels, count);
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join()}}`} ${value}\n`;
}

function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (char) => char === "\n" ? "\\n" : `\\${char}`);
}
