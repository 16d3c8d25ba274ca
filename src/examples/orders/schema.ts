/** The tables of the orders app. */
import { type Database, sql } from "@user-service/db";

const TABLES = [
  sql`create type order_status as enum ('new', 'paid', 'shipped')`,
  sql`create table products (
    sku text primary key,
    name text not null,
    price numeric(12, 2) not null check (price >= 0),
    stock int not null check (stock >= 0),
    tags text[] not null,
    attributes jsonb not null
  )`,
  sql`create table orders (
    id uuid primary key,
    customer text not null,
    status order_status not null default 'new',
    total numeric(14, 2) not null,
    shipping jsonb not null,
    created_at timestamptz not null default now()
  )`,
  sql`create table order_lines (
    order_id uuid not null references orders,
    sku text not null references products,
    quantity int not null check (quantity > 0),
    price numeric(12, 2) not null,
    primary key (order_id, sku)
  )`,
  sql`create table outbox (
    id bigint primary key generated always as identity,
    topic text not null,
    payload jsonb not null
  )`,
];

/** Creates the tables, all or none. Does nothing if they exist, and waits for another process that creates them. */
export async function createTables(db: Pick<Database, "transaction">): Promise<void> {
  await db.transaction(async (session) => {
    const { exists } = await session.one(sql<{ exists: boolean }>`
      select to_regclass('orders') is not null as exists from pg_advisory_xact_lock(1)`);
    if (exists) return await session.rollback();
    await session.commit(TABLES);
  });
}
