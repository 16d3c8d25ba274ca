/** Starts a server and runs until it is killed. Arguments: directory, "ephemeral" or "lasting". */
import { startPostgres } from "../../../../src/dev/postgres.ts";

if (import.meta.main) {
  const [directory, kind] = Deno.args;
  const { pid, port, directory: cluster, url } = await startPostgres({
    directory: directory!,
    ephemeral: kind === "ephemeral",
  });
  console.log(JSON.stringify({ pid, port, directory: cluster, url: url() }));
  setInterval(() => {}, 60_000);
}
