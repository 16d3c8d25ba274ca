/** CPU time, user and system, from /proc. Linux only. https://docs.kernel.org/filesystems/proc.html */

/** Ticks of /proc/PID/stat a second: `USER_HZ`, which is 100 wherever Linux shows it to programs. */
const MS_PER_TICK = 10;

/**
 * All threads of a process that are alive, in nanoseconds: a short turn at a distance has fewer ticks of 10 ms than
 * requests. 0 for a process that has just ended.
 */
export function cpuMs(pid: number): number {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/task`)]
      .reduce((sum, { name }) => sum + threadMs(`/proc/${pid}/task/${name}`), 0);
  } catch (error) {
    if (isGone(error)) return 0;
    throw error;
  }
}

function threadMs(directory: string): number {
  try {
    return Number(Deno.readTextFileSync(`${directory}/schedstat`).split(" ")[0]) / 1e6;
  } catch (error) {
    if (isGone(error)) return 0;
    throw error;
  }
}

/** Kernels without scheduler statistics, and other systems than Linux, cannot. */
export function canReadCpu(): boolean {
  return Deno.build.os === "linux" && cpuMs(Deno.pid) > 0;
}

/** The postmaster and all processes that it has started, alive or not. */
export function postgresCpuMs(postmaster: number): number {
  const children = Deno.readTextFileSync(`/proc/${postmaster}/task/${postmaster}/children`);
  const alive = children.trim().split(" ").map(Number);
  return [postmaster, ...alive].reduce((sum, pid) => sum + cpuMs(pid), endedMs(postmaster));
}

/** The children that it has waited for. */
function endedMs(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  // The name of the program, in parentheses, may hold spaces. The fields behind it begin with the third.
  const [cutime, cstime] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(13, 15);
  return MS_PER_TICK * (Number(cutime) + Number(cstime));
}

/** A process that ends while its files are read gives ENOENT or ESRCH. */
function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || (error as { code?: unknown }).code === "ESRCH";
}

/** Resident memory. */
export function residentBytes(pid: number): number {
  const pages = Deno.readTextFileSync(`/proc/${pid}/statm`).split(" ")[1];
  return Number(pages) * 4_096;
}
