/** One consumer process of the queue's soak. Reads its plan from the first line of its input, and ends with its input. */
import { OwnerScope, sql } from "../../src/db/mod.ts";
import { BackgroundTasks } from "../../src/library/deno/background_tasks.ts";
import { denoSockets } from "../../src/library/deno/sockets.ts";
import { planFromStdin } from "../../src/dev/plan_from_stdin.ts";
import { createDatabase } from "../../src/library/create_database.ts";
import { Consumer } from "../../src/queue/consumer.ts";
import { PostgresQueue } from "../../src/queue/postgres_queue.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import { recordActivity } from "../../src/users/user_activity.ts";
import { parseUserEvent } from "../../src/users/user_event.ts";
import type { Env } from "../support/branch.ts";

export interface ProcessPlan {
  readonly env: Env;
  readonly concurrency: number;
  readonly leaseMs: number;
}

async function run(): Promise<void> {
  const given = await planFromStdin<ProcessPlan>();
  if (given === undefined) return;
  const { env, ...plan } = given.plan;
  const background = new BackgroundTasks(() => {});
  const db = createDatabase(parseSettings(env).database, {
    owner: { scope: OwnerScope.lasting(), waitUntil: background.waitUntil },
    ...denoSockets,
  });
  const { consume } = new Consumer({
    db,
    name: "soak",
    parse: parseUserEvent,
    // soak_effects has no unique key: an effect that is done twice has two rows.
    handler: (events) => [
      recordActivity(events),
      ...events.map((event) =>
        sql`insert into soak_effects (event_id, user_id, version)
          values (${event.id}, ${event.userId}, ${event.version})`
      ),
    ],
    onFailure: () => {},
  });
  const queue = new PostgresQueue({ ...plan, db, consume, pollMs: 200, onFailure: () => {} });
  await given.over();
  await queue.stop({ timeoutMs: 1_000 });
  await background.drain();
  await db.close({ timeoutMs: 1_000 });
}

if (import.meta.main) {
  await run();
  Deno.exit(0);
}
