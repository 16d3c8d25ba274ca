/** Shares the process among clients: one that asks for much at once waits for itself, and not the others for it. */
import { type Clock, systemClock } from "../db/mod.ts";
import { AdmissionControl } from "../db/time/admission.ts";
import { SharedTimer } from "../db/time/shared_timer.ts";
import { clientNetwork } from "../client_network.ts";
import { LoopLimit, type ProcessTimes } from "./loop_limit.ts";

/**
 * After this wait a request no longer waits for the pool, but runs beside those of its client that have not finished. So
 * requests to a database that hangs reach the pool, which knows when to refuse them, also behind a proxy, which is one client.
 *
 * While other requests end, it is the process that is slow. The request then waits on for the limit of the event loop: more
 * at once would make its turns longer, and delay all clients.
 */
export const TURN_TIMEOUT_MS = 1_000;

/** Longest wait for a turn, also while other requests end. */
export const BUSY_TIMEOUT_MS = 5_000;

export interface TurnOptions {
  /** Connections of the pool. Each serves one write at a time. */
  readonly connections: number;
  /** How many reads a connection serves at a time. */
  readonly readDepth: () => number;
  /** A request that would wait for longer than this and one turn is refused; 0 lets all wait. */
  readonly shedTargetMs: number;
}

export interface TurnRequest {
  /** An address, or another name of the client. */
  readonly client: string;
  /** Whether it only reads, so that it may share a connection. */
  readonly isRead: boolean;
}

/** What a request gets that may only be refused. */
export interface NoTurn {
  /** Requests of its client that wait. */
  readonly waiting: number;
}

/** What a running request has. */
export interface Turn {
  /**
   * Leaves the turn to others while `wait` runs, and waits for it again when that has resolved: a client that sends the
   * ends of many bodies at once waits for itself too. Rejects as `wait` does, and the request then has no turn any more.
   */
  leaveWhile<T>(wait: () => Promise<T>): Promise<T>;
}

/**
 * Requests run at once as long as the pool serves them at a time, and the turns of the event loop stay short; more would
 * only wait for one another. A client always gets its equal part of that, also if others have more, and beside other
 * clients at most a third. Further requests wait. What comes free goes round the clients that wait, and of one client it is
 * first in, first out. A request whose wait would be too long is refused. Beside all of these run those that have waited for
 * `TURN_TIMEOUT_MS`, as many as the limit of the event loop allows, or all if nothing has ended in that time.
 */
export class ClientTurns {
  readonly #options: TurnOptions;
  readonly #clock: Clock;
  /** Those with a request that runs or waits. */
  readonly #clients = new Map<string, Client>();
  /** Those with a waiting request; first the one that got a turn longest ago. */
  readonly #waiting = new Set<Client>();
  /** Running requests of all clients. */
  readonly #running: Running = { reads: 0, writes: 0 };
  readonly #limit: LoopLimit;
  /** Requests that have ended. */
  #ended = 0;
  /** Requests that wait no longer for the pool. */
  #overdue = 0;
  #wakesSoon = false;

  constructor(
    options: TurnOptions,
    { clock = systemClock, times }: { clock?: Clock; times?: ProcessTimes } = {},
  ) {
    this.#options = options;
    this.#clock = new SharedTimer(clock);
    this.#limit = new LoopLimit(() => this.#wake(undefined, { hasEnded: false }), times);
  }

  /** Calls `work` when it is its turn, or at once if it gets none. */
  async run<T>(
    { client: address, isRead }: TurnRequest,
    work: (turn: Turn | NoTurn) => T | Promise<T>,
  ): Promise<T> {
    const name = clientNetwork(address);
    const client = this.#clientOf(name);
    const kind = isRead ? "reads" : "writes";
    if (this.#runsAtOnce(client)) this.#count(client, kind, 1);
    else if (this.#admits(client)) await this.#turn(client, kind);
    else return await work({ waiting: this.#queueOf(client).waiting.size });
    const place: Place = { name, kind, client, hasEnded: false };
    try {
      return await work({ leaveWhile: (wait) => this.#leaveWhile(place, wait) });
    } finally {
      place.hasEnded = true;
      this.#ended++;
      this.#leave(place);
    }
  }

  async #leaveWhile<T>(place: Place, wait: () => Promise<T>): Promise<T> {
    if (place.client === undefined) return await wait();
    this.#leave(place);
    const value = await wait();
    if (place.hasEnded) return value;
    const client = this.#clientOf(place.name);
    // It is not refused any more.
    if (this.#runsAtOnce(client)) this.#count(client, place.kind, 1);
    else await this.#turn(client, place.kind);
    place.client = client;
    if (place.hasEnded) this.#leave(place);
    return value;
  }

  #leave(place: Place): void {
    const { name, kind, client } = place;
    if (client === undefined) return;
    place.client = undefined;
    this.#count(client, kind, -1);
    const hasLeft = client.reads + client.writes === 0 && !this.#waiting.has(client);
    if (hasLeft) this.#clients.delete(name);
    this.#wake(hasLeft ? undefined : client);
  }

  #clientOf(name: string): Client {
    let client = this.#clients.get(name);
    if (client === undefined) {
      this.#clients.set(name, client = { reads: 0, writes: 0, queue: undefined });
    }
    return client;
  }

  #count(client: Client, kind: keyof Running, by: 1 | -1): void {
    client[kind] += by;
    this.#running[kind] += by;
    this.#limit.note(requestsOf(this.#running));
  }

  #runsAtOnce(client: Client): boolean {
    return !this.#waiting.has(client) && this.#mayRun(client);
  }

  #mayRun(client: Client): boolean {
    const { connections } = this.#options;
    const { size } = this.#clients;
    const all = this.#running;
    const most = size > 1 ? connections / 3 : connections;
    // Asked only where it makes a difference.
    const readDepth = requestsOf(all) < most ? 1 : this.#options.readDepth();
    const has = connectionsOf(client, readDepth);
    if (has >= most) return false;
    if (connectionsOf(all, readDepth) >= connections && has >= connections / size) return false;
    return this.#limit.allows({
      running: requestsOf(all),
      ofClient: requestsOf(client),
      clients: size,
    });
  }

  /** After a request of `ended` has; `undefined` if that client has no other. Or without one, if more may run than before. */
  #wake(ended: Client | undefined, { hasEnded = true } = {}): void {
    if (this.#waiting.size === 0) return;
    const { connections, readDepth } = this.#options;
    // An overdue request waits for no connection.
    const needsPool = this.#overdue === 0;
    const isFull = needsPool && connectionsOf(this.#running, readDepth()) >= connections ||
      this.#limit.holds(requestsOf(this.#running));
    // While no place is free, only a client that has less than before may run more, or all whose parts have grown.
    const clients = isFull && ended !== undefined ? [ended] : this.#waiting;
    // One that takes a turn goes to the end, where the loop meets it again.
    for (const client of clients) {
      const { waiting, admission } = client.queue ?? {};
      const [first] = waiting ?? [];
      if (first === undefined || !this.#mayBegin(client, first)) continue;
      // A higher limit says nothing of how fast requests are served.
      if (hasEnded) admission!.noteReturn(this.#clock.now());
      this.#waiting.delete(client);
      this.#waiting.add(client);
      first.take();
    }
  }

  /** Once for all requests whose timers fire together: each looks at all clients. */
  #wakeSoon(): void {
    if (this.#wakesSoon) return;
    this.#wakesSoon = true;
    queueMicrotask(() => {
      this.#wakesSoon = false;
      this.#wake(undefined, { hasEnded: false });
    });
  }

  #mayBegin(client: Client, { isOverdue }: Waiting): boolean {
    return this.#mayRun(client) || isOverdue && !this.#limit.holds(requestsOf(this.#running));
  }

  #admits(client: Client): boolean {
    const { admission, waiting } = this.#queueOf(client);
    return admission.admits(waiting.size, this.#clock.now());
  }

  #queueOf(client: Client): Queue {
    const { shedTargetMs: targetMs, connections } = this.#options;
    const permits = Math.ceil(connections / this.#clients.size);
    return client.queue ??= {
      waiting: new Set(),
      admission: new AdmissionControl({ targetMs, permits }),
    };
  }

  #turn(client: Client, kind: keyof Running): Promise<void> {
    const { waiting, admission } = this.#queueOf(client);
    if (waiting.size === 0) admission.begin(this.#clock.now());
    const { promise, resolve } = Promise.withResolvers<void>();
    const sinceMs = this.#clock.now();
    const request: Waiting = {
      isOverdue: false,
      take: () => {
        waiting.delete(request);
        if (waiting.size === 0) this.#waiting.delete(client);
        if (request.isOverdue) this.#overdue--;
        cancel();
        this.#count(client, kind, 1);
        resolve();
      },
    };
    const watch = () => {
      const ended = this.#ended;
      return this.#clock.after(TURN_TIMEOUT_MS, () => {
        const isLate = this.#clock.now() - sinceMs >= BUSY_TIMEOUT_MS;
        if (isLate || ended === this.#ended) return request.take();
        if (!request.isOverdue) this.#overdue++;
        request.isOverdue = true;
        cancel = watch();
        this.#wakeSoon();
      });
    };
    let cancel = watch();
    waiting.add(request);
    this.#waiting.add(client);
    return promise;
  }
}

interface Running {
  reads: number;
  writes: number;
}

/** Where a request that has begun is counted. */
interface Place {
  readonly name: string;
  readonly kind: keyof Running;
  /** `undefined` while it is not counted. */
  client: Client | undefined;
  hasEnded: boolean;
}

function requestsOf({ reads, writes }: Running): number {
  return reads + writes;
}

/** How many connections the requests use, a read a part of one. */
function connectionsOf({ reads, writes }: Running, readDepth: number): number {
  return writes + reads / readDepth;
}

interface Client extends Running {
  /** Made when the first of its requests has to wait. */
  queue: Queue | undefined;
}

interface Waiting {
  /** Whether it waits no longer for the pool. */
  isOverdue: boolean;
  readonly take: () => void;
}

interface Queue {
  readonly waiting: Set<Waiting>;
  readonly admission: AdmissionControl;
}
