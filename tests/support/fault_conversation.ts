/** Tells which statement a message is about, in both directions: most messages do not say. */
import { strings, type WireMessage } from "./wire_messages.ts";

/** What the server owes an answer to. The ends of a flight are `Sync`, `Query` and `Startup`. */
interface Request {
  readonly kind: string;
  readonly statement: string;
}

/** What each answer settles. Others, such as DataRow, are about the oldest request and settle nothing. */
const SETTLES: Readonly<Record<string, readonly string[]>> = {
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

/** One connection's requests and answers. To be shown every message, in order. */
export class Conversation {
  readonly #statements = new Map<string, string>();
  readonly #portals = new Map<string, string>();
  readonly #requests: Request[] = [];
  #flight: string[] = [];

  /** The statement's text; of a Sync and of its ReadyForQuery, all texts of the flight, a line each. */
  statementOf(message: WireMessage): string {
    return message.direction === "toServer" ? this.#ask(message) : this.#answer(message);
  }

  #ask(message: WireMessage): string {
    const { kind } = message;
    const statement = this.#asked(message);
    if (
      FLIGHT_ENDS.includes(kind) || Object.values(SETTLES).some((kinds) => kinds.includes(kind))
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
        this.#flight.push(text);
        return text;
      case "Bind": {
        const [portal = "", name = ""] = strings(body);
        const statement = this.#statements.get(name) ?? "";
        this.#portals.set(portal, statement);
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
      // After an error the server has skipped what else the flight asked for.
      const end = requests.findIndex((request) => FLIGHT_ENDS.includes(request.kind));
      return end === -1 ? "" : requests.splice(0, end + 1).at(-1)!.statement;
    }
    const oldest = requests[0];
    if (oldest === undefined) return "";
    if (SETTLES[kind]?.includes(oldest.kind)) requests.shift();
    return oldest.statement;
  }
}
