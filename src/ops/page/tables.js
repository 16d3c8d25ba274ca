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

/** One square for each permit. */
export function showPermits({ connections, limit }) {
  const states = connections.map((connection) => stateOf(connection)[0]);
  while (states.length < limit) states.push("free");
  at("permits").replaceChildren(
    ...states.map((state) => element("i", { "data-state": state })),
  );
  const names = ["running", "held", "slow", "idle", "opening", "free"];
  const told = names.flatMap((name) => {
    const count = states.filter((state) => state === name).length;
    return count === 0 ? [] : [`${count} ${name}`];
  });
  at("permits").setAttribute("aria-label", `Of ${limit} connections: ${told.join(", ")}`);
}

export function showConnections({ connections }) {
  at("connection-rows").replaceChildren(...connections.map((connection) => {
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
  }));
}

export function showWaiters({ waiters, sample: { waiting } }) {
  const rows = waiters.map(({ label, waitedMs }) =>
    element("li", { text: `${label ?? "somebody"}, ${shown(waitedMs)}` })
  );
  if (waiting > rows.length) {
    rows.push(element("li", { text: `and ${waiting - rows.length} more` }));
  }
  fill("waiter", "waiters", rows);
}

export function showCounts({ counts, retried }) {
  at("count-rows").replaceChildren(...Object.entries(counts).map(count));
  fill("retry", "retries", Object.entries(retried).map(count));
}

function count([name, value]) {
  return element("div", value === 0 ? { "data-zero": "" } : {}, [
    element("dt", { text: name }),
    element("dd", { text: value.toLocaleString("en") }),
  ]);
}

export function showFailures({ failures }) {
  const rows = failures.map(({ timeMs, status, request, requestId, reason }) =>
    element("li", {}, [
      element("b", { text: `${status} ${request}` }),
      element("br"),
      reason,
      element("br"),
      element("small", {
        text: `${new Date(timeMs).toTimeString().slice(0, 8)}, request ${requestId}`,
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
