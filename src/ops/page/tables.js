/** The tables and lists of the page. Each function replaces the content of one with the snapshot's. */
import { formatDuration } from "./latency.js";

/** As in `diagnostics.ts`. */
const SLOW_MS = 1_000;

const at = (id) => document.getElementById(id);

function element(name, { text, ...attributes } = {}, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** The `data-state` of a connection, which decides its colour, and its name. */
export function stateOf({ state, running, stateMs, isLeak }) {
  if (state === "opening" || state === "closing") return ["opening", state];
  if (state === "idle") return ["idle", "idle"];
  if (isLeak) return ["slow", "leaked?"];
  if (running !== undefined) {
    return running.runningMs >= SLOW_MS ? ["slow", "slow statement"] : ["running", "running"];
  }
  return [stateMs >= SLOW_MS ? "slow" : "leased", "leased"];
}

/** Further waiters are only counted. */
const MAX_WAITERS = 8;

/** The most serious first. */
const STATES = ["slow", "running", "leased", "opening", "idle", "free"];

/** One square for each permit of the primary's pool. */
export function showPermits({ connections, limit }) {
  const states = connections.filter(({ replica }) => replica === undefined)
    .map((connection) => stateOf(connection)[0]);
  while (states.length < limit) states.push("free");
  at("permits").style.setProperty("--count", states.length);
  at("permits").replaceChildren(
    ...states.map((state) => element("i", { "data-state": state })),
  );
  const counts = STATES.flatMap((name) => {
    const count = states.filter((state) => state === name).length;
    return count === 0 ? [] : [`${count} ${name === "free" ? "not open" : name}`];
  });
  at("permits").setAttribute("aria-label", `Of ${limit} connections: ${counts.join(", ")}`);
}

/** Kinds of problems that need an operator at once. */
const CRITICAL = new Set(["unreachable", "exhausted"]);

export function showDiagnostics({ diagnostics }) {
  const isCritical = diagnostics.some(({ kind }) => CRITICAL.has(kind));
  at("state").dataset.state = diagnostics.length === 0 ? "good" : isCritical ? "bad" : "warning";
  at("diagnostics").replaceChildren(...diagnostics.flatMap(({ title, details }) => [
    ...(diagnostics.length > 1 ? [element("h3", { text: title })] : []),
    element("ul", {}, details.map((text) => element("li", { text }))),
  ]));
}

export function showReplicas({ replicas }) {
  at("replicas").hidden = replicas.length === 0;
  at("replica-rows").replaceChildren(...replicas.map(replicaRow));
}

function replicaRow({ number, server, lag, isLeftOut, leased, limit, idle, waiting, ...counts }) {
  const { reads, stale, failed, errors } = counts;
  const isUnknown = reads + stale + failed + errors === 0;
  const [stateName, name] = isLeftOut
    ? ["slow", "has failed"]
    : isUnknown
    ? ["idle", "not asked yet"]
    : ["running", "answers"];
  const figures = [
    ["behind", lag ? formatBytes(lag.bytes) : "–"],
    ["as of", lag ? `${formatDuration(lag.ageMs)} ago` : "–"],
    ["in use", `${leased} of ${limit}`],
    ["idle", idle],
    ["waiting", waiting],
    ["reads answered", reads.toLocaleString("en")],
    ["too far behind", stale.toLocaleString("en")],
    ["failed", failed.toLocaleString("en")],
    ["errors", errors.toLocaleString("en")],
  ];
  return element("tr", { "data-state": stateName }, [
    element("td", { class: "number id", text: number }),
    element("td", { class: "server", text: server }),
    element("td", {}, [stateMark(stateName, name)]),
    ...figures.map(([label, text]) =>
      element("td", { class: "number", "data-label": label, text })
    ),
  ]);
}

function stateMark(stateName, name) {
  return element("span", { class: "state" }, [
    element("i", { "data-state": stateName, "aria-hidden": "true" }),
    name,
  ]);
}

export function showConnections({ connections, replicas }) {
  const rank = (connection) => STATES.indexOf(stateOf(connection)[0]);
  const place = ({ replica = 0 }) => replica;
  const sorted = connections.toSorted((one, other) =>
    rank(one) - rank(other) || place(one) - place(other) || one.id - other.id
  );
  const hasReplicas = replicas.length > 0;
  at("server-column").hidden = !hasReplicas;
  at("connection-rows").replaceChildren(
    ...sorted.map((connection) => connectionRow(connection, hasReplicas)),
  );
  at("connection-table").hidden = connections.length === 0;
  at("no-connections").hidden = connections.length > 0;
}

function connectionRow(connection, showsServer) {
  const { id, replica, ageMs, stateMs, label, processId, running } = connection;
  const [stateName, name] = stateOf(connection);
  const server = replica === undefined ? "primary" : `replica ${replica}`;
  return element("tr", { "data-state": stateName }, [
    element("td", { class: "number id", text: id }),
    ...(showsServer ? [element("td", { class: "server", text: server })] : []),
    element("td", {}, [stateMark(stateName, name)]),
    element("td", { class: "number for", text: formatDuration(running?.runningMs ?? stateMs) }),
    element("td", { class: "who", text: label ?? "" }),
    element("td", { class: "statement", text: running?.text ?? "" }),
    element("td", { class: "number age", text: formatDuration(ageMs) }),
    element("td", { class: "number process", text: processId ?? "" }),
  ]);
}

export function showWaiters({ waiters, sample: { waiting } }) {
  const rows = waiters.slice(0, MAX_WAITERS).map(({ label, waitedMs }) =>
    element("li", {}, [
      element("span", { text: label ?? "without a label" }),
      element("b", { text: formatDuration(waitedMs) }),
    ])
  );
  if (waiting > rows.length) {
    rows.push(element("li", { text: `and ${waiting - rows.length} more` }));
  }
  fill("waiter", "waiters", rows);
}

export function showCounts({ counts, retried }) {
  at("count-groups").replaceChildren(
    ...Object.entries(counts).map(([name, group]) =>
      element("div", {}, [
        element("h3", { text: name }),
        element("dl", { class: "rows" }, Object.entries(group).map(count)),
      ])
    ),
  );
  const causes = Object.entries(retried).map(([kind, value]) => [kind.replaceAll("_", " "), value]);
  fill("retry", "retries", causes.map(count));
}

function count([name, value]) {
  return element("div", value === 0 ? { "data-zero": "" } : {}, [
    element("dt", { text: name }),
    element("dd", { text: value.toLocaleString("en") }),
  ]);
}

export function showFailures({ failures }) {
  const rows = failures.map(({ timeMs, status, request, requestId, reason, count }) =>
    element("li", {}, [
      element("p", {}, [
        element("b", { text: `${status} ${request}` }),
        count > 1 ? ` ${count.toLocaleString("en")} times` : "",
      ]),
      element("p", { text: reason }),
      element("small", {
        text: `${count > 1 ? "latest " : ""}at ${new Date(timeMs).toTimeString().slice(0, 8)}, ` +
          `request ${requestId}`,
      }),
    ])
  );
  fill("failure", "failures", rows);
}

/** Shows the list, or the sentence that says that it is empty. */
function fill(one, many, rows) {
  at(`${one}-rows`).replaceChildren(...rows);
  at(`${one}-rows`).hidden = rows.length === 0;
  at(`no-${many}`).hidden = rows.length > 0;
}

/** A size in the unit that suits it. */
export function formatBytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1_000 && unit < units.length - 1) {
    bytes /= 1_000;
    unit++;
  }
  return `${unit === 0 || bytes >= 100 ? bytes.toFixed(0) : bytes.toFixed(1)} ${units[unit]}`;
}
