/** The part of an object's stub that is used. */
export interface ObjectStub {
  /** Sends the request to the object. */
  fetch(request: Request): Promise<Response>;
}

/** The part of the runtime's binding that is used. */
export interface ObjectNamespace<Stub extends ObjectStub = ObjectStub, Id = unknown> {
  /** The id of the object with this name. */
  idFromName(name: string): Id;
  /** The stub of the object, which is created near `locationHint` if it does not exist. */
  get(id: Id, options?: { locationHint?: string }): Stub;
}

/** How long later requests skip an object that has failed. */
const SKIP_MS = 1_000;

/** A deployment resets all objects, so that the second attempt of a read may meet a reset too. */
const READ_ATTEMPTS = 3;

/** How many Durable Objects there are, and how a request gets its own. */
export interface ShardsOptions {
  /** Number of objects, from 1. */
  readonly shards: number;
  /** https://developers.cloudflare.com/durable-objects/reference/data-location/#provide-a-location-hint */
  readonly location?: string | undefined;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

/** How one request reaches its object. */
export interface ShardFetchOptions<Stub extends ObjectStub = ObjectStub> {
  /** The number of an object, from 0: this one and no other, as for its metrics. */
  readonly object?: number | undefined;
  /**
   * Reaches the object by another method of its own, for what a request cannot say. It may also read the answer whole: an
   * object that is reset breaks off a body that is passed on as it comes. Default: `fetch`.
   */
  readonly send?: ((stub: Stub) => Promise<Response>) | undefined;
}

/** Whether an object refused the request because it has too many. */
export function isOverloaded(error: unknown): boolean {
  return (error as { overloaded?: unknown } | null)?.overloaded === true;
}

/** The Durable Objects that keep pools. Each isolate uses them in turn (round robin), from a random one on. */
export class Shards<Stub extends ObjectStub = ObjectStub> {
  readonly #namespace: ObjectNamespace<Stub>;
  readonly #location: string | undefined;
  readonly #now: () => number;
  /** Per object: the time until which it is skipped. */
  readonly #skippedUntil: number[];
  #next: number;

  /** Reaches no object. */
  constructor(
    namespace: ObjectNamespace<Stub>,
    { shards, location, now = () => performance.now(), random = Math.random }: ShardsOptions,
  ) {
    this.#namespace = namespace;
    this.#location = location;
    this.#now = now;
    this.#skippedUntil = new Array(shards).fill(-Infinity);
    this.#next = Math.floor(random() * shards);
  }

  /**
   * Forwards the request to one object. If the object fails, GET and HEAD are sent again, at most twice: to the next
   * object, or to a new stub of the only one. Any other request may have been executed, and is not repeated. Nor is one that an
   * overloaded object has refused. Throws what the runtime throws.
   * https://developers.cloudflare.com/durable-objects/best-practices/error-handling/
   */
  async fetch(
    request: Request,
    { object, send = (stub) => stub.fetch(request) }: ShardFetchOptions<Stub> = {},
  ): Promise<Response> {
    const isRead = request.method === "GET" || request.method === "HEAD";
    for (let left = isRead ? READ_ATTEMPTS : 1;; left--) {
      try {
        return await this.#forward(request, object ?? this.#choose(), send);
      } catch (error) {
        if (left === 1 || request.signal.aborted || isOverloaded(error)) throw error;
      }
    }
  }

  async #forward(
    request: Request,
    shard: number,
    send: (stub: Stub) => Promise<Response>,
  ): Promise<Response> {
    const id = this.#namespace.idFromName(`pool-${shard}`);
    // A stub belongs to the request and cannot be used after a failure, so each request gets a new one.
    const options = this.#location === undefined ? {} : { locationHint: this.#location };
    try {
      return await send(this.#namespace.get(id, options));
    } catch (error) {
      if (!request.signal.aborted) this.#skippedUntil[shard] = this.#now() + SKIP_MS;
      throw error;
    }
  }

  /** The next object in turn that is not skipped, or simply the next one if all are skipped. */
  #choose(): number {
    const { length } = this.#skippedUntil;
    const nowMs = this.#now();
    const turns = Array.from({ length }, (_, turn) => (this.#next + turn) % length);
    const shard = turns.find((each) => this.#skippedUntil[each]! <= nowMs) ?? this.#next;
    this.#next = (shard + 1) % length;
    return shard;
  }
}
