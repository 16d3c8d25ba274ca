/** What one request has asked of its database, and how long that took. */

import type { Observer } from "./db/mod.ts";

/** What goes on at once counts as often. What is sent with a login is part of `connectMs` and of `databaseMs`. */
export interface RequestFigures {
  /** Until there was a connection. */
  waitMs: number;
  /** Until new connections had logged in. */
  connectMs: number;
  /** From sending to the answer. */
  databaseMs: number;
  flights: number;
  transactions: number;
  /** Of the transactions, those that repeated another one after a failure. */
  retries: number;
}

/** Of a request that has asked for nothing yet. */
export function noFigures(): RequestFigures {
  return { waitMs: 0, connectMs: 0, databaseMs: 0, flights: 0, transactions: 0, retries: 0 };
}

/** Adds to `figures`, for `Database.forRequest`. */
export function figuresObserver(figures: RequestFigures): Observer {
  const measure = (name: "waitMs" | "connectMs" | "databaseMs") => {
    const sinceMs = performance.now();
    return () => {
      figures[name] += performance.now() - sinceMs;
    };
  };
  return {
    transaction({ attempt }) {
      figures.transactions++;
      if (attempt > 1) figures.retries++;
      let waited: (() => void) | undefined = measure("waitMs");
      const served = () => {
        waited?.();
        waited = undefined;
      };
      return {
        leased(login) {
          served();
          // A login that fails is the flight's failure.
          login?.then(measure("connectMs"), () => {});
        },
        flight() {
          served();
          figures.flights++;
          return measure("databaseMs");
        },
        ended: served,
      };
    },
  };
}
