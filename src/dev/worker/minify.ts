/**
 * Minifies the module on standard input, for `bundle.ts`. `deno bundle --minify` cannot be used: esbuild before 0.28.1
 * drops `await using` when it minifies a value that is used once (https://github.com/evanw/esbuild/issues/4482), and
 * then no session would be rolled back.
 */
import process from "node:process";
import { dropModules } from "./drop_modules.ts";
import { dropNames } from "./drop_names.ts";
import { applyEdits, type SyntaxNode } from "./syntax.ts";

// Not in deno.json and no literal imports, so that deno.lock does not list them: `deno task dev` does not need them.
// `bundle.ts` runs this file with a lock of its own.
const ESBUILD = "npm:esbuild@0.28.2";

const { transform, stop }: {
  transform(code: string, options: Record<string, unknown>): Promise<{ readonly code: string }>;
  stop(): Promise<void>;
} = await import(ESBUILD);

const ACORN = "npm:acorn@8.19.0";

const { parse }: { parse(code: string, options: Record<string, unknown>): SyntaxNode } =
  await import(ACORN);

const code = await new Response(Deno.stdin.readable).text();
const tree = parse(code, { ecmaVersion: "latest", sourceType: "module" });
const modules = process.argv.includes("--drop-modules") ? dropModules(code, tree) : [];
const shortened = applyEdits(code, [...modules, ...dropNames(code, tree)]);
const minified = await transform(shortened, {
  minify: true,
  treeShaking: true,
  format: "esm",
  legalComments: "none",
  sourcemap: process.argv.includes("--source-map") ? "inline" : false,
  sourcesContent: false,
});
await new Promise((resolve) => process.stdout.write(minified.code, resolve));
await stop();
