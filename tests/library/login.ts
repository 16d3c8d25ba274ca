/**
 * A login to a server. As a program it logs in to that of each URL, one after the other, and prints the reason of each that
 * fails, or `null`.
 */
import { createDriver } from "../../src/library/create_driver.ts";
import { denoSockets } from "../../src/library/deno/sockets.ts";

/** Rejects if the login fails. */
export async function logIn(url: string | URL, { pipelineConnect = false } = {}): Promise<void> {
  const connection = await createDriver({ url: String(url), pipelineConnect }, denoSockets)
    .connect({ timeoutMs: 5_000, untilReady: true });
  await connection.close({ timeoutMs: 5_000 });
}

if (import.meta.main) {
  const refusals: (string | null)[] = [];
  for (const url of Deno.args) {
    refusals.push(await logIn(url).then(() => null, (error: Error) => error.message));
  }
  console.log(JSON.stringify(refusals));
}
