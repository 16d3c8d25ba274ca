/** Finds the statement that a message is about, in both directions: most messages do not contain it. */
import { strings, type WireMessage } from "./wire_messages.ts";

/** A request that the server has not answered. `Sync`, `Query` and `Startup` end a flight. */
interface Request {
  readonly kind: string;
  readonly statement: string;
}

/** The requests that each answer completes. Others, such as DataRow, are about the oldest request and complete none. */
const COMPLETES: Readonly<Record<string, readonly string[]>> = {
  ParseComplete: ["Parse"],
  BindComplete: ["Bind"],
  CloseComplete: ["Close"],
  RowDescription: ["Describe"],
  NoData: ["Describe"],
  CommandComplete: ["Execute"],
  EmptyQueryResponse: ["Execute"],
  PortalSuspended: ["Execute"],
};

const FLIGHT_ENDS: readonly string[] = ["Sync", "Query", "Startup"];

/** One connection's requests and answers. It must see every message, in order. */
export class Conversation {
  readonly #statements = new Map<string, string>();
  readonly #portals = new Map<string, string>();
  readonly #requests: Request[] = [];
  #flight: string[] = [];

  /** The statement's text. For Sync and its ReadyForQuery: all texts of the flight, one per line. */
  statementOf(message: WireMessage): string {
    return message.direction === "toServer" ? this.#ask(message) : this.#answer(message);
  }

  #ask(message: WireMessage): string {
    const { kind } = message;
    const statement = this.#asked(message);
    if (
      FLIGHT_ENDS.includes(kind) || Object.values(COMPLETES).some((kinds) => kinds.includes(kind))
    ) {
      this.#requests.push({ kind, statement });
    }
    return statement;
  }

  #asked({ kind, bytes, text }: WireMessage): string {
    const body = bytes.subarray(5);
    switch (kind) {
      case "Parse":
        this.#statements.set(strings(body)[0]!, text);
        return text;
      case "Bind": {
        const [portal = "", name = ""] = strings(body);
        const statement = this.#statements.get(name) ?? "";
        this.#portals.set(portal, statement);
        this.#flight.push(statement);
        return statement;
      }
      case "Execute":
        return this.#portals.get(strings(body)[0] ?? "") ?? "";
      case "Describe":
      case "Close": {
        const names = body[0] === "P".charCodeAt(0) ? this.#portals : this.#statements;
        return names.get(strings(body.subarray(1))[0] ?? "") ?? "";
      }
      case "Query":
        return text;
      case "Sync": {
        const flight = this.#flight.join("\n");
        this.#flight = [];
        return flight;
      }
      default:
        return "";
    }
  }

  #answer({ kind }: WireMessage): string {
    const requests = this.#requests;
    if (kind === "ReadyForQuery") {
      // After an error the server skips the remaining requests of the flight.
      const end = requests.findIndex((request) => FLIGHT_ENDS.includes(request.kind));
      return end === -1 ? "" : requests.splice(0, end + 1).at(-1)!.statement;
    }
    const oldest = requests[0];
    if (oldest === undefined) return "";
    if (COMPLETES[kind]?.includes(oldest.kind)) requests.shift();
    return oldest.statement;
  }
}
