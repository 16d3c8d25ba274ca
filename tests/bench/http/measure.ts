/** Loads the contenders in turns, and takes the time of both sides. */
import type { RunningContender } from "./contender.ts";
import { cpuMs, postgresCpuMs } from "./cpu.ts";
import type { LoadFigures, LoadGenerator } from "./load.ts";
import type { Operation } from "./operations.ts";

/** What all contenders are measured at. */
export interface Cell {
  readonly operation: Operation;
  /** Delay between the service and the server, in each direction. */
  readonly latencyMs: number;
  /** Of the load generator; each has one request at a time. */
  readonly connections: number;
}

export interface Turn {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the contender's process for each request. */
  readonly serviceUs: number;
  /** CPU time of all PostgreSQL processes for each request. */
  readonly postgresUs: number;
}

export interface CellFigures extends Cell {
  /** `turns` has one of each round. */
  readonly contenders: readonly { readonly name: string; readonly turns: readonly Turn[] }[];
}

export interface Bench {
  readonly load: LoadGenerator;
  readonly postmaster: number;
  readonly knownIds: readonly string[];
}

export interface Rounds {
  /**
   * Rounds that do not count, until V8 has compiled the code of each contender. They are rounds, and no warm-up of one
   * contender after another: V8 collects the garbage of a process that is idle for eight seconds, and throws away
   * compiled code that names the shapes of objects of which none is left.
   */
  readonly warmUpRounds: number;
  readonly rounds: number;
  readonly turnMs: number;
  /** Before each turn: connections may have been closed as idle during the turns of other contenders. */
  readonly warmUpMs: number;
}

interface Settled {
  /** Resolves when nothing is left to do of the turns before. */
  settle(): Promise<void>;
}

export async function measureCell(
  cell: Cell,
  running: readonly RunningContender[],
  { warmUpRounds, rounds, turnMs, warmUpMs, settle, ...bench }: Bench & Rounds & Settled,
): Promise<CellFigures> {
  const turns = running.map((): Turn[] => []);
  for (let round = 0; round < warmUpRounds + rounds; round++) {
    for (const j of running.keys()) {
      // Each contender follows each of the others equally often.
      const k = (round + j) % running.length;
      await settle();
      await load(running[k]!, cell, { ...bench, durationMs: warmUpMs });
      const turn = await takeTurn(running[k]!, cell, { ...bench, durationMs: turnMs });
      if (round >= warmUpRounds) turns[k]!.push(turn);
    }
  }
  return {
    ...cell,
    contenders: running.map(({ contender: { name } }, k) => ({ name, turns: turns[k]! })),
  };
}

async function takeTurn(
  running: RunningContender,
  cell: Cell,
  bench: Bench & { durationMs: number },
): Promise<Turn> {
  const [service, postgres] = [cpuMs(running.pid), postgresCpuMs(bench.postmaster)];
  const { seconds, accepted } = await load(running, cell, bench);
  const perRequest = 1_000 / accepted.count;
  return {
    requestsPerSecond: accepted.count / seconds,
    p50Ms: accepted.p50Ms,
    p99Ms: accepted.p99Ms,
    serviceUs: (cpuMs(running.pid) - service) * perRequest,
    postgresUs: (postgresCpuMs(bench.postmaster) - postgres) * perRequest,
  };
}

async function load(
  { contender, port }: RunningContender,
  { operation, connections }: Cell,
  { load, knownIds, durationMs }: Bench & { durationMs: number },
): Promise<LoadFigures> {
  const figures = await load.run({ port, operation, knownIds, durationMs, by: { connections } });
  const { accepted, refused, failed, firstFailure } = figures;
  if (accepted.count === 0 || refused.count + failed > 0) {
    throw new Error(
      `Cannot measure ${contender.name} as ${refused.count + failed} requests failed: ` +
        `${operation}, first failure: ${firstFailure ?? "status 503"}`,
    );
  }
  return figures;
}
