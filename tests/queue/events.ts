/** Outbox rows and row counts for the tests of the queue. */
import type { Branch } from "../support/branch.ts";

/** Writes outbox rows as changes to users do, grouped by user, and returns the ids of the users. */
export async function writeEvents(
  branch: Branch,
  { users, versions }: { users: number; versions: number },
): Promise<string[]> {
  const rows = await branch.asAdmin<{ user_id: string }>(`
    insert into user_events (user_id, version, type, data)
    select user_id, version, case version when 1 then 'user.created' else 'user.updated' end,
      '{"email": "ann@example.org", "name": "Ann"}'
    from (select gen_random_uuid() as user_id from generate_series(1, ${users})) as made,
      generate_series(1, ${versions}) as version
    returning user_id`);
  return [...new Set(rows.map(({ user_id }) => user_id))];
}

export interface Counts {
  readonly waiting: number;
  readonly activity: number;
  readonly keys: number;
  readonly dead: number;
}

export async function countsOf(branch: Branch): Promise<Counts> {
  const [row] = await branch.asAdmin<Counts>(`
    select (select count(*)::int from user_events) as waiting,
      (select count(*)::int from user_activity) as activity,
      (select count(*)::int from transaction_keys) as keys,
      (select count(*)::int from dead_letters) as dead`);
  return row!;
}
