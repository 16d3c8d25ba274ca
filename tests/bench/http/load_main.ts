/** The process of `load.ts`. */
import { HttpConnection } from "./http_connection.ts";
import { linesOf } from "./lines.ts";
import type { Latencies, Load, LoadFigures } from "./load.ts";
import { requestsOf } from "./operations.ts";

/** Beyond it, requests wait in the generator, and their latencies count that wait. */
const CONNECTIONS_MAX = 3_000;

/** For requests that are still unanswered when an open loop has sent its last. */
const LAST_ANSWERS_MS = 5_000;

/** Longer than the way of a request through an idle service. */
const STALL_MS = 1;

class Tally {
  readonly #accepted: number[] = [];
  readonly #refused: number[] = [];
  #failed = 0;
  #firstFailure: string | undefined;

  answered(status: number, ms: number): void {
    if (status >= 200 && status < 300) this.#accepted.push(ms);
    else if (status === 503) this.#refused.push(ms);
    else this.failed(`status ${status}`);
  }

  failed(reason: string): void {
    this.#failed++;
    this.#firstFailure ??= reason;
  }

  get count(): number {
    return this.#accepted.length + this.#refused.length + this.#failed;
  }

  get accepted(): number {
    return this.#accepted.length;
  }

  figures(seconds: number, inTime = this.accepted): LoadFigures {
    return {
      seconds,
      goodput: inTime / seconds,
      accepted: latenciesOf(this.#accepted),
      refused: latenciesOf(this.#refused),
      failed: this.#failed,
      ...(this.#firstFailure !== undefined && { firstFailure: this.#firstFailure }),
    };
  }
}

function latenciesOf(values: number[]): Latencies {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  const p50Ms = at(0.5);
  const stalls = sorted.map((ms) => ms - p50Ms).filter((ms) => ms > STALL_MS);
  const meanMs = stalls.reduce((sum, ms) => sum + ms, 0) / Math.max(1, stalls.length);
  return {
    count: sorted.length,
    p50Ms,
    p75Ms: at(0.75),
    p99Ms: at(0.99),
    stalls: { count: stalls.length, meanMs },
  };
}

/** All of 127.0.0.0/8 is this machine. */
function connectionOf({ port, addresses = 1 }: Load, index: number): HttpConnection {
  return new HttpConnection(port, { from: `127.0.0.${1 + index % addresses}` });
}

async function closedLoop(load: Load, connections: number): Promise<LoadFigures> {
  const next = requestsOf(load.operation, load);
  const tally = new Tally();
  const startedAt = performance.now();
  const end = startedAt + load.durationMs;
  await Promise.all(Array.from({ length: connections }, async (_, index) => {
    using connection = connectionOf(load, index);
    for (let now = performance.now(); now < end;) {
      const status = await connection.ask(next()).catch((error: Error) => error);
      const then = performance.now();
      if (typeof status === "number") tally.answered(status, then - now);
      else tally.failed(status.message);
      now = then;
    }
  }));
  return tally.figures((performance.now() - startedAt) / 1_000);
}

async function openLoop(load: Load, requestsPerSecond: number): Promise<LoadFigures> {
  const next = requestsOf(load.operation, load);
  const tally = new Tally();
  const idle: HttpConnection[] = [];
  const all: HttpConnection[] = [];
  const due: number[] = [];
  const send = async (connection: HttpConnection) => {
    for (let dueAt = due.shift(); dueAt !== undefined; dueAt = due.shift()) {
      const status = await connection.ask(next()).catch((error: Error) => error);
      if (typeof status === "number") tally.answered(status, performance.now() - dueAt);
      else tally.failed(status.message);
    }
    idle.push(connection);
  };
  const startedAt = performance.now();
  const total = Math.floor(load.durationMs / 1_000 * requestsPerSecond);
  let ticks = 0;
  for (let sent = 0; sent < total; ticks++) {
    const elapsedMs = performance.now() - startedAt;
    for (; sent < total && sent / requestsPerSecond * 1_000 <= elapsedMs; sent++) {
      due.push(startedAt + sent / requestsPerSecond * 1_000);
      let connection = idle.pop();
      if (connection === undefined && all.length < CONNECTIONS_MAX) {
        all.push(connection = connectionOf(load, all.length));
      }
      // Without one, the next connection that is answered takes it.
      if (connection !== undefined) void send(connection);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  const inTime = tally.accepted;
  const giveUpAt = performance.now() + LAST_ANSWERS_MS;
  while (tally.count < total && performance.now() < giveUpAt) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const figures = tally.figures(seconds, inTime);
  for (const connection of all) connection[Symbol.dispose]();
  const unanswered = total - (figures.accepted.count + figures.refused.count + figures.failed);
  return { ...figures, failed: figures.failed + unanswered, tickMs: seconds * 1_000 / ticks };
}

console.log("ready");
for await (const line of linesOf(Deno.stdin.readable)) {
  const load: Load = JSON.parse(line);
  const { by } = load;
  const figures = "connections" in by
    ? await closedLoop(load, by.connections)
    : await openLoop(load, by.requestsPerSecond);
  console.log(JSON.stringify(figures));
}
Deno.exit(0);
