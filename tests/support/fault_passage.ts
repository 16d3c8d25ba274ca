/** The step between the source and the sink of one direction: splits the bytes into messages, and applies faults to them. */
import type { Direction } from "../../src/library/testing/relay/relay_link.ts";
import type { ArmedFault, Moment } from "./fault_armed.ts";
import { count, type FaultConnection, type Passage } from "./fault_connection.ts";
import { Conversation } from "./fault_conversation.ts";
import { concat, MessageSplitter } from "./wire_messages.ts";

interface PassageOptions {
  /** The fault that strikes now. Call it once for each message and moment. */
  readonly due: (moment: Moment) => ArmedFault | undefined;
  readonly latencyMs: Readonly<Record<Direction, number>>;
}

/** For both directions of one connection. */
export function passageOf(
  connection: FaultConnection,
  { due, latencyMs }: PassageOptions,
): Passage {
  const splitter = new MessageSplitter();
  const conversation = new Conversation();
  let upgraded: Promise<void> | undefined;

  async function upgrade(): Promise<void> {
    for await (
      const _ of due({ connection, moment: "upgrade" })?.strike(connection) ?? []
    );
  }

  return async function* (source, direction) {
    await (upgraded ??= upgrade());
    for await (const chunk of source) {
      const messages = splitter.split(direction, chunk);
      count(connection.traffic[direction], chunk, messages);
      if (latencyMs[direction] > 0) await connection.wait(latencyMs[direction]);
      // Messages that no fault strikes stay in one chunk: one WebSocket message is one write to the server.
      let together: Uint8Array[] = [];
      for (const message of messages) {
        const statement = conversation.statementOf(message);
        const seen = { ...message, bytes: connection.replaced(message), statement };
        const fault = due({ connection, moment: "message", message: seen });
        if (fault === undefined) {
          together.push(seen.bytes);
          continue;
        }
        if (together.length > 0) yield concat(together);
        together = [];
        yield* fault.strike(connection, seen);
      }
      if (together.length > 0) yield concat(together);
    }
    yield splitter.rest(direction);
  };
}
