/** The units of work of a chaos run. Each inserts a row into `ledger` by which it is checked afterwards. */
import {
  type Database,
  type IsolationLevel,
  type Session,
  sql,
  TRANSACTION_KEYS_TABLE,
} from "../../../src/db/mod.ts";
import { seededRandom } from "../random.ts";

export const ACCOUNTS = 200;
export const BALANCE = 1_000;

/** To be run by `postgres`. The ledger's unit has no unique key: a unit that is done twice has two rows. */
export const SCHEMA = [
  "create table accounts (id int primary key, balance bigint not null)",
  `insert into accounts select id, ${BALANCE} from generate_series(1, ${ACCOUNTS}) as id`,
  `create table ledger (unit int not null, kind text not null,
    debtor int, creditor int, amount bigint)`,
  "create table inserted (unit int primary key)",
  TRANSACTION_KEYS_TABLE,
  "grant all on accounts, ledger, inserted, transaction_keys to user_service",
];

interface Transfer {
  readonly kind: "transfer";
  readonly id: number;
  readonly debtor: number;
  readonly creditor: number;
  readonly amount: number;
  readonly isolation: IsolationLevel;
}

/** Inserts a row under a unique key. */
interface Insert {
  readonly kind: "insert";
  readonly id: number;
}

/** May be requested again under its transaction key, and is done once. */
interface Effect {
  readonly kind: "effect";
  readonly id: number;
  /** The insert goes with COMMIT, so that the transaction id cannot be known before. */
  readonly inOneFlight: boolean;
}

export type Unit = Transfer | Insert | Effect;

/** Gives the same unit for the same seed and number. */
export function unitOf(seed: number, id: number): Unit {
  const random = seededRandom(seed ^ Math.imul(id + 1, 0x9e3779b1));
  const draw = random();
  if (draw < 0.25) return { kind: "insert", id };
  if (draw < 0.5) return { kind: "effect", id, inOneFlight: random() < 0.5 };
  const debtor = 1 + Math.floor(random() * ACCOUNTS);
  const apart = 1 + Math.floor(random() * (ACCOUNTS - 1));
  return {
    kind: "transfer",
    id,
    debtor,
    creditor: 1 + (debtor - 1 + apart) % ACCOUNTS,
    amount: 1 + Math.floor(random() * 9),
    isolation: random() < 0.5 ? "read committed" : "serializable",
  };
}

export interface RunOptions {
  /** No further attempt begins later than this after the first. */
  readonly timeoutMs: number;
  /** Aborts when the client of the request has gone. */
  readonly signal: AbortSignal;
  /** Called for each run of the unit. */
  readonly onRun: () => void;
}

/** Resolves once the unit is known to be committed. */
export async function runUnit(db: Database, unit: Unit, { onRun, ...limits }: RunOptions) {
  const isolation = unit.kind === "transfer" ? unit.isolation : "read committed";
  const options = { isolation, ...limits } as const;
  const work = (session: Session) => {
    onRun();
    if (unit.kind === "transfer") return transfer(session, unit);
    return unit.kind === "insert" ? insert(session, unit) : effect(session, unit);
  };
  if (unit.kind !== "effect") return await db.transaction(work, options);
  // The result of an effect that is done already is not used.
  const loadResult = () => Promise.resolve();
  await db.transaction(work, { ...options, key: `effect ${unit.id}`, loadResult });
}

interface Account {
  readonly id: number;
  readonly balance: bigint;
}

/** Writes balances that follow from balances read before: a lost update or a second run would make or destroy money. */
async function transfer(session: Session, { id, ...unit }: Transfer): Promise<void> {
  const { debtor, creditor, amount } = unit;
  const both = [debtor, creditor];
  // At serializable the server itself detects that a balance has changed since it was read.
  const accounts = await session.query(
    unit.isolation === "serializable"
      ? sql<Account>`select id, balance from accounts where id = any(${both})`
      : sql<Account>`select id, balance from accounts where id = any(${both}) for update`,
  );
  const balanceOf = (id: number) => accounts.find((account) => account.id === id)!.balance;
  await session.batch([
    sql`update accounts set balance = ${balanceOf(debtor) - BigInt(amount)} where id = ${debtor}`,
    sql`update accounts set balance = ${
      balanceOf(creditor) + BigInt(amount)
    } where id = ${creditor}`,
  ]);
  await session.commit([sql`insert into ledger (unit, kind, debtor, creditor, amount)
    values (${id}, 'transfer', ${debtor}, ${creditor}, ${amount})`]);
}

async function insert(session: Session, { id }: Insert): Promise<void> {
  await session.query(sql`insert into inserted (unit) values (${id})`);
  await session.query(sql`insert into ledger (unit, kind) values (${id}, 'insert')`);
  await session.commit();
}

async function effect(session: Session, { id, inOneFlight }: Effect): Promise<void> {
  const once = sql`insert into ledger (unit, kind) values (${id}, 'effect')`;
  if (inOneFlight) return void await session.commit([once]);
  await session.query(once);
  await session.commit();
}
