/** What a transport and a consumer know of each other. */

/**
 * A message in hand. How it ended is said once, by `ack` or by `retry`; one of which nothing is said comes again by
 * itself. Neither fails, and neither has taken place when it returns.
 */
export interface Delivery {
  /** What the transport calls the message. */
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

export interface ConsumeOptions {
  /** Cuts the work: what is under way is rolled back, and of what is left nothing is said. */
  readonly signal?: AbortSignal;
}

/** Does what messages ask for, and says how each ended. Never rejects. */
export type Consume = (
  deliveries: readonly Delivery[],
  options?: ConsumeOptions,
) => Promise<void>;
