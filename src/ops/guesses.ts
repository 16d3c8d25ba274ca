/** Limits how often a client may guess `OPS_TOKEN`, by form or bearer token. */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { BoundedMap } from "../bounded_map.ts";
import { clientNetwork } from "../client_network.ts";

/** Wrong tokens of one client within the window. After these, also its right token is refused until the window ends. */
const FAILURES_MAX = 10;
const WINDOW_MS = 60_000;

/** Clients that are remembered. The one that is longest in the list is forgotten for a further one. */
const CLIENTS_MAX = 1_000;

/** A wrong token that is worth a line in the log: the first of a client's window, and the one that blocks it. */
export interface RefusedGuess {
  readonly client: string;
  readonly path: string;
  readonly failures: number;
  /** How long the client is now refused. */
  readonly blockedMs?: number;
}

export interface GuessesOptions {
  /** The address of a request's client. A proxy's address stands for all clients of that proxy. */
  readonly clientOf: (c: Context) => string;
  /** Called at most twice for one client in a minute, whatever it sends. */
  readonly onRefused: (guess: RefusedGuess) => void;
  /** Milliseconds. */
  readonly now?: () => number;
}

interface Failures {
  failures: number;
  /** The end of the window that the first failure began. */
  readonly endsAtMs: number;
}

export class Guesses {
  readonly #options: GuessesOptions;
  readonly #clients = new BoundedMap<string, Failures>(CLIENTS_MAX);

  constructor(options: GuessesOptions) {
    this.#options = options;
  }

  /**
   * Compares one token. Returns what `isRight` returns.
   *
   * @throws {HTTPException} 429 with `Retry-After`, without a comparison, if the client has guessed too often.
   */
  async check(c: Context, isRight: () => boolean | Promise<boolean>): Promise<boolean> {
    const client = clientNetwork(this.#options.clientOf(c));
    this.#refuseBlocked(client);
    const isRightToken = await isRight();
    // Again: tokens that were sent side by side are answered only until the last failure that counts.
    this.#refuseBlocked(client);
    if (!isRightToken) this.#countFailure(client, c.req.path);
    return isRightToken;
  }

  #refuseBlocked(client: string): void {
    const entry = this.#current(client);
    if (entry === undefined || entry.failures < FAILURES_MAX) return;
    const headers = { "Retry-After": String(Math.ceil((entry.endsAtMs - this.#now()) / 1_000)) };
    throw new HTTPException(429, { res: new Response(null, { status: 429, headers }) });
  }

  #countFailure(client: string, path: string): void {
    const entry = this.#current(client) ?? this.#newEntry(client);
    const failures = ++entry.failures;
    const blockedMs = Math.round(entry.endsAtMs - this.#now());
    if (failures === 1) this.#options.onRefused({ client, path, failures });
    if (failures === FAILURES_MAX) this.#options.onRefused({ client, path, failures, blockedMs });
  }

  #current(client: string): Failures | undefined {
    const entry = this.#clients.get(client);
    if (entry === undefined || entry.endsAtMs > this.#now()) return entry;
    this.#clients.delete(client);
    return undefined;
  }

  #newEntry(client: string): Failures {
    const entry = { failures: 0, endsAtMs: this.#now() + WINDOW_MS };
    this.#clients.set(client, entry);
    return entry;
  }

  #now(): number {
    return this.#options.now?.() ?? performance.now();
  }
}
