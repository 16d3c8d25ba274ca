import { join } from "node:path";
import { checkoutDirectory } from "../../src/dev/checkout_directory.ts";
import { LineReader } from "./line_reader.ts";
import { makeScratch } from "./scratch.ts";
import { ACCESS } from "../support/access.ts";
import { signalProcess } from "../support/signal_process.ts";

/** The token of the copy, as if an earlier start had made it. */
export const DEV_TOKEN = "0123456789abcdef".repeat(3);
export const DEV_BEARER = { authorization: `Bearer ${DEV_TOKEN}` };

/** Where a checkout keeps it. */
export const TOKEN_FILE = join(".local", "api-token");

/** A copy of this checkout, in which tests run tasks and change files. */
export interface CheckoutCopy extends AsyncDisposable {
  readonly path: string;
  /** Starts the program of `deno task dev`, without the settings of the tests' own environment. */
  dev(env?: Record<string, string>, args?: readonly string[]): DevRun;
  /** Starts a task of deno.json by its name, with the tokens of `tests/support/access.ts`. */
  task(name: string, env?: Record<string, string>): DevRun;
  /** As `dev`, for the program of `deno task worker`, whose start may take minutes. */
  worker(env?: Record<string, string>): DevRun;
  /** Runs a program of `src/dev` to its end. */
  run(program: string, args?: readonly string[]): Promise<{ code: number; text: string }>;
}

export interface DevRun extends AsyncDisposable {
  readonly pid: number;
  readonly output: LineReader;
  readonly errors: LineReader;
  /** Waits for the banner. Returns the service's URL, the superuser's database URL and the curl line. */
  ready(): Promise<{ url: string; adminUrl: string; curl: string }>;
  signal(name: Deno.Signal): void;
  /** Its exit code, or 128 plus the signal's number. */
  readonly ended: Promise<number>;
}

export async function copyCheckout(): Promise<CheckoutCopy> {
  const scratch = await makeScratch();
  const path = join(scratch.path, "checkout");
  await Deno.mkdir(path);
  await copy(join(checkoutDirectory, "src"), join(path, "src"));
  for (const name of ["deno.json", "deno.lock", "wrangler.toml"]) {
    await Deno.copyFile(join(checkoutDirectory, name), join(path, name)).catch(() => {});
  }
  // deno.json names a file there.
  await copy(join(checkoutDirectory, "tests", "support"), join(path, "tests", "support"));
  const command = (
    program: string,
    { env = {}, args = [] }: { env?: Record<string, string>; args?: readonly string[] } = {},
  ) =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", join("src", "dev", ...program.split("/")), ...args],
      cwd: path,
      clearEnv: true,
      env: { ...environment(), PORT: "0", ...env },
      stdout: "piped",
      stderr: "piped",
    });
  await Deno.mkdir(join(path, ".local"));
  await Deno.writeTextFile(join(path, TOKEN_FILE), `${DEV_TOKEN}\n`, { mode: 0o600 });
  return {
    path,
    dev: (env = {}, args = []) => watchRun(command("main.ts", { env, args }).spawn()),
    task: (name, env = {}) =>
      watchRun(
        new Deno.Command(Deno.execPath(), {
          args: ["task", "--quiet", name],
          cwd: path,
          clearEnv: true,
          env: { ...environment(), PORT: "0", ...ACCESS, ...env },
          stdout: "piped",
          stderr: "piped",
        }).spawn(),
      ),
    worker: (env = {}) =>
      watchRun(command("worker/worker.ts", { env }).spawn(), { timeoutMs: 120_000 }),
    async run(program, args = []) {
      const { code, stdout, stderr } = await command(program, { args }).output();
      const decoder = new TextDecoder();
      return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
    },
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  };
}

function watchRun(child: Deno.ChildProcess, options?: { timeoutMs: number }): DevRun {
  const output = new LineReader(child.stdout, options);
  const errors = new LineReader(child.stderr, options);
  const ended = child.status.then(({ code }) => code);
  return {
    pid: child.pid,
    output,
    errors,
    ended,
    async ready() {
      const url = /http:\S+/.exec(await output.next(/^The service listens on/))![0];
      const adminUrl = (await output.next(/^psql /)).slice("psql ".length);
      const curl = await output.next(/^curl /);
      return { url, adminUrl, curl };
    },
    signal: (name) => signalProcess(child, name),
    async [Symbol.asyncDispose]() {
      signalProcess(child, "SIGTERM");
      const timer = setTimeout(() => signalProcess(child, "SIGKILL"), 10_000);
      await ended;
      clearTimeout(timer);
      await Promise.all([output.rest(), errors.rest()]);
    },
  };
}

function environment(): Record<string, string> {
  const isSetting = (name: string) =>
    /^DATABASE_|^API_TOKENS$|^AUTH_|^PORT$|^SHUTDOWN_TIMEOUT$|^LOG_LEVEL$/.test(name);
  return Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([name]) => !isSetting(name)),
  );
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copy(join(from, name), join(to, name));
    else await Deno.copyFile(join(from, name), join(to, name));
  }
}
