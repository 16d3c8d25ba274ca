/**
 * Cases of the users API that use HTTP alone: the same cases run on Deno, on Workers and in a Durable Object. They
 * share one database, so each case creates its own users.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  assertProblem,
  createUser,
  jsonRequest,
  uniqueEmail,
  type UserDocument,
  type UsersCase,
} from "./requests.ts";

const ABSENT_ID = "01890000-0000-7000-8000-000000000000";

export const usersCases: readonly UsersCase[] = [
  {
    name: "POST /users answers 201 with the user, its address and its version",
    async run(request) {
      const email = uniqueEmail();
      const response = await request("/users", jsonRequest("POST", { email, name: "Ada" }));
      assertEquals(response.status, 201);
      const user: UserDocument = await response.json();
      assertEquals(response.headers.get("Location"), `/users/${user.id}`);
      assertEquals(response.headers.get("ETag"), '"1"');
      assertEquals([user.email, user.name, user.version], [email, "Ada", 1]);
      assertEquals(user.createdAt, user.updatedAt);
      assertMatch(user.createdAt, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    },
  },
  {
    name: "POST /users refuses an e-mail address that differs from a stored one in case only",
    async run(request) {
      const { email } = await createUser(request);
      const response = await request(
        "/users",
        jsonRequest("POST", { email: email.toUpperCase(), name: "Eve" }),
      );
      const { errors } = await assertProblem(response, 409, "email-taken");
      assertEquals(errors?.[0]?.pointer, "/email");
    },
  },
  {
    name: "concurrent POST /users with one e-mail address store one user",
    async run(request) {
      const email = uniqueEmail();
      const responses = await Promise.all(
        Array.from(
          { length: 4 },
          () => request("/users", jsonRequest("POST", { email, name: "Ada" })),
        ),
      );
      await Promise.all(responses.map((response) => response.body?.cancel()));
      assertEquals(responses.map(({ status }) => status).sort(), [201, 409, 409, 409]);
    },
  },
  {
    name: "POST /users keeps every character of a name",
    async run(request) {
      const name = `O'Brien "x" \\ ${"\u{1F600}"} é; drop table users; --`;
      const user = await createUser(request, name);
      const read = await (await request(`/users/${user.id}`)).json();
      assertEquals(read, user);
      assertEquals(read.name, name);
    },
  },
  {
    name: "GET /users/:id returns the stored user with its version as ETag",
    async run(request) {
      const user = await createUser(request);
      const response = await request(`/users/${user.id}`);
      assertEquals(response.status, 200);
      assertEquals(response.headers.get("ETag"), '"1"');
      assertEquals(await response.json(), user);
    },
  },
  {
    name: "GET /users/:id accepts an id in upper case",
    async run(request) {
      const user = await createUser(request);
      assertEquals(await (await request(`/users/${user.id.toUpperCase()}`)).json(), user);
    },
  },
  {
    name: "GET /users/:id answers 404 for an id that no user has",
    async run(request) {
      await assertProblem(await request(`/users/${ABSENT_ID}`), 404, "user-not-found");
    },
  },
  {
    name: "GET /users/:id answers 400 for an id that is not a UUID",
    async run(request) {
      for (const id of ["1", "%00", "%ff", "%E0%A4%A", "a%2Fb", "..%2f..", "x".repeat(2_000)]) {
        const { errors } = await assertProblem(
          await request(`/users/${id}`),
          400,
          "malformed-request",
        );
        assertEquals(errors?.[0]?.parameter, "id");
        assert((errors?.[0]?.detail.length ?? 0) < 300);
      }
    },
  },
  {
    name: "HEAD /users/:id answers as GET does, without a body",
    async run(request) {
      const user = await createUser(request);
      const response = await request(`/users/${user.id}`, { method: "HEAD" });
      assertEquals(response.status, 200);
      assertEquals(response.headers.get("ETag"), '"1"');
      assertEquals(await response.text(), "");
    },
  },
  {
    name: "GET /users pages through all users in the order of their ids",
    async run(request) {
      const made: string[] = [];
      for (let count = 0; count < 3; count++) made.push((await createUser(request)).id);
      const seen: string[] = [];
      let next: string | null = null;
      do {
        const query: string = next === null ? "?limit=2" : `?limit=2&after=${next}`;
        const page: { users: UserDocument[]; next: string | null } =
          await (await request(`/users${query}`)).json();
        assert(page.users.length <= 2);
        seen.push(...page.users.map(({ id }) => id));
        next = page.next;
      } while (next !== null);
      assertEquals(seen, seen.toSorted());
      assertEquals(new Set(seen).size, seen.length);
      assertEquals(seen.filter((id) => made.includes(id)), made);
    },
  },
  {
    name: "GET /users returns next null on the last page",
    async run(request) {
      const after = "ffffffff-ffff-ffff-ffff-ffffffffffff";
      const response = await request(`/users?after=${after}`);
      assertEquals(await response.json(), { users: [], next: null });
    },
  },
  {
    name: "GET /users answers 400 for invalid, repeated and unknown parameters",
    async run(request) {
      const queries = {
        limit: ["limit=0", "limit=-1", "limit=201", "limit=1e2", "limit=", "limit=1&limit=2"],
        after: ["after=x", "after=", "after=%00", "after=a&after=b", `after=${"9".repeat(4_000)}`],
        offset: ["offset=5"],
      };
      for (const [parameter, variants] of Object.entries(queries)) {
        for (const query of variants) {
          const response = await request(`/users?${query}`);
          const { errors } = await assertProblem(response, 400, "malformed-request");
          assertEquals(errors?.[0]?.parameter, parameter, query);
        }
      }
    },
  },
  {
    name: "PATCH /users/:id changes the given fields and increments the version",
    async run(request) {
      const user = await createUser(request);
      const response = await request(`/users/${user.id}`, jsonRequest("PATCH", { name: "Grace" }));
      assertEquals(response.status, 200);
      assertEquals(response.headers.get("ETag"), '"2"');
      const changed: UserDocument = await response.json();
      assertEquals(changed, { ...user, name: "Grace", version: 2, updatedAt: changed.updatedAt });
      assert(changed.updatedAt >= user.updatedAt);
      assertEquals(await (await request(`/users/${user.id}`)).json(), changed);
    },
  },
  {
    name:
      "PATCH /users/:id answers 412 with the current ETag for a stale If-Match, and changes nothing",
    async run(request) {
      const { id } = await createUser(request);
      const patch = (name: string, tag: string) =>
        request(`/users/${id}`, jsonRequest("PATCH", { name }, { "If-Match": tag }));
      const first = await patch("Grace", '"1"');
      assertEquals((await first.json()).version, 2);
      for (const tag of ['"1"', 'W/"2"', '"x"', '"99999999999"', '"1", "3"', '""']) {
        const stale = await patch("Eve", tag);
        assertEquals(stale.headers.get("ETag"), '"2"', tag);
        await assertProblem(stale, 412, "version-mismatch");
      }
      assertEquals((await (await request(`/users/${id}`)).json()).name, "Grace");
    },
  },
  {
    name: "PATCH /users/:id accepts a list of entity tags, and * for any version",
    async run(request) {
      const { id } = await createUser(request);
      for (const tag of ['"7", "1"', "*", 'W/"9" ,"3"']) {
        const response = await request(
          `/users/${id}`,
          jsonRequest("PATCH", { name: "Grace" }, { "If-Match": tag }),
        );
        assertEquals(response.status, 200, tag);
        await response.body?.cancel();
      }
    },
  },
  {
    name: "of concurrent PATCH /users/:id with one If-Match, one succeeds",
    async run(request) {
      const { id } = await createUser(request);
      const responses = await Promise.all(
        Array.from({ length: 4 }, (_, index) =>
          request(
            `/users/${id}`,
            jsonRequest("PATCH", { name: `Ada ${index}` }, { "If-Match": '"1"' }),
          )),
      );
      await Promise.all(responses.map((response) => response.body?.cancel()));
      assertEquals(responses.map(({ status }) => status).sort(), [200, 412, 412, 412]);
    },
  },
  {
    name: "PATCH /users/:id answers 400 for a malformed If-Match",
    async run(request) {
      const { id } = await createUser(request);
      for (const tag of ["1", '"1', '1"', '"1" "2"', "w/'1'", '*, "1"']) {
        const response = await request(
          `/users/${id}`,
          jsonRequest("PATCH", { name: "Eve" }, { "If-Match": tag }),
        );
        const { errors } = await assertProblem(response, 400, "malformed-request");
        assertEquals(errors?.[0]?.header, "If-Match");
      }
    },
  },
  {
    name:
      "PATCH /users/:id refuses another user's e-mail address, and accepts its own in another case",
    async run(request) {
      const [ada, eve] = [await createUser(request), await createUser(request, "Eve")];
      const taken = await request(`/users/${eve.id}`, jsonRequest("PATCH", { email: ada.email }));
      await assertProblem(taken, 409, "email-taken");
      const email = ada.email.toUpperCase();
      const own = await request(`/users/${ada.id}`, jsonRequest("PATCH", { email }));
      assertEquals((await own.json()).email, email);
    },
  },
  {
    name: "PATCH /users/:id answers 404 for an id that no user has, with and without If-Match",
    async run(request) {
      for (const headers of [{}, { "If-Match": '"1"' }, { "If-Match": "*" }]) {
        const init = jsonRequest("PATCH", { name: "Eve" }, headers);
        await assertProblem(await request(`/users/${ABSENT_ID}`, init), 404, "user-not-found");
      }
    },
  },
  {
    name: "DELETE /users/:id answers 204, then 404",
    async run(request) {
      const { id } = await createUser(request);
      const first = await request(`/users/${id}`, { method: "DELETE" });
      assertEquals([first.status, await first.text()], [204, ""]);
      await assertProblem(
        await request(`/users/${id}`, { method: "DELETE" }),
        404,
        "user-not-found",
      );
      await assertProblem(await request(`/users/${id}`), 404, "user-not-found");
    },
  },
  {
    name: "DELETE /users/:id answers 412 for a stale If-Match, and keeps the user",
    async run(request) {
      const { id } = await createUser(request);
      const init = { method: "DELETE", headers: { "If-Match": '"2"' } };
      await assertProblem(await request(`/users/${id}`, init), 412, "version-mismatch");
      const read = await request(`/users/${id}`);
      assertEquals(read.status, 200);
      await read.body?.cancel();
    },
  },
  {
    name: "GET /readyz answers 200 when the database answers",
    async run(request) {
      const response = await request("/readyz");
      assertEquals([response.status, await response.json()], [200, { status: "ready" }]);
    },
  },
];
