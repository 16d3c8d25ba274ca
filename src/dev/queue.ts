/**
 * `deno task queue`: prints the state of a `DATABASE_URL`'s queue and its latest dead letters.
 * `deno task queue retry ID` puts a dead letter back into the queue.
 */
import { type Database, OwnerScope, ServerError } from "../db/mod.ts";
import { denoSockets } from "../library/deno/sockets.ts";
import { taskEnvironment } from "./env_file.ts";
import { createDatabase } from "../library/create_database.ts";
import { escapeControls, listDeadLetters, requeue } from "../queue/dead_letters.ts";
import { UNDEFINED_TABLE } from "../migrations/schema_state.ts";
import { queueStatus } from "../queue/status.ts";
import { EVERY_TENANT } from "../tenant.ts";
import { parseSettings } from "../settings/settings.ts";

const READING = { readOnly: true, locals: EVERY_TENANT };

const LETTERS_MAX = 20;
const BODY_CHARACTERS_MAX = 1_000;

/** The text to print: the state of the queue, then two lines for each dead letter. */
export async function describeQueue(db: Database): Promise<string> {
  const { depth, oldestMs, deadLetters } = await db.transaction(queueStatus, READING);
  const letters = await db.transaction(
    (session) => listDeadLetters(session, { limit: LETTERS_MAX }),
    READING,
  );
  return [
    `waiting       ${depth}`,
    `oldest        ${(oldestMs / 1_000).toFixed(1)} s`,
    `dead letters  ${deadLetters}${
      deadLetters > LETTERS_MAX ? `, the latest ${LETTERS_MAX}:` : ""
    }`,
    ...letters.map(({ id, tenant, diedAt, attempts, error, body }) =>
      `${id}  ${diedAt.toISOString()}  ${tenant}  attempts ${attempts}  ${
        escapeControls(error)
      }\n    ${bodyOf(body)}`
    ),
  ].join("\n");
}

function bodyOf(body: unknown): string {
  const text = escapeControls(JSON.stringify(body));
  const isLong = text.length > BODY_CHARACTERS_MAX;
  return isLong ? `${text.slice(0, BODY_CHARACTERS_MAX)}… (${text.length} characters)` : text;
}

/**
 * Puts a dead letter back into the queue. Throws an `Error` if no dead letter has this id, or if its body is not an
 * event.
 */
export async function retryDeadLetter(db: Database, id: string): Promise<void> {
  if (!/^[1-9]\d{0,17}$/.test(id)) {
    throw new Error(
      `Cannot retry a dead letter as its id must be a number: current value is ${id}; ` +
        '"deno task queue" lists the ids',
    );
  }
  const locals = EVERY_TENANT;
  if (await db.transaction((session) => requeue(session, id), { locals })) return;
  throw new Error(
    `Cannot retry dead letter ${id} as it does not exist; "deno task queue" lists the ids`,
  );
}

async function run([command, id, ...rest]: readonly string[]): Promise<string> {
  const isRetry = command === "retry" && id !== undefined && rest.length === 0;
  if (command !== undefined && !isRetry) throw new Error("Usage: deno task queue [retry ID]");
  const background: Promise<void>[] = [];
  const db = createDatabase(parseSettings(taskEnvironment()).database, {
    owner: { scope: OwnerScope.lasting(), waitUntil: (promise) => background.push(promise) },
    ...denoSockets,
  });
  try {
    if (!isRetry) return await describeQueue(db);
    await retryDeadLetter(db, id);
    return `Dead letter ${id} is in the queue again`;
  } finally {
    await Promise.all(background);
    await db.close({ timeoutMs: 0 });
  }
}

if (import.meta.main) {
  try {
    console.log(await run(Deno.args));
  } catch (error) {
    const hint = error instanceof ServerError && error.sqlState === UNDEFINED_TABLE
      ? '; run "deno task migrate" as the owner of the tables'
      : "";
    const message = (error instanceof Error ? error.message : String(error)) + hint;
    // A message of the server may quote the dead letter.
    console.error(message.split("\n").map(escapeControls).join("\n"));
    Deno.exit(1);
  }
}
