/** The connection layer alone, as its documentation shows it: what the service does besides is not in the figures. */
import { type Session, sql } from "../../../../src/db/mod.ts";
import { openDatabase } from "../../../../src/library/deno/mod.ts";
import { CONNECTIONS, DATABASE_URL, type NewUser, serve } from "./hono_app.ts";

interface Row {
  readonly id: string;
  readonly version: number;
}

const wsProxy = Deno.env.get("DATABASE_WS_PROXY");

const db = openDatabase({
  url: DATABASE_URL,
  ...(wsProxy !== undefined && { wsProxy, pipelineConnect: true }),
  pool: { size: CONNECTIONS, maxOverflow: 0 },
});

const COLUMNS = sql`
  id, email, name, version, created_at as "createdAt", updated_at as "updatedAt"`;

const insertOf = ({ id, email, name }: NewUser) =>
  sql<
    Row
  >`insert into users (id, email, name) values (${id}, ${email}, ${name}) returning ${COLUMNS}`;

await serve({
  async read(id) {
    const [[user]] = await db.session({ readOnly: true }).commit([
      sql<Row>`select ${COLUMNS} from users where id = ${id}`,
    ]);
    return user;
  },
  async page(limit) {
    const [users] = await db.session({ readOnly: true }).commit([
      sql<Row>`select ${COLUMNS} from users order by id limit ${limit}`,
    ]);
    return { users };
  },
  create: (user) =>
    db.transaction(async (session) => {
      const [[made]] = await session.commit([insertOf(user)]);
      return made;
    }),
  three: (user) =>
    db.transaction(async (session: Session) => {
      const made = await session.one(insertOf(user));
      const found = await session.one(
        sql<Row>`select id, version from users where id = ${made.id}`,
      );
      await session.commit([sql`
        update users set name = 'Bob' where id = ${found.id} and version = ${found.version}`]);
      return made;
    }),
});
