/** That a tenant's token tells nothing of another's users, by filters, cursors, batches and keys. */

import { assert, assertEquals } from "@std/assert";
import { OTHER_TOKENS } from "../support/access.ts";
import { ids, type ListParameters, page } from "./pages.ts";
import {
  as,
  assertProblem,
  createUser,
  jsonRequest,
  newKey,
  type SendRequest,
  uniqueEmail,
  type UserDocument,
  type UsersCase,
} from "./requests.ts";

const acmeOf = (request: SendRequest) => as(request, OTHER_TOKENS.acme);
const globexOf = (request: SendRequest) => as(request, OTHER_TOKENS.globex);

export const tenantCases: readonly UsersCase[] = [
  {
    name: "filters find no user of another tenant, and answer as for one that does not exist",
    async run(request) {
      const [acme, globex] = [acmeOf(request), globexOf(request)];
      const name = `Zoë ${crypto.randomUUID()}`;
      const theirs = await createUser(acme, name);
      const filters: ListParameters[] = [
        { email: theirs.email },
        { email: theirs.email.toUpperCase() },
        { namePrefix: name },
        { namePrefix: name.slice(0, 9) },
      ];
      for (const filter of filters) {
        const what = JSON.stringify(filter);
        assertEquals(ids((await page(acme, filter)).users), [theirs.id], what);
        for (const send of [request, globex]) {
          assertEquals(await page(send, filter), { users: [], next: null }, what);
        }
      }
      // The same address and name in both: each finds its own.
      const own = await globex("/users", jsonRequest("POST", { email: theirs.email, name }));
      const { id } = await own.json();
      for (const filter of filters) {
        assertEquals(ids((await page(acme, filter)).users), [theirs.id]);
        assertEquals(ids((await page(globex, filter)).users), [id]);
      }
    },
  },
  {
    name: "a cursor of one tenant's list shows another tenant its own users only",
    async run(request) {
      const [acme, globex] = [acmeOf(request), globexOf(request)];
      for (let index = 0; index < 3; index++) await createUser(acme, `Page ${index}`);
      const mine = await createUser(globex, "Page 9");
      for (const namePrefix of [null, "Page"]) {
        const { next: cursor } = await page(acme, { limit: 1, namePrefix });
        assert(cursor !== null);
        const taken = await page(globex, { limit: 200, cursor, namePrefix });
        const all = await page(globex, { limit: 200, namePrefix });
        const own = new Set(ids(all.users));
        assert(own.has(mine.id));
        assertEquals(taken.users.filter(({ id }) => !own.has(id)), []);
      }
    },
  },
  {
    name: "a batch takes addresses that other tenants have, and tells nothing of them",
    async run(request) {
      const [acme, globex] = [acmeOf(request), globexOf(request)];
      const theirs = [await createUser(globex), await createUser(globex)];
      const own = await createUser(acme);
      const users = [...theirs.map(({ email }) => email), own.email, uniqueEmail()]
        .map((email) => ({ email, name: "Ada" }));
      const response = await acme("/users:batch", jsonRequest("POST", { users }));
      const { results }: { results: { status: string }[] } = await response.json();
      assertEquals(
        results.map(({ status }) => status),
        ["created", "created", "conflict", "created"],
      );
      for (const { id, email } of theirs) {
        assertEquals(ids((await page(globex, { email })).users), [id]);
      }
    },
  },
  {
    name: "an Idempotency-Key belongs to its tenant",
    async run(request) {
      const key = newKey();
      const [acme, globex] = [acmeOf(request), globexOf(request)];
      const email = uniqueEmail();
      const post = (send: SendRequest, name: string) =>
        send("/users", jsonRequest("POST", { email, name }, key));
      const first: UserDocument = await (await post(acme, "Ada")).json();
      // Another body under the same key would be refused, and the same one answered again, within one tenant.
      const other = await post(globex, "Grace");
      assertEquals(other.status, 201);
      const second: UserDocument = await other.json();
      assert(first.id !== second.id);
      assertEquals([first.name, second.name], ["Ada", "Grace"]);
      assertEquals((await (await post(acme, "Ada")).json()).id, first.id);
      assertEquals((await (await post(globex, "Grace")).json()).id, second.id);
      const absent = await request(`/users/${first.id}`);
      await assertProblem(absent, 404, "user-not-found");
    },
  },
];
