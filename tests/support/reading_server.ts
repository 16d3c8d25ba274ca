/**
 * A server without time: it takes flights, and answers the first one of a connection's line when the test says so. A read
 * gets the row `{ n }` with the value that its statement was sent with, so that each caller can tell its own rows.
 */
import type { FlightPart, Result, Statement } from "../../src/db/driver/driver.ts";
import { type ScriptedConnection, ScriptedDriver, serverError } from "./scripted_driver.ts";

export interface ReadingServerOptions {
  /** Mixes up the rows of the first two flights of a line, which a test must notice. */
  readonly mixesUp?: boolean;
}

export class ReadingServer {
  readonly driver: ScriptedDriver;
  readonly #options: ReadingServerOptions;
  readonly #lines = new Map<ScriptedConnection, (readonly FlightPart[])[]>();
  /** Flights that a cancel request has met. */
  readonly #cancelled = new Set<readonly FlightPart[]>();

  constructor(options: ReadingServerOptions = {}) {
    this.#options = options;
    this.driver = new ScriptedDriver({
      onConnect: (connection) => {
        this.#lines.set(connection, []);
        connection.isDirect = true;
        connection.onCancel = () => this.#cancelled.add(this.#lines.get(connection)![0]!);
      },
      serve: (parts, connection) => void this.#lines.get(connection)!.push(parts),
    });
  }

  /** Connections on which flights wait for their answers, in the order in which they were opened. */
  get busy(): ScriptedConnection[] {
    return this.driver.open.filter((connection) => this.#lines.get(connection)!.length > 0);
  }

  /** The numbers of the reads of a connection's line. */
  running(connection: ScriptedConnection): (number | undefined)[] {
    return this.#lines.get(connection)!.map(numberOf);
  }

  /** Answers the first flight of the line: with an error at its own statement, if it is to fail. */
  answer(connection: ScriptedConnection, { fails = false }: { fails?: boolean } = {}): void {
    const line = this.#lines.get(connection)!;
    const parts = line.shift();
    if (parts === undefined) throw new Error("bug: no flight waits for an answer");
    const mixed = this.#options.mixesUp ? numberOf(line[0] ?? parts) : undefined;
    const number = mixed ?? numberOf(parts);
    const results: Result[] = [];
    if (connection.status === "E" && (parts[0] as Statement).text !== "ROLLBACK") {
      const error = serverError("25P02", "current transaction is aborted");
      return connection.answer({ results, error, status: "E" });
    }
    for (const part of parts as readonly Statement[]) {
      const isOwn = part.isInternal === undefined;
      if (isOwn && (fails || this.#cancelled.has(parts))) {
        const error = fails
          ? serverError("22012", `division by zero of ${number}`)
          : serverError("57014", `canceling statement of ${number}`);
        const { syncsBefore } = parts.at(-1) as Statement;
        const isOpen = results.some(({ command }) => command === "BEGIN") && !syncsBefore;
        return connection.answer({ results, error, status: isOpen ? "E" : "I" });
      }
      const command = /^\w+/.exec(part.text)![0].toUpperCase();
      const rows = isOwn ? [{ n: number }] : [{}];
      results.push({ rows, rowCount: rows.length, command, columns: [{ name: "n", typeId: 23 }] });
    }
    const isOpen = results.some(({ command }) => command === "BEGIN") &&
      !results.some(({ command }) => command === "COMMIT");
    connection.answer({ results, status: isOpen ? "T" : "I" });
  }

  /** Ends the connection, and answers none of its flights; `timesOut`: as the first one took too long. */
  cut(connection: ScriptedConnection, { timesOut = false }: { timesOut?: boolean } = {}): void {
    const [n] = this.running(connection);
    this.#lines.set(connection, []);
    if (timesOut) connection.cut({ fatal: serverError("25P04", `timeout of ${n}`, "FATAL") });
    else connection.cut();
  }
}

/** The value of the caller's statement. */
function numberOf(parts: readonly FlightPart[]): number | undefined {
  const own = parts.find((part) => "text" in part && part.isInternal === undefined);
  const value = own !== undefined && "text" in own ? own.values[0] : undefined;
  return value === undefined ? undefined : Number(value);
}
