/** What the package exports: every name is described, and has a use. */
import { assert, assertEquals } from "@std/assert";
import { glob } from "node:fs/promises";

const root = new URL("../../", import.meta.url);

/** The package's entries that need nothing beside its own dependencies and Hono. */
const ENTRIES = [".", "./deno", "./hono", "./workers"];

const { exports: paths }: { exports: Record<string, string> } = JSON.parse(
  await Deno.readTextFile(new URL("deno.json", root)),
);
const files = ENTRIES.map((entry) => paths[entry]!);

async function deno(
  ...args: string[]
): Promise<{ success: boolean; stdout: string; stderr: string }> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { success, stdout: text(stdout), stderr: text(stderr) };
}

async function* textsOf(paths: string | readonly string[]): AsyncGenerator<string> {
  // The tools of a developer's machine may import any file.
  for await (const path of glob(paths, { cwd: root, exclude: ["src/dev"] })) {
    yield await Deno.readTextFile(new URL(path, root));
  }
}

/** The names that modules outside the connection layer import from an entry, by its path or by the package's name. */
async function importedNames(): Promise<Set<string>> {
  const names = new Set<string>();
  const from = /\b(?:import|export)\s[^;"]*?\{([^}]*)\}\s*from\s*"([^"]*)"/g;
  for await (const source of textsOf("src/**/*.ts")) {
    for (const [, list, specifier] of source.matchAll(from)) {
      const isEntry = specifier!.startsWith("@user-service/db") ||
        files.some((file) => file.endsWith(specifier!.replace(/^(?:\.\.?\/)+/, "/")));
      if (!isEntry) continue;
      for (const item of list!.split(",")) {
        names.add(item.trim().replace(/^type\s+/, "").split(/\s+as\s+/)[0]!);
      }
    }
  }
  return names;
}

/** The names that the guides write as code. */
async function documentedNames(): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const text of textsOf(["src/db/**/README.md", "src/library/**/README.md"])) {
    for (const [code] of text.matchAll(/```.*?```|`[^`]+`/gs)) {
      for (const [word] of code.matchAll(/\w+/g)) names.add(word);
    }
  }
  return names;
}

interface ExportedSymbol {
  readonly name: string;
}

/** Every exported name, with the names that its types mention. */
async function exportedSymbols(): Promise<Map<string, Set<string>>> {
  const { nodes }: { nodes: Record<string, { symbols: ExportedSymbol[] }> } = JSON.parse(
    (await deno("doc", "--json", ...files)).stdout,
  );
  const mentions = new Map<string, Set<string>>();
  for (const { symbols } of Object.values(nodes)) {
    for (const symbol of symbols) {
      const quoted = JSON.stringify(symbol).matchAll(/"(\w+)"/g);
      // What two entries export is told once, and refers to that the second time.
      const words = mentions.get(symbol.name) ?? new Set();
      for (const [, word] of quoted) words.add(word!);
      mentions.set(symbol.name, words);
    }
  }
  return mentions;
}

/** Hono's own types. `deno doc` takes them for private ones, as it does every type of an npm package. */
const OF_HONO = ["ContentfulStatusCode", "Context", "Input", "MiddlewareHandler"];

Deno.test("every exported name is described, with the types that it mentions", async () => {
  const { stderr } = await deno("doc", "--lint", ...files);
  const errors = stderr.split(/^(?=error\b)/m).filter((part) => part.startsWith("error["));
  assertEquals(stderr.match(/Found (\d+) documentation lint errors/)?.[1], String(errors.length));
  const ours = errors.filter((error) => {
    const [, name] = /references private type '(\w+)'/.exec(error) ?? [];
    return name === undefined || !OF_HONO.includes(name);
  });
  assertEquals(ours, []);
});

Deno.test("every exported name is used by an app or the service, or by the type of such a name", async () => {
  const mentions = await exportedSymbols();
  assert(mentions.size > 50, `${mentions.size} names were found`);
  const [imported, documented] = [await importedNames(), await documentedNames()];
  const used = new Set<string>();
  const waiting = [...mentions.keys()].filter((name) => imported.has(name) || documented.has(name));
  for (let name; (name = waiting.pop()) !== undefined;) {
    if (used.has(name)) continue;
    used.add(name);
    for (const mention of mentions.get(name)!) if (mentions.has(mention)) waiting.push(mention);
  }
  assertEquals([...mentions.keys()].filter((name) => !used.has(name)), []);
});
