/**
 * Messages take effect in sessions of the factory that requests use, too. The key of a message and its effect are one
 * transaction, so that it takes effect once, however often it is delivered. Knows no transport.
 *
 * Those that come together for the first time are one transaction, and so one round trip. If that fails, and for what
 * has failed before, each message is a unit of its own: what ails one does nothing to the others. Where the database is
 * out of reach, what is left comes again untried.
 */

import * as v from "valibot";
import {
  AcquireTimeoutError,
  classify,
  ConnectError,
  type Database,
  DatabaseLayerError,
  insertKeys,
  PoolClosedError,
  PoolOverloadedError,
  ServerError,
  type Sql,
} from "../db/mod.ts";
import { UserEvent } from "../users/user_event.ts";
import { bury } from "./dead_letters.ts";
import { retryDelayMs } from "./retry_delay.ts";
import type { Consume, ConsumeOptions, Delivery } from "./transport.ts";

export interface ConsumerOptions {
  readonly db: Pick<Database, "transaction">;
  /** Whose keys they are. Whoever has another name has effects of their own. */
  readonly name: string;
  /** What events do, each of them once. Statements only: nothing else would be undone with their transaction. */
  readonly effect: (events: readonly UserEvent[]) => readonly Sql<unknown>[];
  /** Told of each message that was given up, and of each failure after which messages come again. */
  readonly onFailure: (failure: MessageFailure) => void;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

export interface MessageFailure {
  readonly messageIds: readonly string[];
  /** The most that any of them has had. */
  readonly attempts: number;
  readonly error: string;
  /** Whether they are among the dead letters now; else they come again. */
  readonly isDead: boolean;
}

interface Message {
  readonly delivery: Delivery;
  readonly event: UserEvent;
}

/** What is still to be done with a message; gives the failure, if there is one, and says itself how it ended. */
interface Task {
  readonly delivery: Delivery;
  run(): Promise<unknown>;
}

/** How often a message is tried whose failure is its own, as where the server refuses its statements. */
export const MAX_ATTEMPTS = 5;

/** And one that fails as the database does: for a day of outage, at the longest delay. */
export const MAX_OUTAGE_ATTEMPTS = 100;

export class Consumer {
  readonly #options: ConsumerOptions;

  constructor(options: ConsumerOptions) {
    this.#options = options;
  }

  /** Has each message take effect, or come again, or buries it. Never rejects. */
  readonly consume: Consume = async (deliveries, options = {}) => {
    const tasks: Task[] = [];
    const fresh: Message[] = [];
    for (const delivery of deliveries) {
      const read = readMessage(delivery);
      if (typeof read === "string") {
        tasks.push({ delivery, run: () => this.#bury(delivery, read, options) });
      } else if (delivery.attempts === 1) fresh.push(read);
      else tasks.push(this.#taskOf(read, options));
    }
    const failure = await this.#takeEffectTogether(fresh, options);
    if (failure !== undefined) tasks.unshift(...fresh.map((each) => this.#taskOf(each, options)));
    await this.#oneByOne(tasks, { ...options, after: failure });
  };

  /** Moves the message to the dead letters. The later ones of its user go on without it. Never rejects. */
  async bury(delivery: Delivery, error: string): Promise<void> {
    await this.#bury(delivery, error, {});
  }

  /** Tries nothing any more once the database is out of reach: one after the other would wait for it in vain. */
  async #oneByOne(
    tasks: readonly Task[],
    { signal, after }: ConsumeOptions & { after: unknown },
  ): Promise<void> {
    let failure = after;
    for (const [index, { run }] of tasks.entries()) {
      if (signal?.aborted) return;
      if (isOutage(failure)) {
        return this.#comeAgain(tasks.slice(index).map(({ delivery }) => delivery), failure);
      }
      failure = await run();
    }
  }

  #taskOf(message: Message, options: ConsumeOptions): Task {
    return { delivery: message.delivery, run: () => this.#takeEffect(message, options) };
  }

  /** Gives the failure, if there is one; then nothing has been said of any of them. */
  async #takeEffectTogether(
    messages: readonly Message[],
    options: ConsumeOptions,
  ): Promise<unknown> {
    const { db, name, effect } = this.#options;
    if (messages.length === 0) return undefined;
    try {
      await db.transaction(
        (session) =>
          session.commit([
            insertKeys(messages.map((message) => this.#keyOf(message))),
            ...effect(messages.map(({ event }) => event)),
          ]),
        { label: name, ...options },
      );
    } catch (error) {
      return error;
    }
    for (const { delivery } of messages) delivery.ack();
    return undefined;
  }

  /** Gives the failure, if there is one. */
  async #takeEffect(message: Message, options: ConsumeOptions): Promise<unknown> {
    const { db, name: label, effect } = this.#options;
    const { delivery, event } = message;
    const isDone = () => Promise.resolve();
    try {
      await db.transaction(
        async (session) => void await session.commit([...effect([event])]),
        { key: this.#keyOf(message), loadResult: isDone, label, ...options },
      );
      return delivery.ack();
    } catch (error) {
      if (options.signal?.aborted) return undefined;
      if (delivery.attempts >= limitFor(error)) {
        return await this.#bury(delivery, String(error), options);
      }
      this.#comeAgain([delivery], error);
      return error;
    }
  }

  /** Gives the failure, if there is one. */
  async #bury(delivery: Delivery, error: string, options: ConsumeOptions): Promise<unknown> {
    const { db, name: consumer } = this.#options;
    const { body, attempts } = delivery;
    // What is sent twice dies once.
    const id = v.is(UserEvent, body) ? body.id : delivery.id;
    const burial = bury({ consumer, id, body, attempts, error });
    try {
      await db.transaction((session) => session.commit([burial]), { label: consumer, ...options });
    } catch (failure) {
      if (options.signal?.aborted) return undefined;
      this.#comeAgain([delivery], failure);
      return failure;
    }
    delivery.ack();
    this.#tell([delivery], { error, isDead: true });
    return undefined;
  }

  #keyOf({ event }: Message): string {
    return `${this.#options.name} ${event.id}`;
  }

  #comeAgain(deliveries: readonly Delivery[], error: unknown): void {
    const { random } = this.#options;
    for (const delivery of deliveries) {
      delivery.retry({ delayMs: retryDelayMs(delivery.attempts, { random }) });
    }
    this.#tell(deliveries, { error: String(error), isDead: false });
  }

  #tell(
    deliveries: readonly Delivery[],
    outcome: Pick<MessageFailure, "error" | "isDead">,
  ): void {
    this.#options.onFailure({
      messageIds: deliveries.map(({ id }) => id),
      attempts: Math.max(...deliveries.map(({ attempts }) => attempts)),
      ...outcome,
    });
  }
}

/** Or why there is none. */
function readMessage(delivery: Delivery): Message | string {
  // Whoever dies of it, each time, says nothing.
  if (delivery.attempts > MAX_OUTAGE_ATTEMPTS) {
    return `Cannot deliver the message: it was in hand ${MAX_OUTAGE_ATTEMPTS} times, and is not done`;
  }
  const { success, output, issues } = v.safeParse(UserEvent, delivery.body);
  if (success) return { delivery, event: output };
  const problems = issues.map((issue) => `${v.getDotPath(issue) ?? "body"}: ${issue.message}`);
  return `Cannot read the message as it is no event that is known here: ${problems.join("; ")}`;
}

/** Not of one message, whatever it does to its connection, but of whoever would ask for one now. */
function isOutage(error: unknown): boolean {
  return OUTAGES.some((outage) => error instanceof outage);
}

const OUTAGES = [ConnectError, AcquireTimeoutError, PoolOverloadedError, PoolClosedError];

/** An outage must not bury what is good; and a lost COMMIT is harmless here, thanks to the key. */
function limitFor(error: unknown): number {
  const isOwn = error instanceof ServerError
    ? !classify(error, "statement").transient
    : !(error instanceof DatabaseLayerError);
  return isOwn ? MAX_ATTEMPTS : MAX_OUTAGE_ATTEMPTS;
}
