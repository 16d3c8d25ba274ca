/** The pool page: takes the service's events, and shows the last one. */
import { countsBetween, quantileMs, shown, WINDOW } from "./latency.js";
import { Plots } from "./plots.js";
import {
  showConnections,
  showCounts,
  showFailures,
  showFindings,
  showPermits,
  showWaiters,
} from "./tables.js";

const MOST_SAMPLES = 300;

const at = (id) => document.getElementById(id);

/** Not anew where it says so already: a screen reader would read it again. */
function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

const plots = new Plots();
let samples = [];
let isPaused = false;

function show(snapshot) {
  const { findings } = snapshot;
  const verdict = findings.map(({ title }) => title).join(" · ") || "All is well";
  say("verdict", verdict);
  document.title = `${findings.length > 0 ? `${verdict} · ` : ""}Connection pool · user-service`;
  showFindings(snapshot);
  showNow(snapshot);
  showPermits(snapshot);
  showConnections(snapshot);
  showWaiters(snapshot);
  showCounts(snapshot);
  showFailures(snapshot);
  plots.show(samples, snapshot);
}

function showNow({ sample, limit, boundsMs }) {
  say("leased", sample.leased);
  say("limit", limit);
  say("idle", sample.idle);
  say("waiting", sample.waiting);
  at("waiting").dataset.some = String(sample.waiting > 0);
  const last = samples.length - 1;
  for (const [id, name] of [["wait-p95", "waitTimes"], ["use-p95", "useTimes"]]) {
    say(id, shown(quantileMs(countsBetween(samples, last, name), boundsMs, 0.95)));
  }
  const given = countsBetween(samples, last, "waitTimes").reduce((sum, count) => sum + count, 0);
  const seconds = Math.min(WINDOW, last) || 1;
  say("rate", (given / seconds).toFixed(given / seconds < 10 ? 1 : 0));
}

function setLive(state, text) {
  at("live").dataset.state = state;
  say("live", text);
}

const events = new EventSource("/ops/events");
events.addEventListener("history", ({ data }) => samples = JSON.parse(data));
events.addEventListener("snapshot", ({ data }) => {
  const snapshot = JSON.parse(data);
  samples = [...samples, snapshot.sample].slice(-MOST_SAMPLES);
  if (isPaused) return;
  setLive("live", "Live");
  show(snapshot);
});
events.addEventListener("error", () => {
  // It comes back by itself, unless it was refused.
  const isRefused = events.readyState === EventSource.CLOSED;
  const time = new Date().toTimeString().slice(0, 8);
  setLive(
    "lost",
    isRefused
      ? "Refused by the service: reload the page"
      : `No word from the service since ${time}`,
  );
});

at("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  at("pause").setAttribute("aria-pressed", String(isPaused));
  if (isPaused) setLive("paused", "Paused");
});
