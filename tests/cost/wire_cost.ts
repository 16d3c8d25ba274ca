/** What units cost on the wire, counted at the relay. */
import type { RelayObserver } from "../../src/library/testing/relay/relay.ts";
import type { LocalDatabase } from "../support/local_database.ts";
import { nameIn } from "../support/wire_log.ts";
import { connectionSplitter, type WireMessage } from "../support/wire_messages.ts";
import { unitsOf } from "./units.ts";

export interface WireCost {
  /** WebSocket messages that the driver sends. One that waits for the one before is a round trip. */
  readonly sent: number;
  /** Protocol messages in both directions. */
  readonly messages: number;
  readonly statements: number;
  /** Of all protocol messages in both directions but those whose length is not ours to decide. */
  readonly bytes: number;
}

/** By a name such as `read, prepare auto, cold`. */
export type WireCosts = Readonly<Record<string, WireCost>>;

/** Their length depends on the server's settings, on random passwords, transaction ids and times. */
const OF_ANY_LENGTH: readonly WireMessage["kind"][] = [
  "Authentication",
  "BackendKeyData",
  "DataRow",
  "ParameterStatus",
  "Password",
];

/** Behind these runs of a unit, its statements have names, and their columns are known. */
const WARM_UP = 5;

/** Each unit on a connection of its own: its first run (`cold`), which opens the connection, and a later one (`warm`). */
export async function wireCosts(database: LocalDatabase): Promise<WireCosts> {
  const counter = new Counter();
  await using branch = await database.connect({ observe: counter.observe });
  const costs: Record<string, WireCost> = {};
  for (const prepare of ["auto", "off"]) {
    for (const index of [0, 1, 2]) {
      const knownId = crypto.randomUUID();
      await branch.asAdmin(
        `insert into users (id, email, name) values ('${knownId}', '${knownId}@example.org', 'Ann')`,
      );
      const db = branch.open({ DATABASE_PREPARE: prepare, DATABASE_POOL_SIZE: "1" });
      const { name, run } = unitsOf(db, { knownId })[index]!;
      await counter.count(async () => {});
      costs[`${name}, prepare ${prepare}, cold`] = await counter.count(run);
      for (let k = 0; k < WARM_UP; k++) await counter.count(run);
      costs[`${name}, prepare ${prepare}, warm`] = await counter.count(run);
      await db.close({ timeoutMs: 5_000 });
    }
  }
  return costs;
}

class Counter {
  readonly observe: RelayObserver;
  #sent = 0;
  #messages: WireMessage[] = [];
  /** Logins and Syncs that are not answered yet. */
  #unanswered = 0;
  #onAnswered = () => {};

  constructor() {
    const split = connectionSplitter();
    this.observe = {
      message: (id, direction, bytes) => {
        // The connection before may say good-bye late.
        const messages = split(id, direction, bytes).filter(({ kind }) => kind !== "Terminate");
        if (direction === "toServer" && messages.length > 0) this.#sent++;
        this.#messages.push(...messages);
        for (const { kind } of messages) {
          if (kind === "Startup" || kind === "Sync") this.#unanswered++;
          if (kind === "ReadyForQuery") this.#unanswered--;
        }
        if (this.#unanswered === 0) this.#onAnswered();
      },
    };
  }

  /**
   * What passes until the unit has ended and everything is answered: behind the first flight of a connection the driver asks
   * something for itself, which the unit does not wait for.
   */
  async count(run: () => Promise<void>): Promise<WireCost> {
    [this.#sent, this.#messages] = [0, []];
    await run();
    if (this.#unanswered > 0) {
      await new Promise<void>((resolve) => this.#onAnswered = resolve);
    }
    const messages = this.#messages;
    return {
      sent: this.#sent,
      messages: messages.length,
      statements: messages.filter(({ kind }) => kind === "Execute" || kind === "Query").length,
      bytes: messages
        .filter(({ kind }) => !OF_ANY_LENGTH.includes(kind))
        .reduce((sum, message) => sum + lengthOf(message), 0),
    };
  }
}

/** Without the names of statements: they hold a random tag and a number of any length. */
function lengthOf({ direction, kind, bytes }: WireMessage): number {
  return bytes.length - (direction === "toServer" ? nameIn(kind, bytes).length : 0);
}
