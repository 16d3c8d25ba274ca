/** The pool page: takes the service's events, and shows the last one. */
import { countsBetween, quantileMs, shown, WINDOW } from "./latency.js";
import { Plots } from "./plots.js";
import { showConnections, showCounts, showFailures, showPermits, showWaiters } from "./tables.js";

const MOST_SAMPLES = 300;

/** What each kind of finding is called in the headline. */
const HEADLINES = {
  "unreachable": "The database cannot be reached",
  "crowded": "The pool is too small for its work",
  "slow": "A statement is slow",
  "idle in transaction": "A connection is held without work",
  "leak": "A connection may have leaked",
};

const at = (id) => document.getElementById(id);

/** Not anew where it says so already: a screen reader would read it again. */
function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

const plots = new Plots();
let samples = [];
let isPaused = false;

function show(snapshot) {
  showVerdict(snapshot);
  showNow(snapshot);
  showPermits(snapshot);
  showConnections(snapshot);
  showWaiters(snapshot);
  showCounts(snapshot);
  showFailures(snapshot);
  plots.show(samples, snapshot.boundsMs);
}

function showVerdict({ findings }) {
  const kinds = [...new Set(findings.map(({ kind }) => kind))];
  document.querySelector(".verdict").dataset.state = findings.length === 0 ? "good" : "bad";
  say(
    "verdict",
    findings.length === 0 ? "All is well" : kinds.map((kind) => HEADLINES[kind]).join(" · "),
  );
  at("findings").replaceChildren(...findings.map(({ text }) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}

function showNow({ sample, limit, boundsMs }) {
  say("leased", sample.leased);
  say("limit", limit);
  say("idle", sample.idle);
  say("waiting", sample.waiting);
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
  const time = new Date().toTimeString().slice(0, 8);
  setLive("lost", `No word from the service since ${time}`);
});

at("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  at("pause").setAttribute("aria-pressed", String(isPaused));
  if (isPaused) setLive("paused", "Paused");
});
