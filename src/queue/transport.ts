/** What a transport and a consumer know of each other. */

/**
 * A message in hand. How it ended is said once, by `ack` or by `retry`; one of which nothing is said comes again by
 * itself. Neither fails, and neither has taken place when it returns.
 */
export interface Delivery {
  /** Of the message: the same, however often it is delivered. */
  readonly id: string;
  /** As it came: nobody has looked at it yet. */
  readonly body: unknown;
  /** How often it was delivered, this time included. */
  readonly attempts: number;
  /** The trace that it belongs to, if there is one. */
  readonly traceparent?: string | undefined;
  /** It is done with. */
  ack(): void;
  /** It is to come again after the time. */
  retry(options: { delayMs: number }): void;
}

/** Does what a message asks for, and says how it ended. Never rejects. */
export type Consume = (delivery: Delivery) => Promise<void>;
