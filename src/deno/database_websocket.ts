// @ts-types="npm:@types/ws@8.18.2"
import { WebSocket } from "ws";

/**
 * The WebSocket for database connections on Deno. Deno's own holds a small message back until the one before it is
 * acknowledged, some 40 ms, and cannot end a connection whose peer has frozen.
 */
export class DatabaseWebSocket extends WebSocket {
  constructor(url: string) {
    super(url, { perMessageDeflate: false });
  }
}
