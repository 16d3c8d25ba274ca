import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import type { User } from "../../src/users/user.ts";
import {
  EmailTakenError,
  UserNotFoundError,
  VersionMismatchError,
} from "../../src/users/user_errors.ts";
import { newUserId } from "../../src/users/user_id.ts";
import { changeUser, createUser, deleteUser, readUser } from "../../src/users/user_store.ts";
import { listUsers } from "../../src/users/user_list.ts";
import { branchDatabase } from "../support/branch_database.ts";

const database = await branchDatabase();

async function storedUser(db: Database, name = "Ada"): Promise<User> {
  const id = newUserId();
  await using session = db.session();
  return await createUser(session, id, { email: `${id}@example.com`, name });
}

Deno.test("createUser() stores the user and commits", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const user = await storedUser(db);
  assertEquals(user.version, 1);
  await using session = db.session();
  assertEquals(await readUser(session, user.id), user);
});

Deno.test("createUser() rejects with EmailTakenError, whose cause is the server's error, and stores nothing", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const { email } = await storedUser(db);
  const id = newUserId();
  await using session = db.session();
  const error = await assertRejects(
    () => createUser(session, id, { email: email.toUpperCase(), name: "Eve" }),
    EmailTakenError,
  );
  assert(error.cause instanceof Error);
  await using after = db.session();
  await assertRejects(() => readUser(after, id), UserNotFoundError);
});

Deno.test("readUser() and listUsers() run in a read-only session", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const user = await storedUser(db);
  await using reading = db.session({ readOnly: true });
  assertEquals(await readUser(reading, user.id), user);
  await using listing = db.session({ readOnly: true });
  const { users } = await listUsers(listing, { limit: 200 });
  assert(users.some(({ id }) => id === user.id));
});

Deno.test("listUsers() returns a next position only if more users follow the page", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const namePrefix = newUserId();
  const made: User[] = [];
  for (let count = 0; count < 3; count++) made.push(await storedUser(db, `${namePrefix} ${count}`));
  const page = async (limit: number) => {
    await using session = db.session({ readOnly: true });
    const { users, next } = await listUsers(session, { limit, namePrefix });
    return { ids: users.map(({ id }) => id), next };
  };
  const ids = made.map(({ id }) => id);
  const next = { key: `${namePrefix} 1`, id: ids[1]! };
  assertEquals(await page(2), { ids: ids.slice(0, 2), next });
  assertEquals(await page(3), { ids, next: null });
  assertEquals(await page(4), { ids, next: null });
});

Deno.test("changeUser() changes one user, and only the fields in the patch", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const [user, other] = [await storedUser(db), await storedUser(db, "Eve")];
  await using session = db.session();
  const changed = await changeUser(session, user.id, { name: "Grace" }, "any");
  assertEquals(changed, { ...user, name: "Grace", version: 2, updatedAt: changed.updatedAt });
  await using after = db.session();
  assertEquals(await readUser(after, other.id), other);
});

Deno.test("changeUser() and deleteUser() distinguish a stale version from an absent user", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const user = await storedUser(db);
  const absent = newUserId();
  const attempts = [
    (id: User["id"]) => changeUser(db.session(), id, { name: "Eve" }, [2, 3]),
    (id: User["id"]) => deleteUser(db.session(), id, [2, 3]),
    (id: User["id"]) => deleteUser(db.session(), id, []),
  ];
  for (const attempt of attempts) {
    const error = await assertRejects(() => attempt(user.id), VersionMismatchError);
    assertEquals(error.currentVersion, 1);
    await assertRejects(() => attempt(absent), UserNotFoundError);
  }
  await using session = db.session();
  assertEquals(await readUser(session, user.id), user);
});

Deno.test("deleteUser() removes the user at the expected version", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const user = await storedUser(db);
  await deleteUser(db.session(), user.id, [user.version]);
  await assertRejects(() => readUser(db.session(), user.id), UserNotFoundError);
});

Deno.test("a failed change releases its connection", async () => {
  await using branch = await database.connect();
  const db = branch.open();
  const user = await storedUser(db);
  await assertRejects(() => changeUser(db.session(), user.id, { name: "Eve" }, [9]));
  await assertRejects(() => createUser(db.session(), newUserId(), user), EmailTakenError);
  assertEquals(db.stats().leased, 0);
});
