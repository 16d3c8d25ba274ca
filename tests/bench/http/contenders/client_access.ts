/** Users by a pool with `pg`'s interface, which Neon's has too: as the documentation of both shows transactions. */
import { inTransaction, type PoolClient } from "../../contenders/in_transaction.ts";
import type { UserAccess } from "./hono_app.ts";

interface ClientPool extends Pick<PoolClient, "query"> {
  connect(): Promise<PoolClient>;
}

const COLUMNS = `id, email, name, version, created_at as "createdAt", updated_at as "updatedAt"`;
const INSERT = `insert into users (id, email, name) values ($1, $2, $3) returning ${COLUMNS}`;

export function clientAccess(pool: ClientPool): UserAccess {
  return {
    async read(id) {
      const { rows } = await pool.query(`select ${COLUMNS} from users where id = $1`, [id]);
      return rows[0];
    },
    async page(limit) {
      const { rows } = await pool.query(
        `select ${COLUMNS} from users order by id limit $1`,
        [limit],
      );
      return { users: rows };
    },
    create: ({ id, email, name }) =>
      inTransaction(
        pool,
        async (client) => (await client.query(INSERT, [id, email, name])).rows[0],
      ),
    three: ({ id, email, name }) =>
      inTransaction(pool, async (client) => {
        const { rows: [made] } = await client.query(INSERT, [id, email, name]);
        const { rows: [found] } = await client.query(
          "select id, version from users where id = $1",
          [made.id],
        );
        await client.query(
          "update users set name = 'Bob' where id = $1 and version = $2",
          [found.id, found.version],
        );
        return made;
      }),
  };
}
