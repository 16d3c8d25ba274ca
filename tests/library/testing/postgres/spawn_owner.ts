import { join } from "node:path";
import { LineReader } from "../../../dev/line_reader.ts";

/** A process that owns a server, for tests that kill it. */
export interface SpawnedOwner {
  readonly postgres: { pid: number; port: number; directory: string; url: string };
  /** Sends SIGKILL. Resolves after the process has ended. */
  kill(): Promise<void>;
}

export async function spawnOwner(
  directory: string,
  kind: "ephemeral" | "lasting",
): Promise<SpawnedOwner> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", join(import.meta.dirname!, "owner.ts"), directory, kind],
    stdout: "piped",
  }).spawn();
  const reader = new LineReader(child.stdout);
  const postgres = JSON.parse(await reader.next(/^\{/));
  return {
    postgres,
    async kill() {
      child.kill("SIGKILL");
      await child.status;
      await reader.rest();
    },
  };
}
