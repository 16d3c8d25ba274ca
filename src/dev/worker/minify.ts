/**
 * Minifies the module on standard input, for `bundle.ts`. `deno bundle --minify` cannot be used: esbuild before 0.28.1
 * drops `await using` when it minifies a value that is used once (https://github.com/evanw/esbuild/issues/4482), and
 * then no session would be rolled back.
 */
import process from "node:process";

// Not in deno.json and not a literal import, so that deno.lock does not list it: `deno task dev` does not need it.
// `bundle.ts` runs this file with a lock of its own.
const ESBUILD = "npm:esbuild@0.28.2";

const { transform, stop }: {
  transform(code: string, options: Record<string, unknown>): Promise<{ readonly code: string }>;
  stop(): Promise<void>;
} = await import(ESBUILD);

const code = await new Response(Deno.stdin.readable).text();
const minified = await transform(code, {
  minify: true,
  format: "esm",
  legalComments: "none",
  sourcemap: process.argv.includes("--source-map") ? "inline" : false,
  sourcesContent: false,
});
await new Promise((resolve) => process.stdout.write(minified.code, resolve));
await stop();
