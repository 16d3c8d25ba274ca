/** Who may send requests, and whose users they reach: the same on Deno, on Workers and in a Durable Object. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ANONYMOUS, OTHER_TOKENS, SCOPED_TOKENS } from "../support/access.ts";
import { TOKEN } from "../support/token.ts";
import { allPages, ids, page } from "./pages.ts";
import {
  ABSENT_ID,
  as,
  assertProblem,
  createUser,
  jsonRequest,
  type SendRequest,
  uniqueEmail,
  type UserDocument,
  type UsersCase,
} from "./requests.ts";

const REALM = 'Bearer realm="user-service"';

const NEW_USER = { email: "x@example.com", name: "X" };

/** Every route that is not public, with the scope that it asks for. */
const ROUTES: readonly (readonly ["users:read" | "users:write", string, RequestInit])[] = [
  ["users:read", "/users", {}],
  ["users:read", "/users?limit=1", { method: "HEAD" }],
  ["users:read", `/users/${ABSENT_ID}`, {}],
  ["users:read", `/users/${ABSENT_ID}/activity`, {}],
  ["users:write", "/users", jsonRequest("POST", NEW_USER)],
  ["users:write", `/users/${ABSENT_ID}`, jsonRequest("PATCH", { name: "X" })],
  ["users:write", `/users/${ABSENT_ID}`, { method: "DELETE" }],
];

/** What differs between two answers to different tenants, beside what differs between any two answers. */
async function comparable(response: Response): Promise<unknown> {
  const headers = Object.fromEntries(response.headers);
  delete headers["x-request-id"];
  delete headers["date"];
  const text = await response.text();
  return [response.status, headers, text.replace(/"requestId":"[^"]*"/, "")];
}

export const accessCases: readonly UsersCase[] = [
  {
    name: "a request without a token is answered 401 on every route but the public ones",
    async run(request) {
      for (const [, path, init] of ROUTES) {
        const headers = { ...Object.fromEntries(new Headers(init.headers)), ...ANONYMOUS };
        const response = await request(path, { ...init, headers });
        assertEquals(response.headers.get("WWW-Authenticate"), REALM, path);
        if (init.method === "HEAD") assertEquals(response.status, 401);
        else await assertProblem(response, 401, "token-missing");
      }
      for (const path of ["/nowhere", "/users/1/2"]) {
        await assertProblem(await request(path, { headers: ANONYMOUS }), 401, "token-missing");
      }
      for (const path of ["/healthz", "/readyz"]) {
        const response = await request(path, { headers: ANONYMOUS });
        await response.body?.cancel();
        assertEquals(response.status, 200, path);
      }
    },
  },
  {
    name: "the header Authorization is read as RFC 6750 and RFC 9110 have it",
    async run(request) {
      const answerTo = (Authorization: string) => request("/users", { headers: { Authorization } });
      for (const scheme of ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "]) {
        const response = await answerTo(`${scheme} ${TOKEN}`);
        await response.body?.cancel();
        assertEquals(response.status, 200, scheme);
      }
      for (const value of ["Basic eDp5", TOKEN, "Token x", "Bearerx y", `Basic Bearer ${TOKEN}`]) {
        const response = await answerTo(value);
        assertEquals(response.headers.get("WWW-Authenticate"), REALM, value);
        await assertProblem(response, 401, "token-missing");
      }
      const malformed = [
        "Bearer",
        "Bearer x y",
        `Bearer ${TOKEN}, Bearer ${TOKEN}`,
        `Bearer ${TOKEN},`,
        "Bearer =",
        "Bearer a=b",
        `Bearer "${TOKEN}"`,
        "Bearer x\ty",
        "Bearer é",
        `Bearer ${"x".repeat(8_193)}`,
      ];
      for (const value of malformed) {
        const response = await answerTo(value);
        assertEquals(
          response.headers.get("WWW-Authenticate"),
          `${REALM}, error="invalid_request"`,
          value.slice(0, 60),
        );
        const { errors, detail } = await assertProblem(response, 400, "malformed-request");
        assertEquals(errors?.[0]?.header, "Authorization");
        assert(detail.length < 300 && !detail.includes(TOKEN), detail);
      }
    },
  },
  {
    name: "a token that the service does not know is answered 401, however near it is to one",
    async run(request) {
      const near = [`${TOKEN}x`, TOKEN.slice(0, -1), TOKEN.toUpperCase(), `${TOKEN}=`, "x"];
      for (const token of [...near, "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "x".repeat(8_192)]) {
        const response = await as(request, token)("/users");
        assertEquals(
          response.headers.get("WWW-Authenticate"),
          `${REALM}, error="invalid_token"`,
        );
        const { detail } = await assertProblem(response, 401, "token-invalid");
        assert(!detail.includes(token) || token === "x", detail);
      }
    },
  },
  {
    name: "a token without the scope of a route is answered 403, before anything else is read",
    async run(request) {
      for (const [scope, path, init] of ROUTES) {
        for (const [own, token] of Object.entries(SCOPED_TOKENS)) {
          if (own === scope) continue;
          const broken = init.body === undefined ? init : { ...init, body: "{" };
          const response = await as(request, token)(path, broken);
          assertEquals(
            response.headers.get("WWW-Authenticate"),
            `${REALM}, error="insufficient_scope", scope="${scope}"`,
          );
          if (init.method === "HEAD") assertEquals(response.status, 403);
          else {
            const { detail } = await assertProblem(response, 403, "insufficient-scope");
            assertStringIncludes(detail, scope);
          }
        }
      }
      const reading = await as(request, SCOPED_TOKENS["users:read"])("/users?limit=1");
      await reading.body?.cancel();
      assertEquals(reading.status, 200);
      const user = { email: uniqueEmail(), name: "Ada" };
      const writing = as(request, SCOPED_TOKENS["users:write"]);
      const created = await writing("/users", jsonRequest("POST", user));
      const { id } = await created.json();
      const deleted = await writing(`/users/${id}`, { method: "DELETE" });
      assertEquals([created.status, deleted.status], [201, 204]);
    },
  },
  {
    name: "another tenant's user is answered as one that does not exist, by every route",
    async run(request) {
      const acme = as(request, OTHER_TOKENS.acme);
      const globex = as(request, OTHER_TOKENS.globex);
      const { id } = await createUser(acme);
      const patch = jsonRequest("PATCH", { name: "Eve" });
      const ifMatch = (init: RequestInit, tag: string): RequestInit => ({
        ...init,
        headers: { ...init.headers as Record<string, string>, "If-Match": tag },
      });
      const attempts: readonly (readonly [path: string, init: RequestInit])[] = [
        ["", {}],
        ["", { method: "HEAD" }],
        ["", { headers: { "If-None-Match": '"1"' } }],
        ["", patch],
        ["", ifMatch(patch, '"1"')],
        ["", ifMatch(patch, '"9"')],
        ["", ifMatch(patch, "*")],
        ["", jsonRequest("PATCH", { email: uniqueEmail() })],
        ["", { method: "DELETE" }],
        ["", ifMatch({ method: "DELETE" }, '"1"')],
        ["", ifMatch({ method: "DELETE" }, '"9"')],
        ["/activity", {}],
        ["/activity?after=0&limit=1", {}],
      ];
      for (const other of [request, globex]) {
        for (const [path, init] of attempts) {
          const of = async (id: string) =>
            await comparable(await other(`/users/${id}${path}`, init));
          const answer = await of(id);
          assertEquals(answer, await of(ABSENT_ID), JSON.stringify([path, init]));
          assertEquals((answer as unknown[])[0], 404);
        }
      }
      const own = await acme(`/users/${id}`);
      assertEquals((await own.json()).version, 1, "nothing was changed");
    },
  },
  {
    name: "an e-mail address is unique within its tenant only",
    async run(request) {
      const acme = as(request, OTHER_TOKENS.acme);
      const globex = as(request, OTHER_TOKENS.globex);
      const email = uniqueEmail();
      const create = (send: SendRequest) =>
        send("/users", jsonRequest("POST", { email, name: "Ada" }));
      const users: UserDocument[] = [];
      for (const send of [request, acme, globex]) {
        const response = await create(send);
        assertEquals(response.status, 201);
        users.push(await response.json());
        await assertProblem(await create(send), 409, "email-taken");
      }
      const { id } = await createUser(acme);
      const other = await createUser(globex);
      const toOthers = await acme(`/users/${id}`, jsonRequest("PATCH", { email: other.email }));
      assertEquals((await toOthers.json()).email, other.email);
      const toOwn = await acme(`/users/${id}`, jsonRequest("PATCH", { email }));
      await assertProblem(toOwn, 409, "email-taken");
      // Of two tenants at once, none waits for the other or fails by it.
      const both = { email: uniqueEmail(), name: "Ada" };
      const answers = await Promise.all(
        [acme, globex].map((send) => send("/users", jsonRequest("POST", both))),
      );
      await Promise.all(answers.map((answer) => answer.body?.cancel()));
      assertEquals(answers.map(({ status }) => status), [201, 201]);
    },
  },
  {
    name: "a list has the users of its tenant only, from every cursor on",
    async run(request) {
      const acme = as(request, OTHER_TOKENS.acme);
      const made = { default: new Set<string>(), acme: new Set<string>() };
      for (let index = 0; index < 4; index++) {
        made.default.add((await createUser(request)).id);
        made.acme.add((await createUser(acme)).id);
      }
      for (
        const [send, own, others] of [
          [request, made.default, made.acme],
          [acme, made.acme, made.default],
        ] as const
      ) {
        const seen = ids(await allPages(send, { limit: 200 }));
        assertEquals(seen.filter((id) => others.has(id)), []);
        assertEquals(new Set(seen).intersection(own), own);
        const { next: cursor } = await page(send, { limit: 1 });
        assert(cursor !== null);
        const other = send === request ? acme : request;
        const { users } = await page(other, { limit: 200, cursor });
        assertEquals(users.filter(({ id }) => own.has(id)), []);
      }
    },
  },
];
