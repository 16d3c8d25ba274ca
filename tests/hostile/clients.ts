/** The two kinds of clients: attackers on raw sockets, and an honest one. */
import { connect, type Socket } from "node:net";
import { type Latencies, latenciesOf } from "../endurance/report.ts";
import { BEARER } from "../support/token.ts";

/** An address on this machine that only the honest client uses. */
const HONEST_ADDRESS = "127.0.0.2";

/** A raw connection. Errors of the socket are no errors of the scenario: the service may close it at any time. */
export interface Attacker {
  readonly socket: Socket;
  /** Whether the service has closed it. */
  readonly isClosed: boolean;
  /** What the service has sent. */
  readonly received: string;
  readonly closed: Promise<void>;
}

/** Opens a connection from `address`. Resolves when it is connected, or refused. */
export async function attack(
  port: number,
  { address = "127.0.0.1", reads = true }: { address?: string; reads?: boolean } = {},
): Promise<Attacker> {
  const socket = connect({ host: "127.0.0.1", port, localAddress: address });
  const state = { isClosed: false, received: "" };
  const closed = new Promise<void>((resolve) =>
    socket.once("close", () => {
      state.isClosed = true;
      resolve();
    })
  );
  socket.on("error", () => {});
  if (reads) socket.on("data", (bytes) => state.received += bytes.toString("latin1"));
  const connected = new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  await Promise.race([connected, closed]);
  return {
    socket,
    closed,
    get isClosed() {
      return state.isClosed;
    },
    get received() {
      return state.received;
    },
  };
}

/** As many at once as `atOnce`. */
export async function attackWith(
  count: number,
  make: (index: number) => Promise<Attacker>,
  { atOnce = 50 }: { atOnce?: number } = {},
): Promise<Attacker[]> {
  const attackers: Attacker[] = [];
  for (let index = 0; index < count; index += atOnce) {
    const batch = Array.from(
      { length: Math.min(atOnce, count - index) },
      (_, at) => make(index + at),
    );
    attackers.push(...await Promise.all(batch));
  }
  return attackers;
}

export async function leave(attackers: readonly Attacker[]): Promise<void> {
  for (const { socket } of attackers) socket.destroy();
  await Promise.all(attackers.map(({ closed }) => closed));
}

export interface HonestResult extends Latencies {
  readonly failures: number;
  readonly firstFailure: string;
}

export interface HonestOptions {
  readonly perSecond: number;
  /** Creates users instead of reading them. */
  readonly writes?: boolean;
}

/** Sends requests, each in a new connection of another address than the attackers'. */
export class HonestClient implements AsyncDisposable {
  readonly #client = Deno.createHttpClient({ localAddress: HONEST_ADDRESS });
  readonly #url: string;
  /** Makes each request anew. */
  readonly #init: () => RequestInit;
  /** Of the answer. */
  readonly #status: number;
  /** When each began. */
  readonly #running = new Map<Promise<void>, number>();
  readonly #timer: ReturnType<typeof setInterval>;
  #times: number[] = [];
  #failures: string[] = [];

  constructor(url: string, { perSecond, writes = false }: HonestOptions) {
    this.#url = `${url}/users${writes ? "" : "?limit=1"}`;
    this.#init = writes ? newUser : () => ({ headers: BEARER });
    this.#status = writes ? 201 : 200;
    this.#timer = setInterval(() => {
      const running = this.#ask().finally(() => this.#running.delete(running));
      this.#running.set(running, performance.now());
    }, 1_000 / perSecond);
  }

  /** The answers since the last call, and the requests that still have none, by their time until now. */
  take(): HonestResult {
    const nowMs = performance.now();
    const waiting = Array.from(this.#running.values(), (sinceMs) => nowMs - sinceMs);
    const result = {
      ...latenciesOf([...this.#times, ...waiting]),
      failures: this.#failures.length,
      firstFailure: this.#failures[0] ?? "none",
    };
    this.#times = [];
    this.#failures = [];
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running.keys());
    this.#client.close();
  }

  async #ask(): Promise<void> {
    const sinceMs = performance.now();
    try {
      const signal = AbortSignal.timeout(20_000);
      const response = await fetch(this.#url, { ...this.#init(), client: this.#client, signal });
      await response.body?.cancel();
      if (response.status !== this.#status) throw new Error(`status ${response.status}`);
      this.#times.push(performance.now() - sinceMs);
    } catch (error) {
      this.#failures.push(String(error));
    }
  }
}

function newUser(): RequestInit {
  return {
    method: "POST",
    headers: { ...BEARER, "Content-Type": "application/json" },
    body: JSON.stringify({ email: `${crypto.randomUUID()}@example.org`, name: "Ann" }),
  };
}
