/** What the callers of a soak do, each a unit of work as a service has them. */
import { type Database, sql } from "../../src/db/mod.ts";

export interface Unit {
  readonly name: string;
  readonly writes: boolean;
  /** `onRun` is told of each run: a unit may be run again. */
  run(db: Database, options: { id: number; onRun: () => void }): Promise<void>;
}

/** No unique key: what is written twice is to be seen. */
export const TABLE = "create table soak_writes (id int not null)";

const insert = (id: number) => sql`insert into soak_writes (id) values (${id})`;

export const UNITS: readonly Unit[] = [
  {
    name: "a read in one flight",
    writes: false,
    async run(db, { onRun }) {
      await db.transaction((session) => {
        onRun();
        return session.commit([sql`select 1`]);
      }, { readOnly: true });
    },
  },
  {
    name: "reads in three flights",
    writes: false,
    async run(db, { onRun }) {
      await db.transaction(async (session) => {
        onRun();
        await session.query(sql`select 1`);
        await session.query(sql`select 2`);
        await session.commit();
      }, { readOnly: true });
    },
  },
  {
    name: "a write in one flight",
    writes: true,
    async run(db, { id, onRun }) {
      await db.transaction((session) => {
        onRun();
        return session.commit([insert(id)]);
      });
    },
  },
  {
    name: "a read, a write, COMMIT",
    writes: true,
    async run(db, { id, onRun }) {
      await db.transaction(async (session) => {
        onRun();
        await session.query(sql`select 1`);
        await session.query(insert(id));
        await session.commit();
      });
    },
  },
];
