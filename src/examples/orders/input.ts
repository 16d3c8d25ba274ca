/** What clients send, checked before a session opens. A body can be read only once, and a unit of work may run again. */
import { HTTPException } from "hono/http-exception";

export interface ProductInput {
  readonly name: string;
  /** Money stays the text that PostgreSQL's numeric is read as: a JavaScript number rounds. */
  readonly price: string;
  readonly stock: number;
  readonly tags: readonly string[];
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface OrderInput {
  readonly customer: string;
  readonly shipping: Readonly<Record<string, unknown>>;
  readonly lines: readonly OrderLineInput[];
}

export interface OrderLineInput {
  readonly sku: string;
  readonly quantity: number;
}

/** The labels of the enum `order_status`. */
export const ORDER_STATUSES = ["new", "paid", "shipped"] as const;

export type OrderStatus = typeof ORDER_STATUSES[number];

const MAX_PRODUCTS = 1_000;
const MAX_LINES = 100;

export function parseProduct(value: unknown): ProductInput {
  const { name, price, stock, tags = [], attributes = {} } = object(value);
  check(typeof name === "string" && name !== "", "name");
  check(typeof price === "string" && /^\d{1,10}(\.\d{1,2})?$/.test(price), "price");
  check(isWhole(stock, 0), "stock");
  check(Array.isArray(tags) && tags.every((tag) => typeof tag === "string"), "tags");
  return { name, price, stock, tags, attributes: object(attributes) };
}

export function parseProducts(value: unknown): (ProductInput & { readonly sku: string })[] {
  check(Array.isArray(value) && value.length > 0 && value.length <= MAX_PRODUCTS, "products");
  const products = value.map((item) => ({ sku: skuOf(item), ...parseProduct(item) }));
  // The server refuses an upsert that meets the same row twice.
  checkUnique(products);
  return products;
}

export function parseOrder(value: unknown): OrderInput {
  const { customer, shipping, lines } = object(value);
  check(typeof customer === "string" && customer !== "", "customer");
  check(Array.isArray(lines) && lines.length > 0 && lines.length <= MAX_LINES, "lines");
  const parsed = lines.map((line) => {
    const { quantity } = object(line);
    check(isWhole(quantity, 1), "quantity");
    return { sku: skuOf(line), quantity };
  });
  checkUnique(parsed);
  return { customer, shipping: object(shipping), lines: parsed };
}

export function parseStatus(value: unknown): { readonly status: OrderStatus } {
  const { status } = object(value);
  check(isStatus(status), "status");
  return { status };
}

export function isStatus(value: unknown): value is OrderStatus {
  return ORDER_STATUSES.includes(value as OrderStatus);
}

/** An id from a path. The server would answer another text with an error, which the client could not understand. */
export function parseId(id: string): string {
  check(/^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i.test(id), "id");
  return id;
}

function skuOf(value: unknown): string {
  const { sku } = object(value);
  check(typeof sku === "string" && sku !== "", "sku");
  return sku;
}

function checkUnique(items: readonly { readonly sku: string }[]): void {
  check(new Set(items.map(({ sku }) => sku)).size === items.length, "sku, which is given twice");
}

function object(value: unknown): Record<string, unknown> {
  check(typeof value === "object" && value !== null && !Array.isArray(value), "object");
  return value as Record<string, unknown>;
}

/** A whole number that fits into int4. */
function isWhole(value: unknown, least: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) < 2 ** 31;
}

function check(isGood: boolean, what: string): asserts isGood {
  if (!isGood) throw new HTTPException(400, { message: `Bad ${what}` });
}
