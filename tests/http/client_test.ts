/** The typed client, against the service. A wrong type here is an error of `deno check`. */
import { assert, assertEquals } from "@std/assert";
import type { Database } from "../../src/db/mod.ts";
import { serviceClient } from "../../src/http/client.ts";
import type { UserDocument, UserPageDocument } from "../../src/http/documents.ts";
import { branchDatabase } from "../support/branch_database.ts";
import { uniqueEmail } from "./requests.ts";
import { testApp } from "./test_app.ts";

const database = await branchDatabase();

function clientOf(db: Database) {
  const app = testApp({ db });
  return serviceClient("http://localhost", {
    fetch: (input: RequestInfo | URL, init?: RequestInit) => app.request(input.toString(), init),
  });
}

Deno.test("the client creates, lists, changes and deletes a user, with types for every answer", async () => {
  await using branch = await database.connect();
  const client = clientOf(branch.open());
  const email = uniqueEmail();

  const created = await client.users.$post({ json: { email, name: "Ada" } });
  assert(created.status === 201);
  const user: UserDocument = await created.json();
  assertEquals([user.email, user.version], [email, 1]);

  const page = await client.users.$get({ query: { limit: "1" } });
  assert(page.status === 200);
  assertEquals((await page.json()).users, [user]);

  const one = client.users[":id"];
  const changed = await one.$patch({
    param: { id: user.id },
    header: { "If-Match": created.headers.get("ETag")! },
    json: { name: "Ada Lovelace" },
  });
  assert(changed.status === 200);
  assertEquals((await changed.json()).name, "Ada Lovelace");

  const stale = await one.$delete({ param: { id: user.id }, header: { "If-Match": '"1"' } });
  assert(stale.status === 412);
  assertEquals((await stale.json()).type, "/problems/version-mismatch");

  const deleted = await one.$delete({ param: { id: user.id } });
  assertEquals(deleted.status, 204);
  const activity = await one.activity.$get({ param: { id: user.id } });
  assert(activity.status === 404 || activity.status === 200);
  await activity.body?.cancel();
});

Deno.test("the client creates users in a batch and walks through the pages of a list", async () => {
  await using branch = await database.connect();
  const client = clientOf(branch.open());
  const namePrefix = `N${crypto.randomUUID()}`;
  const users = Array.from({ length: 5 }, () => ({ email: uniqueEmail(), name: namePrefix }));
  const answer = await client["users:batch"].$post({ json: { users } });
  assert(answer.status === 200);
  const { results } = await answer.json();
  const created = results.flatMap((result) => result.status === "created" ? [result.user.id] : []);
  assertEquals(created.length, 5);

  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const query = { limit: "2", namePrefix, ...(cursor === null ? {} : { cursor }) };
    const response = await client.users.$get({ query });
    assert(response.status === 200);
    const page: UserPageDocument = await response.json();
    seen.push(...page.users.map(({ id }) => id));
    cursor = page.next;
  } while (cursor !== null);
  assertEquals(seen, created);
});

Deno.test("the client's types refuse what the service would refuse", () => {
  const client = serviceClient("http://localhost");
  const wrong = [
    // @ts-expect-error: the name is missing
    () => client.users.$post({ json: { email: "ada@example.com" } }),
    // @ts-expect-error: no such field
    () => client.users.$post({ json: { email: "ada@example.com", name: "Ada", role: "admin" } }),
    // @ts-expect-error: no such parameter
    () => client.users.$get({ query: { page: "2" } }),
    // @ts-expect-error: the id is missing
    () => client.users[":id"].$get({}),
    // @ts-expect-error: no such route
    () => client.accounts.$get(),
  ];
  assertEquals(wrong.length, 5);
});
