/** Cases of `GET /users`, which use HTTP alone: the same cases run on Deno, on Workers and in a Durable Object. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { allPages, ids, listPath, page } from "./pages.ts";
import {
  assertProblem,
  createUser,
  jsonRequest,
  type SendRequest,
  uniqueEmail,
  type UserDocument,
  type UsersCase,
} from "./requests.ts";

/** A name that no other user of the database begins with. */
function uniqueName(): string {
  return `N${crypto.randomUUID().replaceAll("-", "")}`;
}

/** Where the last 200 users at most begin: the database has the users of other cases. */
async function lastPage(request: SendRequest): Promise<string | null> {
  let [cursor, { next }] = [null as string | null, await page(request, { limit: 200 })];
  while (next !== null) {
    [cursor, { next }] = [next, await page(request, { limit: 200, cursor: next })];
  }
  return cursor;
}

async function remove(request: SendRequest, { id }: UserDocument): Promise<void> {
  const response = await request(`/users/${id}`, { method: "DELETE" });
  await response.body?.cancel();
  assertEquals(response.status, 204);
}

export const usersListCases: readonly UsersCase[] = [
  {
    name: "GET /users pages through all users in the order of their creation",
    async run(request) {
      const from = await lastPage(request);
      const made: string[] = [];
      for (let count = 0; count < 3; count++) made.push((await createUser(request)).id);
      const all = await allPages(request, { limit: 200 });
      const last = await allPages(request, { limit: 2 }, { from });
      for (const seen of [all, last]) {
        const times = seen.map(({ createdAt }) => createdAt);
        assertEquals(times, times.toSorted());
        assertEquals(new Set(ids(seen)).size, seen.length);
        assertEquals(ids(seen).filter((id) => made.includes(id)), made);
      }
    },
  },
  {
    name: "pages of GET /users under inserts and deletes neither miss nor repeat a user that stays",
    async run(request) {
      for (const byName of [false, true]) {
        const prefix = uniqueName();
        const from = byName ? null : await lastPage(request);
        const stay: UserDocument[] = [];
        const leave: UserDocument[] = [];
        for (let count = 0; count < 12; count++) {
          (count % 3 === 1 ? leave : stay).push(await createUser(request, `${prefix} ${count}`));
        }
        const list: Record<string, string | number> = byName
          ? { limit: 2, namePrefix: prefix }
          : { limit: 2 };
        const between = async (soFar: readonly UserDocument[]) => {
          // Also the last one of the page, where the next page begins.
          const gone = leave.find(({ id }) => id === soFar.at(-1)?.id) ?? leave[0];
          if (gone !== undefined) {
            leave.splice(leave.indexOf(gone), 1);
            await remove(request, gone);
          }
          if (soFar.length < 20) await createUser(request, `${prefix} ${soFar.length % 10}a`);
        };
        const seen = await allPages(request, list, { from, between });
        assertEquals(new Set(ids(seen)).size, seen.length);
        const expected = new Set(ids(stay));
        assertEquals(
          ids(seen).filter((id) => expected.has(id)).sort(),
          ids(stay).sort(),
        );
      }
    },
  },
  {
    name: "GET /users?email= finds the one user with an address, in any case of its letters",
    async run(request) {
      const user = await createUser(request);
      for (const email of [user.email, user.email.toUpperCase()]) {
        assertEquals(await page(request, { email }), { users: [user], next: null });
      }
      assertEquals(await page(request, { email: uniqueEmail() }), { users: [], next: null });
      // Not a pattern, and not a part.
      for (const email of [`_${user.email.slice(1)}`, user.email.slice(1)]) {
        assertEquals((await page(request, { email })).users, []);
      }
    },
  },
  {
    name: "GET /users?namePrefix= finds names by their beginning, in any case, ordered by name",
    async run(request) {
      const prefix = uniqueName();
      const names = ["", "b", "B%", "a_", "Çelik", "çelik 2", "Я", "яна", "ΣΑΣ", "Z"]
        .map((name) => `${prefix}${name}`);
      const made: UserDocument[] = [];
      for (const name of names) made.push(await createUser(request, name));
      const other = await createUser(request, `x${prefix}`);
      const found = await allPages(request, { namePrefix: prefix.toLowerCase(), limit: 3 });
      assertEquals(ids(found).sort(), ids(made).sort());
      assert(!ids(found).includes(other.id));
      const after = (name: string) => name.slice(prefix.length);
      assertEquals(
        found.map(({ name }) => after(name)),
        ["", "a_", "b", "B%", "Z", "Çelik", "çelik 2", "ΣΑΣ", "Я", "яна"],
      );
      const endings = {
        "ÇELIK": ["Çelik", "çelik 2"],
        "я": ["Я", "яна"],
        "σας": ["ΣΑΣ"],
        "%": [],
        "_": [],
        "B": ["b", "B%"],
        "b%": ["B%"],
        "e": [],
      };
      for (const [ending, expected] of Object.entries(endings)) {
        const { users } = await page(request, { namePrefix: `${prefix}${ending}` });
        assertEquals(users.map(({ name }) => after(name)), expected, ending);
      }
    },
  },
  {
    name: "GET /users orders users of one name by id, and pages through them",
    async run(request) {
      const prefix = uniqueName();
      const made: UserDocument[] = [];
      for (let count = 0; count < 5; count++) made.push(await createUser(request, prefix));
      assertEquals(ids(await allPages(request, { namePrefix: prefix, limit: 2 })), ids(made));
    },
  },
  {
    name: "GET /users with both filters finds users that match both",
    async run(request) {
      const user = await createUser(request, uniqueName());
      const of = (namePrefix: string) => page(request, { namePrefix, email: user.email });
      assertEquals((await of(user.name.slice(0, 5))).users, [user]);
      assertEquals((await of("y")).users, []);
    },
  },
  {
    name: "GET /users answers 400 for a damaged cursor, and for one of a list with other filters",
    async run(request) {
      const prefix = uniqueName();
      for (let count = 0; count < 3; count++) await createUser(request, prefix);
      const byId = (await page(request, { limit: 1 })).next;
      const byName = (await page(request, { limit: 1, namePrefix: prefix })).next;
      assert(byId !== null && byName !== null);
      const refuses = async (parameters: Record<string, string>) => {
        const response = await request(listPath(parameters));
        const { errors } = await assertProblem(response, 400, "malformed-request");
        assertEquals(errors?.[0]?.parameter, "cursor", JSON.stringify(parameters));
      };
      for (let place = 0; place < byName.length; place += 5) {
        const [before, after] = [byName.slice(0, place), byName.slice(place + 1)];
        const other = byName[place] === "A" ? "B" : "A";
        for (const cursor of [`${before}${other}${after}`, `${before}${after}`]) {
          await refuses({ cursor, namePrefix: prefix });
        }
      }
      for (const cursor of ["", "x", "=", "AAAA", byId.slice(0, -4), `${byId}A`, `${byId}=`]) {
        await refuses({ cursor });
      }
      await refuses({ cursor: "A".repeat(4_000) });
      await refuses({ cursor: byName });
      await refuses({ cursor: byId, namePrefix: prefix });
      await refuses({ cursor: byName, namePrefix: prefix.slice(1) });
      await refuses({ cursor: byId, email: uniqueEmail() });
    },
  },
  {
    name: "GET /users answers 400 for invalid, repeated and unknown parameters",
    async run(request) {
      const queries = {
        limit: ["limit=0", "limit=-1", "limit=201", "limit=1e2", "limit=", "limit=1&limit=2"],
        cursor: ["cursor=x", "cursor=", "cursor=%00", "cursor=a&cursor=b"],
        email: ["email=x", "email=", "email=a%40b.c%00", "email=a%40b.c&email=a%40b.c"],
        namePrefix: ["namePrefix=", "namePrefix=%00", "namePrefix=%E2%80%AE", "namePrefix=e%CC%81"],
        offset: ["offset=5"],
        after: ["after=01890000-0000-7000-8000-000000000000"],
      };
      for (const [parameter, variants] of Object.entries(queries)) {
        for (const variant of variants) {
          const response = await request(`/users?${variant}`);
          const { errors } = await assertProblem(response, 400, "malformed-request");
          assertEquals(errors?.[0]?.parameter, parameter, variant);
        }
      }
    },
  },
  {
    name: "GET /users answers 304 to the tag of a page that has not changed, and 200 to others",
    async run(request) {
      const prefix = uniqueName();
      const user = await createUser(request, prefix);
      const address = listPath({ namePrefix: prefix });
      const read = async (tag?: string, method = "GET") => {
        const headers: HeadersInit = tag === undefined ? {} : { "If-None-Match": tag };
        const response = await request(address, { method, headers });
        return [response.status, response.headers.get("ETag"), await response.text()] as const;
      };
      const [, tag, text] = await read();
      assert(tag !== null);
      assertEquals(JSON.parse(text).users, [user]);
      for (const list of [tag, `W/${tag}`, `"x", ${tag}`, "*"]) {
        assertEquals(await read(list), [304, tag, ""], list);
        assertEquals(await read(list, "HEAD"), [304, tag, ""], list);
      }
      assertEquals((await read('"x"'))[0], 200);
      const change = await request(`/users/${user.id}`, jsonRequest("PATCH", { name: prefix }));
      await change.body?.cancel();
      const [status, changed] = await read(tag);
      assertEquals(status, 200);
      assertNotEquals(changed, tag);
    },
  },
];
