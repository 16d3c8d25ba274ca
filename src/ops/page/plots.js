/** The four plots of the last five minutes. Their captions give the current values as text. */
import { formatDuration, quantiles } from "./latency.js";

const HEIGHT = 150;
const SHOWN_MIN = 5;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** One plot of two lines, and of the pool's limit if it shows counts. */
class Plot {
  #plot;
  #container;
  #options;
  #data = [[]];

  constructor(id, options) {
    this.#container = document.getElementById(id);
    this.#options = options;
    this.draw();
    new ResizeObserver(() => {
      const width = this.#container.clientWidth;
      if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
    }).observe(this.#container);
  }

  /** Replaces the plot by a new one, with the colours of the current scheme. */
  draw() {
    this.#plot?.destroy();
    const { first, second, unit } = this.#options;
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    const isTime = unit === "ms";
    this.#plot = new uPlot(
      {
        width: this.#container.clientWidth || 300,
        height: HEIGHT,
        cursor: { show: false },
        legend: { show: false },
        select: { show: false },
        padding: [6, 16, 0, 0],
        scales: {
          x: { time: false, range: () => [-60 * SHOWN_MIN, 0] },
          y: { range: (_, __, max) => [0, Math.max(isTime ? 5 : 3, max * 1.1)] },
        },
        axes: [
          {
            ...axis,
            size: 26,
            gap: 8,
            splits: () => MINUTES.map((ago) => -60 * ago),
            values: agoTexts,
          },
          {
            ...axis,
            size: 54,
            space: 34,
            values: (_, ticks) => ticks.map(isTime ? axisTime : axisCount),
          },
        ],
        series: [
          {},
          line(first, colour("--blue"), { fill: `${colour("--blue")}1f` }),
          line(second, colour("--amber")),
          ...(isTime ? [] : [line("limit", colour("--muted"), { dash: [4, 4], width: 1 })]),
        ],
      },
      this.#data,
      this.#container,
    );
    this.#plot.root.setAttribute("aria-hidden", "true");
  }

  set(data) {
    this.#data = data;
    this.#plot.setData(data);
  }
}

const MINUTES = Array.from({ length: SHOWN_MIN + 1 }, (_, index) => SHOWN_MIN - index);

const agoTexts = () => MINUTES.map((ago) => ago === 0 ? "now" : `−${ago} min`);

function line(label, stroke, more = {}) {
  return {
    label,
    stroke,
    width: 1.75,
    spanGaps: false,
    points: {
      show: (plot, place) => plot.data[place].filter((value) => value !== null).length < 3,
    },
    ...more,
  };
}

function axisTime(timeMs) {
  return timeMs >= 1_000 ? `${timeMs / 1_000} s` : `${timeMs} ms`;
}

function axisCount(value) {
  return Number.isInteger(value) ? String(value) : "";
}

const LATENCIES = [["wait", "waitTimes"], ["use", "useTimes"], ["statement", "statementTimes"]];

export class Plots {
  #connections = new Plot("plot-connections", { first: "in use", second: "waiting", unit: "" });
  #latencies = LATENCIES.map(([id, name]) => ({
    id,
    name,
    plot: new Plot(`plot-${id}`, { first: "p50", second: "p95", unit: "ms" }),
  }));

  constructor() {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", () => {
      for (const plot of [this.#connections, ...this.#latencies.map(({ plot }) => plot)]) {
        plot.draw();
      }
    });
  }

  show(samples, { boundsMs, limit }) {
    const last = samples.at(-1);
    const times = samples.map(({ timeMs }) => (timeMs - last.timeMs) / 1_000);
    this.#connections.set([
      times,
      samples.map(({ leased }) => leased),
      samples.map(({ waiting }) => waiting),
      samples.map(() => limit),
    ]);
    caption("connections-now", [
      ["in use", last.leased],
      ["waiting", last.waiting],
      ["limit", limit],
    ]);
    for (const { id, name, plot } of this.#latencies) {
      const [p50, p95] = [0.5, 0.95].map((share) => quantiles(samples, name, { boundsMs, share }));
      plot.set([times, p50, p95]);
      caption(`${id}-now`, [
        ["p50", formatDuration(p50.at(-1))],
        ["p95", formatDuration(p95.at(-1))],
      ]);
    }
  }
}

const LINES = ["first", "second", "limit"];

/** Shows the current value of each line as text, because a screen reader cannot read the plot. */
function caption(id, values) {
  document.getElementById(id).replaceChildren(
    ...values.map(([label, value], index) => {
      const part = document.createElement("b");
      part.dataset.line = LINES[index];
      part.textContent = `${label} ${value}`;
      return part;
    }),
  );
}
