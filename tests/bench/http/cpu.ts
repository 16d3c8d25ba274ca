/** CPU time, user and system, from /proc. Linux only. https://docs.kernel.org/filesystems/proc.html */

/** Ticks of /proc/PID/stat a second: `USER_HZ`, which is 100 wherever Linux shows it to programs. */
const MS_PER_TICK = 10;

/**
 * All threads of a process that are alive, in nanoseconds: a short turn at a distance has fewer ticks of 10 ms than
 * requests. 0 for a process that has just ended.
 */
export function cpuMs(pid: number): number {
  return tasksOf(pid).reduce((sum, task) => sum + threadMs(task), 0);
}

function threadMs(task: string): number {
  return Number(readOrEmpty(`${task}/schedstat`).split(" ")[0]) / 1e6;
}

/** The directories of a process's threads. */
function tasksOf(pid: number): string[] {
  const directory = `/proc/${pid}/task`;
  return unlessGone(() => [...Deno.readDirSync(directory)], [])
    .map(({ name }) => `${directory}/${name}`);
}

function readOrEmpty(path: string): string {
  return unlessGone(() => Deno.readTextFileSync(path), "");
}

function unlessGone<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    if (isGone(error)) return otherwise;
    throw error;
  }
}

/** Kernels without scheduler statistics, and other systems than Linux, cannot. */
export function canReadCpu(): boolean {
  return Deno.build.os === "linux" && cpuMs(Deno.pid) > 0;
}

/** The postmaster and all processes that it has started, alive or not. */
export function postgresCpuMs(postmaster: number): number {
  return processesOf(postmaster)
    .reduce((sum, pid) => sum + cpuMs(pid), endedMs(postmaster));
}

/** The postmaster and the processes that it has started. */
export function processesOf(postmaster: number): number[] {
  return [postmaster, ...childrenOf(postmaster)];
}

/** All processes of a program that this process has started, or that those have. */
export function startedCpuMs(program: string): number {
  return descendantsOf(Deno.pid).filter((pid) => nameOf(pid) === program)
    .reduce((sum, pid) => sum + cpuMs(pid), 0);
}

function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** Processes that are alive, whichever thread has started them. */
function childrenOf(pid: number): number[] {
  return tasksOf(pid)
    .flatMap((task) => readOrEmpty(`${task}/children`).split(" "))
    .filter((child) => child !== "").map(Number);
}

function nameOf(pid: number): string {
  return readOrEmpty(`/proc/${pid}/comm`).trim();
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
