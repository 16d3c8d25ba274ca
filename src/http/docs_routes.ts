/**
 * What the service says of itself: the OpenAPI document, the reference, and a page at the address that is the `type` of
 * each kind of problem. Their texts are made ahead, by `src/docs`, so that a Worker's bundle does not have them.
 */

import type { Context } from "hono";
import { Hono } from "../hono.ts";
import { onlyMethods } from "./only_methods.ts";
import { ProblemError, problemKinds } from "./problem.ts";

/** Static files. On Workers the binding of the assets. */
export interface Assets {
  /** Answers 200 or 304, or 404 where there is no such file. */
  fetch(request: Request): Promise<Response>;
}

/** Allows the style sheet and nothing else: the pages have no scripts. https://www.w3.org/TR/CSP3/ */
const CONTENT_POLICY = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'";

/** `/openapi.json`, `/docs` with its style, `/problems` and `/problems/:kind`. Without assets they answer 404. */
export function docsRoutes(assets: Assets | undefined): Hono {
  const routes = new Hono();
  const serve = (path: string, fileOf: (c: Context) => string) =>
    routes.get(path, (c) => respondWithAsset(c, assets, fileOf(c)))
      .all(path, onlyMethods("GET", "HEAD"));
  serve("/openapi.json", () => "/openapi.json");
  serve("/docs", () => "/docs/index.html");
  serve("/docs/docs.css", () => "/docs/docs.css");
  serve("/problems", (c) => `/problems/index.${extensionOf(c)}`);
  serve("/problems/:kind", (c) => {
    const kind = c.req.param("kind")!;
    if (Object.hasOwn(problemKinds, kind)) return `/problems/${kind}.${extensionOf(c)}`;
    throw new ProblemError("not-found", {
      detail: "Cannot find this kind of problem; see the list at /problems",
    });
  });
  return routes;
}

/** A page for clients that ask for HTML by name and do not prefer JSON, as browsers do; JSON for others. */
function extensionOf(c: Context): "html" | "json" {
  c.header("Vary", "Accept", { append: true });
  const accept = c.req.header("Accept") ?? "";
  return qualityOf("text/html", accept) > qualityOf("application/json", accept) ? "html" : "json";
}

/**
 * The quality that `Accept` gives to a media type by its name, and 0 where it does not name it. Hono's `accepts` would be
 * 2 kB of the bundle. https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
 */
function qualityOf(type: string, accept: string): number {
  for (const range of accept.toLowerCase().split(",")) {
    const [name, ...parameters] = range.split(";").map((part) => part.trim());
    if (name !== type) continue;
    const quality = parameters.find((parameter) => parameter.startsWith("q="));
    return quality === undefined ? 1 : Number(quality.slice(2));
  }
  return 0;
}

async function respondWithAsset(
  c: Context,
  assets: Assets | undefined,
  path: string,
): Promise<Response> {
  const known = c.req.header("If-None-Match");
  const asset = await assets?.fetch(
    // The host does not matter. HEAD stays HEAD: Hono drops the body of a response to HEAD without cancelling it.
    new Request(`http://assets${path}`, {
      method: c.req.method,
      headers: known === undefined ? {} : { "If-None-Match": known },
    }),
  );
  if (asset === undefined || asset.status === 404) {
    throw new ProblemError("not-found", {
      detail: "Cannot find the documentation as this deployment has no static assets; " +
        "operators: bind the directory that deno task bundle writes as ASSETS",
    });
  }
  for (const name of ["Content-Type", "ETag"]) {
    const value = asset.headers.get(name);
    if (value !== null) c.header(name, value);
  }
  return c.body(asset.body as ReadableStream, asset.status as 200, {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
  });
}
