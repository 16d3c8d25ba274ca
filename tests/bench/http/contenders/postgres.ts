import { CONNECTIONS, DATABASE_URL, type NewUser, serve } from "./hono_app.ts";

// Not an import that Deno can see before it runs: `../../main.ts` says why.
const POSTGRES = "npm:postgres@3.4.9";

interface Row {
  readonly id: string;
  readonly version: number;
}

interface Sql {
  (parts: TemplateStringsArray, ...values: unknown[]): Promise<Row[]>;
  begin<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
}

const { default: connect }: { default(url: string, options: { max: number }): Sql } = await import(
  POSTGRES
);

const sql = connect(DATABASE_URL, { max: CONNECTIONS });

async function insert(sql: Sql, { id, email, name }: NewUser): Promise<Row> {
  const [made] = await sql`
    insert into users (id, email, name) values (${id}, ${email}, ${name})
    returning id, email, name, version, created_at as "createdAt", updated_at as "updatedAt"`;
  return made!;
}

await serve({
  async read(id) {
    const [user] = await sql`
      select id, email, name, version, created_at as "createdAt", updated_at as "updatedAt"
      from users where id = ${id}`;
    return user;
  },
  async page(limit) {
    const users = await sql`
      select id, email, name, version, created_at as "createdAt", updated_at as "updatedAt"
      from users order by id limit ${limit}`;
    return { users };
  },
  create: (user) => sql.begin((sql) => insert(sql, user)),
  three: (user) =>
    sql.begin(async (sql) => {
      const made = await insert(sql, user);
      const [found] = await sql`select id, version from users where id = ${made.id}`;
      await sql`
        update users set name = 'Bob' where id = ${found!.id} and version = ${found!.version}`;
      return made;
    }),
});
