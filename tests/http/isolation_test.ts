/** The users API at every isolation level: what is decided by one statement stays so when units are run again. */
import { assertEquals } from "@std/assert";
import { branchDatabase } from "../support/branch_database.ts";
import { createUser, jsonRequest } from "./requests.ts";
import { crowdCases, usersCases } from "./users_cases.ts";
import { testApp } from "./test_app.ts";

const database = await branchDatabase();

for (const level of ["read committed", "repeatable read", "serializable"]) {
  Deno.test(`of 10 concurrent PATCHes with one If-Match, one wins at ${level}`, async () => {
    await using branch = await database.connect();
    for (let round = 0; round < 5; round++) {
      // Above read committed each of the others runs again: a database has 10 such runs to begin with.
      const { request } = testApp({ db: branch.open({ DATABASE_ISOLATION_LEVEL: level }) });
      const { id } = await createUser(request);
      const responses = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          request(
            `/users/${id}`,
            jsonRequest("PATCH", { name: `Ada ${index}` }, { "If-Match": '"1"' }),
          )),
      );
      const bodies = await Promise.all(responses.map((response) => response.json()));
      const statuses = responses.map(({ status }) => status).sort();
      assertEquals(statuses, [200, ...Array.from({ length: 9 }, () => 412)]);
      const [winner] = bodies.filter(({ version }) => version !== undefined);
      assertEquals(await (await request(`/users/${id}`)).json(), winner);
    }
  });
}

// At `read committed`, the default, users_test.ts runs them.
for (const level of ["repeatable read", "serializable"]) {
  Deno.test(`the users API at ${level}`, async (t) => {
    await using branch = await database.connect();
    const env = { DATABASE_ISOLATION_LEVEL: level, DATABASE_POOL_SHED_TARGET: "0" };
    const app = testApp({ db: branch.open(env) });
    for (const { name, run } of [...usersCases, ...crowdCases]) {
      await t.step(name, () => run(app.request));
    }
  });
}
