/** Neon's own Pool, as the README of its package shows it: BEGIN, the statements and COMMIT, each awaited. */
import { neonConfig, Pool } from "@neondatabase/serverless";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";
import { inTransaction } from "./in_transaction.ts";
import { newUser, type Place, type SessionContender } from "../session_contender.ts";

const INSERT = "insert into users (id, email, name) values ($1, $2, $3) returning id, version";
const SELECT = "select id, email, name from users where id = $1";

/** The configuration that the README gives for Node.js, and the relay for a PostgreSQL that is not Neon. */
export function neonPool({ env, connections }: Place): Pool {
  const { host, pathname } = new URL(env["DATABASE_WS_PROXY"]!);
  neonConfig.webSocketConstructor = DatabaseWebSocket;
  neonConfig.useSecureWebSocket = false;
  neonConfig.wsProxy = (name, port) => `${host}${pathname}?address=${name}:${port}`;
  // The same idle timeout as our pool's default.
  const options = { max: connections, idleTimeoutMillis: 60_000 };
  return new Pool({ connectionString: env["DATABASE_URL"]!, ...options });
}

export function sessionNeon(place: Place): SessionContender {
  const pool = neonPool(place);
  const values = () => {
    const { id, email, name } = newUser();
    return [id, email, name];
  };
  return {
    ways: [
      {
        name: "Neon Pool: one query, no transaction",
        unit: "read",
        run: () => pool.query(SELECT, [place.knownId]),
      },
      {
        name: "Neon Pool: BEGIN, SELECT, COMMIT",
        unit: "read",
        run: () => inTransaction(pool, (client) => client.query(SELECT, [place.knownId])),
      },
      {
        name: "Neon Pool: one query, no transaction",
        unit: "write",
        run: () => pool.query(INSERT, values()),
      },
      {
        name: "Neon Pool: BEGIN, INSERT, COMMIT",
        unit: "write",
        run: () => inTransaction(pool, (client) => client.query(INSERT, values())),
      },
      {
        name: "Neon Pool: BEGIN, three, COMMIT",
        unit: "three dependent statements",
        run: () =>
          inTransaction(pool, async (client) => {
            const { rows: [made] } = await client.query(INSERT, values());
            const { rows: [found] } = await client.query(
              "select id, version from users where id = $1",
              [made.id],
            );
            await client.query(
              "update users set name = 'Bob' where id = $1 and version = $2",
              [found.id, found.version],
            );
          }),
      },
    ],
    close: () => pool.end(),
  };
}
