/** A process that answers in lines on its standard output, and ends when its standard input does. */
import { linesOf } from "./lines.ts";

/** Longest start of a contender. Python's packages need a few seconds on a busy machine. */
const LINE_TIMEOUT_MS = 60_000;

export interface ChildOptions {
  /** Default: Deno. */
  readonly command?: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export class Child implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #lines: AsyncGenerator<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#lines = linesOf(process.stdout);
    this.#input = process.stdin.getWriter();
  }

  static spawn({ command = Deno.execPath(), args, env, cwd }: ChildOptions): Child {
    return new Child(
      new Deno.Command(command, {
        args: [...args],
        ...(env && { env }),
        ...(cwd !== undefined && { cwd }),
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn(),
    );
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Its next line. Rejects if it ends, or writes none in time. */
  async line(): Promise<string> {
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), LINE_TIMEOUT_MS);
    try {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error("Cannot read a line of a benchmark's process as it has ended");
      return value;
    } finally {
      clearTimeout(timer);
    }
  }

  async write(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 2_000);
    for await (const _ of this.#lines);
    await this.#process.status;
    clearTimeout(timer);
  }
}
