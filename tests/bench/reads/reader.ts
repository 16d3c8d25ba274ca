/** A process that reads one row as often as it can, by one contender, and prints its figures. */
import process from "node:process";
import { cpuMs } from "../http/cpu.ts";
import type { ReadFigures, ReadWish } from "./reads.ts";

const wish: ReadWish = JSON.parse(Deno.args[0]!);
const { contender, url, poolSize, atOnce, seconds, slowSeconds } = wish;

interface Reader {
  read(id: number): Promise<{ id: number } | undefined>;
  sleep(seconds: number): Promise<unknown>;
}

/** Names that Deno does not see before it runs: `../main.ts` says why. */
const PACKAGES = { postgres: "npm:postgres@3.4.9", pg: "npm:pg@8.23.1" };

async function ours(readDepth: number | "auto"): Promise<Reader> {
  const { openDatabase } = await import("../../../src/library/deno/mod.ts");
  const { sql } = await import("../../../src/db/mod.ts");
  // The other packages refuse no caller, so this pool does not either.
  const pool = { size: poolSize, maxOverflow: 0, readDepth, shedTargetMs: 0 };
  const db = openDatabase({ url, transport: "tcp", pool });
  return {
    async read(id) {
      await using session = db.session({ readOnly: true });
      const [[row]] = await session.commit([sql<{ id: number }>`
        select id, email, name from readers where id = ${id}`]);
      return row;
    },
    async sleep(seconds) {
      await using session = db.session({ readOnly: true });
      await session.commit([sql`select pg_sleep(${seconds})`]);
    },
  };
}

async function postgres(): Promise<Reader> {
  const { default: connect } = await import(PACKAGES.postgres);
  const sql = connect(url, { max: poolSize });
  return {
    read: async (id) => (await sql`select id, email, name from readers where id = ${id}`)[0],
    sleep: (seconds) => sql`select pg_sleep(${seconds})`,
  };
}

async function pg(): Promise<Reader> {
  const { default: { Pool } } = await import(PACKAGES.pg);
  const pool = new Pool({ connectionString: url, max: poolSize });
  const text = "select id, email, name from readers where id = $1";
  return {
    read: async (id) => (await pool.query({ name: "read", text, values: [id] })).rows[0],
    sleep: (seconds) => pool.query("select pg_sleep($1)", [seconds]),
  };
}

const make = {
  "shared": () => ours("auto"),
  "unshared": () => ours(1),
  postgres,
  pg,
};

const reader = await make[contender]();
const latencies: number[] = [];
let isTimed = false;
let isOver = false;

async function work(): Promise<void> {
  while (!isOver) {
    const id = 1 + Math.floor(Math.random() * 1_000);
    const sinceMs = performance.now();
    const row = await reader.read(id);
    if (Number(row?.id) !== id) throw new Error(`read ${row?.id} in place of ${id}`);
    if (isTimed) latencies.push(performance.now() - sinceMs);
  }
}

async function sleepOn(): Promise<void> {
  while (!isOver) await reader.sleep(slowSeconds);
}

const workers = Array.from({ length: atOnce }, work);
if (slowSeconds > 0) workers.push(sleepOn());
await new Promise((resolve) => setTimeout(resolve, 500));
isTimed = true;
const [sinceMs, cpuSinceMs] = [performance.now(), cpuMs(Deno.pid)];
await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
isTimed = false;
const [elapsedMs, usedMs] = [performance.now() - sinceMs, cpuMs(Deno.pid) - cpuSinceMs];
isOver = true;
latencies.sort((one, other) => one - other);
const figures: ReadFigures = {
  perSecond: latencies.length * 1_000 / elapsedMs,
  cpuUs: usedMs * 1_000 / latencies.length,
  p50Ms: latencies[Math.floor(latencies.length * 0.5)]!,
  p99Ms: latencies[Math.floor(latencies.length * 0.99)]!,
};
console.log(JSON.stringify(figures));
process.exit(0);
