/** Cases of `Idempotency-Key` that use HTTP alone: the same cases run on Deno, on Workers and in a Durable Object. */

import { assert, assertEquals } from "@std/assert";
import { allPages } from "./pages.ts";
import {
  assertProblem,
  createUser,
  jsonRequest,
  newKey,
  type SendRequest,
  uniqueEmail,
  type UserDocument,
  type UsersCase,
} from "./requests.ts";

/** What must be the same in each answer to a key. A problem names the request that it answers. */
export async function essenceOf(response: Response) {
  const text = await response.text();
  const { requestId: _, ...document } = JSON.parse(text);
  const [status, type, tag, location] = [
    response.status,
    ...["Content-Type", "ETag", "Location"].map((name) => response.headers.get(name)),
  ];
  return { status, type, tag, location, document };
}

export function isReplayed({ headers }: Response): boolean {
  return headers.get("Idempotent-Replayed") === "true";
}

async function usersNamed(request: SendRequest, name: string): Promise<UserDocument[]> {
  const all = await allPages(request, { limit: 200 });
  return all.filter((user) => user.name === name);
}

/** 100 requests, 5 at once: on Workers, each has connections of its own. `idempotency_test.ts` sends 100 at once. */
async function inWaves<T>(send: () => Promise<T>): Promise<T[]> {
  const answers: T[] = [];
  while (answers.length < 100) {
    answers.push(...await Promise.all(Array.from({ length: 5 }, send)));
  }
  return answers;
}

export const idempotencyCases: readonly UsersCase[] = [
  {
    name: "a POST that is repeated with its key gets the first answer again, and changes nothing",
    async run(request) {
      const name = `O'Brien "x" \\ \u{1F600} ${crypto.randomUUID()}`;
      const init = jsonRequest("POST", { email: uniqueEmail(), name }, newKey());
      const first = await request("/users", init);
      const again = await request("/users", init);
      assertEquals([isReplayed(first), isReplayed(again)], [false, true]);
      const answer = await essenceOf(first);
      assertEquals([answer.status, answer.tag], [201, '"1"']);
      assertEquals(answer.location, `/users/${answer.document.id}`);
      assertEquals(answer.document.name, name);
      assertEquals(await essenceOf(again), answer);
      assertEquals(await usersNamed(request, name), [answer.document]);
    },
  },
  {
    name: "100 POSTs with one key store one user and get 100 equal answers",
    async run(request) {
      const name = `Ada ${crypto.randomUUID()}`;
      const init = jsonRequest("POST", { email: uniqueEmail(), name }, newKey());
      const responses = await inWaves(() => request("/users", init));
      const firsts = responses.filter((response) => !isReplayed(response)).length;
      const [answer, ...others] = await Promise.all(responses.map(essenceOf));
      assertEquals(answer!.status, 201, JSON.stringify(answer));
      for (const other of others) assertEquals(other, answer);
      assertEquals(firsts, 1);
      assertEquals(await usersNamed(request, name), [answer!.document]);
    },
  },
  {
    name: "a key is refused with 422 for another body, address, method or If-Match",
    async run(request) {
      const [ada, eve] = [await createUser(request), await createUser(request, "Eve")];
      const key = newKey();
      const body = { name: "Grace" };
      const first = await request(`/users/${ada.id}`, jsonRequest("PATCH", body, key));
      assertEquals([first.status, (await first.json()).version], [200, 2]);
      const others: [string, RequestInit][] = [
        [`/users/${ada.id}`, jsonRequest("PATCH", { name: "Eve" }, key)],
        [`/users/${eve.id}`, jsonRequest("PATCH", body, key)],
        [`/users/${ada.id}`, jsonRequest("PATCH", body, { ...key, "If-Match": '"2"' })],
        ["/users", jsonRequest("POST", { email: uniqueEmail(), name: "Grace" }, key)],
      ];
      for (const [path, init] of others) {
        await assertProblem(await request(path, init), 422, "idempotency-key-reused");
      }
      assertEquals((await (await request(`/users/${ada.id}`)).json()).version, 2);
      assertEquals(await (await request(`/users/${eve.id}`)).json(), eve);
    },
  },
  {
    name: "a request is the same with other white space and another order of members",
    async run(request) {
      const [email, name] = [uniqueEmail(), "Ada"];
      const init = jsonRequest("POST", { email, name }, newKey());
      const first = await essenceOf(await request("/users", init));
      const body = `{ "name": "${name}",\n "email": "${email}" }`;
      const again = await request("/users", { ...init, body });
      assert(isReplayed(again));
      assertEquals(await essenceOf(again), first);
    },
  },
  {
    name: "a PATCH with If-Match that is repeated with its key gets the first answer, not 412",
    async run(request) {
      const { id } = await createUser(request);
      const headers = { ...newKey(), "If-Match": '"1"' };
      const init = jsonRequest("PATCH", { name: "Grace" }, headers);
      const first = await essenceOf(await request(`/users/${id}`, init));
      assertEquals([first.status, first.tag], [200, '"2"']);
      const later = await request(`/users/${id}`, jsonRequest("PATCH", { name: "Ada" }));
      assertEquals((await later.json()).version, 3);
      assertEquals(await essenceOf(await request(`/users/${id}`, init)), first);
      assertEquals((await (await request(`/users/${id}`)).json()).name, "Ada");
    },
  },
  {
    name: "the first answer comes again after the user was deleted",
    async run(request) {
      const post = jsonRequest("POST", { email: uniqueEmail(), name: "Ada" }, newKey());
      const created = await essenceOf(await request("/users", post));
      const path = created.location!;
      const patch = jsonRequest("PATCH", { name: "Grace" }, newKey());
      const changed = await essenceOf(await request(path, patch));
      await (await request(path, { method: "DELETE" })).body?.cancel();
      assertEquals(await essenceOf(await request("/users", post)), created);
      assertEquals(await essenceOf(await request(path, patch)), changed);
      await assertProblem(await request(path), 404, "user-not-found");
    },
  },
  {
    name: "a refusal comes again, although the request would succeed by now",
    async run(request) {
      const ada = await createUser(request);
      const eve = await createUser(request, "Eve");
      const refused: [string, RequestInit, number][] = [
        ["/users", jsonRequest("POST", { email: ada.email, name: "Eve" }, newKey()), 409],
        [`/users/${eve.id}`, jsonRequest("PATCH", { email: ada.email }, newKey()), 409],
        [
          `/users/${eve.id}`,
          jsonRequest("PATCH", { name: "Eva" }, { ...newKey(), "If-Match": '"2"' }),
          412,
        ],
        [`/users/${crypto.randomUUID()}`, jsonRequest("PATCH", { name: "Eva" }, newKey()), 404],
      ];
      const answers = [];
      for (const [path, init, status] of refused) {
        const response = await request(path, init);
        assert(!isReplayed(response));
        answers.push(await essenceOf(response));
        assertEquals(answers.at(-1)!.status, status);
      }
      assertEquals(answers[2]!.tag, '"1"');
      await (await request(`/users/${ada.id}`, { method: "DELETE" })).body?.cancel();
      const changed = await request(`/users/${eve.id}`, jsonRequest("PATCH", { name: "Eva" }));
      assertEquals((await changed.json()).version, 2);
      for (const [index, [path, init]] of refused.entries()) {
        const response = await request(path, init);
        assert(isReplayed(response), path);
        assertEquals(await essenceOf(response), answers[index]);
      }
    },
  },
  {
    name: "a batch of 1,000 that is repeated with its key gets the first answer again",
    async run(request) {
      const taken = (await createUser(request)).email;
      const users = Array.from({ length: 1_000 }, (_, index) => ({
        email: index === 1 ? taken : uniqueEmail(),
        name: index === 2 ? "" : `Ada ${index}`,
      }));
      const init = jsonRequest("POST", { users: [...users.slice(0, 999), users[0]] }, newKey());
      const first = await request("/users:batch", init);
      assert(!isReplayed(first));
      const answer = await essenceOf(first);
      const { results } = answer.document;
      assertEquals(results.slice(0, 4).map(({ status }: { status: string }) => status), [
        "created",
        "conflict",
        "invalid",
        "created",
      ]);
      assertEquals([results.length, results[999].status], [1_000, "conflict"]);
      const again = await request("/users:batch", init);
      assert(isReplayed(again));
      assertEquals(await essenceOf(again), answer);
    },
  },
  {
    name: "a batch whose items have their members in another order is the same batch",
    async run(request) {
      const key = newKey();
      const email = uniqueEmail();
      const first = await request(
        "/users:batch",
        jsonRequest("POST", { users: [{ email, name: "Ada" }] }, key),
      );
      const again = await request(
        "/users:batch",
        jsonRequest("POST", { users: [{ name: "Ada", email }] }, key),
      );
      assertEquals([isReplayed(first), isReplayed(again)], [false, true]);
      assertEquals(await essenceOf(again), await essenceOf(first));
    },
  },
  {
    name:
      "a batch with a key may have an item that is nested deeper than JSON.stringify can follow",
    async run(request) {
      // Of members whose names are numbers, which V8 writes by recursion.
      const deep = `${'{"0":'.repeat(10_000)}1${"}".repeat(10_000)}`;
      for (const item of [deep, `{"email":${deep},"name":"Ada"}`]) {
        const response = await request("/users:batch", {
          ...jsonRequest("POST", {}, newKey()),
          body: `{"users":[${item}]}`,
        });
        const { results } = await response.json();
        assertEquals([response.status, results?.[0]?.status], [200, "invalid"]);
      }
    },
  },
  {
    name: "100 POSTs with one key and a taken address get 100 equal refusals",
    async run(request) {
      const { email } = await createUser(request);
      const init = jsonRequest("POST", { email, name: "Eve" }, newKey());
      const answers = await inWaves(async () => essenceOf(await request("/users", init)));
      assertEquals(answers[0]!.status, 409);
      for (const answer of answers) assertEquals(answer, answers[0]);
    },
  },
  {
    name: "a request that is refused before it is run does not use up its key",
    async run(request) {
      const key = newKey();
      const invalid = await request("/users", jsonRequest("POST", { name: "Ada" }, key));
      await assertProblem(invalid, 422, "invalid-body");
      const valid = jsonRequest("POST", { email: uniqueEmail(), name: "Ada" }, key);
      const response = await request("/users", valid);
      assert(!isReplayed(response));
      assertEquals((await essenceOf(response)).status, 201);
    },
  },
  {
    name: "a key of any characters that a structured field's string can have is taken",
    async run(request) {
      const longest = "x".repeat(255);
      const printable = String.fromCharCode(...Array.from({ length: 95 }, (_, at) => 32 + at));
      const suffix = crypto.randomUUID();
      for (const key of [suffix, `${longest.slice(suffix.length)}${suffix}`, printable + suffix]) {
        const init = jsonRequest("POST", { email: uniqueEmail(), name: "Ada" }, {
          "Idempotency-Key": `"${key.replaceAll(/["\\]/g, "\\$&")}"`,
        });
        const first = await essenceOf(await request("/users", init));
        assertEquals(first.status, 201);
        assertEquals(await essenceOf(await request("/users", init)), first);
      }
    },
  },
  {
    name:
      "a malformed, empty, overlong or repeated key is refused with 400, and nothing is changed",
    async run(request) {
      const email = uniqueEmail();
      const bad = [
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
        "",
        '""',
        `"${"x".repeat(256)}"`,
        '"é"',
        '"a"b"',
        '"a\\b"',
        '"a',
        '"a"; b=1',
        '"a", "b"',
        "'a'",
        ":YQ==:",
      ];
      for (const key of bad) {
        const init = jsonRequest("POST", { email, name: "Ada" }, { "Idempotency-Key": key });
        const { errors } = await assertProblem(
          await request("/users", init),
          400,
          "malformed-request",
        );
        assertEquals(errors?.[0]?.header, "Idempotency-Key", key);
      }
      const init = jsonRequest("POST", { email, name: "Ada" });
      assertEquals((await essenceOf(await request("/users", init))).status, 201);
    },
  },
];
