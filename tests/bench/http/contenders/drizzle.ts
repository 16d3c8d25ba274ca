/** Drizzle over Neon's Pool, as Drizzle's documentation on Neon shows it. */
import { type NewUser, serve } from "./hono_app.ts";
import { neonPool } from "./neon_pool.ts";

// Not imports that Deno can see before it runs: `../../main.ts` says why.
const DRIZZLE = "npm:drizzle-orm@0.45.4";
const NEON_SERVERLESS = `${DRIZZLE}/neon-serverless`;
const PG_CORE = `${DRIZZLE}/pg-core`;

const { drizzle } = await import(NEON_SERVERLESS);
const { and, asc, eq } = await import(DRIZZLE);
const { integer, pgTable, text, timestamp, uuid } = await import(PG_CORE);

const users = pgTable("users", {
  id: uuid(),
  email: text(),
  name: text(),
  version: integer().default(1),
  createdAt: timestamp("created_at", { withTimezone: true }).defaultNow(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).defaultNow(),
});

const db = drizzle({ client: neonPool() });

async function insert(tx: typeof db, user: NewUser) {
  const [made] = await tx.insert(users).values(user).returning();
  return made;
}

await serve({
  async read(id) {
    const [user] = await db.select().from(users).where(eq(users.id, id));
    return user;
  },
  page: async (limit) => ({
    users: await db.select().from(users).orderBy(asc(users.id)).limit(limit),
  }),
  create: (user) => db.transaction((tx: typeof db) => insert(tx, user)),
  three: (user) =>
    db.transaction(async (tx: typeof db) => {
      const made = await insert(tx, user);
      const { id, version } = users;
      const [found] = await tx.select({ id, version }).from(users).where(eq(id, made.id));
      await tx.update(users).set({ name: "Bob" })
        .where(and(eq(id, found.id), eq(version, found.version)));
      return made;
    }),
});
