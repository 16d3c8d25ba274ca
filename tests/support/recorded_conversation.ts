/** A conversation of the driver with a real server, to be replayed by `ReplayedWebSocket`. */
import type { FlightAnswer, FlightPart } from "../../src/db/driver/driver.ts";
import { NeonDriver } from "../../src/db/mod.ts";
import { localDatabase } from "./local_database.ts";
import { concat } from "./wire_messages.ts";

export interface RecordedConversation {
  /** The server's bytes in answer to each flight; the first part includes the answer to the login. */
  readonly answers: Uint8Array[];
  /** What the driver made of them. */
  readonly flights: readonly FlightAnswer[];
}

/** Runs the flights on one connection with a pipelined login. The process has sent all texts before. */
export async function recordConversation(
  flights: readonly (readonly FlightPart[])[],
): Promise<RecordedConversation> {
  const database = await localDatabase();
  const run = async (): Promise<RecordedConversation> => {
    const parts: Uint8Array[][] = [];
    await using branch = await database.connect({
      observe: {
        message(_, direction, bytes) {
          if (direction === "toServer") parts.push([]);
          else parts.at(-1)!.push(bytes.slice());
        },
      },
    });
    const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
    const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true, prepare: "on" });
    const connection = await driver.connect({ timeoutMs: 5_000 });
    const answers: FlightAnswer[] = [];
    for (const flight of flights) answers.push(await connection.flight(flight));
    await connection.close({ timeoutMs: 5_000 });
    return { answers: parts.slice(0, flights.length).map(concat), flights: answers };
  };
  // A text that is sent for the first time is sent differently.
  await run();
  return await run();
}
