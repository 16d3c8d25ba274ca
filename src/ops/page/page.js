/** The pool page: receives the service's events and shows the latest one. */
import { countsBetween, formatDuration, quantileMs, WINDOW } from "./latency.js";
import { Plots } from "./plots.js";
import {
  showConnections,
  showCounts,
  showDiagnostics,
  showFailures,
  showPermits,
  showReplicas,
  showWaiters,
} from "./tables.js";

const MAX_SAMPLES = 300;

const at = (id) => document.getElementById(id);

/** Writes only if the text differs: a screen reader would read the same text again. */
function setText(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

const plots = new Plots();
let samples = [];
let isPaused = false;

function show(snapshot) {
  const { diagnostics } = snapshot;
  const verdict = diagnostics.map(({ title }) => title).join(" · ") || "No problems";
  setText("verdict", verdict);
  document.title = `${diagnostics.length > 0 ? `${verdict} · ` : ""}Connection pool · user-service`;
  showDiagnostics(snapshot);
  showNow(snapshot);
  showPermits(snapshot);
  showReplicas(snapshot);
  showConnections(snapshot);
  showWaiters(snapshot);
  showCounts(snapshot);
  showFailures(snapshot);
  plots.show(samples, snapshot);
}

function showNow({ sample, limit, boundsMs }) {
  setText("leased", sample.leased);
  setText("limit", limit);
  setText("idle", sample.idle);
  setText("waiting", sample.waiting);
  at("waiting").dataset.some = String(sample.waiting > 0);
  const last = samples.length - 1;
  for (const [id, name] of [["wait-p95", "waitTimes"], ["use-p95", "useTimes"]]) {
    setText(id, formatDuration(quantileMs(countsBetween(samples, last, name), boundsMs, 0.95)));
  }
  const leases = countsBetween(samples, last, "waitTimes").reduce((sum, count) => sum + count, 0);
  const seconds = Math.min(WINDOW, last) || 1;
  setText("rate", (leases / seconds).toFixed(leases / seconds < 10 ? 1 : 0));
}

function setLive(state, text) {
  at("live").dataset.state = state;
  setText("live", text);
}

const events = new EventSource("/ops/events");
events.addEventListener("history", ({ data }) => samples = JSON.parse(data));
events.addEventListener("snapshot", ({ data }) => {
  const snapshot = JSON.parse(data);
  samples = [...samples, snapshot.sample].slice(-MAX_SAMPLES);
  if (isPaused) return;
  setLive("live", "Live");
  show(snapshot);
});
events.addEventListener("error", () => {
  // EventSource reconnects by itself, except after an HTTP error.
  const isRefused = events.readyState === EventSource.CLOSED;
  const time = new Date().toTimeString().slice(0, 8);
  setLive(
    "lost",
    isRefused
      ? "The service refused the connection: reload the page"
      : `No connection to the service since ${time}`,
  );
});

at("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  at("pause").setAttribute("aria-pressed", String(isPaused));
  if (isPaused) setLive("paused", "Paused");
});
