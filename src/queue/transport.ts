/** The contract between a transport, which delivers messages, and a consumer, which processes them. */

/**
 * One delivery of a message. The consumer reports its outcome once, by `ack` or by `retry`. A message with neither is
 * delivered again. Both only record the outcome and never throw; the transport sends it later.
 */
export interface Delivery {
  /** The transport's own id for the message. */
  readonly id: string;
  /** As received, not validated. */
  readonly body: unknown;
  /** Number of deliveries so far, this one included. */
  readonly attempts: number;
  /** Trace of the request that wrote the message: https://www.w3.org/TR/trace-context/ */
  readonly traceparent?: string | undefined;
  /** The message is done: do not deliver it again. */
  ack(): void;
  /**
   * Deliver the message again after `delayMs`. If `wasTried` is false, this delivery does not count in `attempts`, unless
   * the transport counts by itself, as Cloudflare Queues do. True by default.
   */
  retry(options: { delayMs: number; wasTried?: boolean }): void;
}

export interface ConsumeOptions {
  /** Aborts the work: the running transaction is rolled back, and unfinished messages get neither `ack` nor `retry`. */
  readonly signal?: AbortSignal;
}

/** Processes the messages and reports the outcome of each. Never rejects. */
export type Consume = (
  deliveries: readonly Delivery[],
  options?: ConsumeOptions,
) => Promise<void>;
