/** Charts of the operations near the server, as SVG that a README can show, in light and dark. */
import { join } from "node:path";
import { median } from "./http_table.ts";
import type { CellFigures } from "./measure.ts";

interface Chart {
  readonly file: string;
  readonly title: string;
  /** The segments of one bar. */
  readonly segments: readonly {
    readonly key: "requestsPerSecond" | "serviceUs" | "postgresUs";
    readonly colour: string;
    readonly label: string;
  }[];
}

export const CHARTS: readonly Chart[] = [
  {
    file: "requests",
    title: "requests a second (more is better)",
    segments: [{ key: "requestsPerSecond", colour: "#2f7ed8", label: "requests/s" }],
  },
  {
    file: "cpu",
    title: "CPU time of a request in microseconds (less is better)",
    segments: [
      { key: "serviceUs", colour: "#2f7ed8", label: "service" },
      { key: "postgresUs", colour: "#e08a2e", label: "PostgreSQL" },
    ],
  },
];

/** Writes `OPERATION-requests.svg` and `OPERATION-cpu.svg` for each operation at 0 ms and 16 connections. */
export async function writeCharts(cells: readonly CellFigures[], directory: string): Promise<void> {
  await Deno.mkdir(directory, { recursive: true });
  for (const cell of cells) {
    if (cell.latencyMs !== 0 || cell.connections !== 16 || cell.contenders.length < 3) continue;
    for (const chart of CHARTS) {
      await Deno.writeTextFile(
        join(directory, `${cell.operation}-${chart.file}.svg`),
        svgOf(cell, chart),
      );
    }
  }
}

const WIDTH = 800;
/** Room for the longest name, in the widest of the usual sans-serif fonts. */
const NAMES = 290;
const BARS = 400;
const ROW = 24;
const TOP = 52;

export function svgOf({ operation, contenders }: CellFigures, { title, segments }: Chart): string {
  const bars = contenders.map(({ name, turns }) => ({
    name,
    values: segments.map(({ key }) => median(turns, key)),
  }));
  const most = Math.max(...bars.map(({ values }) => sum(values)));
  const rows = bars.map(({ name, values }, row) => {
    const y = TOP + row * ROW;
    let x = NAMES;
    const rectangles = values.map((value, k) => {
      const width = value / most * BARS;
      const rectangle = `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${
        ROW - 6
      }" fill="${segments[k]!.colour}"/>`;
      x += width;
      return rectangle;
    });
    return `<text x="${NAMES - 8}" y="${y + 13}" text-anchor="end">${escaped(name)}</text>` +
      rectangles.join("") +
      `<text x="${(x + 6).toFixed(1)}" y="${y + 13}">${
        values.map((value) => value.toFixed(0)).join(" + ")
      }</text>`;
  });
  const legend = segments.length === 1
    ? []
    : segments.map(({ colour, label }, k) =>
      `<rect x="${NAMES + k * 110}" y="30" width="10" height="10" fill="${colour}"/>` +
      `<text x="${NAMES + k * 110 + 16}" y="39">${label}</text>`
    );
  const height = TOP + bars.length * ROW + 8;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    "<style>text { fill: #222 } @media (prefers-color-scheme: dark) { text { fill: #ddd } }</style>",
    `<text x="8" y="18" font-size="14">${operation}: ${title}</text>`,
    ...legend,
    ...rows,
    "</svg>",
    "",
  ].join("\n");
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
