import { type Session, sql } from "../db/mod.ts";

export interface QueueStatus {
  /** Events in the outbox that are not delivered yet. */
  readonly depth: number;
  /** Age of the oldest of them in milliseconds; 0 if there is none. */
  readonly oldestMs: number;
  readonly deadLetters: number;
}

/** Reads the state of the queue in one round trip, and ends the session. */
export async function queueStatus(session: Session): Promise<QueueStatus> {
  const [[status]] = await session.commit([sql<QueueStatus>`
    select count(*)::integer as depth,
      coalesce(extract(epoch from now() - min(occurred_at)) * 1000, 0)::float8 as "oldestMs",
      (select count(*)::integer from dead_letters) as "deadLetters"
    from user_events`]);
  return status!;
}
