/** The ways in which a database can become unreachable, and come back. */
import type { Env } from "../support/branch.ts";
import { type FaultRelay, freeze, hold, refuse } from "../support/fault_relay.ts";
import type { StoppableServer } from "./stoppable_server.ts";

export interface OutageKind {
  readonly name: string;
  /** Settings of the pool. */
  readonly settings: Env;
  /** Makes the database unreachable through the relay. Gives what makes it reachable again. */
  begin(database: { server: StoppableServer; relay: FaultRelay }): Promise<() => Promise<void>>;
}

/** Only the connect timeout tells a frozen peer from a slow one. */
const SHORT_CONNECT_TIMEOUT = { DATABASE_CONNECT_TIMEOUT: "1" };

export const SERVER_STOPPED: OutageKind = {
  name: "server stopped",
  settings: {},
  async begin({ server }) {
    await server.stop("fast");
    return () => server.start();
  },
};

export const OUTAGE_KINDS: readonly OutageKind[] = [
  SERVER_STOPPED,
  atTheRelay("relay refuses", {}, (relay) => {
    const armed = relay.when({ at: "dial", times: Infinity }, refuse(503));
    for (const connection of relay.openConnections) connection.cut();
    return () => armed.clear();
  }),
  atTheRelay("relay frozen before the upgrade", SHORT_CONNECT_TIMEOUT, (relay) => {
    const armed = relay.when({ at: "dial", times: Infinity }, hold());
    freezeAll(relay);
    return () => {
      armed.clear();
      armed.release();
      thawAll(relay);
    };
  }),
  atTheRelay("relay frozen after the upgrade", SHORT_CONNECT_TIMEOUT, (relay) => {
    const armed = relay.when({ at: "upgrade", times: Infinity }, freeze());
    freezeAll(relay);
    return () => {
      armed.clear();
      thawAll(relay);
    };
  }),
];

function atTheRelay(
  name: string,
  settings: Env,
  begin: (relay: FaultRelay) => () => void,
): OutageKind {
  return {
    name,
    settings,
    begin({ relay }) {
      const end = begin(relay);
      return Promise.resolve(() => Promise.resolve(end()));
    },
  };
}

function freezeAll(relay: FaultRelay): void {
  for (const connection of relay.openConnections) connection.freeze();
}

function thawAll(relay: FaultRelay): void {
  for (const connection of relay.connections) connection.thaw();
}
