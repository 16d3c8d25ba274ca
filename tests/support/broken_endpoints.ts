/** Endpoints in place of a relay, none of which works as one. The last part of the URL's path chooses among them. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
// @ts-types="npm:@types/ws@8.18.2"
import { WebSocketServer } from "ws";
import type { RelayFault } from "../db/driver/relay_fault_cases.ts";

export interface BrokenEndpoints extends AsyncDisposable {
  /** Append `/` and a `RelayFault`. */
  readonly url: string;
}

export async function startBrokenEndpoints(): Promise<BrokenEndpoints> {
  const upgrades = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    clientTracking: false,
  });
  const open = new Map<Duplex, Promise<void>>();
  const server = createServer();
  server.on("upgrade", (request, socket, head) => {
    // These tests make clients leave, which is an error of the socket.
    socket.on("error", () => {});
    open.set(socket, new Promise((resolve) => socket.once("close", () => resolve())));
    const { pathname } = new URL(request.url!, "ws://relay");
    const fault = pathname.slice(pathname.lastIndexOf("/") + 1) as RelayFault;
    switch (fault) {
      case "refuses":
        socket.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        break;
      case "stalls":
        break;
      case "stays-silent":
        upgrades.handleUpgrade(request, socket, head, () => {});
        break;
      case "vanishes":
        upgrades.handleUpgrade(request, socket, head, (client) => {
          client.once("message", () => client.terminate());
        });
        break;
      default:
        socket.destroy(fault satisfies never);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const freed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of open.keys()) socket.destroy();
      await Promise.all(open.values());
      await freed;
    },
  };
}
