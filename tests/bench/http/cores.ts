/** Gives the processes of a measurement their cores, so that they share them as they are said to, and with nobody else. */

/** Before other programs, by the scheduler's nice values. */
const FIRST = -20;

/**
 * All threads of a process, and what they start from now on, run on one core: before the programs of other sessions, if
 * this one may say so. Needs `taskset` of util-linux.
 */
export async function giveCore(pid: number, core: number): Promise<void> {
  const args = ["--all-tasks", "--cpu-list", "--pid", String(core), String(pid)];
  const { success, stderr } = await new Deno.Command("taskset", { args }).output();
  if (!success && isAlive(pid)) {
    const reason = new TextDecoder().decode(stderr).trim();
    throw new Error(
      `Cannot run process ${pid} on core ${core} alone: ${reason}; use Linux with two cores or more`,
    );
  }
  // A session is a group of the scheduler: https://man7.org/linux/man-pages/man7/sched.7.html
  await Deno.writeTextFile(`/proc/${pid}/autogroup`, String(FIRST)).catch(() => {
    if (isAlive(pid)) {
      console.error(`process ${pid} runs beside those of other programs, which may hold it up`);
    }
  });
}

function isAlive(pid: number): boolean {
  try {
    return Deno.statSync(`/proc/${pid}`).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
