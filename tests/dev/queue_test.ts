import { assert, assertEquals, assertRejects } from "@std/assert";
import { describeQueue, retryDeadLetter } from "../../src/dev/queue.ts";
import { pollUntil } from "../../src/dev/poll.ts";
import { start } from "../../src/main.ts";
import { countsOf, writeEvents } from "../queue/events.ts";
import { localDatabase } from "../support/local_database.ts";

const database = await localDatabase();
const root = new URL("../..", import.meta.url);

Deno.test("deno task queue tells what waits, since when, and what is dead", async () => {
  await using branch = await database.connect();
  await writeEvents(branch, { users: 2, versions: 1 });
  await branch.asAdmin("update user_events set occurred_at = now() - interval '90 s' where id = 1");
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "queue"],
    cwd: root,
    env: branch.env,
  }).output();
  assertEquals(code, 0);
  const text = new TextDecoder().decode(stdout);
  assert(/^waiting +2\noldest +9\d\.\d s\ndead letters +0\n$/.test(text), text);
  await branch.asAdmin("delete from user_events");
});

Deno.test("a dead letter that is put back takes effect once what ailed it is mended", async () => {
  await using branch = await database.connect();
  const [id] = await writeEvents(branch, { users: 1, versions: 3 });
  await branch.asAdmin("update user_events set type = 'user.exploded' where version = 2");
  const env = { ...branch.env, PORT: "0", QUEUE_POLL_INTERVAL: "0.1", LOG_LEVEL: "error" };
  const error = console.error;
  console.error = () => {};
  const service = start(env, { hostname: "127.0.0.1" });
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

Deno.test("a dead letter that never was an event stays where it is, and one that is not there is told", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const [letter] = await branch.asAdmin<{ id: bigint }>(`
    insert into dead_letters (consumer, message_id, body, error, attempts)
    values ('activity', 'x', '"text"', 'Cannot read it', 1) returning id`);
  await assertRejects(() => retryDeadLetter(db, String(letter!.id)), Error);
  assertEquals((await countsOf(branch)).dead, 1);
  await assertRejects(() => retryDeadLetter(db, "999"), Error, "there is none");
  await assertRejects(() => retryDeadLetter(db, "1; drop"), Error, "ids are numbers");
});
