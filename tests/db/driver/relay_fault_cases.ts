/**
 * The driver's errors for a relay that fails. The cases use no API of Deno: they are bundled into a Worker too, whose
 * WebSocket fails with other errors and events.
 */
import { assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import type { Driver, FlightAnswer } from "../../../src/db/driver/driver.ts";
import { ConnectError } from "../../../src/db/errors.ts";

export type RelayFault =
  /** Answers the upgrade with 502, as a relay whose server is down. */
  | "refuses"
  /** Never answers the upgrade. */
  | "stalls"
  /** Accepts the upgrade, and then sends nothing. */
  | "stays-silent"
  /** Drops the connection at the first message, without a close frame. */
  | "vanishes";

export interface RelayFaultHost {
  /** A driver whose relay has this fault, or does not exist. */
  driverTo(fault: RelayFault | "absent"): Driver;
}

export interface RelayFaultCase {
  readonly name: string;
  run(host: RelayFaultHost): Promise<void>;
}

export const relayFaultCases: readonly RelayFaultCase[] = [
  {
    name: "a relay that refuses is a ConnectError",
    async run({ driverTo }) {
      await assertRejects(() => firstFlight(driverTo("refuses")), ConnectError, "Cannot connect");
    },
  },
  {
    name: "a relay that does not exist is a ConnectError",
    async run({ driverTo }) {
      await assertRejects(() => firstFlight(driverTo("absent")), ConnectError, "Cannot connect");
    },
  },
  {
    name: "a relay that never answers the upgrade fails the connect at its deadline",
    async run({ driverTo }) {
      await assertRejects(
        () => driverTo("stalls").connect({ timeoutMs: 50 }),
        ConnectError,
        "no answer within 50 ms",
      );
    },
  },
  {
    name: "a relay that stays silent fails the first flight at the connect's deadline",
    async run({ driverTo }) {
      await assertRejects(
        () => firstFlight(driverTo("stays-silent"), { timeoutMs: 50 }),
        ConnectError,
        "no answer within 50 ms",
      );
    },
  },
  {
    name: "a relay that vanishes before the first answer is a ConnectError",
    async run({ driverTo }) {
      await assertRejects(() => firstFlight(driverTo("vanishes")), ConnectError, "Cannot connect");
    },
  },
  {
    name: "connect() ends at once when its signal aborts",
    async run({ driverTo }) {
      const gaveUp = new AbortController();
      const connecting = driverTo("stalls").connect({ timeoutMs: 60_000, signal: gaveUp.signal });
      const reason = new Error("enough");
      gaveUp.abort(reason);
      const error = await assertRejects(() => connecting, ConnectError);
      assertStringIncludes(error.message, "gave up");
      assertInstanceOf(error.cause, Error);
    },
  },
];

/** With a pipelined login the flight meets the fault, otherwise the connect does. */
async function firstFlight(driver: Driver, { timeoutMs = 5_000 } = {}): Promise<FlightAnswer> {
  const connection = await driver.connect({ timeoutMs });
  try {
    return await connection.flight([{ text: "select 1", values: [] }]);
  } finally {
    await connection.close({ timeoutMs: 5_000 });
  }
}
