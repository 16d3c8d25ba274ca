/** More requests than a service can answer, at fixed times, whether or not earlier ones are answered. */
import type { LocalBranch } from "../../support/local_database.ts";
import { type Contender, startContender } from "./contender.ts";
import type { Latencies } from "./load.ts";
import type { Bench } from "./measure.ts";
import { network } from "./network.ts";

export interface OverloadFigures {
  readonly name: string;
  /** Reads a second of as many clients as it can answer at once, and more. */
  readonly capacity: number;
  readonly steps: readonly {
    /** Requests sent, as a multiple of the capacity. */
    readonly times: number;
    /** Reads answered a second. */
    readonly goodput: number;
    readonly accepted: Latencies;
    /** Answered with 503. */
    readonly refused: Latencies;
    /** Not answered within 5 s of the last request, or with another status. */
    readonly failed: number;
  }[];
}

/** The database is far away, so that the pool is the bottleneck and not this machine, which runs the generator too. */
const LATENCY_MS = 20;

/** Few, for the same reason: 64 reads of the service share them, and 4 of the others. */
const CONNECTIONS = 4;

/** More requests at once than fit. */
const CLIENTS = 256;

/** The default server of the service lets the requests of one address wait for one another, before they reach the pool. */
const ADDRESSES = 64;

const STEPS = [0.5, 1, 2, 4];
const STEP_MS = 5_000;

export async function overload(
  contenders: readonly Contender[],
  { port, branch, load, knownIds }: Bench & { port: number; branch: LocalBranch },
): Promise<OverloadFigures[]> {
  using way = await network({ port, latencyMs: LATENCY_MS });
  const figures: OverloadFigures[] = [];
  for (const contender of contenders) {
    console.error(`measuring: overload of ${contender.name}`);
    const env = { ...contender.env, DATABASE_POOL_SIZE: `${CONNECTIONS}` };
    await using running = await startContender({ ...contender, env }, {
      databaseUrl: branch.env["DATABASE_URL"]!,
      ...way,
    });
    const read = { port: running.port, operation: "read", knownIds, addresses: ADDRESSES } as const;
    const closed = { ...read, durationMs: STEP_MS / 2, by: { connections: CLIENTS } };
    await load.run(closed);
    const full = await load.run(closed);
    const capacity = full.goodput;
    const steps = [];
    for (const times of STEPS) {
      const { goodput, accepted, refused, failed } = await load.run({
        ...read,
        durationMs: STEP_MS,
        by: { requestsPerSecond: times * capacity },
      });
      steps.push({ times, goodput, accepted, refused, failed });
    }
    figures.push({ name: contender.name, capacity, steps });
  }
  return figures;
}
