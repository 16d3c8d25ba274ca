/**
 * Cases of the users API that use HTTP alone: the same cases run on Deno, on Workers and in a Durable Object. They
 * share one database, so each case creates its own users.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  ABSENT_ID,
  assertProblem,
  createUser,
  jsonRequest,
  uniqueEmail,
  type UserDocument,
  type UsersCase,
} from "./requests.ts";
import { usersBatchCases } from "./users_batch_cases.ts";
import { usersListCases } from "./users_list_cases.ts";

/** More requests at once than the pool has connections. */
export const crowdCases: readonly UsersCase[] = [
  {
    name: "of 100 concurrent POST /users with one e-mail address, one succeeds",
    async run(request) {
      const email = uniqueEmail();
      const responses = await Promise.all(
        Array.from(
          { length: 100 },
          (_, index) =>
            request(
              "/users",
              jsonRequest("POST", { email: index % 2 ? email : email.toUpperCase(), name: "Ada" }),
            ),
        ),
      );
      await Promise.all(responses.map((response) => response.body?.cancel()));
      const count = (status: number) => responses.filter((each) => each.status === status).length;
      assertEquals([count(201), count(409)], [1, 99]);
    },
  },
];

export const usersCases: readonly UsersCase[] = [
  ...usersListCases,
  ...usersBatchCases,
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
      // In Turkish, I and i are not the cases of one letter.
      const email = `info.${uniqueEmail()}`;
      const first = await request("/users", jsonRequest("POST", { email, name: "Ada" }));
      await first.body?.cancel();
      assertEquals(first.status, 201);
      const response = await request(
        "/users",
        jsonRequest("POST", { email: email.toUpperCase(), name: "Eve" }),
      );
      const { errors } = await assertProblem(response, 409, "email-taken");
      assertEquals(errors?.[0]?.pointer, "/email");
      const found = await request(`/users?email=${email.toUpperCase()}`);
      assertEquals((await found.json()).users.map((user: UserDocument) => user.email), [email]);
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
    name: "GET and HEAD /users/:id answer 304 without a body to a client that has the version",
    async run(request) {
      const { id } = await createUser(request);
      for (const method of ["GET", "HEAD"]) {
        for (const tag of ['"1"', 'W/"1"', '"x", W/"1"', '"a,b","1" ', "*"]) {
          const init = { method, headers: { "If-None-Match": tag } };
          const response = await request(`/users/${id}`, init);
          assertEquals(
            [response.status, response.headers.get("ETag"), await response.text()],
            [304, '"1"', ""],
            tag,
          );
          assertEquals(response.headers.get("Content-Type"), null);
        }
        for (const tag of ['"2"', 'W/"2"', '"x", "y"', '""']) {
          const init = { method, headers: { "If-None-Match": tag } };
          const response = await request(`/users/${id}`, init);
          await response.body?.cancel();
          assertEquals([response.status, response.headers.get("ETag")], [200, '"1"'], tag);
        }
      }
      const absent = await request(`/users/${ABSENT_ID}`, { headers: { "If-None-Match": "*" } });
      await assertProblem(absent, 404, "user-not-found");
    },
  },
  {
    name: "GET /users/:id answers 412 for a stale If-Match, and 400 for malformed conditions",
    async run(request) {
      const { id } = await createUser(request);
      const get = (headers: HeadersInit) => request(`/users/${id}`, { headers });
      const stale = await get({ "If-Match": '"2"', "If-None-Match": '"1"' });
      assertEquals(stale.headers.get("ETag"), '"1"');
      await assertProblem(stale, 412, "version-mismatch");
      const current = await get({ "If-Match": '"2", "1"' });
      await current.body?.cancel();
      assertEquals(current.status, 200);
      for (const name of ["If-Match", "If-None-Match"]) {
        for (const value of ["1", '"1', 'w/"1"', '*, "1"']) {
          const { errors } = await assertProblem(
            await get({ [name]: value }),
            400,
            "malformed-request",
          );
          assertEquals(errors?.[0]?.header, name, value);
        }
      }
    },
  },
  {
    name: "PATCH and DELETE /users/:id refuse If-None-Match, and change nothing",
    async run(request) {
      const user = await createUser(request);
      const headers = { "If-None-Match": '"7"' };
      for (
        const init of [jsonRequest("PATCH", { name: "Eve" }, headers), {
          method: "DELETE",
          headers,
        }]
      ) {
        const response = await request(`/users/${user.id}`, init);
        const { errors } = await assertProblem(response, 400, "malformed-request");
        assertEquals(errors?.[0]?.header, "If-None-Match");
      }
      assertEquals(await (await request(`/users/${user.id}`)).json(), user);
    },
  },
  {
    name: "HEAD and OPTIONS answer on every address of users",
    async run(request) {
      const { id } = await createUser(request);
      const addresses = {
        "/users": "GET, HEAD, POST",
        [`/users/${id}`]: "GET, HEAD, PATCH, DELETE",
        [`/users/${id}/activity`]: "GET, HEAD",
      };
      for (const [path, allow] of Object.entries(addresses)) {
        const options = await request(path, { method: "OPTIONS" });
        assertEquals([options.status, options.headers.get("Allow")], [204, allow], path);
        const head = await request(path, { method: "HEAD" });
        assertEquals([head.status, await head.text()], [200, ""], path);
        const put = await request(path, { method: "PUT" });
        await put.body?.cancel();
        assertEquals([put.status, put.headers.get("Allow")], [405, allow], path);
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
