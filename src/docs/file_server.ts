/** Answers from files in memory as Cloudflare's static assets do: with an entity tag, and 304 for one that is known. */

import type { Assets } from "../http/docs_routes.ts";
import { textTag } from "../http/entity_tag.ts";

const TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  json: "application/json",
};

/** `files` is called at the first request. Its keys are paths. */
export function fileServer(files: () => Readonly<Record<string, string>>): Assets {
  let made: Readonly<Record<string, string>> | undefined;
  return {
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const text = (made ??= files())[pathname];
      if (text === undefined) return new Response(null, { status: 404 });
      const tag = await textTag(text);
      const headers = { "Content-Type": TYPES[pathname.split(".").at(-1)!]!, ETag: tag };
      const known = request.headers.get("If-None-Match");
      // A proxy that compresses the answer makes its tag weak.
      if (known === tag || known === `W/${tag}`) {
        return new Response(null, { status: 304, headers });
      }
      return new Response(request.method === "HEAD" ? null : text, { headers });
    },
  };
}
