import { assert, assertEquals, assertRejects } from "@std/assert";
import { describeQueue, retryDeadLetter } from "../../src/dev/queue.ts";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { start } from "../../src/deno/service.ts";
import { countsOf, writeEvents } from "../queue/events.ts";
import { localDatabase } from "../support/local_database.ts";

const database = await localDatabase();
const root = new URL("../..", import.meta.url);

interface TaskResult {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

async function queueTask(
  env: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<TaskResult> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "queue", ...args],
    cwd: root,
    env,
  }).output();
  const [out, error] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out: out!, error: error! };
}

Deno.test("deno task queue prints the queue's depth, its oldest event's age and the number of dead letters", async () => {
  await using branch = await database.connect();
  await writeEvents(branch, { users: 2, versions: 1 });
  await branch.asAdmin(
    "update user_events set occurred_at = now() - interval '1 hour' where id = 1",
  );
  const { code, out } = await queueTask(branch.env);
  assertEquals(code, 0);
  assert(/^waiting +2\noldest +36\d\d\.\d s\ndead letters +0\n$/.test(out), out);
  await branch.asAdmin("delete from user_events");
});

Deno.test("deno task queue retry requeues a dead letter; a refusal is one line on standard error and exit code 1", async () => {
  await using branch = await database.connect();
  const body = `{"id": "77", "type": "user.updated", "userId": "${crypto.randomUUID()}",
    "version": 3, "occurredAt": "2026-01-01T00:00:00.000Z", "data": {"email": "", "name": ""}}`;
  const [letter] = await branch.asAdmin<{ id: bigint }>(`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    values ('activity', '77', '${body}', 'it failed', 5) returning id`);
  const done = await queueTask(branch.env, "retry", `${letter!.id}`);
  assertEquals([done.code, done.out], [
    0,
    `Dead letter ${letter!.id} is in the queue again\n`,
  ]);
  const rows = await branch.asAdmin("select id::text, version, attempts from user_events");
  assertEquals(rows, [{ id: "77", version: 3, attempts: 0 }]);
  const gone = await queueTask(branch.env, "retry", `${letter!.id}`);
  assertEquals([gone.code, gone.out], [1, ""]);
  assert(
    /^Cannot retry dead letter \d+ as it does not exist; "deno task queue" lists the ids\n$/.test(
      gone.error,
    ),
    gone.error,
  );
  for (const args of [["retry"], ["purge"], ["retry", "1", "2"], ["--json"]]) {
    const { code, error } = await queueTask(branch.env, ...args);
    assertEquals([code, error], [1, "Usage: deno task queue [retry ID]\n"]);
  }
  await branch.asAdmin("delete from user_events");
});

Deno.test("retrying a dead letter whose event is still queued leaves one event", async () => {
  await using branch = await database.connect();
  await writeEvents(branch, { users: 1, versions: 1 });
  const [letter] = await branch.asAdmin<{ id: bigint }>(`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    select 'activity', id::text, jsonb_build_object('id', id::text, 'userId', user_id, 'version', version,
      'type', type, 'data', data, 'occurredAt', occurred_at), 'it failed', 5 from user_events
    returning id`);
  await retryDeadLetter(branch.open(), `${letter!.id}`);
  const { waiting, dead } = await countsOf(branch);
  assertEquals([waiting, dead], [1, 0]);
  await branch.asAdmin("delete from user_events");
});

Deno.test("a dead letter of any length is printed in two lines with a bounded body", async () => {
  await using branch = await database.connect();
  await branch.asAdmin(`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    values ('activity', 'long', to_jsonb(repeat(E'a\\n', 50000)), 'it is long', 1)`);
  const shown = await describeQueue(branch.open());
  assert(shown.length < 1_500, `${shown.length} characters`);
  assertEquals(shown.split("\n").length, 5);
  assert(shown.endsWith("… (150002 characters)"), shown.slice(-50));
  await branch.asAdmin("delete from dead_letters");
});

Deno.test("no control character of a dead letter reaches the terminal, neither of its error nor of its body", async () => {
  await using branch = await database.connect();
  // As stored by an earlier version, which escaped the first range only.
  await branch.asAdmin(`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    values ('activity', 'controls', to_jsonb(E'a\\u009b31m\\u007f\\u202e'::text), E'b\\u009b2J\\x1b[2J', 1)`);
  const shown = await describeQueue(branch.open());
  assert(/^[\x20-\x7e\n]+$/.test(shown), JSON.stringify(shown));
  assertEquals(shown.split("\n").length, 5);
  await branch.asAdmin("delete from dead_letters");
});

Deno.test("no control character of a dead letter reaches the terminal when it is no event", async () => {
  await using branch = await database.connect();
  const [letter] = await branch.asAdmin<{ id: bigint }>(`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    values ('activity', 'bad id', jsonb_build_object('id', E'\\u009b31m'::text), 'it failed', 1) returning id`);
  const { code, error } = await queueTask(branch.env, "retry", `${letter!.id}`);
  assertEquals(code, 1);
  assert(/^[\x20-\x7e]+\n$/.test(error) && error.includes("u009b"), JSON.stringify(error));
  await branch.asAdmin("delete from dead_letters");
});

Deno.test("a retried dead letter is applied after its fault was repaired", async () => {
  await using branch = await database.connect();
  const [id] = await writeEvents(branch, { users: 1, versions: 3 });
  await branch.asAdmin("update user_events set type = 'user.exploded' where version = 2");
  const env = { ...branch.env, PORT: "0", QUEUE_POLL_INTERVAL: "0.1", LOG_LEVEL: "error" };
  const error = console.error;
  console.error = () => {};
  const service = await start(env, { hostname: "127.0.0.1" });
  try {
    const isIdle = async () => (await countsOf(branch)).waiting === 0;
    assert(await pollUntil(isIdle, { deadlineMs: 10_000, intervalMs: 10 }));
    const db = branch.open();
    const [letter] = await branch.asAdmin<{ id: bigint }>("select id from dead_letters");
    assert((await describeQueue(db)).includes(`${letter?.id}  `), await describeQueue(db));
    await branch.asAdmin(
      `update dead_letters set body = jsonb_set(body, '{type}', '"user.updated"')`,
    );
    await retryDeadLetter(db, String(letter?.id));
    assert(await pollUntil(isIdle, { deadlineMs: 10_000, intervalMs: 10 }));
    const rows = await branch.asAdmin<{ version: number }>(
      `select version from user_activity where user_id = '${id}' order by version`,
    );
    assertEquals(rows.map(({ version }) => version), [1, 2, 3]);
    assertEquals((await countsOf(branch)).dead, 0);
  } finally {
    await service.shutdown();
    console.error = error;
  }
});

Deno.test("retrying refuses a dead letter that is not an event, an unknown id and an invalid id", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const [letter] = await branch.asAdmin<{ id: bigint }>(`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    values ('activity', 'x', '"text"', 'Cannot read it', 1) returning id`);
  await assertRejects(() => retryDeadLetter(db, String(letter!.id)), Error);
  assertEquals((await countsOf(branch)).dead, 1);
  await assertRejects(() => retryDeadLetter(db, "999"), Error, "it does not exist");
  await assertRejects(() => retryDeadLetter(db, "1; drop"), Error, "its id must be a number");
});

Deno.test("deno task queue says what makes the tables where there are none", async () => {
  await using branch = await database.connect();
  const url = new URL(branch.env["DATABASE_URL"]!);
  url.pathname = "/postgres";
  const { code, out, error } = await queueTask({ ...branch.env, DATABASE_URL: url.href });
  assertEquals([code, out], [1, ""]);
  assert(
    /does not exist; run "deno task migrate" as the owner of the tables\n$/.test(error),
    error,
  );
});
