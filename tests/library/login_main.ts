/** Logs in to the server of each URL, one after the other, and prints the reason of each that fails, or `null`. */
import { createDriver } from "../../src/library/create_driver.ts";
import { denoSockets } from "../../src/library/deno/sockets.ts";

const refusals: (string | null)[] = [];
for (const url of Deno.args) {
  try {
    const connection = await createDriver({ url }, denoSockets)
      .connect({ timeoutMs: 5_000, untilReady: true });
    await connection.close({ timeoutMs: 5_000 });
    refusals.push(null);
  } catch (error) {
    refusals.push((error as Error).message);
  }
}
console.log(JSON.stringify(refusals));
