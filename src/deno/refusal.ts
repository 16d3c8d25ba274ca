/** The answer to what is no request, on the socket itself: node's parser has given the connection up. */
import type { Socket } from "node:net";
import { completesWithin } from "../db/time/timeout.ts";

/** How long a client may take to read it. */
const REFUSAL_MS = 1_000;

const BY_CODE: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
};

/** The status for the code of node's error; `undefined` if the connection has failed, and nothing can be answered. */
export function refusalOf(code = ""): string | undefined {
  return BY_CODE[code] ?? (code.startsWith("HPE_") ? "400 Bad Request" : undefined);
}

/**
 * Reads on, and makes nothing of it. Deno has freed the connection's parser, and the next connection gets it: nothing more
 * may reach it from here.
 */
export function detachParser(socket: Socket): void {
  socket.removeAllListeners("data").removeAllListeners("end").removeAllListeners("error");
  socket.on("error", () => {}).resume();
}

/** Ends the connection, with an answer of this status. Resolves when it is closed. Never rejects. */
export async function endWith(socket: Socket, status: string | undefined): Promise<void> {
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  if (status === undefined) socket.end();
  else socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
  // If the socket were closed while the client sends, the kernel would reset it before the client has its answer.
  await completesWithin(closed, REFUSAL_MS);
  socket.destroy();
}
