import { assert, assertEquals, assertRejects } from "@std/assert";
import { bundle, bundleWorker, gzippedSize } from "../../../src/dev/worker/bundle.ts";

// 87 kB without /metrics, settlement, the consumer of events and the dispatch to Cloudflare Queues.
Deno.test("the Worker's bundle has at most 100 kB gzipped", async () => {
  const size = await gzippedSize(await bundleWorker());
  assert(size > 10_000 && size <= 100_000, `it has ${size} bytes`);
});

Deno.test("the Worker's bundle imports nothing but the runtime's own module, and brings nothing of Node's", async () => {
  const text = new TextDecoder().decode(await bundle({ entry: "src/worker.ts" }));
  const imports = [...text.matchAll(/\bfrom "([^"\n]+)"|\bimport\("([^"\n]+)"\)/g)];
  assertEquals(imports.map(([, one, other]) => one ?? other), ["cloudflare:workers"]);
  // Each file that has something in a bundle is named there in a comment before it.
  const files = [...text.matchAll(/^\/\/ (\S+\.[cm]?[jt]s)$/gm)].map(([, file]) => file!);
  assert(files.includes("src/worker.ts"), files.join("\n"));
  const foreign = files.filter((file) =>
    !/^src\/(?!dev\/|main\.ts|deno_)|\/(?:hono|valibot|uuid|@neondatabase\/serverless)\//.test(file)
  );
  assertEquals(foreign, []);
});

Deno.test("the Worker's bundle keeps what `await using` ends, minified and not", async () => {
  for (const minify of [false, true]) {
    const text = new TextDecoder().decode(await bundle({ entry: "src/worker.ts", minify }));
    assert(text.includes("await using "), `minified: ${minify}`);
  }
});

Deno.test("what cannot be bundled is told, with the reason", async () => {
  await assertRejects(
    () => bundle({ entry: "src/no_such_module.ts" }),
    Error,
    "Cannot bundle src/no_such_module.ts",
  );
});
