/** The SQL of orders. */
import { type Session, type Sql, sql } from "@user-service/db";
import type { OrderInput, OrderLineInput, OrderStatus } from "./input.ts";

export interface Order {
  readonly id: string;
  readonly customer: string;
  readonly status: OrderStatus;
  readonly total: string;
  readonly shipping: unknown;
  readonly created_at: Date;
}

export interface OrderLine extends OrderLineInput {
  readonly price: string;
}

const COLUMNS = sql`id, customer, status, total, shipping, created_at`;

/** The order, or the products of which there are not enough: then nothing is stored. */
export type Placed = { readonly order: Order } | { readonly lacking: string[] };

/**
 * Takes the products from the stock, and writes the order, its lines and an event: four statements, two round trips, one
 * transaction. The server adds up the total, as numeric.
 */
export async function placeOrder(
  session: Session,
  id: string,
  { customer, shipping, lines }: OrderInput,
): Promise<Placed> {
  const wanted = relationOf(lines);
  const taken = await session.query(sql<{ sku: string }>`
    update products set stock = stock - wanted.quantity from ${wanted}
    where products.sku = wanted.sku and stock >= wanted.quantity
    returning products.sku`);
  if (taken.length < lines.length) {
    await session.rollback();
    const found = new Set(taken.map(({ sku }) => sku));
    return { lacking: lines.map(({ sku }) => sku).filter((sku) => !found.has(sku)) };
  }
  const [[order]] = await session.commit([
    sql<Order>`
      insert into orders (id, customer, shipping, total)
      select ${id}, ${customer}, ${shipping}, sum(price * quantity)
      from products join ${wanted} using (sku)
      returning ${COLUMNS}`,
    sql`
      insert into order_lines (order_id, sku, quantity, price)
      select ${id}, sku, quantity, price from products join ${wanted} using (sku)`,
    sql`insert into outbox (topic, payload) values ('order placed', ${{ orderId: id }})`,
  ]);
  return { order: order! };
}

/** Order lines as a relation. Arrays keep the statement's text the same for any number of lines. */
function relationOf(lines: readonly OrderLineInput[]): Sql {
  const skus = sql.array(lines.map(({ sku }) => sku), "text");
  const quantities = sql.array(lines.map(({ quantity }) => quantity), "int");
  return sql`unnest(${skus}, ${quantities}) as wanted (sku, quantity)`;
}

/** An order with its lines: two statements, one round trip. */
export async function readOrder(
  session: Session,
  id: string,
): Promise<(Order & { readonly lines: OrderLine[] }) | undefined> {
  const [[order], lines] = await session.commit([
    sql<Order>`select ${COLUMNS} from orders where id = ${id}`,
    sql<
      OrderLine
    >`select sku, quantity, price from order_lines where order_id = ${id} order by sku`,
  ]);
  return order && { ...order, lines };
}

export async function setStatus(
  session: Session,
  id: string,
  status: OrderStatus,
): Promise<Order | undefined> {
  const order = await session.maybeOne(sql<Order>`
    update orders set status = ${status} where id = ${id} returning ${COLUMNS}`);
  await session.commit();
  return order;
}

/** The newest orders in any of these states. */
export async function findOrders(
  session: Session,
  statuses: readonly OrderStatus[],
): Promise<Order[]> {
  const [orders] = await session.commit([sql<Order>`
    select ${COLUMNS} from orders where status = any(${sql.array(statuses, "order_status")})
    order by created_at desc, id limit 100`]);
  return orders;
}

export const EXPORT_COLUMNS = ["order", "customer", "status", "sku", "quantity", "price"];

/** One row for each line of each order, in any number: read them as a stream. */
export const EXPORT = sql`
  select id, customer, status, sku, quantity, price
  from orders join order_lines on order_id = id
  order by created_at, id, sku`;
