/** The table that the scenarios read and write. */
import { type Session, type Sql, sql } from "../../db/mod.ts";
import type { ServerView } from "./server_view.ts";

export function addAccount(name: string, balance: number): Sql {
  return sql`insert into accounts (name, balance) values (${name}, ${balance})`;
}

export function addToBalance(name: string, amount: number): Sql {
  return sql`update accounts set balance = balance + ${amount} where name = ${name}`;
}

export async function balanceSum(session: Session, names: readonly string[]): Promise<number> {
  const [row] = await session.query(sql<{ sum: number }>`
    select sum(balance)::int as sum from accounts where name = any(${names})`);
  return row?.sum ?? 0;
}

/** The committed sum, read on the observer's connection; `null` if no row exists. */
export async function storedBalance(server: ServerView, ...names: string[]): Promise<unknown> {
  return await server.value("select sum(balance)::int from accounts where name = any($1)", [names]);
}
