/** Cases of `POST /users:batch`, which use HTTP alone: the same cases run on Deno, on Workers and in a Durable Object. */

import { assert, assertEquals } from "@std/assert";
import {
  assertProblem,
  createUser,
  jsonRequest,
  type SendRequest,
  uniqueEmail,
  type UserDocument,
  type UsersCase,
} from "./requests.ts";

interface Result {
  readonly status: "created" | "conflict" | "invalid";
  readonly user?: UserDocument;
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
}

async function batch(request: SendRequest, users: readonly unknown[]): Promise<Result[]> {
  const response = await request("/users:batch", jsonRequest("POST", { users }));
  const text = await response.text();
  assertEquals(response.status, 200, text.slice(0, 500));
  const { results } = JSON.parse(text);
  assertEquals(results.length, users.length);
  return results;
}

const newUsers = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ email: uniqueEmail(), name: `Ada ${index}` }));

export const usersBatchCases: readonly UsersCase[] = [
  {
    name: "POST /users:batch creates the valid users, and tells in their order what became of each",
    async run(request) {
      const taken = await createUser(request);
      const [one, two] = newUsers(2);
      const results = await batch(request, [
        one,
        { email: taken.email.toUpperCase(), name: "Eve" },
        { email: "x", name: "" },
        two,
        { ...one!, name: "Twin" },
        null,
        [],
        { ...two, admin: true },
      ]);
      assertEquals(results.map(({ status }) => status), [
        "created",
        "conflict",
        "invalid",
        "created",
        "conflict",
        "invalid",
        "invalid",
        "invalid",
      ]);
      assertEquals(results.map(({ errors = [] }) => errors.map(({ pointer }) => pointer)), [
        [],
        ["/users/1/email"],
        ["/users/2/email", "/users/2/name"],
        [],
        ["/users/4/email"],
        ["/users/5"],
        ["/users/6"],
        ["/users/7/admin"],
      ]);
      for (const [index, user] of [[0, one], [3, two]] as const) {
        const created = results[index]!.user!;
        assertEquals([created.email, created.name, created.version], [user!.email, user!.name, 1]);
        assertEquals(await (await request(`/users/${created.id}`)).json(), created);
      }
    },
  },
  {
    name: "POST /users:batch takes 1,000 users, and creates none of them twice",
    async run(request) {
      const users = newUsers(1_000);
      const first = await batch(request, users);
      assertEquals(new Set(first.map(({ status }) => status)), new Set(["created"]));
      assertEquals(new Set(first.map(({ user }) => user?.id)).size, 1_000);
      assertEquals(first.map(({ user }) => user?.email), users.map(({ email }) => email));
      const second = await batch(request, users);
      assertEquals(new Set(second.map(({ status }) => status)), new Set(["conflict"]));
    },
  },
  {
    name:
      "POST /users:batch takes 1,000 users of the greatest size, also with all characters escaped",
    async run(request) {
      const users = Array.from({ length: 1_000 }, () => {
        const email = `${uniqueEmail().replace("@example.com", "x".repeat(28))}@${
          ["d".repeat(63), "e".repeat(63), "f".repeat(61)].join(".")
        }`;
        assertEquals(email.length, 254);
        return { email, name: "\u{1F600}".repeat(200) };
      });
      const body = JSON.stringify({ users }).replaceAll("\u{1F600}", "\\ud83d\\ude00")
        .replaceAll("x", "\\u0078").replaceAll("d", "\\u0064").replaceAll("\\u0064", "d");
      const response = await request("/users:batch", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
      });
      assertEquals(response.status, 200);
      const { results }: { results: Result[] } = await response.json();
      assertEquals(new Set(results.map(({ status }) => status)), new Set(["created"]));
      assertEquals(results.at(-1)?.user?.email, users.at(-1)?.email);
    },
  },
  {
    name: "of concurrent POST /users:batch with the same users in other orders, one creates each",
    async run(request) {
      const users = newUsers(50);
      const all = await Promise.all(
        [users, users.toReversed(), [...users.slice(25), ...users.slice(0, 25)]]
          .map((each) => batch(request, each)),
      );
      const created = all.flat().flatMap(({ user }) => user === undefined ? [] : [user.email]);
      assertEquals(created.sort(), users.map(({ email }) => email).sort());
    },
  },
  {
    name: "POST /users:batch refuses a body that is no batch, and creates nothing",
    async run(request) {
      const [user] = newUsers(1);
      const bodies: readonly [body: unknown, pointer: string][] = [
        [{}, "/users"],
        [{ users: [] }, "/users"],
        [{ users: {} }, "/users"],
        [{ users: null }, "/users"],
        [{ users: Array.from({ length: 1_001 }, () => user) }, "/users"],
        [{ users: [user], atomic: true }, "/atomic"],
        [[user], ""],
        [null, ""],
      ];
      for (const [body, pointer] of bodies) {
        const response = await request("/users:batch", jsonRequest("POST", body));
        const { errors } = await assertProblem(response, 422, "invalid-body");
        assertEquals(errors?.map((error) => error.pointer), [pointer]);
        assert((errors?.[0]?.detail.length ?? 0) < 300);
      }
      const [result] = await batch(request, [user]);
      assertEquals(result?.status, "created");
    },
  },
  {
    name: "POST /users:batch answers 413 above its own limit, and 400 for JSON made of brackets",
    async run(request) {
      const send = (body: string) =>
        request("/users:batch", {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body,
        });
      const [user] = newUsers(1);
      const valid = JSON.stringify({ users: [user] });
      const limit = 1_001 * 4_096;
      assertEquals((await send(valid.padEnd(limit))).status, 200);
      await assertProblem(await send(valid.padEnd(limit + 1)), 413, "body-too-large");
      const deep = `${"[".repeat(400_000)}${"]".repeat(400_000)}`;
      await assertProblem(await send(`{"users":${deep}}`), 400, "malformed-request");
      await assertProblem(await send(deep.slice(1)), 400, "malformed-request");
    },
  },
  {
    name: "/users:batch answers 405 and OPTIONS with its method",
    async run(request) {
      for (const method of ["GET", "HEAD", "PATCH", "DELETE", "PUT"]) {
        const response = await request("/users:batch", { method });
        await response.body?.cancel();
        assertEquals([response.status, response.headers.get("Allow")], [405, "POST"], method);
      }
      const response = await request("/users:batch", { method: "OPTIONS" });
      assertEquals([response.status, response.headers.get("Allow")], [204, "POST"]);
    },
  },
];
