/** The outbox: events that were committed together with the change that they tell of, and are delivered afterwards. */
import { sql, type TransactionRunner } from "@user-service/db";

export interface OutboxEvent {
  /** As text: JSON has no bigint. */
  readonly id: string;
  readonly topic: string;
  readonly payload: unknown;
}

export type Deliver = (event: OutboxEvent) => Promise<void>;

/**
 * Delivers up to 100 events and deletes them. If a delivery fails, or COMMIT does, they stay and are delivered again:
 * receivers compare `id`. Processes that deliver at the same time skip one another's events.
 */
export async function deliverEvents(db: TransactionRunner, deliver: Deliver): Promise<void> {
  // A delivery is an effect outside the session, so that the unit must not run again by itself.
  await db.transaction(async (session) => {
    const events = await session.query(sql<OutboxEvent>`
      with taken as (
        delete from outbox
        where id in (select id from outbox order by id limit 100 for update skip locked)
        returning id, topic, payload
      )
      select id::text, topic, payload from taken order by taken.id`);
    for (const event of events) await deliver(event);
    await session.commit();
  }, { attempts: 1 });
}
