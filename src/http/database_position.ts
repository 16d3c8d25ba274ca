/**
 * Reads on replicas, and `Database-Position`, by which a client never reads less than it has written: each answer to a change
 * has one, and a GET that brings it sees that change.
 */

import type { MiddlewareHandler } from "hono";
import { isPosition, ONLY_PRIMARY, type Session, type TransactionRunner } from "../db/mod.ts";
import type { DatabaseVariables } from "../library/hono/mod.ts";
import { mapSessionOptions } from "../session_options.ts";
import { preview } from "../value_message.ts";
import { ProblemError } from "./problem.ts";

const HEADER = "Database-Position";

/**
 * Middleware for routes whose GETs may be answered by a replica. Not for a GET with `If-Match`, which asks for what is
 * current. Needs `provideDatabase` before it.
 */
export function databasePosition(): MiddlewareHandler<{ Variables: DatabaseVariables }> {
  return async function databasePosition(c, next) {
    const db = c.get("db");
    if (c.req.method === "GET" || c.req.method === "HEAD") {
      const header = c.req.header(HEADER);
      if (header !== undefined && !isPosition(header)) throw malformed(header);
      if (c.req.header("If-Match") === undefined) {
        const replica = header === undefined ? {} : { after: header };
        c.set(
          "db",
          mapSessionOptions(
            db,
            (options) => options.readOnly ? { ...options, replica } : options,
          ),
        );
      }
      return await next();
    }
    const changes = new Changes(db);
    c.set("db", changes);
    await next();
    if (changes.position !== undefined) c.res.headers.set(HEADER, changes.position);
  };
}

/** The same database, which keeps the position of what a request's units have committed. */
class Changes implements TransactionRunner {
  readonly #db: TransactionRunner;
  /** Until a unit has told its own, only the primary is sure to have what it may have changed. */
  position: string | undefined;

  constructor(db: TransactionRunner) {
    this.#db = db;
  }

  session: TransactionRunner["session"] = (options) => this.#db.session(options);

  transaction: TransactionRunner["transaction"] = async (work, options = {}) => {
    const before = this.position;
    let session: Session | undefined;
    let isLoaded = false;
    this.position = ONLY_PRIMARY;
    const value = await this.#db.transaction((opened) => work(session = opened), {
      ...options,
      ...("loadResult" in options && {
        loadResult: (opened: Session) => {
          // An earlier unit with the key has committed.
          isLoaded = true;
          return options.loadResult(opened);
        },
      }),
    }).finally(() => {
      if (!isLoaded && session?.position !== undefined) this.position = session.position;
    });
    // A unit that sent no COMMIT has changed nothing.
    if (!isLoaded && session?.position === undefined) this.position = before;
    return value;
  };

  forRequest: TransactionRunner["forRequest"] = (observer) => this.#db.forRequest(observer);
}

function malformed(header: string): ProblemError {
  const detail = `it is not a position: current value is ${
    preview(header)
  }; send the ${HEADER} of the answer to an earlier change as it was`;
  return new ProblemError("malformed-request", {
    detail: `Cannot read ${HEADER} as ${detail}`,
    errors: [{ header: HEADER, detail }],
  });
}
