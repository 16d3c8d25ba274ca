/**
 * One message is one unit of work, in a session of the factory that requests use, too. The row in the inbox and the
 * effect are one transaction, so that a message takes effect once, however often it is delivered. Knows no transport.
 */

import * as v from "valibot";
import { type Database, DatabaseLayerError, judge, ServerError, type Sql } from "../db/mod.ts";
import { UserEvent } from "../users/user_event.ts";
import { bury } from "./dead_letters.ts";
import { enterInbox, isDuplicate } from "./inbox.ts";
import type { Delivery } from "./transport.ts";

export interface ConsumerOptions {
  readonly db: Pick<Database, "transaction">;
  /** Whose inbox it is. Whoever has another name has effects of their own. */
  readonly name: string;
  /** What an event does. Statements only: nothing else would be undone with their transaction. */
  readonly effect: (event: UserEvent) => readonly Sql<unknown>[];
  /** Told of each message that was given up, and of each failure after which it comes again. */
  readonly onFailure: (failure: MessageFailure) => void;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

export interface MessageFailure {
  readonly messageId: string;
  readonly attempts: number;
  readonly error: string;
  /** Whether it is among the dead letters now; else it comes again. */
  readonly isDead: boolean;
}

/** How often a message is tried whose failure is its own, as where the server refuses its statements. */
export const MAX_ATTEMPTS = 5;

/** And one that fails as the database does: for a day of outage, at the longest delay. */
export const MAX_OUTAGE_ATTEMPTS = 100;

/** https://developers.cloudflare.com/queues/platform/limits/: at most 100 retries, and 24 hours of delay. */
const LONGEST_DELAY_MS = 15 * 60_000;
const FIRST_DELAY_MS = 1_000;

export class Consumer {
  readonly #options: ConsumerOptions;

  constructor(options: ConsumerOptions) {
    this.#options = options;
  }

  /** Has the message take effect, or come again, or buries it. Never rejects. */
  readonly consume = async (delivery: Delivery): Promise<void> => {
    const parsed = v.safeParse(UserEvent, delivery.body);
    if (!parsed.success) return await this.bury(delivery, problemsOf(parsed.issues));
    try {
      await this.#takeEffect(delivery.id, parsed.output);
      delivery.ack();
    } catch (error) {
      if (isDuplicate(error)) return delivery.ack();
      const text = String(error);
      if (delivery.attempts >= limitFor(error)) await this.bury(delivery, text);
      else this.#comeAgain(delivery, text);
    }
  };

  /** Moves the message to the dead letters. The later ones of its user go on without it. Never rejects. */
  async bury(delivery: Delivery, error: string): Promise<void> {
    const { db, name } = this.#options;
    try {
      await db.transaction((session) => session.commit([bury(name, delivery, error)]));
      this.#tell(delivery, { error, isDead: true });
      delivery.ack();
    } catch (failure) {
      this.#comeAgain(delivery, String(failure));
    }
  }

  async #takeEffect(messageId: string, event: UserEvent): Promise<void> {
    const { db, name, effect } = this.#options;
    await db.transaction(
      (session) => session.commit([enterInbox(name, messageId), ...effect(event)]),
      { label: `${name} ${event.type}` },
    );
  }

  #comeAgain(delivery: Delivery, error: string): void {
    const { random = Math.random } = this.#options;
    this.#tell(delivery, { error, isDead: false });
    delivery.retry({ delayMs: retryDelayMs(delivery.attempts, { random }) });
  }

  #tell(
    { id: messageId, attempts }: Delivery,
    outcome: Pick<MessageFailure, "error" | "isDead">,
  ): void {
    this.#options.onFailure({ messageId, attempts, ...outcome });
  }
}

/** Twice as long after each attempt, at least half of it for certain, so that those who failed together spread. */
export function retryDelayMs(
  attempts: number,
  { random = Math.random }: { random?: () => number } = {},
): number {
  const bound = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempts - 1));
  return bound * (1 + random()) / 2;
}

/** An outage must not bury what is good; and a lost COMMIT is harmless here, thanks to the inbox. */
function limitFor(error: unknown): number {
  const isOwn = error instanceof ServerError
    ? !judge(error, "statement").transient
    : !(error instanceof DatabaseLayerError);
  return isOwn ? MAX_ATTEMPTS : MAX_OUTAGE_ATTEMPTS;
}

function problemsOf(issues: readonly v.BaseIssue<unknown>[]): string {
  const problems = issues.map((issue) => `${v.getDotPath(issue) ?? "body"}: ${issue.message}`);
  return `Cannot read the message as it is no event that is known here: ${problems.join("; ")}`;
}
