import { join } from "node:path";
import { pollUntil } from "./poll.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** What the child needs to know; goes through its stdin, as an argument would show passwords. */
export interface ServicePlan {
  readonly env: Env;
  readonly ownerEnv: Env;
  /** Where the child writes its URL once it listens. */
  readonly readyFile: string;
}

/** One run of the service in a process of its own. */
export interface ServiceChild {
  readonly pid: number;
  /** Where it listens; undefined if it ended before it did. */
  readonly serving: Promise<string | undefined>;
  /** Its exit code, or undefined if it ended because it was told to. */
  readonly ended: Promise<number | undefined>;
  /** Lets it finish its requests (true), or kills it after `deadlineMs` (false). */
  drain(options: { deadlineMs: number }): Promise<boolean>;
  /** Ends it at once. */
  kill(): void;
}

/** Starts `service.ts` in a process group of its own, with this process's output. */
export async function startServiceChild(plan: ServicePlan): Promise<ServiceChild> {
  await Deno.remove(plan.readyFile).catch(() => {});
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", join(import.meta.dirname!, "service_process.ts")],
    stdin: "piped",
    stdout: "inherit",
    stderr: "inherit",
    detached: true,
  }).spawn();
  let hasEnded = false;
  let isTold = false;
  const ended = child.status.then(({ code }) => {
    hasEnded = true;
    return isTold ? undefined : code;
  });
  const stdin = child.stdin.getWriter();
  // It fails if the child dies at once; `ended` tells.
  stdin.write(new TextEncoder().encode(JSON.stringify(plan) + "\n")).catch(() => {});
  const kill = () => {
    isTold = true;
    if (!hasEnded) child.kill("SIGKILL");
  };
  return {
    pid: child.pid,
    ended,
    serving: waitForUrl(plan.readyFile, () => hasEnded),
    kill,
    async drain({ deadlineMs }) {
      isTold = true;
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
