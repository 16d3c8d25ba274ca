import { join } from "node:path";
import { completesWithin } from "../../db/time/timeout.ts";
import { variables } from "../../settings/settings.ts";
import { localDirectory } from "../postgres/directory.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** The Worker in one run of `wrangler dev`. */
export interface WorkerChild {
  /** Where it listens; undefined if it ended before it did. */
  readonly serving: Promise<string | undefined>;
  /** Its exit code. */
  readonly ended: Promise<number>;
  /** Lets it end, and forces it to after `deadlineMs`. */
  stop(options: { deadlineMs: number }): Promise<void>;
  /** Ends it and all that it started, at once. */
  kill(): void;
}

/** Starts `wrangler dev`, local only, in a process group of its own, with the settings of `env` as its bindings. */
export async function startWorkerChild(
  env: Env,
  { port }: { port: string },
): Promise<WorkerChild> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--quiet",
      join(import.meta.dirname!, "worker_process.ts"),
      "dev",
      "--local",
      "--ip=127.0.0.1",
      `--port=${port}`,
      "--inspector-port=0",
      "--show-interactive-dev-session=false",
      "--env=",
      `--env-file=${await writeBindings(env)}`,
    ],
    // Or it asks for facts about this machine's place in the world.
    env: { CLOUDFLARE_CF_FETCH_ENABLED: "false" },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
    detached: true,
  }).spawn();
  const serving = Promise.withResolvers<string | undefined>();
  passOn(child.stdout, (line) => {
    const url = /Ready on (https?:\/\/[\w.:]+)/.exec(line)?.[1];
    if (url !== undefined) serving.resolve(url);
  });
  let hasEnded = false;
  const ended = child.status.then(({ code }) => {
    hasEnded = true;
    serving.resolve(undefined);
    return code;
  });
  const kill = () => {
    // The group: wrangler starts others.
    if (!hasEnded) Deno.kill(Deno.build.os === "windows" ? child.pid : -child.pid, "SIGKILL");
  };
  return {
    serving: serving.promise,
    ended,
    kill,
    async stop({ deadlineMs }) {
      // It may have ended by itself.
      await child.stdin.close().catch(() => {});
      if (!await completesWithin(ended, deadlineMs)) kill();
      await ended;
    },
  };
}

/** Where wrangler reads them: as arguments they would show passwords to every user of this machine. */
async function writeBindings(env: Env): Promise<string> {
  const lines = Object.keys(variables.entries)
    .flatMap((name) => env[name] ? [`${name}='${percentEncoded(env[name])}'\n`] : []);
  const path = join(await localDirectory(), "worker.vars");
  await Deno.writeTextFile(path, lines.join(""), { mode: 0o600 });
  return path;
}

/** What quotes end at, and what wrangler expands within them: only URLs have such characters, and may encode them. */
function percentEncoded(value: string): string {
  return value.replace(/['$\\]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
}

async function passOn(
  output: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const chunk of output.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      console.log(line);
      onLine(line);
    }
  }
}
