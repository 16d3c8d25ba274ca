import type { DurableObjectNamespace } from "cloudflare:workers";
import type { Settings } from "../settings/settings.ts";

/** For how long later requests pass over an object that has failed. */
const PASS_OVER_MS = 1_000;

export interface ShardsOptions {
  /** Milliseconds that only grow. */
  readonly now?: () => number;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

/** The Durable Objects that keep pools, as one isolate sees them: it asks them in turn, from any one on. */
export class Shards {
  readonly #namespace: DurableObjectNamespace;
  readonly #location: string | undefined;
  readonly #now: () => number;
  /** Until when each of them is passed over. */
  readonly #passedOverUntil: number[];
  #next: number;

  constructor(
    namespace: DurableObjectNamespace,
    { shards, location }: Settings["objects"],
    { now = () => performance.now(), random = Math.random }: ShardsOptions = {},
  ) {
    this.#namespace = namespace;
    this.#location = location;
    this.#now = now;
    this.#passedOverUntil = new Array(shards).fill(-Infinity);
    this.#next = Math.floor(random() * shards);
  }

  /**
   * Forwards the request, once and whole. When its object fails, the request may have been carried out: it is sent
   * to no other one, only later requests are. Throws what the runtime throws.
   */
  async fetch(request: Request): Promise<Response> {
    const shard = this.#choose();
    const id = this.#namespace.idFromName(`pool-${shard}`);
    // A stub belongs to the request, and is of no use after a failure: a new one each time.
    const options = this.#location === undefined ? {} : { locationHint: this.#location };
    try {
      return await this.#namespace.get(id, options).fetch(request);
    } catch (error) {
      if (!request.signal.aborted) this.#passedOverUntil[shard] = this.#now() + PASS_OVER_MS;
      throw error;
    }
  }

  /** The next in turn that has not just failed; the next one all the same if all have. */
  #choose(): number {
    const { length } = this.#passedOverUntil;
    const nowMs = this.#now();
    const turns = Array.from({ length }, (_, turn) => (this.#next + turn) % length);
    const shard = turns.find((each) => this.#passedOverUntil[each]! <= nowMs) ?? this.#next;
    this.#next = (shard + 1) % length;
    return shard;
  }
}
