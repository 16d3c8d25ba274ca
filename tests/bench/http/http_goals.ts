/** The goals. They are printed, not enforced, since a busy machine may miss them. */
import { DRIZZLE, HAND_WRITTEN, LAYER, OURS } from "./contender.ts";
import { medianRatio } from "./http_table.ts";
import type { CellFigures, Turn } from "./measure.ts";
import type { Operation } from "./operations.ts";

interface Goal {
  readonly operation: Operation;
  /** 0 ms with 16 connections, or 20 ms with one. */
  readonly latencyMs: 0 | 20;
  readonly ours: string;
  readonly theirs: string;
  readonly figure: keyof Turn;
  /** Our figure divided by theirs in the same round: the median. */
  readonly bound: { readonly atLeast: number } | { readonly atMost: number };
}

const PLAIN = `${OURS}, HTTP_SERVER=plain`;
const TCP = `${OURS} over TCP`;
const SEED = "FastAPI + SQLAlchemy + asyncpg";

const FIGURES: Readonly<Record<keyof Turn, string>> = {
  requestsPerSecond: "req/s",
  p50Ms: "p50",
  p99Ms: "p99",
  serviceUs: "CPU of the service",
  postgresUs: "CPU of PostgreSQL",
};

const GOALS: readonly Goal[] = [
  ...[OURS, PLAIN].flatMap((ours) => [
    near("read", ours, HAND_WRITTEN, "requestsPerSecond", { atLeast: 1.6 }),
    near("read", ours, HAND_WRITTEN, "postgresUs", { atMost: 0.75 }),
    near("read", ours, HAND_WRITTEN, "serviceUs", { atMost: 1.4 }),
    near("create", ours, HAND_WRITTEN, "requestsPerSecond", { atLeast: 1.9 }),
    near("create", ours, HAND_WRITTEN, "postgresUs", { atMost: 0.85 }),
    near("create", ours, HAND_WRITTEN, "serviceUs", { atMost: 1.15 }),
    near("read", ours, SEED, "requestsPerSecond", { atLeast: 4 }),
    near("create", ours, SEED, "requestsPerSecond", { atLeast: 3 }),
  ]),
  near("create", `${OURS}, consumer on`, HAND_WRITTEN, "requestsPerSecond", { atLeast: 1.4 }),
  ...[TCP, `${TCP}, HTTP_SERVER=plain`].flatMap((ours) => [
    near("read", ours, "Hono + postgres", "requestsPerSecond", { atLeast: 0.8 }),
    near("read", ours, "Hono + pg", "requestsPerSecond", { atLeast: 1.2 }),
    near("create", ours, "Hono + postgres", "requestsPerSecond", { atLeast: 1.3 }),
    near("create", ours, "Hono + pg", "requestsPerSecond", { atLeast: 1.3 }),
    near("read", ours, SEED, "requestsPerSecond", { atLeast: 12 }),
    near("create", ours, SEED, "requestsPerSecond", { atLeast: 6 }),
  ]),
  // The layer by itself, without what the service does besides.
  near("read", `${LAYER} over TCP`, "Hono + postgres", "requestsPerSecond", { atLeast: 0.8 }),
  near("read", `${LAYER} over TCP`, "Hono + pg", "requestsPerSecond", { atLeast: 1.2 }),
  near("create", `${LAYER} over TCP`, "Hono + postgres", "requestsPerSecond", { atLeast: 1.3 }),
  near("create", `${LAYER} over TCP`, "Hono + pg", "requestsPerSecond", { atLeast: 1.3 }),
  { ...far("create"), bound: { atMost: 0.4 } },
  { ...far("three"), bound: { atMost: 0.85 } },
];

function near(
  operation: Operation,
  ours: string,
  theirs: string,
  figure: keyof Turn,
  bound: Goal["bound"],
): Goal {
  return { operation, latencyMs: 0, ours, theirs, figure, bound };
}

function far(operation: Operation) {
  return { operation, latencyMs: 20, ours: OURS, theirs: HAND_WRITTEN, figure: "p50Ms" } as const;
}

/** A line for each goal whose contenders were measured, and for each place where ours is behind another on Neon's package. */
export function verdicts(cells: readonly CellFigures[]): string[] {
  return [...GOALS.flatMap((goal) => verdict(goal, cells)), ...behindNeon(cells)];
}

function behindNeon(cells: readonly CellFigures[]): string[] {
  let compared = 0;
  const behind = cells.flatMap(({ operation, latencyMs, connections, contenders }) =>
    [OURS, PLAIN].flatMap((ours) =>
      [HAND_WRITTEN, DRIZZLE].flatMap((theirs) => {
        const [own, other] = [ours, theirs]
          .map((name) => contenders.find((each) => each.name === name)?.turns);
        if (own === undefined || other === undefined) return [];
        compared++;
        const ratio = medianRatio(own, other, "requestsPerSecond");
        if (ratio >= 1) return [];
        return `BEHIND ${ratio.toFixed(2)}: ${operation} at ${latencyMs} ms, ${connections} ` +
          `connections, req/s, "${ours}" to "${theirs}"`;
      })
    )
  );
  if (compared === 0) return [];
  return [...behind, `behind a contender on Neon's package in ${behind.length} of ${compared}`];
}

function verdict(goal: Goal, cells: readonly CellFigures[]): string[] {
  const { operation, latencyMs, ours, theirs, figure, bound } = goal;
  const turnsOf = (cell: CellFigures) =>
    [ours, theirs].map((name) => cell.contenders.find((each) => each.name === name)?.turns);
  const [own, other] = cells
    .filter((cell) =>
      cell.operation === operation && cell.latencyMs === latencyMs &&
      cell.connections === (latencyMs === 0 ? 16 : 1)
    )
    .map(turnsOf)
    .find((turns) => !turns.includes(undefined)) ?? [];
  if (own === undefined || other === undefined) return [];
  const ratio = medianRatio(own, other, figure);
  const isMet = "atLeast" in bound ? ratio >= bound.atLeast : ratio <= bound.atMost;
  const wanted = "atLeast" in bound ? `at least ${bound.atLeast}` : `at most ${bound.atMost}`;
  return [
    `${isMet ? "met   " : "MISSED"} ${
      ratio.toFixed(2)
    }, goal ${wanted}: ${operation} at ${latencyMs} ms, ${
      FIGURES[figure]
    }, "${ours}" to "${theirs}"`,
  ];
}
