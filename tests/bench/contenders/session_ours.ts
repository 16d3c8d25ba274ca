import { type Database, sql } from "../../../src/db/mod.ts";
import { newUser, type SessionContender } from "../session_contender.ts";

interface Row {
  readonly id: string;
  readonly version: number;
}

function insertUser() {
  const { id, email, name } = newUser();
  return sql<Row>`
    insert into users (id, email, name) values (${id}, ${email}, ${name}) returning id, version`;
}

export function sessionOurs(db: Database, { knownId }: { knownId: string }): SessionContender {
  const select = () => sql`select id, email, name from users where id = ${knownId}`;
  return {
    ways: [
      {
        name: "user-service: commit([select])",
        unit: "read",
        async run() {
          await using session = db.session({ readOnly: true });
          return await session.commit([select()]);
        },
      },
      {
        name: "user-service: commit([insert])",
        unit: "write",
        async run() {
          await using session = db.session();
          return await session.commit([insertUser()]);
        },
      },
      {
        name: "user-service: query(insert), commit()",
        unit: "write",
        async run() {
          await using session = db.session();
          await session.query(insertUser());
          await session.commit();
        },
      },
      {
        name: "user-service: query, query, commit([update])",
        unit: "three dependent statements",
        async run() {
          await using session = db.session();
          const [made] = await session.query(insertUser());
          const [found] = await session.query(
            sql<Row>`select id, version from users where id = ${made!.id}`,
          );
          await session.commit([
            sql`update users set name = 'Bob' where id = ${found!.id} and version = ${
              found!.version
            }`,
          ]);
        },
      },
      {
        name: "user-service: query, query, query, commit()",
        unit: "three dependent statements",
        async run() {
          await using session = db.session();
          const [made] = await session.query(insertUser());
          const [found] = await session.query(
            sql<Row>`select id, version from users where id = ${made!.id}`,
          );
          await session.query(
            sql`update users set name = 'Bob' where id = ${found!.id} and version = ${
              found!.version
            }`,
          );
          await session.commit();
        },
      },
    ],
    close: () => db.close({ timeoutMs: 5_000 }),
  };
}
