/** What requests that wait for the database cost in memory. */
import type { LocalBranch } from "../../support/local_database.ts";
import { spreadOf } from "../spread.ts";
import { type Contender, startContender } from "./contender.ts";
import { residentBytes } from "./cpu.ts";
import type { Bench } from "./measure.ts";
import { network } from "./network.ts";

export interface WaitingMemory {
  readonly name: string;
  readonly waiting: number;
  /** Resident memory while they wait, less that before them: the median of several processes. */
  readonly bytes: number;
}

const WAITING = 1_000;
const PROCESSES = 3;
const WARM_UP_MS = 3_000;

/** Before the service's own bounds refuse the requests that wait. */
const WAIT_MS = 800;

export async function waitingMemory(
  contenders: readonly Contender[],
  { port, branch, load, knownIds }: Bench & { port: number; branch: LocalBranch },
): Promise<WaitingMemory[]> {
  using way = await network({ port, latencyMs: 0 });
  const figures: WaitingMemory[] = [];
  for (const contender of contenders) {
    console.error(`measuring: memory of ${contender.name}`);
    const grown: number[] = [];
    for (let k = 0; k < PROCESSES; k++) grown.push(await grownBytes(contender));
    figures.push({ name: contender.name, waiting: WAITING, bytes: spreadOf(grown).median });
  }
  return figures;

  async function grownBytes(contender: Contender): Promise<number> {
    await using running = await startContender(contender, {
      databaseUrl: branch.env["DATABASE_URL"]!,
      ...way,
    });
    const read = { port: running.port, operation: "read", knownIds } as const;
    // Until the heap has the size of a service at work, but not that of one with many requests at once.
    await load.run({ ...read, durationMs: WARM_UP_MS, by: { connections: 16 } });
    const burst = { ...read, durationMs: 100, by: { requestsPerSecond: WAITING * 10 } };
    const before = residentBytes(running.pid);
    const locked = branch.asAdmin(
      `do $$ begin lock table users; perform pg_sleep(${WAIT_MS / 1_000}); end $$`,
    );
    await lockIsHeld(branch);
    const asked = load.run(burst);
    let most = before;
    const watch = setInterval(() => most = Math.max(most, residentBytes(running.pid)), 20);
    await locked;
    clearInterval(watch);
    await asked;
    return most - before;
  }
}

async function lockIsHeld(branch: LocalBranch): Promise<void> {
  const query = `select 1 from pg_locks
    where relation = 'users'::regclass and mode = 'AccessExclusiveLock' and granted`;
  while ((await branch.asAdmin(query)).length === 0);
}
