/** What the contenders on Hono have in common: the routes. Each brings its own access to the database. */
import { Hono } from "hono";
import { linesOf } from "../lines.ts";

export interface NewUser {
  readonly id: string;
  readonly email: string;
  readonly name: string;
}

export interface UserAccess {
  read(id: string): Promise<unknown>;
  /** Inserts the user in a transaction, and returns its row. */
  create(user: NewUser): Promise<unknown>;
  /** INSERT, SELECT of that row, UPDATE of the version that was read: one transaction. */
  three(user: NewUser): Promise<unknown>;
  /** Users ordered by id. */
  page(limit: number): Promise<unknown>;
}

/** Connections of each contender's pool. */
export const CONNECTIONS = Number(Deno.env.get("DATABASE_POOL_SIZE"));

export const DATABASE_URL = Deno.env.get("DATABASE_URL")!;

export async function serve(users: UserAccess): Promise<never> {
  const newUser = async (body: Promise<{ email: string; name: string }>) => {
    const { email, name } = await body;
    return { id: crypto.randomUUID(), email, name };
  };
  const app = new Hono()
    .get("/users/:id", async (c) => c.json(await users.read(c.req.param("id"))))
    .get("/users", async (c) => c.json(await users.page(Number(c.req.query("limit")))))
    .post("/users", async (c) => c.json(await users.create(await newUser(c.req.json())), 201))
    .post("/three", async (c) => c.json(await users.three(await newUser(c.req.json())), 201));
  const { addr } = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, app.fetch);
  return await untilInputEnds(addr.port);
}

/** Tells the port, and ends the process when the benchmark does. */
export async function untilInputEnds(port: number): Promise<never> {
  console.log(port);
  for await (const _ of linesOf(Deno.stdin.readable));
  Deno.exit(0);
}
