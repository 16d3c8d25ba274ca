/** What `REQUIRE_IF_MATCH` asks of changes. */
import { assertEquals } from "@std/assert";
import { branchDatabase } from "../support/branch_database.ts";
import { assertProblem, createUser, jsonRequest } from "./requests.ts";
import { testApp } from "./test_app.ts";

const database = await branchDatabase();

Deno.test("with REQUIRE_IF_MATCH, a change without If-Match gets 428 and changes nothing", async () => {
  await using branch = await database.connect();
  const { request } = testApp({ db: branch.open(), requiresIfMatch: true });
  const user = await createUser(request);
  const path = `/users/${user.id}`;
  for (const init of [jsonRequest("PATCH", { name: "Eve" }), { method: "DELETE" }]) {
    const { errors } = await assertProblem(
      await request(path, init),
      428,
      "precondition-required",
    );
    assertEquals(errors?.map(({ header }) => header), ["If-Match"]);
  }
  assertEquals(await (await request(path)).json(), user);
  const changed = await request(path, jsonRequest("PATCH", { name: "Eve" }, { "If-Match": '"1"' }));
  assertEquals((await changed.json()).version, 2);
  const removed = await request(path, { method: "DELETE", headers: { "If-Match": "*" } });
  assertEquals(removed.status, 204);
});
