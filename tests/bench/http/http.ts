/** `deno task bench http`: this service and others like it, on the same PostgreSQL. */
import { join } from "node:path";
import { DATABASE_DEFAULTS } from "../../../src/library/database_config.ts";
import { type LocalBranch, localDatabase } from "../../support/local_database.ts";
import { testServer } from "../../support/test_server.ts";
import {
  type Contender,
  contenders,
  HAND_WRITTEN,
  OURS,
  oursOf,
  type RunningContender,
  startContender,
} from "./contender.ts";
import { type CapacityPoint, capacityPoints } from "./capacity.ts";
import { type ColdFigures, coldStarts } from "./cold.ts";
import { canReadCpu } from "./cpu.ts";
import { LoadGenerator } from "./load.ts";
import { type Bench, type Cell, type CellFigures, measureCell, type Rounds } from "./measure.ts";
import { network } from "./network.ts";
import { OPERATIONS } from "./operations.ts";
import { overload, type OverloadFigures } from "./overload.ts";
import { type WaitingMemory, waitingMemory } from "./waiting_memory.ts";
import { checkOut } from "./worktree.ts";

export interface HttpOptions {
  /** All distances and numbers of connections: half an hour instead of ten minutes. */
  readonly full: boolean;
  /** Only contenders that reach PostgreSQL over a WebSocket, which takes a third of the time. */
  readonly websocket?: boolean | undefined;
  /** A revision: only it and this one are measured. */
  readonly against?: string | undefined;
  /** With `against`: reads of more clients, with the pool that the service has without a setting. */
  readonly ownPool?: boolean | undefined;
  /** For tests: fewer and shorter turns, and fewer contenders. */
  readonly plan?: readonly (Cell & Rounds)[];
  readonly only?: (contender: Contender) => boolean;
}

const USERS = 1_000;

/** The pool that the service has without a setting. */
const OWN_POOL = {
  DATABASE_POOL_SIZE: String(DATABASE_DEFAULTS.pool.size),
  DATABASE_MAX_OVERFLOW: String(DATABASE_DEFAULTS.pool.maxOverflow),
};

/**
 * Many short turns, since the load of the machine changes. While V8 compiles, the CPU time of a read falls: in rounds 1 to
 * 8, 9 to 16 and so on of 56, that of the default server over TCP was 131, 90, 120, 97, 89, 80 and 85 us, that of the one by
 * hand 144, 137, 117, 101, 96, 101 and 112. A round takes less than six seconds, so that no contender is idle for long enough
 * to lose that code again.
 */
const NEAR = { latencyMs: 0, warmUpRounds: 40, rounds: 6, turnMs: 400, warmUpMs: 50 } as const;
const FAR = { latencyMs: 20, warmUpRounds: 1, rounds: 2, turnMs: 500, warmUpMs: 100 } as const;

export const QUICK: readonly (Cell & Rounds)[] = [
  ...(["read", "create"] as const).map((operation) => ({ ...NEAR, operation, connections: 16 })),
  ...(["create", "three"] as const).map((operation) => ({ ...FAR, operation, connections: 1 })),
];

/** The cells follow one another, so that only what is new to one is left to compile. */
export const FULL: readonly (Cell & Rounds)[] = [0, 5, 20].flatMap((latencyMs) =>
  OPERATIONS.flatMap((operation) =>
    [1, 16, 64].map((connections) => ({
      ...(latencyMs === 0 ? { ...NEAR, warmUpRounds: 10 } : { ...FAR, rounds: 3 }),
      operation,
      latencyMs,
      connections,
    }))
  )
);

/** More clients than processors, and long turns: connections are opened and closed in them. */
const CROWDS: readonly (Cell & Rounds)[] = [64, 256].map((connections) => ({
  operation: "read",
  latencyMs: 0,
  connections,
  warmUpRounds: 3,
  rounds: 5,
  turnMs: 2_000,
  warmUpMs: 100,
}));

function planOf({ full, ownPool = false }: HttpOptions): readonly (Cell & Rounds)[] {
  if (ownPool) return CROWDS;
  return full ? FULL : QUICK;
}

export async function benchHttp(options: HttpOptions): Promise<CellFigures[]> {
  const { websocket = false, against, ownPool = false, only = () => true } = options;
  const { plan = planOf(options) } = options;
  if (!canReadCpu()) {
    throw new Error(
      `Cannot take CPU time as /proc/PID/task/TID/schedstat is missing: this is ${Deno.build.os}; use Linux`,
    );
  }
  const { port } = await testServer();
  await using branch = await (await localDatabase()).connect();
  await using other = against === undefined ? undefined : await checkOut(against);
  const all = (other === undefined ? await contenders() : pair(other, ownPool ? OWN_POOL : {}))
    .filter((contender) => only(contender) && !(websocket && contender.transport === "TCP"));
  await using load = await LoadGenerator.start();
  const bench = { load, ...await prepare(branch) };
  const cells: CellFigures[] = [];
  for (const latencyMs of new Set(plan.map(({ latencyMs }) => latencyMs))) {
    using way = await network({ port, latencyMs });
    const those = plan.filter((cell) => cell.latencyMs === latencyMs);
    const groups = [
      all.filter(({ consumes }) => !consumes),
      // Apart: a consumer also takes the events of the others' creates, during their turns.
      all.filter(({ name, consumes }) => consumes || name === HAND_WRITTEN),
    ];
    for (const group of groups) {
      const consumes = group.some(({ consumes }) => consumes);
      if (group.length < 2) continue;
      await using stack = new AsyncDisposableStack();
      const place = { databaseUrl: branch.env["DATABASE_URL"]!, ...way };
      const running = [];
      for (const contender of group) {
        running.push(stack.use(await startContender(contender, place)));
      }
      const settle = consumes ? () => untilConsumed(branch) : () => Promise.resolve();
      for (const cell of those.filter(({ operation }) => !consumes || operation === "create")) {
        const { operation, connections } = cell;
        console.error(
          `measuring: ${operation}, ${latencyMs} ms one way, ${connections} connections`,
        );
        await empty(branch);
        if (other !== undefined && !await areServed(cell, running, bench)) {
          console.error(`left out: ${operation}, as the other revision does not serve it`);
          continue;
        }
        cells.push(await measureCell(cell, running, { ...bench, ...cell, settle }));
      }
    }
  }
  return cells;
}

export interface LimitFigures {
  readonly overload: readonly OverloadFigures[];
  readonly memory: readonly WaitingMemory[];
  readonly cold: readonly ColdFigures[];
}

/** `deno task bench limits`: too many requests, waiting requests, and first requests. */
export async function benchLimits(): Promise<LimitFigures> {
  const { port } = await testServer();
  await using branch = await (await localDatabase()).connect();
  await using load = await LoadGenerator.start();
  const server = { port, branch, load, ...await prepare(branch) };
  const all = (await contenders()).filter(({ consumes }) => !consumes);
  const plain = `${OURS}, HTTP_SERVER=plain`;
  const named = (...names: string[]) => all.filter(({ name }) => names.includes(name));
  return {
    cold: await coldStarts(all, server),
    memory: await waitingMemory(named(HAND_WRITTEN, OURS, plain), server),
    overload: await overload(named(HAND_WRITTEN, OURS, plain), server),
  };
}

/** `deno task bench capacity`: what `deno task capacity` predicts beside what is measured. */
export async function benchCapacity(): Promise<CapacityPoint[]> {
  const { port } = await testServer();
  await using branch = await (await localDatabase()).connect();
  await using load = await LoadGenerator.start();
  const name = `${OURS} over TCP, HTTP_SERVER=plain`;
  const plain = (await contenders()).find((each) => each.name === name)!;
  return await capacityPoints(plain, { port, branch, load, ...await prepare(branch) });
}

/** An old revision may lack an operation, or the place where the benchmark adds one. */
async function areServed(
  { operation }: Cell,
  running: readonly RunningContender[],
  { load, knownIds }: Bench,
): Promise<boolean> {
  for (const { port } of running) {
    const once = { durationMs: 1, by: { connections: 1 } };
    if ((await load.run({ port, operation, knownIds, ...once })).failed > 0) return false;
  }
  return true;
}

/** The other revision is the first, so that ratios are to it. */
function pair(
  { revision, root }: { revision: string; root: string },
  env: Contender["env"],
): Contender[] {
  const here = join(import.meta.dirname!, "..", "..", "..");
  return [oursOf(`${OURS}, ${revision}`, root, env), oursOf(`${OURS}, this one`, here, env)];
}

async function prepare(branch: LocalBranch): Promise<{ knownIds: string[]; postmaster: number }> {
  await empty(branch);
  const users = await branch.asAdmin<{ id: string }>("select id from users order by id");
  const [file] = await branch.asAdmin<{ pid: string }>(
    "select split_part(pg_read_file('postmaster.pid'), e'\\n', 1) as pid",
  );
  return { knownIds: users.map(({ id }) => id), postmaster: Number(file!.pid) };
}

/** The same users before each cell: creates of one operation must not change the pages of the next. */
async function empty(branch: LocalBranch): Promise<void> {
  await branch.asAdmin("truncate users, user_events, user_activity");
  await branch.asAdmin(`
    insert into users (id, email, name)
    select lpad(to_hex(n), 32, '0')::uuid, 'user-' || n || '@example.org', 'Ann'
    from generate_series(1, ${USERS}) as n`);
  await branch.asAdmin("analyze users");
}

const CONSUMED_WITHIN_MS = 60_000;

/** So that the events of one turn are not consumed in the next. */
async function untilConsumed(branch: LocalBranch): Promise<void> {
  const giveUpAt = performance.now() + CONSUMED_WITHIN_MS;
  while ((await branch.asAdmin("select from user_events limit 1")).length > 0) {
    if (performance.now() > giveUpAt) {
      throw new Error(
        `Cannot measure the consumer as it has events left after ${CONSUMED_WITHIN_MS} ms`,
      );
    }
  }
}
