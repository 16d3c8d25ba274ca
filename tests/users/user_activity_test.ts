import { assertEquals, assertRejects } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import { type ActivityPage, listActivity } from "../../src/users/user_activity.ts";
import { UserNotFoundError } from "../../src/users/user_errors.ts";
import { newUserId, type UserId } from "../../src/users/user_id.ts";
import { createUser } from "../../src/users/user_store.ts";
import { branchDatabase } from "../support/branch_database.ts";
import type { Branch } from "../support/branch.ts";

const database = await branchDatabase();

/** A user that was deleted and whose activity has the given versions. */
async function userWith(branch: Branch, versions: readonly number[]): Promise<UserId> {
  const id = newUserId();
  for (const version of versions) {
    await branch.asAdmin(`
      insert into user_activity (user_id, version, type, occurred_at)
      values ('${id}', ${version}, 'user.updated', now())`);
  }
  return id;
}

async function page(
  db: Database,
  id: UserId,
  options: { limit: number; after?: number },
): Promise<[versions: number[], next: ActivityPage["next"]]> {
  await using session = db.session({ readOnly: true });
  const { activity, next } = await listActivity(session, id, { after: 0, ...options });
  return [activity.map(({ version }) => version), next];
}

Deno.test("listActivity() returns a next version only if more entries follow the page", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const id = await userWith(branch, [1, 2, 3]);
  assertEquals(await page(db, id, { limit: 1 }), [[1], 1]);
  assertEquals(await page(db, id, { limit: 2 }), [[1, 2], 2]);
  assertEquals(await page(db, id, { limit: 3 }), [[1, 2, 3], null]);
  assertEquals(await page(db, id, { limit: 4 }), [[1, 2, 3], null]);
});

Deno.test("listActivity() continues above the given version", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const id = await userWith(branch, [1, 2, 4, 7]);
  assertEquals(await page(db, id, { limit: 2, after: 1 }), [[2, 4], 4]);
  assertEquals(await page(db, id, { limit: 2, after: 4 }), [[7], null]);
  assertEquals(await page(db, id, { limit: 2, after: 7 }), [[], null]);
});

Deno.test("listActivity() distinguishes a user without entries from one that never was", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const id = newUserId();
  await createUser(db.session(), id, { email: `${id}@example.com`, name: "Ada" });
  assertEquals(await page(db, id, { limit: 5 }), [[], null]);
  await assertRejects(() => page(db, newUserId(), { limit: 5 }), UserNotFoundError);
});
