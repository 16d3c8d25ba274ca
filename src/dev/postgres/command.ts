import type { ServerAccount } from "./directory.ts";

/** What a PostgreSQL program of ours did. */
export interface CommandResult {
  readonly success: boolean;
  /** Both of its outputs. */
  readonly text: string;
}

/**
 * Runs a PostgreSQL program to its end, under `account` and without the caller's PG* variables.
 *
 * @throws {Error} when it is not done after `deadlineMs`; it is killed then.
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
    // The caller's directory may be closed to `account`, and a terminal's Ctrl-C is not for us.
    detached: true,
    ...(isWindows ? {} : { cwd: "/" }),
    ...(account ?? {}),
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), deadlineMs);
  const startedAtMs = performance.now();
  try {
    const [output] = await Promise.all([child.output(), write(child.stdin, input)]);
    if (!output.success && performance.now() - startedAtMs >= deadlineMs) {
      throw new Error(`Cannot run ${program}: not done after ${deadlineMs} ms; is the disk busy?`);
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
    // It ended without reading all of it; its exit code and output tell why.
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
