/** What `deno task capacity` says about a plan. */
import { type Limit, limitsOf, needsOf, SAFE_SHARE } from "./limits.ts";
import type { CapacityPlan } from "./plan.ts";
import { type Figures, simulate } from "./simulation.ts";

export interface Report {
  readonly plan: CapacityPlan;
  readonly fits: boolean;
  /** Why not. */
  readonly problems: readonly string[];
  /** The lowest first. */
  readonly limits: readonly Limit[];
  readonly figures: Figures;
  /** Variables and numbers to set. */
  readonly advice: readonly string[];
}

/** Requests that are simulated: enough for a p99, and for some idle connections to be closed at a low rate. */
const REQUESTS = 10_000;
const SHORTEST_MS = 1_000;

export async function examinePlan(plan: CapacityPlan, { seed = 1 } = {}): Promise<Report> {
  const measureMs = Math.max(SHORTEST_MS, REQUESTS / plan.perSecond * 1_000);
  const figures = await simulate(plan, { measureMs, warmUpMs: 500, arrivals: "random", seed });
  const limits = limitsOf(plan);
  const problems = problemsOf(plan, limits, figures);
  const fits = problems.length === 0;
  return { plan, fits, problems, limits, figures, advice: adviceOf(plan) };
}

function problemsOf(
  plan: CapacityPlan,
  limits: readonly Limit[],
  { served, refused }: Figures,
): string[] {
  const { instances, size, overflow, maxConnections, perSecond } = plan;
  const problems = limits
    .filter((limit) => perSecond > SAFE_SHARE * limit.perSecond)
    .map(({ name, wayOut, ...limit }) =>
      `${name}: ${percent(perSecond / limit.perSecond)} in use, and ${
        percent(SAFE_SHARE)
      } is safe; ${wayOut}`
    );
  if (opensTooMany(plan)) {
    problems.push(
      `connections: the pools may open ${
        instances * (size + overflow)
      }, and there are ${maxConnections}; lower ` +
        "DATABASE_POOL_SIZE + DATABASE_MAX_OVERFLOW, or put a pooler in transaction mode in between",
    );
  }
  if (refused > 0) {
    problems.push(
      `requests: ${percent(refused / (served + refused))} are refused in the simulation`,
    );
  }
  return problems;
}

/** Then an instance is refused connections while others keep theirs idle, at any load. */
function opensTooMany({ instances, size, overflow, maxConnections }: CapacityPlan): boolean {
  return instances * (size + overflow) > maxConnections;
}

/** The smallest plan that fits, as variables. */
export function adviceOf(plan: CapacityPlan): string[] {
  const direct = needsOf(plan);
  const { maxConnections, cores } = plan;
  const instances = Math.max(direct.instances, plan.instances);
  const room = Math.floor(maxConnections / instances);
  const isCrowded = direct.permits > room;
  const { serverConnections } = direct;
  // Behind a pooler no reads share a connection.
  const needs = isCrowded ? needsOf({ ...plan, serverConnections }) : direct;
  const advice = [];
  if (needs.cores > cores) {
    advice.push(
      `One database of ${cores} cores is not enough: ${needs.cores} cores would do. Read from replicas, or divide the ` +
        `users among ${Math.ceil(needs.cores / cores)} databases`,
    );
  }
  if (needs.instances > plan.instances) advice.push(`Run ${needs.instances} instances`);
  if (isCrowded) {
    advice.push(
      `${instances} instances need ${direct.permits} connections each, and have room for ${room}: put a pooler in ` +
        `transaction mode in between that takes ${
          count(instances * needs.permits)
        } clients and has ` +
        `${needs.serverConnections} connections to the database`,
    );
  }
  advice.push(`DATABASE_POOL_SIZE=${needs.permits}`);
  // A burst may take as many again.
  const spare = isCrowded ? 0 : room - needs.permits;
  advice.push(`DATABASE_MAX_OVERFLOW=${Math.min(needs.permits, spare)}`);
  return advice;
}

/** For a terminal. */
export function textOf({ plan, fits, problems, limits, figures, advice }: Report): string {
  const { perSecond, writes, latencyMs, instances, size, overflow, maxConnections } = plan;
  const [first] = limits;
  const breaksFirst = opensTooMany(plan)
    ? "connections, at any load, as the pools may open more than there are"
    : `${first!.name}, at ${count(first!.perSecond)} requests/s; then ${first!.wayOut}`;
  return [
    `${count(perSecond)} requests/s, ${
      percent(writes)
    } writes, ${latencyMs} ms one way, ${instances} × (${size} + ` +
    `${overflow}) connections of ${count(maxConnections)}`,
    "",
    ...limits.map(({ name, perSecond: most }) =>
      `${name.padEnd(34)}${percent(perSecond / most).padStart(6)} in use, used up at ${
        count(most)
      }/s`
    ),
    "",
    `Simulated: ${count(figures.goodput)}/s served, p50 ${figures.p50Ms.toFixed(1)} ms, p99 ${
      figures.p99Ms.toFixed(1)
    } ms, ${count(figures.refused)} of ${count(figures.served + figures.refused)} refused, ` +
    `at most ${figures.connections} connections`,
    `Breaks first: ${breaksFirst}`,
    "",
    fits ? "It fits." : `It does not fit:\n${problems.map((problem) => `  ${problem}`).join("\n")}`,
    `Set: ${advice.join("; ")}`,
  ].join("\n");
}

function percent(share: number): string {
  return share < 0.1 ? `${(share * 100).toFixed(1)} %` : `${Math.round(share * 100)} %`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}
