/** The first request: of a process, of a Worker's request, of a Durable Object. */
import type { LocalBranch } from "../../support/local_database.ts";
import { BEARER } from "../../support/token.ts";
import { startWorkerd } from "../../support/workerd.ts";
import { spreadOf } from "../spread.ts";
import { type Contender, startContender } from "./contender.ts";
import { network } from "./network.ts";

export interface ColdFigures {
  readonly name: string;
  /** From the start of the process until it listens; of a Worker, with the bundle. */
  readonly startMs: number;
  /** A read, with the connection to the database that it opens. */
  readonly firstMs: number;
  /** The median of later reads, one at a time. */
  readonly laterMs: number;
}

const LATER = 20;

export async function coldStarts(
  contenders: readonly Contender[],
  { port, branch, knownIds }: { port: number; branch: LocalBranch; knownIds: readonly string[] },
): Promise<ColdFigures[]> {
  using way = await network({ port, latencyMs: 0 });
  const figures: ColdFigures[] = [];
  for (const contender of contenders) {
    console.error(`measuring: cold start of ${contender.name}`);
    const place = { databaseUrl: branch.env["DATABASE_URL"]!, ...way };
    const startedAt = performance.now();
    await using running = await startContender(contender, place);
    const startMs = performance.now() - startedAt;
    const url = `http://127.0.0.1:${running.port}/users/${knownIds[0]}`;
    figures.push({ name: contender.name, startMs, ...await readsOf(url) });
  }
  const objects = { "Worker in workerd": "0", "Durable Object in workerd": "1" };
  for (const [name, shards] of Object.entries(objects)) {
    console.error(`measuring: cold start of ${name}`);
    const startedAt = performance.now();
    await using workerd = await startWorkerd({
      entry: "src/worker.ts",
      minify: true,
      bindings: {
        ...branch.env,
        DATABASE_WS_PROXY: way.relay,
        DATABASE_OBJECT_SHARDS: shards,
        LOG_LEVEL: "error",
      },
      durableObjects: { DATABASE_OBJECT: "DatabaseObject" },
    });
    const startMs = performance.now() - startedAt;
    const { href } = new URL(`/users/${knownIds[0]}`, workerd.url);
    figures.push({ name, startMs, ...await readsOf(href) });
  }
  return figures;
}

async function readsOf(url: string): Promise<{ firstMs: number; laterMs: number }> {
  const firstMs = await read(url);
  const later: number[] = [];
  for (let k = 0; k < LATER; k++) later.push(await read(url));
  return { firstMs, laterMs: spreadOf(later).median };
}

async function read(url: string): Promise<number> {
  const startedAt = performance.now();
  const response = await fetch(url, { headers: BEARER });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`Cannot measure a read as it was answered ${response.status}`);
  return performance.now() - startedAt;
}
