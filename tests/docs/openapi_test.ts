/** The OpenAPI document: valid, complete, and true of the app. */
import { assert, assertEquals } from "@std/assert";
import { fileServer } from "../../src/docs/file_server.ts";
import { docsFiles } from "../../src/docs/files.ts";
import { openApiDocument, templateOf } from "../../src/docs/openapi.ts";
import { createApp } from "../../src/http/app.ts";
import { untouchedDatabase } from "../http/fake_database.ts";
import { violationsOfDocument } from "../support/openapi.ts";

const document = openApiDocument();
const app = createApp({ db: untouchedDatabase });

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

Deno.test("every link of a page leads to an address of the app", async () => {
  const files = docsFiles();
  const served = createApp({ db: untouchedDatabase, assets: fileServer(() => files) });
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
    const response = await app.request(`/users?limit=${limit}`);
    await response.body?.cancel();
    return response.status;
  };
  const { minimum, maximum } = schema;
  // The database cannot be used here, which is the next error.
  for (const limit of [minimum, maximum]) assertEquals(await statusOf(limit), 500);
  for (const limit of [minimum - 1, maximum + 1, 1.5]) assertEquals(await statusOf(limit), 400);
});
