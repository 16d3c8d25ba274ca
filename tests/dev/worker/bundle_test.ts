import { assert, assertEquals, assertRejects } from "@std/assert";
import { bundle, bundleWorker, gzippedSize } from "../../../src/dev/worker/bundle.ts";

// The budget of the whole service. A growth beyond it is a decision, which the commit must give a reason for.
Deno.test("the Worker's bundle has at most 120 kB gzipped", async () => {
  const { code } = await bundleWorker();
  const size = await gzippedSize(code);
  assert(size > 10_000 && size <= 120_000, `it has ${size} bytes`);
});

// OpenTelemetry's API has 7 kB, its SDK 8 kB, JSON and the export 4 kB.
Deno.test("the bundle of the Worker with traces has at most 20 kB more", async () => {
  const [plain, traced] = await Promise.all(
    ["src/worker.ts", "src/worker_traced.ts"].map(async (entry) =>
      await gzippedSize((await bundleWorker(entry)).code)
    ),
  );
  const more = traced! - plain!;
  assert(more > 5_000 && more <= 20_000, `it has ${more} bytes more`);
});

/** A text of each module that is dropped, or that the runtime has. */
const REPLACED = [
  "Release called on client which has already been released",
  "PGPASSFILE",
  "statementPosition",
  "Query values must be an array",
  "arrayParser",
  "nodejs.util.inspect.custom",
  "MaxListenersExceededWarning",
  "onePassHasher",
  "hasFetchUnsupportedListeners",
  "NeonDbError",
  "WARNING: Running SQL directly from the browser",
  "/^%2f/i",
  "Last message was not SASLInitialResponse",
  "SASL: protocol error",
  "1779033703",
];

const BUNDLES = [
  { entry: "src/worker.ts", modules: ["cloudflare:sockets", "cloudflare:workers"], packages: "" },
  {
    entry: "src/worker_traced.ts",
    modules: ["cloudflare:sockets", "cloudflare:workers", "node:async_hooks"],
    packages: "|@opentelemetry/[a-z-]+",
  },
];

for (const { entry, modules, packages } of BUNDLES) {
  Deno.test(`the bundle of ${entry} imports only the runtime's own modules and holds no code of src/dev, src/deno or Node`, async () => {
    const text = new TextDecoder().decode(await bundle({ entry }));
    const imports = [...text.matchAll(/\bfrom "([^"\n]+)"|\bimport\("([^"\n]+)"\)/g)];
    const names = new Set(imports.map(([, one, other]) => one ?? other));
    assertEquals([...names].toSorted(), modules);
    // An unminified bundle names each source file in a comment before the file's code.
    const files = [...text.matchAll(/^\/\/ (\S+\.[cm]?[jt]s)$/gm)].map(([, file]) => file!);
    assert(files.includes(entry), files.join("\n"));
    const own = /^src\/(?!dev\/|deno\/|main\.ts)/;
    const others = new RegExp(`/(?:hono|valibot|uuid|jose|@neondatabase/serverless${packages})/`);
    assertEquals(files.filter((file) => !own.test(file) && !others.test(file)), []);
  });
}

Deno.test("the Worker's source map leads to the sources, and names no directory of this machine", async () => {
  const { code, map } = await bundleWorker();
  const { sources, sourcesContent, mappings } = JSON.parse(map);
  assert(sources.includes("src/worker.ts") && sources.includes("src/db/pool/permits.ts"));
  assertEquals(sources.filter((source: string) => !/^(?:src|npm)\//.test(source)), []);
  assertEquals([sourcesContent, mappings.length > 10_000], [undefined, true]);
  assert(new TextDecoder().decode(code).endsWith("//# sourceMappingURL=worker.js.map\n"));
});

Deno.test("the Worker's bundle keeps `await using`, minified and not", async () => {
  for (const minify of [false, true]) {
    const text = new TextDecoder().decode(await bundle({ entry: "src/worker.ts", minify }));
    assert(text.includes("await using "), `minified: ${minify}`);
  }
});

Deno.test("a minified bundle has no names of functions that a package has kept, and does the same", async () => {
  const entry = "tests/dev/worker/named_functions.js";
  const bundled = new TextDecoder().decode(await bundle({ entry }));
  const minified = new TextDecoder().decode(await bundle({ entry, minify: true }));
  assert(bundled.includes("a-name-of-a-function") && bundled.includes("another-name"));
  assert(!/a-name-of-a-function|another-name|configurable/.test(minified), minified);
  for (const text of [bundled, minified]) {
    const { sums, other } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
    assertEquals([sums, other], [[3, 7], 4]);
  }
});

Deno.test("a helper for names that is used otherwise too is left alone", async () => {
  const entry = "tests/dev/worker/shared_helper.js";
  const text = new TextDecoder().decode(await bundle({ entry, minify: true }));
  const { named, helper } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
  assertEquals([named.name, helper(() => {}, "x").name], ["a-name-of-a-function", "x"]);
});

Deno.test("a minified bundle has none of the driver's modules that no Worker reaches or that the runtime has", async () => {
  const bundles = await Promise.all(
    [false, true].map(async (minify) =>
      new TextDecoder().decode(await bundle({ entry: "src/worker.ts", minify }))
    ),
  );
  const found = bundles.map((text) => REPLACED.map((mark) => text.includes(mark)));
  assertEquals(found, [REPLACED.map(() => true), REPLACED.map(() => false)]);
});

Deno.test("a minified bundle loads without what it has dropped", async () => {
  const text = new TextDecoder().decode(await bundle({ entry: "src/worker.ts", minify: true }));
  const runtime = "export class DurableObject {} export class WorkerEntrypoint {}";
  const module = text.replaceAll(
    /"cloudflare:\w+"/g,
    JSON.stringify(`data:text/javascript,${encodeURIComponent(runtime)}`),
  );
  const file = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(file, module);
    const { default: worker } = await import(`file://${file}`);
    assertEquals(typeof worker.fetch, "function");
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("a driver's package of another version, which lacks one of them, cannot be bundled", async () => {
  await assertRejects(
    () => bundle({ entry: "tests/dev/worker/other_driver.js", minify: true, dropsModules: true }),
    Error,
    "Cannot drop pg/lib/native/client from the driver's package as it is there 0 times",
  );
});

Deno.test("a module that cannot be bundled is an error with the reason", async () => {
  await assertRejects(
    () => bundle({ entry: "src/no_such_module.ts" }),
    Error,
    "Cannot bundle src/no_such_module.ts as ",
  );
});
