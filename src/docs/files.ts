/**
 * All files of the documentation, made of the schemas and the texts. `deno task bundle` writes them beside the Worker, as
 * its static assets; the service on Deno makes them when the first of them is asked for.
 */

import { openApiDocument } from "./openapi.ts";
import { problemDocuments, problemPage, problemsPage } from "./problem_pages.ts";
import { referencePage } from "./reference_page.ts";
import style from "./docs.css" with { type: "text" };
import sharedStyle from "../pages.css" with { type: "text" };

/** Text by path; the path's extension tells the media type. */
export function docsFiles(): Readonly<Record<string, string>> {
  const document = openApiDocument();
  const problems = Object.entries(problemDocuments).flatMap(([kind, problem]) => [
    [`/problems/${kind}.html`, problemPage(problem)],
    [`/problems/${kind}.json`, JSON.stringify(problem)],
  ]);
  return {
    "/openapi.json": JSON.stringify(document),
    "/docs/index.html": referencePage(document),
    "/docs/docs.css": sharedStyle + style,
    "/problems/index.html": problemsPage(),
    "/problems/index.json": JSON.stringify({ problems: Object.values(problemDocuments) }),
    ...Object.fromEntries(problems),
  };
}
