/**
 * `deno task queue`: how the queue of a `DATABASE_URL` is, and its latest dead letters; `deno task queue retry ID` puts
 * one of them back.
 */
import { type Database, OwnerScope } from "../db/mod.ts";
import { DatabaseWebSocket } from "../deno/database_websocket.ts";
import { openDatabase } from "../service/open_database.ts";
import { listDeadLetters, requeue } from "../queue/dead_letters.ts";
import { queueStatus } from "../queue/status.ts";
import { parseSettings } from "../settings/settings.ts";

const SHOWN = 20;
const SHOWN_OF_BODY = 1_000;

/** What to print: the state of the queue, one line for each dead letter behind it. */
export async function describeQueue(db: Database): Promise<string> {
  const { depth, oldestMs, deadLetters } = await db.transaction(queueStatus, { readOnly: true });
  const letters = await db.transaction(
    (session) => listDeadLetters(session, { limit: SHOWN }),
    { readOnly: true },
  );
  return [
    `waiting       ${depth}`,
    `oldest        ${(oldestMs / 1_000).toFixed(1)} s`,
    `dead letters  ${deadLetters}${deadLetters > SHOWN ? `, the latest ${SHOWN} of them:` : ""}`,
    ...letters.map(({ id, diedAt, attempts, error, body }) =>
      `${id}  ${diedAt.toISOString()}  after ${attempts}  ${error}\n    ${bodyOf(body)}`
    ),
  ].join("\n");
}

function bodyOf(body: unknown): string {
  const text = JSON.stringify(body);
  const isLong = text.length > SHOWN_OF_BODY;
  return isLong ? `${text.slice(0, SHOWN_OF_BODY)}… (${text.length} characters)` : text;
}

/** Puts a dead letter back. Throws an `Error` if there is none of this id, or if it was never an event. */
export async function retryDeadLetter(db: Database, id: string): Promise<void> {
  if (!/^[1-9]\d{0,17}$/.test(id)) {
    throw new Error(`Cannot put back a dead letter as ids are numbers: current value is ${id}`);
  }
  if (await db.transaction((session) => requeue(session, id))) return;
  throw new Error(
    `Cannot put back dead letter ${id} as there is none; "deno task queue" lists them`,
  );
}

async function run([command, id, ...rest]: readonly string[]): Promise<string> {
  const isRetry = command === "retry" && id !== undefined && rest.length === 0;
  if (command !== undefined && !isRetry) throw new Error("Usage: deno task queue [retry ID]");
  const deferred: Promise<void>[] = [];
  const db = openDatabase(parseSettings(Deno.env.toObject()), {
    owner: { scope: OwnerScope.lasting(), waitUntil: (promise) => deferred.push(promise) },
    webSocketConstructor: DatabaseWebSocket,
  });
  try {
    if (!isRetry) return await describeQueue(db);
    await retryDeadLetter(db, id);
    return `Dead letter ${id} waits to be delivered again`;
  } finally {
    await Promise.all(deferred);
    await db.close({ timeoutMs: 0 });
  }
}

if (import.meta.main) {
  try {
    console.log(await run(Deno.args));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
