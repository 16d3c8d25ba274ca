import { join } from "node:path";
import { inheritedVariables } from "./env_file.ts";
import { pollUntil } from "../library/testing/postgres/poll.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** The child's instructions. They go through its stdin, because other users can read the arguments of a process. */
export interface ServicePlan {
  readonly env: Env;
  /** The environment of the migrations. Without it, none are applied. */
  readonly ownerEnv?: Env;
  /** The file to which the child writes its URL once it listens. */
  readonly readyFile: string;
}

/** One run of the service in a child process. */
export interface ServiceChild {
  readonly pid: number;
  /** Its URL, once it listens; undefined if it ended before that. */
  readonly serving: Promise<string | undefined>;
  /** Its exit code; undefined if it ended because of `drain` or `kill`. */
  readonly ended: Promise<number | undefined>;
  /**
   * Tells it to finish its requests and end. Resolves to true if it has, to false if it was killed after `deadlineMs`.
   */
  drain(options: { deadlineMs: number }): Promise<boolean>;
  /** Kills it at once. */
  kill(): void;
}

/** Starts `service_process.ts` in a process group of its own, with the output of this process. */
export async function startServiceChild(plan: ServicePlan): Promise<ServiceChild> {
  await Deno.remove(plan.readyFile).catch(() => {});
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", join(import.meta.dirname!, "service_process.ts")],
    env: inheritedVariables(plan.env),
    stdin: "piped",
    stdout: "inherit",
    stderr: "inherit",
    detached: true,
  }).spawn();
  let hasEnded = false;
  let isStopping = false;
  const ended = child.status.then(({ code }) => {
    hasEnded = true;
    return isStopping ? undefined : code;
  });
  const stdin = child.stdin.getWriter();
  // The write fails if the child has died already; `ended` reports that.
  stdin.write(new TextEncoder().encode(JSON.stringify(plan) + "\n")).catch(() => {});
  const kill = () => {
    isStopping = true;
    if (!hasEnded) child.kill("SIGKILL");
  };
  return {
    pid: child.pid,
    ended,
    serving: waitForUrl(plan.readyFile, () => hasEnded),
    kill,
    async drain({ deadlineMs }) {
      isStopping = true;
      stdin.close().catch(() => {});
      let isKilled = false;
      const timer = setTimeout(() => {
        isKilled = true;
        kill();
      }, deadlineMs);
      await ended;
      clearTimeout(timer);
      return !isKilled;
    },
  };
}

async function waitForUrl(file: string, hasEnded: () => boolean): Promise<string | undefined> {
  let url: string | undefined;
  const isKnown = async () => {
    url = await Deno.readTextFile(file).catch(() => undefined);
    return url !== undefined || hasEnded();
  };
  await pollUntil(isKnown, { deadlineMs: 120_000, intervalMs: 25 });
  return url;
}
