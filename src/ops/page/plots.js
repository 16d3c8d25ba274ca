/** The four plots of the last five minutes. Their captions say in words what they show now. */
import { quantiles, shown } from "./latency.js";

const HEIGHT = 170;
const SHOWN_S = 300;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** One plot of two lines over time. */
class Plot {
  #plot;
  #place;
  #options;
  #data = [[], [], []];

  constructor(id, { first, second, unit }) {
    this.#place = document.getElementById(id);
    this.#options = { first, second, unit };
    this.draw();
    new ResizeObserver(() => {
      const width = this.#place.clientWidth;
      if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
    }).observe(this.#place);
  }

  /** Anew, with the colours of the moment. */
  draw() {
    this.#plot?.destroy();
    const { first, second, unit } = this.#options;
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    this.#plot = new uPlot(
      {
        width: this.#place.clientWidth || 300,
        height: HEIGHT,
        cursor: { show: false },
        legend: { show: false },
        select: { show: false },
        padding: [8, 8, 0, 0],
        scales: {
          x: { range: () => [Date.now() / 1_000 - SHOWN_S, Date.now() / 1_000] },
          y: { range: (_, __, max) => [0, Math.max(unit === "ms" ? 5 : 3, max * 1.15)] },
        },
        axes: [
          { ...axis, values: (_, times) => times.map(clockTime), space: 80 },
          {
            ...axis,
            size: 54,
            space: 36,
            values: (_, ticks) =>
              ticks.map((tick) => unit === "ms" ? shortTime(tick) : whole(tick)),
          },
        ],
        series: [
          {},
          line(first, colour("--blue"), { fill: true }),
          line(second, colour("--amber")),
        ],
      },
      this.#data,
      this.#place,
    );
    this.#plot.root.setAttribute("aria-hidden", "true");
  }

  set(data) {
    this.#data = data;
    this.#plot.setData(data);
  }
}

function line(label, stroke, { fill = false } = {}) {
  return {
    label,
    stroke,
    width: 1.75,
    ...(fill ? { fill: `${stroke}22` } : {}),
    spanGaps: false,
    points: {
      show: (plot, place) => plot.data[place].filter((value) => value !== null).length < 3,
    },
  };
}

function clockTime(seconds) {
  return new Date(seconds * 1_000).toTimeString().slice(0, 8);
}

function shortTime(timeMs) {
  return timeMs >= 1_000 ? `${timeMs / 1_000} s` : `${timeMs} ms`;
}

function whole(value) {
  return Number.isInteger(value) ? String(value) : "";
}

const LATENCIES = [
  ["wait", "waitTimes", "waited"],
  ["use", "useTimes", "used"],
  ["statement", "statementTimes", "ran"],
];

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

  show(samples, boundsMs) {
    const times = samples.map(({ timeMs }) => timeMs / 1_000);
    const last = samples.at(-1);
    this.#connections.set([
      times,
      samples.map(({ leased }) => leased),
      samples.map(({ waiting }) => waiting),
    ]);
    caption("connections-now", ["in use", last.leased], ["waiting", last.waiting]);
    for (const { id, name, plot } of this.#latencies) {
      const [p50, p95] = [0.5, 0.95].map((share) => quantiles(samples, name, { boundsMs, share }));
      plot.set([times, p50, p95]);
      caption(`${id}-now`, ["p50", shown(p50.at(-1))], ["p95", shown(p95.at(-1))]);
    }
  }
}

/** In words what the plot shows at its right end, and by which line. */
function caption(id, [first, firstValue], [second, secondValue]) {
  const lines = [[first, firstValue, "first"], [second, secondValue, "second"]];
  document.getElementById(id).replaceChildren(
    ...lines.map(([label, value, place]) => {
      const part = document.createElement("b");
      part.dataset.line = place;
      part.textContent = `${label} ${value}`;
      return part;
    }),
  );
}
