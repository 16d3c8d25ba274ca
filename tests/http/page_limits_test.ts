/** The bounds of a page, and the activity of users that are there, were there, or never were. */
import { assertEquals } from "@std/assert";
import { newUserId } from "../../src/users/user_id.ts";
import { branchDatabase } from "../support/branch_database.ts";
import { assertProblem, createUser, type SendRequest } from "./requests.ts";
import { testApp } from "./test_app.ts";

const database = await branchDatabase();

function test(
  name: string,
  fn: (request: SendRequest, asAdmin: (text: string) => Promise<unknown>) => Promise<void>,
): void {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    const app = testApp({ db: branch.open() });
    await fn(app.request, branch.asAdmin);
  });
}

test("a page has from 1 to 200 entries, and its bounds are allowed", async (request) => {
  const { id } = await createUser(request);
  for (const path of ["/users", `/users/${id}/activity`]) {
    for (const limit of ["1", "9", "10", "99", "100", "199", "200"]) {
      const response = await request(`${path}?limit=${limit}`);
      assertEquals(response.status, 200, `${path} ${limit}`);
      await response.body?.cancel();
    }
    for (const limit of ["0", "201", "999", "1000", "01", "1.0"]) {
      const response = await request(`${path}?limit=${limit}`);
      const { errors } = await assertProblem(response, 400, "malformed-request");
      assertEquals(errors?.map(({ parameter }) => parameter), ["limit"]);
    }
  }
});

test(
  "a page of 200 holds 200 entries, and one without a limit holds 50",
  async (request, asAdmin) => {
    const id = newUserId();
    await asAdmin(`
    insert into user_activity (user_id, version, type, occurred_at)
    select '${id}', version, 'user.updated', now() from generate_series(1, 201) as version`);
    const page = async (query: string) => {
      const { activity, next } = await (await request(`/users/${id}/activity${query}`)).json();
      return [activity.length, activity.at(-1).version, next];
    };
    assertEquals(await page("?limit=200"), [200, 200, 200]);
    assertEquals(await page("?limit=200&after=200"), [1, 201, null]);
    assertEquals(await page("?limit=200&after=1"), [200, 201, null]);
    assertEquals(await page(""), [50, 50, 50]);
  },
);

test(
  "the activity of a user that never was is not found, and that of a deleted user is",
  async (request, asAdmin) => {
    await assertProblem(await request(`/users/${newUserId()}/activity`), 404, "user-not-found");
    const id = newUserId();
    await asAdmin(`
    insert into user_activity (user_id, version, type, occurred_at)
    values ('${id}', 2, 'user.deleted', '2026-01-02T03:04:05.678Z')`);
    const response = await request(`/users/${id}/activity`);
    assertEquals([response.status, await response.json()], [200, {
      activity: [{ version: 2, type: "user.deleted", occurredAt: "2026-01-02T03:04:05.678Z" }],
      next: null,
    }]);
  },
);

test("the activity of a user without entries is empty", async (request) => {
  const { id } = await createUser(request);
  const response = await request(`/users/${id}/activity`);
  assertEquals([response.status, await response.json()], [200, { activity: [], next: null }]);
});
