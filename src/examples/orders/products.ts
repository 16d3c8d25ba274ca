/** The SQL of products. */
import { type Session, sql } from "@user-service/db";
import type { ProductInput } from "./input.ts";

export interface Product extends ProductInput {
  readonly sku: string;
}

const COLUMNS = sql`sku, name, price, stock, tags, attributes`;

/** Inserts products that are not there yet: one statement in one round trip, COMMIT included. Returns their number. */
export async function importProducts(
  session: Session,
  products: readonly Product[],
): Promise<number> {
  const rows = products.map(({ sku, name, price, stock, tags, attributes }) => [
    sku,
    name,
    price,
    stock,
    tags,
    attributes,
  ]);
  const [inserted] = await session.commit([sql`
    insert into products (${COLUMNS}) values ${sql.values(rows)}
    on conflict (sku) do nothing
    returning sku`]);
  return inserted.length;
}

/** Inserts or replaces a product, and says which. */
export async function putProduct(
  session: Session,
  { sku, name, price, stock, tags, attributes }: Product,
): Promise<{ product: Product; isNew: boolean }> {
  const [[row]] = await session.commit([sql<Product & { isNew: boolean }>`
    insert into products (${COLUMNS}) values (${sku}, ${name}, ${price}, ${stock}, ${tags}, ${attributes})
    on conflict (sku) do update set name = excluded.name, price = excluded.price,
      stock = excluded.stock, tags = excluded.tags, attributes = excluded.attributes
    returning ${COLUMNS}, xmax = 0 as "isNew"`]);
  const { isNew, ...product } = row!;
  return { product, isNew };
}

/** Products that have all the tags and all the attributes. */
export async function findProducts(
  session: Session,
  { tags, attributes }: { tags: readonly string[]; attributes: Record<string, unknown> },
): Promise<Product[]> {
  const [products] = await session.commit([sql<Product>`
    select ${COLUMNS} from products
    where tags @> ${tags} and attributes @> ${attributes}
    order by sku limit 100`]);
  return products;
}
