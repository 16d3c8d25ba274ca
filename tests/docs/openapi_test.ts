/** The OpenAPI document: valid, complete, and true of the app. */
import { assert, assertEquals } from "@std/assert";
import { fileServer } from "../../src/docs/file_server.ts";
import { docsFiles } from "../../src/docs/files.ts";
import { openApiDocument, templateOf } from "../../src/docs/openapi.ts";
import { createApp } from "../../src/http/app.ts";
import { authenticator } from "../http/test_app.ts";
import { SCOPED_TOKENS, withToken } from "../support/access.ts";
import { untouchedDatabase } from "../http/fake_database.ts";
import { violationsOfAnswers, violationsOfDocument } from "../support/openapi.ts";

const document = openApiDocument();
const app = createApp({ db: untouchedDatabase, authenticator });

Deno.test("two validators accept the document, and its examples are as it says", async () => {
  assertEquals(await violationsOfDocument(document), []);
});

Deno.test("the validators refuse a document that is wrong", async () => {
  const wrong = structuredClone(document) as unknown as { paths: Record<string, unknown> };
  wrong.paths["/users"] = { get: { responses: { 200: { content: {} } } } };
  const violations = await violationsOfDocument(wrong);
  const found = violations.map((violation) => violation.split(":")[0]);
  assertEquals(found, ["swagger-parser", "openapi-schema-validator"]);
});

Deno.test("answers that differ from the document are found", async () => {
  const user = document.components.schemas["User"]!.examples![0] as Record<string, unknown>;
  const headers = { "content-type": "application/json", "x-request-id": "1", etag: '"1"' };
  const answer = {
    method: "GET",
    path: "/users/1",
    status: 200,
    headers,
    body: JSON.stringify(user),
  };
  const { etag: _, ...withoutTag } = headers;
  const problem = { type: "/problems/email-taken", status: 400, title: "t", detail: "d" };
  const wrong = {
    "the document does not have this status": { ...answer, status: 206 },
    "the header ETag is missing": { ...answer, headers: withoutTag },
    "header ETag: the body must match pattern": { ...answer, headers: { ...headers, etag: "1" } },
    "Content-Type text/plain is not in the document": {
      ...answer,
      headers: { ...headers, "content-type": "text/plain" },
    },
    "the body must NOT have additional properties": {
      ...answer,
      body: JSON.stringify({ ...user, password: "x" }),
    },
    "/version must be integer": { ...answer, body: JSON.stringify({ ...user, version: "1" }) },
    "a body, and the document has none": { ...answer, method: "DELETE", status: 204 },
    "/type must be equal to one of the allowed values": {
      ...answer,
      status: 400,
      headers: { ...headers, "content-type": "application/problem+json" },
      body: JSON.stringify(problem),
    },
  };
  assertEquals(await violationsOfAnswers([answer]), []);
  for (const [violation, answer] of Object.entries(wrong)) {
    const found = await violationsOfAnswers([answer]);
    assertEquals(found.map((text) => text.includes(violation)), [true], found.join("\n"));
  }
});

Deno.test("every route of the app is in the document, and the reverse", () => {
  // Middleware has the path /*, and `onlyMethods` the method ALL.
  const routes = app.routes
    .filter(({ path, method }) => !path.endsWith("*") && method !== "ALL")
    .map(({ path, method }) => `${method} ${templateOf(path)}`);
  const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`)
  );
  assertEquals([...new Set(routes)].sort(), documented.sort());
});

Deno.test("a route asks for the scope that the document names, or for no token", async () => {
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [name, { security }] of Object.entries(operations)) {
      const method = name.toUpperCase();
      const [scope] = security?.[0]?.["bearer"] ?? [];
      const send = async (token: string) => {
        const init = { method, headers: token === "" ? {} : { Authorization: `Bearer ${token}` } };
        const { status, headers, body } = await app.request(path, init);
        await body?.cancel();
        const challenge = headers.get("WWW-Authenticate") ?? "";
        return [status, /scope="([^"]*)"/.exec(challenge)?.[1]] as const;
      };
      const what = `${method} ${path}`;
      if (scope === undefined) {
        assert(![401, 403].includes((await send(""))[0]), what);
      } else {
        assertEquals([what, (await send(""))[0]], [what, 401]);
        assertEquals([what, ...await send(SCOPED_TOKENS.ops)], [what, 403, scope]);
      }
    }
  }
});

Deno.test("every link of a page leads to an address of the app", async () => {
  const files = docsFiles();
  const served = createApp({
    db: untouchedDatabase,
    authenticator,
    assets: fileServer(() => files),
  });
  const pages = Object.entries(files).filter(([path]) => path.endsWith(".html"));
  const links = new Set(
    pages.flatMap(([, text]) =>
      Array.from(text.matchAll(/ href="(\/[^"]*)"/g), ([, link]) => link!)
    ),
  );
  assert(links.size > 10, `${links.size} links`);
  for (const link of links) {
    const response = await served.request(link);
    await response.body?.cancel();
    assertEquals([link, response.status], [link, 200]);
  }
});

Deno.test("a page holds no script and nothing of another host", () => {
  for (const [path, text] of Object.entries(docsFiles())) {
    if (!/\.(?:html|css)$/.test(path)) continue;
    const foreign =
      /<script|\bon\w+=|\bstyle=|javascript:|(?:href|src)="(?!\/|#|data:,")|url\(|@import/;
    assertEquals([path, foreign.exec(text)?.[0]], [path, undefined]);
  }
});

Deno.test("the document has one name for each operation", () => {
  const names = Object.values(document.paths)
    .flatMap((operations) => Object.values(operations).map(({ operationId }) => operationId));
  assertEquals(names, [...new Set(names)]);
});

Deno.test("a query takes the numbers that the document allows, and no others", async () => {
  const parameters = document.paths["/users"]!["get"]!.parameters!;
  const { schema } = parameters.find(({ name }) => name === "limit")!;
  assert(schema.minimum !== undefined && schema.maximum !== undefined);
  const statusOf = async (limit: number) => {
    const response = await app.request(`/users?limit=${limit}`, withToken());
    await response.body?.cancel();
    return response.status;
  };
  const { minimum, maximum } = schema;
  // The database cannot be used here, which is the next error.
  for (const limit of [minimum, maximum]) assertEquals(await statusOf(limit), 500);
  for (const limit of [minimum - 1, maximum + 1, 1.5]) assertEquals(await statusOf(limit), 400);
});
