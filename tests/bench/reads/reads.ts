/** Reads of many callers over a few connections: shared, each alone, and by the clients that people would use instead. */
import { localDatabase } from "../../support/local_database.ts";
import { testServer } from "../../support/test_server.ts";
import { network } from "../http/network.ts";

export const READERS = ["unshared", "shared", "postgres", "pg"] as const;

export interface ReadWish {
  readonly contender: typeof READERS[number];
  readonly url: string;
  readonly poolSize: number;
  readonly atOnce: number;
  readonly seconds: number;
  /** One more caller sleeps on the server for so long, again and again; 0 for none. */
  readonly slowSeconds: number;
}

export interface ReadFigures {
  readonly perSecond: number;
  /** CPU time of the client's process for one read. */
  readonly cpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface ReadPlace extends Pick<ReadWish, "poolSize" | "atOnce" | "slowSeconds"> {
  /** In each direction. */
  readonly latencyMs: number;
}

export interface PlaceFigures extends ReadPlace {
  /** The rounds of each contender. */
  readonly rounds: Record<ReadWish["contender"], ReadFigures[]>;
}

const PLACES: readonly ReadPlace[] = [
  { latencyMs: 20, poolSize: 4, atOnce: 64, slowSeconds: 0 },
  { latencyMs: 20, poolSize: 4, atOnce: 64, slowSeconds: 2 },
  { latencyMs: 0, poolSize: 4, atOnce: 16, slowSeconds: 0 },
  { latencyMs: 0, poolSize: 4, atOnce: 16, slowSeconds: 2 },
  { latencyMs: 0, poolSize: 16, atOnce: 16, slowSeconds: 0 },
];

const ROUNDS = 3;
const SECONDS = 2;

export async function benchReads(): Promise<PlaceFigures[]> {
  const { port } = await testServer();
  await using branch = await (await localDatabase()).connectDirectly();
  await branch.asAdmin("create table readers (id int primary key, email text, name text)");
  await branch.asAdmin(
    "insert into readers select n, n || '@example.org', 'Ann' from generate_series(1, 1000) as n",
  );
  await branch.asAdmin("grant select on readers to public");
  const figures: PlaceFigures[] = [];
  for (const place of PLACES) {
    console.error(`measuring: ${JSON.stringify(place)}`);
    using way = await network({ port, latencyMs: place.latencyMs });
    const url = new URL(branch.env["DATABASE_URL"]!);
    url.hostname = "127.0.0.1";
    url.port = String(way.tcpPort);
    figures.push(await benchAt(place, url.href));
  }
  return figures;
}

async function benchAt(place: ReadPlace, url: string): Promise<PlaceFigures> {
  const { latencyMs: _, ...wish } = place;
  const rounds: PlaceFigures["rounds"] = { unshared: [], shared: [], postgres: [], pg: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const k of READERS.keys()) {
      // Each contender follows each of the others equally often.
      const contender = READERS[(round + k) % READERS.length]!;
      rounds[contender].push(await read({ ...wish, contender, url, seconds: SECONDS }));
    }
  }
  return { ...place, rounds };
}

async function read(wish: ReadWish): Promise<ReadFigures> {
  const root = new URL("../../../", import.meta.url);
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-config",
      "--import-map=deno.json",
      "--frozen",
      "--lock=tests/bench/contenders.lock",
      "tests/bench/reads/reader.ts",
      JSON.stringify(wish),
    ],
    cwd: root,
    stderr: "inherit",
  });
  const { success, stdout } = await command.output();
  if (!success) throw new Error(`Cannot measure ${wish.contender} as its process failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}
