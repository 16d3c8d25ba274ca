/**
 * Minifies the module at standard input, for `bundle.ts`. `deno bundle --minify` will not do: before 0.28.1, esbuild
 * drops `await using` with it where the value is used once (https://github.com/evanw/esbuild/issues/4482), and no session
 * would be rolled back.
 */
import process from "node:process";

// Not in deno.json, nor in an import that Deno can see before it runs, so that the project's lock does not list it:
// `deno task dev` does not need it. `bundle.ts` gives this process a lock of its own.
const ESBUILD = "npm:esbuild@0.28.2";

const { transform, stop }: {
  transform(code: string, options: Record<string, unknown>): Promise<{ readonly code: string }>;
  stop(): Promise<void>;
} = await import(ESBUILD);

const code = await new Response(Deno.stdin.readable).text();
const minified = await transform(code, { minify: true, format: "esm", legalComments: "none" });
await new Promise((resolve) => process.stdout.write(minified.code, resolve));
await stop();
