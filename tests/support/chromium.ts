/** A headless Chromium from Debian's package `chromium`, driven by npm's `playwright-core`. */
import { join } from "node:path";
import { completesWithin } from "../../src/db/time/timeout.ts";
import { signalProcess } from "./signal_process.ts";

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;

export interface Looks {
  readonly viewport: { readonly width: number; readonly height: number };
  readonly colorScheme: "light" | "dark";
}

/** One page at a time. Every method rejects with the browser's error. */
export interface Chromium extends AsyncDisposable {
  /** Opens an address in a new profile. */
  open(url: string): Promise<void>;
  /** Changes the size and the color scheme of the open page. */
  show(looks: Looks): Promise<void>;
  fill(selector: string, text: string): Promise<void>;
  click(selector: string): Promise<void>;
  press(key: string): Promise<void>;
  evaluate<T>(code: string): Promise<T>;
  /** Waits until an expression is true on the page. */
  waitFor(code: string, options?: { timeoutMs: number }): Promise<void>;
  /** Includes what is outside the viewport. */
  screenshot(path: string): Promise<void>;
  /** Violations of accessibility rules, as axe-core finds them. */
  violations(): Promise<string[]>;
  /** Errors that the page has logged, and exceptions that it has not caught. */
  errors(): Promise<string[]>;
}

/** The path of the program, or undefined where there is none. */
export async function findChromium(): Promise<string | undefined> {
  for (const directory of (Deno.env.get("PATH") ?? "").split(":")) {
    const path = join(directory, "chromium");
    if (directory !== "" && await Deno.stat(path).then(({ isFile }) => isFile, () => false)) {
      return path;
    }
  }
  return undefined;
}

/** Starts the browser. It ends when it is disposed of, or with this process. */
export async function startChromium(program: string): Promise<Chromium> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--quiet",
      "--no-config",
      "--frozen",
      `--lock=${join(import.meta.dirname!, "chromium.lock")}`,
      join(import.meta.dirname!, "chromium_process.ts"),
      program,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const input = child.stdin.getWriter();
  const answers = linesOf(child.stdout);
  const answer = async () => {
    const { value, done } = await answers.next();
    if (done) throw new Error("Cannot go on as Chromium's process has ended");
    const { value: result, error } = JSON.parse(value) as { value: unknown; error?: string };
    if (error !== undefined) throw new Error(`Cannot run the command in the page: ${error}`);
    return result;
  };
  const ask = async (name: string, argument?: unknown) => {
    await input.write(new TextEncoder().encode(`${JSON.stringify([name, argument])}\n`));
    return await answer();
  };
  const stop = async () => {
    await input.close().catch(() => {});
    if (!await completesWithin(child.status, STOP_TIMEOUT_MS)) signalProcess(child, "SIGKILL");
    await child.status;
    await answers.return(undefined);
  };
  const ready = answer();
  if (!await completesWithin(ready, START_TIMEOUT_MS)) {
    await stop();
    throw new Error(`Cannot start Chromium within ${START_TIMEOUT_MS} ms`);
  }
  await ready;
  return {
    open: (url) => ask("open", url) as Promise<void>,
    show: (looks) => ask("show", looks) as Promise<void>,
    fill: (selector, text) => ask("fill", { selector, text }) as Promise<void>,
    click: (selector) => ask("click", selector) as Promise<void>,
    press: (key) => ask("press", key) as Promise<void>,
    evaluate: <T>(code: string) => ask("evaluate", code) as Promise<T>,
    waitFor: (code, { timeoutMs } = { timeoutMs: 20_000 }) =>
      ask("waitFor", { code, timeoutMs }) as Promise<void>,
    screenshot: (path) => ask("screenshot", path) as Promise<void>,
    violations: () => ask("violations") as Promise<string[]>,
    errors: () => ask("errors") as Promise<string[]>,
    [Symbol.asyncDispose]: stop,
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
