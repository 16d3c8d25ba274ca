/**
 * The development relay, with faults. A test arms a fault at a point of a connection, and waits until it strikes. A
 * client needs nothing but the relay's `url`, so that a Worker in workerd can be one. Clients on TCP use `tcpPort`.
 */
import type { Socket } from "node:net";
import { type RelayTarget, startRelay } from "../../src/library/testing/relay/relay.ts";
import type { Direction, Link } from "../../src/library/testing/relay/relay_link.ts";
import { ArmedFault } from "./fault_armed.ts";
import type { Fault } from "./fault_actions.ts";
import { FaultConnection } from "./fault_connection.ts";
import { startTcpFront } from "./fault_tcp.ts";
import { passageOf } from "./fault_passage.ts";
import type { Point } from "./fault_points.ts";

export * from "./fault_actions.ts";
export * from "./fault_points.ts";
export type { ArmedFault } from "./fault_armed.ts";
export type { FaultConnection } from "./fault_connection.ts";

export interface FaultRelayOptions {
  readonly targets: readonly RelayTarget[];
  readonly faults?: readonly { readonly on: Point; readonly do: Fault }[];
}

export interface FaultRelay extends AsyncDisposable {
  readonly port: number;
  /** Leads to the first target over TCP. */
  readonly tcpPort: number;
  /** A value for `DATABASE_WS_PROXY`. */
  readonly url: string;
  /** All connections since the start, oldest first. */
  readonly connections: readonly FaultConnection[];
  readonly openConnections: readonly FaultConnection[];
  /** Delay of each chunk in each direction. May be changed at any time. */
  readonly latencyMs: Record<Direction, number>;
  /** Arms a fault. If several are due at the same message, the one that was armed first strikes. */
  when(point: Point, fault: Fault): ArmedFault;
  /** Disarms all faults. They go on holding what they hold. */
  clear(): void;
  /** Cuts every connection and frees the port. Safe to call twice. Rejects with an error that a fault has thrown. */
  close(): Promise<void>;
}

/** Starts the relay on 127.0.0.1. */
export async function startFaultRelay(
  { targets, faults = [] }: FaultRelayOptions,
): Promise<FaultRelay> {
  const connections: FaultConnection[] = [];
  let armed: ArmedFault[] = [];
  const failures: unknown[] = [];
  const latencyMs = { toServer: 0, toClient: 0 };

  function when(point: Point, fault: Fault): ArmedFault {
    const added = new ArmedFault(point, fault, {
      onClear: () => armed = armed.filter((each) => each !== added),
      onFailure: (error) => failures.push(error),
    });
    armed = [...armed, added];
    return added;
  }
  for (const { on, do: fault } of faults) when(on, fault);

  const due: Parameters<typeof passageOf>[1]["due"] = (moment) => {
    // Every fault counts the messages at its point, including those that another fault strikes.
    const ready = armed.filter((each) => each.isDue(moment));
    return ready[0];
  };

  async function admit(socket: Socket, signal: AbortSignal): Promise<Link> {
    const connection = new FaultConnection(connections.length + 1, socket);
    connections.push(connection);
    const leave = () => connection.state === "dialling" && connection.refused();
    socket.once("close", leave);
    signal.addEventListener("abort", leave);
    for await (
      const _ of due({ connection, moment: "dial" })?.strike(connection) ?? []
    );
    const through = passageOf(connection, { due, latencyMs });
    return (client, server, { signal }) =>
      connection.carry({ client, server }, { signal, through });
  }

  const relay = await startRelay({
    targets,
    admit: (socket, signal) => admit(socket as Socket, signal),
  });
  const front = await startTcpFront(targets[0]!, admit);
  async function close(): Promise<void> {
    await Promise.all([relay.close(), front[Symbol.asyncDispose]()]);
    if (failures.length > 0) throw failures.shift();
  }
  return {
    port: relay.port,
    tcpPort: front.port,
    url: relay.url,
    connections,
    get openConnections() {
      return connections.filter(({ state }) => state === "open");
    },
    latencyMs,
    when,
    clear: () => armed = [],
    close,
    [Symbol.asyncDispose]: close,
  };
}
