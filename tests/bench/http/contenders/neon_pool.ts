/** Neon's Pool, configured as the README of its package shows it, and led to the relay instead of to Neon. */
import { neonConfig, Pool } from "@neondatabase/serverless";
// @ts-types="npm:@types/ws@8.18.2"
import { WebSocket } from "ws";
import { CONNECTIONS, DATABASE_URL } from "./hono_app.ts";

export function neonPool(): Pool {
  const { host, pathname } = new URL(Deno.env.get("DATABASE_WS_PROXY")!);
  neonConfig.webSocketConstructor = WebSocket;
  neonConfig.useSecureWebSocket = false;
  neonConfig.wsProxy = (name, port) => `${host}${pathname}?address=${name}:${port}`;
  return new Pool({ connectionString: DATABASE_URL, max: CONNECTIONS, idleTimeoutMillis: 60_000 });
}
