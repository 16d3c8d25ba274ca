/** The table of dead letters: what may be stored in it, and what an operator gets out of it. */
import { assert, assertEquals } from "@std/assert";
import {
  deadLetter,
  escapeControls,
  listDeadLetters,
  requeue,
} from "../../src/queue/dead_letters.ts";
import { localDatabase } from "../support/local_database.ts";

const database = await localDatabase();

/** Characters that a terminal obeys, or that PostgreSQL refuses. */
const CONTROLS = [
  ...Array.from({ length: 0x20 }, (_, code) => code),
  ...Array.from({ length: 0x21 }, (_, offset) => 0x7f + offset),
  ...[0x061c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x2066, 0x2069],
].map((code) => String.fromCharCode(code));

Deno.test("escapeControls() escapes each control character as JSON would, and nothing else", () => {
  for (const character of CONTROLS) {
    const escaped = escapeControls(character);
    assert(/^[\x20-\x7e]+$/.test(escaped), escaped);
    assertEquals(JSON.parse(`"${escaped}"`), character);
  }
  assertEquals(escapeControls("\n\t\x1b\x9b"), "\\n\\t\\u001b\\u009b");
  const text = 'é \u{1F600} "quoted" \\ ~\u00a0';
  assertEquals(escapeControls(text), text);
});

Deno.test("the error of a dead letter is stored without control characters and with at most 1,000 characters of the original", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const error = (id: string, text: string) =>
    db.transaction((session) =>
      session.commit([deadLetter({ consumer: "test", id, body: null, attempts: 1, error: text })])
    );
  await error("controls", CONTROLS.join(""));
  await error("exact", "x".repeat(1_000));
  await error("long", "x".repeat(1_001));
  const rows = await branch.asAdmin<{ id: string; error: string }>(
    "select message_id as id, error from dead_letters order by id",
  );
  const [controls, exact, long] = rows.map(({ error }) => error);
  assert(/^[\x20-\x7e]+$/.test(controls!), controls);
  assertEquals([exact?.length, long?.length], [1_000, 1_000]);
  await branch.asAdmin("delete from dead_letters");
});

Deno.test("requeue() tells whether there was such a dead letter", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const body = {
    id: "77",
    type: "user.deleted",
    userId: crypto.randomUUID(),
    version: 3,
    occurredAt: "2026-01-01T00:00:00.000Z",
    data: {},
  };
  const insert = deadLetter({ consumer: "test", id: "77", body, attempts: 5, error: "failed" });
  await db.transaction((session) => session.commit([insert]));
  const [letter] = await db.transaction((session) => listDeadLetters(session, { limit: 1 }));
  const answers = [
    await db.transaction((session) => requeue(session, letter!.id)),
    await db.transaction((session) => requeue(session, letter!.id)),
  ];
  assertEquals(answers, [true, false]);
  await branch.asAdmin("delete from user_events");
});

Deno.test("listDeadLetters() returns the newest first, and no more than it was asked for", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  for (const id of ["one", "two", "three"]) {
    const letter = { consumer: "test", id, body: { id }, attempts: 2, error: "failed" };
    await db.transaction((session) => session.commit([deadLetter(letter)]));
  }
  const letters = await db.transaction((session) => listDeadLetters(session, { limit: 2 }));
  assertEquals(
    letters.map(({ messageId, body, attempts, error }) => ({ messageId, body, attempts, error })),
    ["three", "two"].map((id) => ({ messageId: id, body: { id }, attempts: 2, error: "failed" })),
  );
  await branch.asAdmin("delete from dead_letters");
});
