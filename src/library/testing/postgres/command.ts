import type { ServerAccount } from "./directory.ts";

/** The result of a PostgreSQL program. */
export interface CommandResult {
  readonly success: boolean;
  /** Its standard output, then its standard error. */
  readonly text: string;
}

/**
 * Runs a PostgreSQL program to its end, as `account` and without the caller's PG* variables.
 *
 * @throws {Error} when it has not ended after `deadlineMs` and was killed.
 */
export async function runPostgresCommand(
  program: string,
  args: string[],
  { account, input = "", deadlineMs = 60_000 }: {
    account: ServerAccount;
    input?: string;
    deadlineMs?: number;
  },
): Promise<CommandResult> {
  const isWindows = Deno.build.os === "windows";
  const child = new Deno.Command(program, {
    args,
    env: inheritedEnvironment(),
    clearEnv: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    // A terminal's Ctrl-C must not reach it, and `account` may be unable to enter the caller's directory.
    detached: true,
    ...(isWindows ? {} : { cwd: "/" }),
    ...(account ?? {}),
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), deadlineMs);
  const startedAtMs = performance.now();
  try {
    const [output] = await Promise.all([child.output(), write(child.stdin, input)]);
    if (!output.success && performance.now() - startedAtMs >= deadlineMs) {
      throw new Error(
        `Cannot run ${program} as it has not ended after ${deadlineMs} ms; check whether the disk is busy`,
      );
    }
    const decoder = new TextDecoder();
    const text = decoder.decode(output.stdout) + decoder.decode(output.stderr);
    return { success: output.success, text };
  } finally {
    clearTimeout(timer);
  }
}

async function write(stdin: WritableStream<Uint8Array>, input: string): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  } catch {
    // The program ended without reading all of its input. Its exit code and output give the reason.
  }
}

function inheritedEnvironment(): Record<string, string> {
  const env: Record<string, string> = { LC_ALL: "C", TZ: "UTC" };
  for (const name of ["PATH", "HOME", "SystemRoot", "TEMP", "TMP"]) {
    const value = Deno.env.get(name);
    if (value !== undefined) env[name] = value;
  }
  return env;
}
