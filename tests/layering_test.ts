/** Arrows between the folders of `src` point down and never back, and entries stay free of what only developers need. */
import { assert, assertEquals } from "@std/assert";

/** What each folder may import besides itself; npm packages by name. Entries and `dev` may import anything. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  db: [],
  migrations: ["db/mod.ts"],
  users: ["db/mod.ts", "value_message.ts", "valibot", "uuid"],
  queue: ["db/mod.ts", "users", "valibot"],
  http: ["db/mod.ts", "users", "value_message.ts", "valibot", "hono"],
  ops: ["db/mod.ts", "hono", "@opentelemetry/api", "uplot"],
  settings: ["value_message.ts", "valibot"],
  service: ["db/mod.ts", "http", "ops", "queue", "users", "settings.ts"],
  deno: [
    "db/mod.ts",
    "db/time",
    "http",
    "ops",
    "queue",
    "settings.ts",
    "service",
    "hono",
    "ws",
  ],
  workers: [
    "db/mod.ts",
    "http",
    "ops",
    "queue",
    "settings.ts",
    "service",
    "hono",
    "cloudflare:workers",
  ],
};

/** One importer for each of these. */
const SOLE_IMPORTERS: Readonly<Record<string, string>> = {
  "@neondatabase/serverless": "db/neon/neon_driver.ts",
};

/** What a developer's machine needs, and a deployed service does not. */
const ENTRIES = ["main.ts", "worker.ts"];

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    readonly code?: { readonly specifier: string };
    readonly type?: { readonly specifier: string };
  }[];
}

const source = new URL("../src/", import.meta.url).href;

/** Every import within `src`, as it was resolved: a path in `src`, or a package's name. */
async function importsOf(entry: string): Promise<[from: string, to: string][]> {
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", `${source}${entry}`],
    cwd: new URL("..", import.meta.url),
    stderr: "inherit",
  }).output();
  assert(success);
  const { modules }: { modules: Module[] } = JSON.parse(new TextDecoder().decode(stdout));
  return modules
    .filter(({ specifier }) => specifier.startsWith(source))
    .flatMap(({ specifier, dependencies = [] }) =>
      dependencies.map(({ specifier: name, code, type }) => {
        const target = (code ?? type)?.specifier ?? name;
        const to = target.startsWith(source) ? target.slice(source.length) : packageOf(target);
        return [specifier.slice(source.length), to] as [string, string];
      })
    );
}

/** `npm:/hono@4.13.19/cors` is `hono`. */
function packageOf(specifier: string): string {
  return /^npm:\/?((?:@[^/]+\/)?[^@/]+)/.exec(specifier)?.[1] ?? specifier;
}

function folderOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : path;
}

async function allFiles(folder = new URL(source), prefix = ""): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) {
      files.push(...await allFiles(new URL(`${name}/`, folder), `${prefix}${name}/`));
    } else if (name.endsWith(".ts")) files.push(`${prefix}${name}`);
  }
  return files;
}

Deno.test("imports between folders follow the arrows", async () => {
  const folders = Object.keys(BELOW);
  const entries = (await allFiles()).filter((file) => folders.includes(folderOf(file)));
  const imports = (await Promise.all(entries.map(importsOf))).flat();
  const wrong = imports.filter(([from, to]) => {
    const folder = folderOf(from);
    const allowed = BELOW[folder];
    if (allowed === undefined || folderOf(to) === folder) return false;
    return SOLE_IMPORTERS[to] !== from &&
      !allowed.some((room) => to === room || to.startsWith(`${room}/`));
  });
  assertEquals([...new Set(wrong.map((arrow) => arrow.join(" -> ")))], []);
});

Deno.test("a deployed entry reaches nothing of the development stack", async () => {
  for (const entry of ENTRIES) {
    const imports = await importsOf(entry);
    assert(imports.some(([, to]) => to === "db/mod.ts"), `${entry} was looked at`);
    assertEquals(imports.filter(([, to]) => folderOf(to) === "dev"), []);
  }
});

Deno.test("what runs on Workers reaches nothing that only Deno or Node has", async () => {
  const imports = await importsOf("worker.ts");
  const packages = new Set(imports.map(([, to]) => to).filter((to) => !to.endsWith(".ts")));
  assertEquals([...packages].sort(), [
    "@neondatabase/serverless",
    "cloudflare:workers",
    "hono",
    "uuid",
    "valibot",
  ]);
});
