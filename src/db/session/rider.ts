import type { FlightPart } from "../driver/driver.ts";

/** What is sent in front of the next flight, whichever that will be. */
export class PrependedStatement {
  readonly part: FlightPart;
  /** Whether a failed transaction goes on behind it. */
  readonly recovers: boolean;
  hasRun = false;

  constructor(part: FlightPart, { mends = false }: { mends?: boolean } = {}) {
    this.part = part;
    this.recovers = mends;
  }
}
