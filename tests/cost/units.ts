/** The units whose cost is recorded, as the service does them: through its HTTP app, without a socket to a client. */
import { type Database, sql } from "../../src/db/mod.ts";
import { createApp } from "../../src/http/app.ts";
import { authenticator } from "../http/test_app.ts";
import { BEARER } from "../support/token.ts";

export interface Unit {
  readonly name: string;
  run(): Promise<void>;
}

interface Row {
  readonly id: string;
  readonly version: number;
}

/** `knownId` is the user that is read. What a unit sends has the same length in each run. */
export function unitsOf(db: Database, { knownId }: { knownId: string }): Unit[] {
  const app = createApp({ db, authenticator });
  const ask = async (request: Request) => {
    const response = await app.fetch(request);
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`Cannot count a unit as it was answered ${response.status}`);
  };
  return [
    {
      name: "read",
      run: () => ask(new Request(`http://localhost/users/${knownId}`, { headers: BEARER })),
    },
    {
      name: "create",
      run: () =>
        ask(
          new Request("http://localhost/users", {
            method: "POST",
            headers: { ...BEARER, "Content-Type": "application/json" },
            body: JSON.stringify(newUser()),
          }),
        ),
    },
    {
      name: "three dependent statements",
      run: () =>
        db.transaction(async (session) => {
          const [id, { email, name }] = [crypto.randomUUID(), newUser()];
          const [made] = await session.query(sql<Row>`
            insert into users (id, email, name) values (${id}, ${email}, ${name})
            returning id, version`);
          const [found] = await session.query(
            sql<Row>`select id, version from users where id = ${made!.id}`,
          );
          await session.commit([sql`
            update users set name = 'Bob' where id = ${found!.id} and version = ${
            found!.version
          }`]);
        }),
    },
  ];
}

function newUser() {
  return { email: `${crypto.randomUUID()}@example.org`, name: "Ann" };
}
