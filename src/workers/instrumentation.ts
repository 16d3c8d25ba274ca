import type { Step } from "../chain.ts";
import type { Observer, TransactionRunner } from "../db/mod.ts";
import type { LogFields } from "../ops/log.ts";
import type { MessageFailure } from "../queue/consumer.ts";
import type { Consume } from "../queue/transport.ts";
import type { Settings } from "../settings/settings.ts";
import type { WorkerContext } from "../library/workers/mod.ts";
import type { Bindings } from "./settings.ts";

/** What an entry adds to the service, so that its work can be seen from outside. */
export interface Instrumentation {
  /** Runs everything that one request, batch or cron trigger asks for. */
  run<T>(ctx: WorkerContext, work: () => Promise<T>): Promise<T>;
  /** Run around every request. */
  readonly observers: readonly Step[];
  /** Observes the transactions of the database at this URL. */
  observerOf(url: string): Observer | undefined;
  /** The same database, for the transactions that write events. */
  writing(db: TransactionRunner): TransactionRunner;
  /** Sends events to the queue. */
  send<T>(work: () => Promise<T>): Promise<T>;
  /** The same consumer of a queue. */
  consuming(queue: string, consume: Consume): Consume;
  /** Called when messages have failed. */
  noteFailure(failure: MessageFailure): void;
  /** Fields of every log line. */
  logFields(): LogFields;
}

/** Rejects if the bindings are bad, or a secret among them cannot be read. */
export type Instrument = (
  bindings: Bindings,
  settings: Pick<Settings, "logLevel">,
) => Promise<Instrumentation>;

/** Adds nothing. */
const NOTHING: Instrumentation = {
  run: (_, work) => work(),
  observers: [],
  observerOf: () => undefined,
  writing: (db) => db,
  send: (work) => work(),
  consuming: (_, consume) => consume,
  noteFailure: () => {},
  logFields: () => ({}),
};

export const notInstrumented: Instrument = () => Promise.resolve(NOTHING);
