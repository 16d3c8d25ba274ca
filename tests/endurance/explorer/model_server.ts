/** What PostgreSQL keeps beyond a connection: committed rows, keys, transaction ids, and the life of the server. */
import { serverError } from "../../support/scripted_driver.ts";
import type { ServerError } from "../../../src/db/mod.ts";
import type { ModelBackend } from "./model_backend.ts";
import type { Timeline } from "./timeline.ts";

export interface Row {
  /** The unit that inserted it. */
  readonly unit: string;
  readonly name: string;
}

type XidStatus = "in progress" | "committed" | "aborted";

export class ModelTransaction {
  xid: number | undefined;
  key: string | undefined;
  rows: Row[] = [];
  savepoints: { readonly name: string; readonly rows: number }[] = [];
  /** Rows that portals have not given yet. */
  readonly portals = new Map<string, Record<string, unknown>[]>();
  /** A constraint that is checked at COMMIT does not hold. */
  isInvalid = false;
  readonly onEnd: (() => void)[] = [];
}

/** The unit of rows that another client of the same server inserts. */
export const STRANGER = "stranger";

/** How long a server refuses logins after a crash. */
const RECOVERY_MS = 400;

export class ModelServer {
  /** Committed. */
  readonly rows: Row[] = [];
  readonly backends = new Set<ModelBackend>();
  readonly #timeline: Timeline;
  readonly #keys = new Map<string, "committed" | ModelTransaction>();
  readonly #xids = new Map<number, XidStatus>();
  #nextXid = 1_000;
  /** A crash forgets later ones: https://www.postgresql.org/docs/current/wal-intro.html */
  #lastLoggedXid = 999;
  #life = 1;
  #cluster = 1;
  #recoversAtMs = -Infinity;
  #waiting: (() => void)[] | undefined;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  /** As the layer's query for it answers: another one for each life of the server. */
  get incarnation(): string {
    return `${1_700_000_000 + this.#life}.000000/1699999999.000000`;
  }

  /** Another one for each cluster. */
  get systemIdentifier(): string {
    return String(7_700_000_000_000_000_000n + BigInt(this.#cluster));
  }

  /** Why a login is refused now. */
  get refusal(): ServerError | undefined {
    return this.#timeline.clock.now() < this.#recoversAtMs
      ? fatal("57P03", "the database system is in recovery mode")
      : undefined;
  }

  /** Does the step now, or when the server goes on. */
  whenAwake(step: () => void): void {
    if (this.#waiting === undefined) step();
    else this.#waiting.push(step);
  }

  /** Stops for a while, and then does all that has come meanwhile. */
  stall(timeMs: number): void {
    if (this.#waiting !== undefined) return;
    this.#waiting = [];
    this.#timeline.after(timeMs, () => {
      const steps = this.#waiting ?? [];
      this.#waiting = undefined;
      for (const step of steps) this.whenAwake(step);
    });
  }

  /** Ends every backend, and forgets transaction ids that no COMMIT has made durable: another client gets them next. */
  crash(): void {
    for (const backend of [...this.backends]) {
      backend.kill(fatal("57P02", "the server terminates all its processes"));
    }
    this.#life++;
    this.#recoversAtMs = this.#timeline.clock.now() + RECOVERY_MS;
    for (const xid of this.#xids.keys()) {
      if (xid > this.#lastLoggedXid) this.#xids.delete(xid);
    }
    this.#nextXid = this.#lastLoggedXid + 1;
    for (let count = 0; count < 3; count++) this.#strangerWrites();
  }

  /**
   * Ends every backend. From now on the address leads to a logical replica, which has the same rows and keys. Its
   * transaction ids are its own: it has used up those of the old cluster for transactions that failed, or has not come to
   * them yet.
   */
  moveToReplica({ isAhead }: { isAhead: boolean }): void {
    for (const backend of [...this.backends]) backend.kill(terminated());
    this.#life++;
    this.#cluster++;
    if (isAhead) { for (const xid of this.#xids.keys()) this.#xids.set(xid, "aborted"); }
    else {
      this.#xids.clear();
      this.#nextXid = 100;
    }
    this.#lastLoggedXid = this.#nextXid - 1;
  }

  #strangerWrites(): void {
    const transaction = new ModelTransaction();
    this.assignXid(transaction);
    transaction.rows.push({ unit: STRANGER, name: "row" });
    this.commit(transaction);
  }

  assignXid(transaction: ModelTransaction): void {
    if (transaction.xid !== undefined) return;
    transaction.xid = this.#nextXid++;
    this.#xids.set(transaction.xid, "in progress");
  }

  /** Gives the transaction in progress that holds the key, if there is one: the insert must wait for its end. */
  insertKey(
    transaction: ModelTransaction,
    key: string,
  ): ServerError | ModelTransaction | undefined {
    const holder = this.#keys.get(key);
    if (holder instanceof ModelTransaction && holder !== transaction) return holder;
    if (holder !== undefined) return duplicateKey();
    this.assignXid(transaction);
    transaction.key = key;
    this.#keys.set(key, transaction);
    return undefined;
  }

  commit(transaction: ModelTransaction): void {
    this.rows.push(...transaction.rows);
    if (transaction.key !== undefined) this.#keys.set(transaction.key, "committed");
    if (transaction.xid !== undefined) {
      this.#lastLoggedXid = Math.max(this.#lastLoggedXid, transaction.xid);
    }
    this.#end(transaction, "committed");
  }

  rollBack(transaction: ModelTransaction): void {
    if (transaction.key !== undefined) this.#keys.delete(transaction.key);
    this.#end(transaction, "aborted");
  }

  #end({ xid, onEnd }: ModelTransaction, status: XidStatus): void {
    if (xid !== undefined) this.#xids.set(xid, status);
    for (const act of onEnd.splice(0)) act();
  }

  /** https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT, `pg_xact_status` */
  statusOf(xid: number): XidStatus | ServerError {
    return this.#xids.get(xid) ??
      serverError("22023", `transaction ID ${xid} is in the future`);
  }

  /** As `pg_terminate_backend`: the backend ends a little later. Gives the number of backends. */
  terminate({ xid, incarnation }: { xid: number; incarnation: string }): number {
    if (incarnation !== this.incarnation) return 0;
    const running = [...this.backends].filter(({ session }) => session.transaction?.xid === xid);
    for (const backend of running) {
      this.#timeline.after(1, () => this.whenAwake(() => backend.kill(terminated())));
    }
    return running.length;
  }
}

export function terminated(): ServerError {
  const message = "terminating connection due to administrator command";
  return fatal("57P01", message);
}

/** An error that ends the connection. PostgreSQL names its own function that reports it, which no pooler does. */
export function fatal(sqlState: string, message: string): ServerError {
  return serverError(sqlState, message, "FATAL", { routine: "ProcessInterrupts" });
}

function duplicateKey(): ServerError {
  return serverError("23505", "duplicate key value violates unique constraint", "ERROR", {
    constraint: "transaction_keys_pkey",
  });
}
