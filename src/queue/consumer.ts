/**
 * Processes messages in sessions of the same factory that requests use. A message's key and its handler's statements are
 * one transaction, so a message that is delivered several times takes effect once. Independent of the transport.
 *
 * Messages on their first attempt share one transaction, and so one round trip. If it fails, each of them runs in a
 * transaction of its own, as does every message that was delivered before: one message's failure affects no other. Once
 * the database is unreachable, the remaining messages are retried later without being tried now, and that delivery does
 * not count as an attempt.
 */

import { type Database, insertKeys, type Sql } from "../db/mod.ts";
import { DEFAULT_TENANT, TENANT_NAME, tenantLocals, tenantSwitch } from "../tenant.ts";
import { isOutage, MAX_OUTAGE_ATTEMPTS, maxAttemptsFor, mayHaveRun } from "./attempts.ts";
import { deadLetter } from "./dead_letters.ts";
import { retryDelayMs } from "./retry_delay.ts";
import type { Consume, ConsumeOptions, Delivery } from "./transport.ts";

/** What a consumer must know of a message. */
export interface KeyedMessage {
  /** The same over all deliveries, also if the producer sent the message twice. */
  readonly id: string;
  /** Its statements run as this tenant; `default` without one. */
  readonly tenant?: string;
}

export interface ConsumerOptions<Message extends KeyedMessage> {
  readonly db: Pick<Database, "transaction">;
  /** Prefix of the message keys. Consumers of different names each process every message once. */
  readonly name: string;
  /**
   * Validates the body of a delivery. Throws an `Error` if the body is not a message: the delivery then becomes a dead
   * letter at once, with the error's text.
   */
  readonly parse: (body: unknown) => Message;
  /**
   * Returns the statements that the messages ask for. It must have no other effects: only statements are rolled back
   * with the transaction.
   */
  readonly handler: (messages: readonly Message[]) => readonly Sql<unknown>[];
  /** Called for each message that became a dead letter, and for each failure after which messages are retried. */
  readonly onFailure: (failure: MessageFailure) => void;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

export interface MessageFailure {
  readonly messageIds: readonly string[];
  /** The highest attempt count among them. */
  readonly attempts: number;
  readonly error: string;
  /** Whether the messages became dead letters. Otherwise they are retried. */
  readonly isDead: boolean;
}

interface ParsedDelivery<Message> {
  readonly delivery: Delivery;
  readonly message: Message;
}

/** One message that is processed on its own. `run` reports the outcome, and returns the failure if there was one. */
interface Task {
  readonly delivery: Delivery;
  run(): Promise<unknown>;
}

export class Consumer<Message extends KeyedMessage> {
  readonly #options: ConsumerOptions<Message>;

  constructor(options: ConsumerOptions<Message>) {
    this.#options = options;
  }

  /** Processes each message, schedules its retry, or stores it as a dead letter. Never rejects. */
  readonly consume: Consume = async (deliveries, options = {}) => {
    const tasks: Task[] = [];
    const fresh: ParsedDelivery<Message>[] = [];
    for (const delivery of deliveries) {
      const parsed = this.#parse(delivery);
      if (typeof parsed === "string") {
        tasks.push({ delivery, run: () => this.#deadLetter(delivery, parsed, options) });
      } else if (delivery.attempts === 1) fresh.push(parsed);
      else tasks.push(this.#taskOf(parsed, options));
    }
    const failure = await this.#applyTogether(fresh, options);
    if (options.signal?.aborted) return;
    if (isOutage(failure)) this.#retryLater(fresh.map(({ delivery }) => delivery), failure);
    else if (failure !== undefined) {
      tasks.unshift(...fresh.map((each) => this.#taskOf(each, options)));
    }
    await this.#oneByOne(tasks, { ...options, after: failure });
  };

  /** Stores the message as a dead letter. Later messages are processed without it. Never rejects. */
  async deadLetter(delivery: Delivery, error: string): Promise<void> {
    await this.#deadLetter(delivery, error, {});
  }

  /** Stops trying once the database is unreachable, because each further message would only wait for it, too. */
  async #oneByOne(
    tasks: readonly Task[],
    { signal, after }: ConsumeOptions & { after: unknown },
  ): Promise<void> {
    let failure = after;
    for (const [index, { run }] of tasks.entries()) {
      if (signal?.aborted) return;
      if (isOutage(failure)) {
        const rest = tasks.slice(index).map(({ delivery }) => delivery);
        return this.#retryLater(rest, failure, { wasTried: false });
      }
      failure = await run();
    }
  }

  #taskOf(parsed: ParsedDelivery<Message>, options: ConsumeOptions): Task {
    return { delivery: parsed.delivery, run: () => this.#apply(parsed, options) };
  }

  /** Returns the failure if there was one. In that case no message has an outcome yet. */
  async #applyTogether(
    parsed: readonly ParsedDelivery<Message>[],
    options: ConsumeOptions,
  ): Promise<unknown> {
    const { db, name, handler } = this.#options;
    const [first, ...others] = byTenant(parsed.map(({ message }) => message));
    if (first === undefined) return undefined;
    const statementsOf = ({ messages }: TenantMessages<Message>) => [
      insertKeys(messages.map((message) => this.#keyOf(message))),
      ...handler(messages),
    ];
    try {
      await db.transaction(
        (session) =>
          session.commit([
            ...statementsOf(first),
            ...others.flatMap((each) => [tenantSwitch(each.tenant), ...statementsOf(each)]),
          ]),
        { label: name, locals: tenantLocals(first.tenant), ...options },
      );
    } catch (error) {
      return error;
    }
    for (const { delivery } of parsed) delivery.ack();
    return undefined;
  }

  /** Returns the failure if there was one. */
  async #apply(
    { delivery, message }: ParsedDelivery<Message>,
    options: ConsumeOptions,
  ): Promise<unknown> {
    const { db, name: label, handler } = this.#options;
    const alreadyApplied = () => Promise.resolve();
    const locals = tenantLocals(message.tenant ?? DEFAULT_TENANT);
    try {
      await db.transaction(
        async (session) => void await session.commit([...handler([message])]),
        { key: this.#keyOf(message), loadResult: alreadyApplied, label, locals, ...options },
      );
      return delivery.ack();
    } catch (error) {
      if (options.signal?.aborted) return undefined;
      if (delivery.attempts >= maxAttemptsFor(error)) {
        return await this.#deadLetter(delivery, String(error), options);
      }
      this.#retryLater([delivery], error);
      return error;
    }
  }

  /** Returns the failure if there was one. */
  async #deadLetter(
    delivery: Delivery,
    error: string,
    options: ConsumeOptions,
  ): Promise<unknown> {
    const { db, name: consumer } = this.#options;
    const { body, attempts } = delivery;
    const insert = deadLetter({ consumer, id: this.#idOf(delivery), body, attempts, error });
    const locals = tenantLocals(tenantOf(body));
    try {
      await db.transaction((session) => session.commit([insert]), {
        label: consumer,
        locals,
        ...options,
      });
    } catch (failure) {
      if (options.signal?.aborted) return undefined;
      this.#retryLater([delivery], failure);
      return failure;
    }
    delivery.ack();
    this.#report([delivery], { error, isDead: true });
    return undefined;
  }

  /** The parsed delivery, or the reason why it cannot be processed. */
  #parse(delivery: Delivery): ParsedDelivery<Message> | string {
    // A message that kills its process is never acked or failed; the delivery count is the only sign of it.
    if (delivery.attempts > MAX_OUTAGE_ATTEMPTS) {
      return `Cannot process the message as ${MAX_OUTAGE_ATTEMPTS} deliveries did not complete it`;
    }
    try {
      return { delivery, message: this.#options.parse(delivery.body) };
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** The message's own id: a message that was sent twice becomes one dead letter. The transport's if it cannot be parsed. */
  #idOf({ id, body }: Delivery): string {
    try {
      return this.#options.parse(body).id;
    } catch {
      return id;
    }
  }

  #keyOf({ id }: Message): string {
    return `${this.#options.name} ${id}`;
  }

  #retryLater(
    deliveries: readonly Delivery[],
    error: unknown,
    { wasTried = mayHaveRun(error) }: { wasTried?: boolean } = {},
  ): void {
    const { random } = this.#options;
    for (const delivery of deliveries) {
      delivery.retry({ delayMs: retryDelayMs(delivery.attempts, { random }), wasTried });
    }
    this.#report(deliveries, { error: String(error), isDead: false });
  }

  #report(
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

interface TenantMessages<Message> {
  readonly tenant: string;
  readonly messages: Message[];
}

/** In the order of the tenants: all transactions insert keys in one order, so that they cannot deadlock. */
function byTenant<Message extends KeyedMessage>(
  messages: readonly Message[],
): TenantMessages<Message>[] {
  const found = Map.groupBy(messages, ({ tenant = DEFAULT_TENANT }) => tenant);
  return [...found.keys()].sort().map((tenant) => ({ tenant, messages: found.get(tenant)! }));
}

/** Of a message that may not be readable otherwise. */
function tenantOf(body: unknown): string {
  const { tenant } = (body ?? {}) as { readonly tenant?: unknown };
  return typeof tenant === "string" && TENANT_NAME.test(tenant) ? tenant : DEFAULT_TENANT;
}
