/** Sends the signal, unless the process has ended. It may end before `status` says so, and `kill` then throws (Deno 2.9.6). */
export function signalProcess(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}
