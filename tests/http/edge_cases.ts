/** What every response has, whatever its route: protective headers, HEAD, OPTIONS, and headers for pages of other origins. */

import { assert, assertEquals } from "@std/assert";
import {
  ABSENT_ID,
  assertProblem,
  createUser,
  jsonRequest,
  type SendRequest,
  uniqueEmail,
  type UsersCase,
} from "./requests.ts";

/** `CORS_ORIGINS` of the services under test. */
export const CORS_ORIGINS = "https://app.example, http://localhost:5173";

const ORIGIN = "https://app.example";

/** Every address, with the methods that it supports. */
const ALLOWED: Readonly<Record<string, string>> = {
  "/users": "GET, HEAD, POST",
  [`/users/${ABSENT_ID}`]: "GET, HEAD, PATCH, DELETE",
  [`/users/${ABSENT_ID}/activity`]: "GET, HEAD",
  "/healthz": "GET, HEAD",
  "/readyz": "GET, HEAD",
  "/openapi.json": "GET, HEAD",
  "/docs": "GET, HEAD",
  "/problems": "GET, HEAD",
  "/problems/internal": "GET, HEAD",
};

async function headersOf(
  request: SendRequest,
  path: string,
  init?: RequestInit,
): Promise<Headers> {
  const response = await request(path, init);
  await response.body?.cancel();
  return response.headers;
}

/** Some of each kind of response. */
async function someAnswers(
  request: SendRequest,
  init: { headers?: Record<string, string> } = {},
): Promise<Record<string, Headers>> {
  const { id } = await createUser(request);
  const of = (path: string, own: RequestInit = {}) =>
    headersOf(request, path, { ...own, headers: { ...init.headers, ...own.headers as object } });
  return {
    user: await of(`/users/${id}`),
    "head of a user": await of(`/users/${id}`, { method: "HEAD" }),
    users: await of("/users?limit=1"),
    created: await of("/users", jsonRequest("POST", { email: uniqueEmail(), name: "Ada" })),
    options: await of("/users", { method: "OPTIONS" }),
    "bad input": await of("/users", jsonRequest("POST", {})),
    "no such user": await of(`/users/${ABSENT_ID}`),
    "no such address": await of("/nowhere"),
    "no such method": await of("/users", { method: "PUT" }),
    alive: await of("/healthz"),
    deleted: await of(`/users/${id}`, { method: "DELETE" }),
  };
}

export const edgeCases: readonly UsersCase[] = [
  {
    name: "every answer of the API is kept out of caches, frames and other origins' pages",
    async run(request) {
      for (const [name, headers] of Object.entries(await someAnswers(request))) {
        assertEquals(headers.get("Cache-Control"), "no-store", name);
        assertEquals(headers.get("X-Content-Type-Options"), "nosniff", name);
        assertEquals(
          headers.get("Content-Security-Policy"),
          "default-src 'none'; frame-ancestors 'none'",
          name,
        );
        assertEquals(headers.get("Cross-Origin-Resource-Policy"), "same-origin", name);
        assert(headers.has("X-Request-Id"), name);
        assertEquals(headers.get("Strict-Transport-Security"), null, name);
      }
    },
  },
  {
    name: "a client that has used TLS is told to go on using it",
    async run(request) {
      const headers = { "X-Forwarded-Proto": "https" };
      for (const [name, answer] of Object.entries(await someAnswers(request, { headers }))) {
        assertEquals(answer.get("Strict-Transport-Security"), "max-age=15552000", name);
      }
    },
  },
  {
    name: "HEAD answers each address as GET does, without a body",
    async run(request) {
      const { id } = await createUser(request);
      // The answer to HEAD may leave out what only the content shows. The rest differs with each answer.
      const varying = new Set(["content-length", "transfer-encoding", "date", "x-request-id"]);
      const lasting = (headers: Headers) => [...headers].filter(([name]) => !varying.has(name));
      for (
        const path of [
          ...Object.keys(ALLOWED),
          `/users/${id}`,
          `/users/${id}/activity`,
          "/users/1",
          "/users?limit=0",
          "/nowhere",
          "/problems/nothing",
        ]
      ) {
        const get = await request(path);
        const length = (await get.bytes()).length;
        const head = await request(path, { method: "HEAD" });
        assertEquals(head.status, get.status, path);
        assertEquals((await head.bytes()).length, 0, path);
        assertEquals(lasting(head.headers), lasting(get.headers), path);
        const claimed = head.headers.get("Content-Length");
        assert(claimed === null || Number(claimed) === length, `${path} claims ${claimed}`);
      }
    },
  },
  {
    name: "OPTIONS tells the methods of each address, and has no body",
    async run(request) {
      for (const [path, allow] of Object.entries(ALLOWED)) {
        for (const headers of [{}, { Origin: ORIGIN }]) {
          const response = await request(path, { method: "OPTIONS", headers });
          assertEquals([response.status, await response.text()], [204, ""], path);
          assertEquals(response.headers.get("Allow"), allow, path);
        }
      }
    },
  },
  {
    name: "a preflight is answered without a token, and only pages of CORS_ORIGINS may go on",
    async run(request) {
      const preflight = (origin: string) =>
        request(`/users/${ABSENT_ID}`, {
          method: "OPTIONS",
          headers: {
            Origin: origin,
            // In place of the token of the tests.
            Authorization: "",
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization,content-type,if-match,x-other",
          },
        });
      for (const origin of CORS_ORIGINS.split(", ")) {
        const { status, headers } = await preflight(origin);
        assertEquals(status, 204);
        assertEquals(headers.get("Access-Control-Allow-Origin"), origin);
        assertEquals(headers.get("Access-Control-Allow-Credentials"), null);
        assertEquals(headers.get("Access-Control-Max-Age"), "600");
        const methods = headers.get("Access-Control-Allow-Methods")?.split(", ") ?? [];
        assertEquals(methods, ["GET", "HEAD", "POST", "PATCH", "DELETE"]);
        const allowed = headers.get("Access-Control-Allow-Headers")?.toLowerCase().split(", ") ??
          [];
        for (
          const name of ["authorization", "content-type", "if-match", "if-none-match"].concat(
            "idempotency-key",
            "request-timeout",
          )
        ) assert(allowed.includes(name), name);
        assert(!allowed.includes("x-other"));
        assert(headers.get("Vary")?.includes("Origin"));
      }
      for (
        const origin of [
          "https://app.example.evil",
          "https://evil.example",
          "null",
          "http://app.example",
        ]
      ) {
        const { headers } = await preflight(origin);
        assertEquals(headers.get("Access-Control-Allow-Origin"), null, origin);
      }
    },
  },
  {
    name: "a page of CORS_ORIGINS may read every answer and its headers, and no other page any",
    async run(request) {
      const answers = await someAnswers(request, { headers: { Origin: ORIGIN } });
      for (const [name, headers] of Object.entries(answers)) {
        assert(headers.get("Vary")?.includes("Origin"), name);
        assertEquals(headers.get("Access-Control-Allow-Origin"), ORIGIN, name);
        assertEquals(headers.get("Access-Control-Allow-Credentials"), null, name);
        const exposed = headers.get("Access-Control-Expose-Headers")?.split(", ") ?? [];
        for (const header of ["ETag", "Location", "Retry-After", "X-Request-Id", "RateLimit"]) {
          assert(exposed.includes(header), `${name}: ${header}`);
        }
      }
      for (const headers of [{}, { Origin: "https://evil.example" }] as Record<string, string>[]) {
        for (const [name, answer] of Object.entries(await someAnswers(request, { headers }))) {
          assertEquals(answer.get("Access-Control-Allow-Origin"), null, name);
          assert(answer.get("Vary")?.includes("Origin"), name);
        }
      }
    },
  },
  {
    name: "the headers of a page's request do not lose those of the handler",
    async run(request) {
      const init = jsonRequest("POST", { email: uniqueEmail(), name: "Ada" }, { Origin: ORIGIN });
      const response = await request("/users", init);
      assertEquals(response.status, 201);
      assertEquals(response.headers.get("ETag"), '"1"');
      assertEquals(response.headers.get("Content-Type"), "application/json");
      const { id } = await response.json();
      assertEquals(response.headers.get("Location"), `/users/${id}`);
    },
  },
  {
    name: "a Request-Timeout that is no number of seconds is refused",
    async run(request) {
      for (
        const value of [
          "0",
          "-1",
          "1s",
          "1e3",
          "0.0001",
          "3601",
          "",
          "1, 2",
          "0x1",
          "1.",
          ".5",
          "NaN",
        ]
      ) {
        const response = await request("/users", { headers: { "Request-Timeout": value } });
        const { errors } = await assertProblem(response, 400, "malformed-request");
        assertEquals(errors?.[0]?.header, "Request-Timeout", value);
      }
    },
  },
  {
    name: "a Request-Timeout that is long enough changes nothing",
    async run(request) {
      const { id } = await createUser(request);
      for (const value of ["10", "2.5", "0030.125", "3600"]) {
        const headers = { "Request-Timeout": value };
        const read = await request(`/users/${id}`, { headers });
        assertEquals([read.status, (await read.json()).id], [200, id], value);
        const init = jsonRequest("PATCH", { name: `Ada ${value}` }, headers);
        assertEquals((await (await request(`/users/${id}`, init)).json()).name, `Ada ${value}`);
      }
    },
  },
];
