/** That a tenant's token tells nothing of another's users, by filters, cursors, batches and keys. */

import { assert, assertEquals } from "@std/assert";
import { OTHER_TOKENS } from "../support/access.ts";
import { as } from "./access_cases.ts";
import {
  assertProblem,
  createUser,
  jsonRequest,
  type SendRequest,
  uniqueEmail,
  type UserDocument,
  type UsersCase,
} from "./requests.ts";

interface Page {
  readonly users: readonly UserDocument[];
  readonly next: string | null;
}

const acmeOf = (request: SendRequest) => as(request, OTHER_TOKENS.acme);
const globexOf = (request: SendRequest) => as(request, OTHER_TOKENS.globex);

async function pageOf(send: SendRequest, query: string): Promise<Page> {
  const response = await send(`/users?${query}`);
  assertEquals(response.status, 200, query);
  return await response.json();
}

export const tenantCases: readonly UsersCase[] = [
  {
    name: "filters find no user of another tenant, and answer as for one that never was",
    async run(request) {
      const [acme, globex] = [acmeOf(request), globexOf(request)];
      const name = `Zoë ${crypto.randomUUID()}`;
      const theirs = await createUser(acme, name);
      const filters = [
        `email=${encodeURIComponent(theirs.email)}`,
        `email=${encodeURIComponent(theirs.email.toUpperCase())}`,
        `namePrefix=${encodeURIComponent(name)}`,
        `namePrefix=${encodeURIComponent(name.slice(0, 9))}`,
      ];
      for (const filter of filters) {
        assertEquals((await pageOf(acme, filter)).users.map(({ id }) => id), [theirs.id], filter);
        for (const send of [request, globex]) {
          const response = await send(`/users?${filter}`);
          assertEquals(await response.json(), { users: [], next: null }, filter);
        }
      }
      // The same address and name in both: each finds its own.
      const own = await globex("/users", jsonRequest("POST", { email: theirs.email, name }));
      const { id } = await own.json();
      for (const filter of filters) {
        assertEquals((await pageOf(acme, filter)).users.map(({ id }) => id), [theirs.id]);
        assertEquals((await pageOf(globex, filter)).users.map((user) => user.id), [id]);
      }
    },
  },
  {
    name: "a cursor of one tenant's list shows another tenant its own users only",
    async run(request) {
      const [acme, globex] = [acmeOf(request), globexOf(request)];
      for (let index = 0; index < 3; index++) await createUser(acme, `Page ${index}`);
      const mine = await createUser(globex, "Page 9");
      for (const filter of ["", "&namePrefix=Page"]) {
        const { next } = await pageOf(acme, `limit=1${filter}`);
        assert(next !== null);
        const taken = await pageOf(globex, `limit=200&cursor=${encodeURIComponent(next)}${filter}`);
        const all = await pageOf(globex, `limit=200${filter}`);
        const own = new Set(all.users.map(({ id }) => id));
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
        const found = await pageOf(globex, `email=${encodeURIComponent(email)}`);
        assertEquals(found.users.map((user) => user.id), [id]);
      }
    },
  },
  {
    name: "an Idempotency-Key belongs to its tenant",
    async run(request) {
      const key = { "Idempotency-Key": `"${crypto.randomUUID()}"` };
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
