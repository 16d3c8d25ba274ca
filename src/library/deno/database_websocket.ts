// @ts-types="npm:@types/ws@8.18.2"
import { WebSocket } from "ws";

/**
 * The WebSocket for database connections on Deno. Deno's own WebSocket delays a small message until the previous one is
 * acknowledged, by about 40 ms, and cannot close a connection whose peer has stopped responding.
 */
export class DatabaseWebSocket extends WebSocket {
  constructor(url: string) {
    super(url, { perMessageDeflate: false });
  }
}
