import { ServerError } from "../../db/mod.ts";

/** Why the doctor has no connection. */
export interface ConnectFailure {
  /** Whether the server has answered, and refused the login. */
  readonly refused: boolean;
  readonly found: string;
  readonly advice: string;
}

/** Tells a server that cannot be reached from one that refuses the login. `variable` has its URL. */
export function connectFailure(error: unknown, variable: string): ConnectFailure {
  const found = error instanceof Error ? error.message : String(error);
  if (!(error instanceof Error && error.cause instanceof ServerError)) {
    const advice = "Do what the message says; if it does not say what, check the host and the " +
      `port of ${variable}, DATABASE_WS_PROXY, and the firewall between.`;
    return { refused: false, found, advice };
  }
  const { sqlState } = error.cause;
  return {
    refused: true,
    found: `${found} (SQLSTATE ${sqlState})`,
    advice: adviceFor(variable)[sqlState] ??
      "Do what the message says, or look this SQLSTATE up in PostgreSQL's list of error codes.",
  };
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
function adviceFor(variable: string): Readonly<Record<string, string>> {
  return {
    "28P01": `Correct the password of ${variable}, written as encodeURIComponent() returns it.`,
    "28000": "Create the role, or let pg_hba.conf accept it from this address.",
    "3D000": `Correct the database of ${variable}, or create it.`,
    "53300":
      "All connections of the server are in use: close some, or lower the pools of the instances.",
    "57P03": "The server is starting or stopping: try again in a moment.",
  };
}
