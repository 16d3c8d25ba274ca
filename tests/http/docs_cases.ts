/** The documentation, as every host serves it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { docsFiles } from "../../src/docs/files.ts";
import { problemKinds } from "../../src/http/problem.ts";
import { assertProblem, type SendRequest, type UsersCase } from "./requests.ts";

const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

const files = docsFiles();

async function assertFile(
  request: SendRequest,
  [path, accept, file]: readonly [path: string, accept: string | undefined, file: string],
): Promise<Response> {
  const response = await request(path, { headers: accept === undefined ? {} : { Accept: accept } });
  assertEquals(
    [response.status, await response.text()],
    [200, files[file]],
    `${path} as ${accept}`,
  );
  return response;
}

export const docsCases: readonly UsersCase[] = [
  {
    name: "the documentation is served with entity tags and a policy that allows no script",
    async run(request) {
      for (
        const [path, file, type] of [
          ["/openapi.json", "/openapi.json", "application/json"],
          ["/docs", "/docs/index.html", "text/html; charset=utf-8"],
          ["/docs/docs.css", "/docs/docs.css", "text/css; charset=utf-8"],
        ] as const
      ) {
        const { headers } = await assertFile(request, [path, BROWSER, file]);
        assertEquals(headers.get("Content-Type"), type);
        assertEquals(headers.get("Cache-Control"), "no-cache");
        assertEquals(headers.get("X-Content-Type-Options"), "nosniff");
        assertMatch(headers.get("Content-Security-Policy") ?? "", /^default-src 'none'; style-src/);
        const tag = headers.get("ETag");
        assert(tag !== null);
        for (const known of [tag, `W/${tag}`]) {
          const again = await request(path, { headers: { "If-None-Match": known } });
          assertEquals([again.status, await again.text()], [304, ""]);
          assertMatch(again.headers.get("ETag") ?? "", /^(?:W\/)?"\w+"$/);
        }
        const head = await request(path, { method: "HEAD" });
        assertEquals([head.status, await head.text()], [200, ""]);
        await assertProblem(await request(path, { method: "POST" }), 405, "method-not-allowed");
      }
    },
  },
  {
    name: "every kind of problem has a page for browsers, and JSON for others",
    async run(request) {
      const kinds = Object.keys(problemKinds);
      for (
        const [path, file] of [
          ["/problems", "/problems/index"],
          ...kinds.map((kind) => [`/problems/${kind}`, `/problems/${kind}`]),
        ] as [string, string][]
      ) {
        for (const accept of [BROWSER, "text/html", "application/json;q=0.5, Text/HTML ; q=0.6"]) {
          const { headers } = await assertFile(request, [path, accept, `${file}.html`]);
          assertMatch(headers.get("Vary") ?? "", /\bAccept\b/);
        }
        const others = [undefined, "*/*", "application/json", "text/html;q=0.5, application/json"];
        for (const accept of [...others, "text/html;q=0", "text/htmlx", ";,q=", "image/png"]) {
          const { headers } = await assertFile(request, [path, accept, `${file}.json`]);
          assertMatch(headers.get("Vary") ?? "", /\bAccept\b/);
        }
      }
      const { problems } = await (await request("/problems")).json();
      assertEquals(problems.length, kinds.length);
    },
  },
  {
    name: "other names below the documentation answer 404",
    async run(request) {
      for (
        const path of [
          "/docs/",
          "/docs/index.html",
          "/docs/openapi.json",
          "/openapi.json/",
          "/problems/",
          "/problems/index",
          "/problems/index.html",
          "/problems/toString",
          "/problems/__proto__",
          "/problems/..%2fopenapi",
          "/problems/internal.json",
        ]
      ) {
        await assertProblem(await request(path), 404, "not-found");
      }
    },
  },
];
