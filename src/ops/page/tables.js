/** The lists of the page: each is filled anew with what there is. */
import { shown } from "./latency.js";

const SLOW_MS = 1_000;

const at = (id) => document.getElementById(id);

function element(name, { text, ...attributes } = {}, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** What it looks like, and what it is called. */
export function stateOf({ state, running, stateMs, isLeak }) {
  if (state === "opening" || state === "closing") return ["opening", state];
  if (state === "idle") return ["idle", "idle"];
  if (isLeak) return ["slow", "leaked?"];
  if (running !== undefined) {
    return running.runningMs >= SLOW_MS ? ["slow", "slow statement"] : ["running", "running"];
  }
  return stateMs >= SLOW_MS ? ["slow", "held"] : ["held", "held"];
}

/** The others are only counted. */
const MOST_WAITERS = 8;

/** The gravest first. */
const STATES = ["slow", "running", "held", "opening", "idle", "free"];

/** One square for each permit. */
export function showPermits({ connections, limit }) {
  const states = connections.map((connection) => stateOf(connection)[0]);
  while (states.length < limit) states.push("free");
  at("permits").replaceChildren(
    ...states.map((state) => element("i", { "data-state": state })),
  );
  const told = STATES.flatMap((name) => {
    const count = states.filter((state) => state === name).length;
    return count === 0 ? [] : [`${count} ${name === "free" ? "not open" : name}`];
  });
  at("permits").setAttribute("aria-label", `Of ${limit} connections: ${told.join(", ")}`);
}

/** Kinds of findings at which somebody should get up at night. */
const GRAVE = new Set(["unreachable", "crowded"]);

export function showFindings({ findings }) {
  const isGrave = findings.some(({ kind }) => GRAVE.has(kind));
  at("state").dataset.state = findings.length === 0 ? "good" : isGrave ? "bad" : "odd";
  at("findings").replaceChildren(...findings.flatMap(({ title, details }) => [
    ...(findings.length > 1 ? [element("h3", { text: title })] : []),
    element("ul", {}, details.map((text) => element("li", { text }))),
  ]));
}

export function showConnections({ connections }) {
  const rank = (connection) => STATES.indexOf(stateOf(connection)[0]);
  const sorted = connections.toSorted((one, other) => rank(one) - rank(other) || one.id - other.id);
  at("connection-rows").replaceChildren(...sorted.map(connectionRow));
  at("connection-table").hidden = connections.length === 0;
  at("no-connections").hidden = connections.length > 0;
}

function connectionRow(connection) {
  const { id, ageMs, stateMs, label, processId, running } = connection;
  const [looks, name] = stateOf(connection);
  const state = element("span", { class: "state" }, [
    element("i", { "data-state": looks, "aria-hidden": "true" }),
    name,
  ]);
  return element("tr", { "data-state": looks }, [
    element("td", { class: "number id", text: id }),
    element("td", {}, [state]),
    element("td", { class: "number for", text: shown(running?.runningMs ?? stateMs) }),
    element("td", { class: "who", text: label ?? "" }),
    element("td", { class: "statement", text: running?.text ?? "" }),
    element("td", { class: "number age", text: shown(ageMs) }),
    element("td", { class: "number process", text: processId ?? "" }),
  ]);
}

export function showWaiters({ waiters, sample: { waiting } }) {
  const rows = waiters.slice(0, MOST_WAITERS).map(({ label, waitedMs }) =>
    element("li", {}, [
      element("span", { text: label ?? "somebody" }),
      element("b", { text: shown(waitedMs) }),
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
        text: `${count > 1 ? "last " : ""}at ${new Date(timeMs).toTimeString().slice(0, 8)}, ` +
          `request ${requestId}`,
      }),
    ])
  );
  fill("failure", "failures", rows);
}

/** The list, or the sentence that there is nothing in it. */
function fill(one, many, rows) {
  at(`${one}-rows`).replaceChildren(...rows);
  at(`${one}-rows`).hidden = rows.length === 0;
  at(`no-${many}`).hidden = rows.length > 0;
}
