/** The SQL of one backend: runs the parts of flights in a transaction. Knows no time: a part runs at once or must wait. */
import type {
  Fetch,
  FlightPart,
  Portal,
  Result,
  Statement,
  TransactionStatus,
} from "../../../src/db/driver/driver.ts";
import { ServerError } from "../../../src/db/mod.ts";
import { serverError } from "../../support/scripted_driver.ts";
import { type ModelServer, ModelTransaction } from "./model_server.ts";

export type Outcome = Partial<Result> | ServerError | Wait;

/** The statement goes on when this transaction has ended. */
export interface Wait {
  readonly waitsFor: ModelTransaction;
}

type Command = (statement: Statement, name: string) => Outcome;

export class ModelSession {
  status: TransactionStatus = "I";
  transaction: ModelTransaction | undefined;
  readonly #server: ModelServer;
  readonly #onMisuse: (text: string) => void;
  readonly #commands: readonly (readonly [RegExp, Command])[] = [
    [/^begin\b/, () => this.#begin()],
    [/^commit$/, () => this.#commit()],
    [/^rollback$/i, () => this.#rollBack()],
    [/^savepoint (\w+)$/, (_, name) => this.#savepoint(name)],
    [/^release savepoint (\w+)$/, (_, name) => this.#release(name)],
    [/^rollback to savepoint (\w+)$/, (_, name) => this.#undo(name)],
    [/^select .*set_config\(/, () => ({ rows: [{}] })],
    [/^select pg_current_xact_id_if_assigned/, ({ text }) => this.#ownXid(text)],
    [/^select pg_is_in_recovery/, () => this.#whoAnswers()],
    [/^select extract\(.* as incarnation$/, () => this.#whoAnswers()],
    [/^select \(.* as "systemIdentifier"$/, () => this.#whoAnswers()],
    [/^select pg_terminate_backend/, ({ values }) => this.#terminate(values)],
    [/^select pg_xact_status/, ({ values }) => this.#xidStatus(values)],
    [/^insert into transaction_keys/, ({ values }) => this.#insertKey(values)],
    [/^insert into rows .* as unreadable$/, ({ values }) => this.#insertUnreadable(values)],
    [/^with written as \(\s*insert into rows/, ({ values }) => this.#hidden(values)],
    [/^insert into rows/, ({ values }) => this.#insert(values)],
    [/^select name from rows/, ({ values }) => this.#select(values)],
    [/^select \$1 as echo from generate_series/, ({ values }) => this.#series(values)],
    [/^select \$1 as echo$/, ({ values }) => ({ rows: [{ echo: values[0] }] })],
    [/^select 1\/0$/, () => serverError("22012", "division by zero")],
    [/^select conflict\(/, () => serverError("40001", "could not serialize access")],
    [/^select break_deferred_constraint/, () => this.#invalidate()],
  ];

  constructor(server: ModelServer, { onMisuse }: { onMisuse: (text: string) => void }) {
    this.#server = server;
    this.#onMisuse = onMisuse;
  }

  execute(part: FlightPart): Outcome {
    if ("close" in part) return this.#close(part.close);
    if ("fetch" in part) return this.#fetch(part);
    const { text, portal } = part;
    if (this.status === "E" && !/^(commit|rollback)\b/i.test(text)) {
      return serverError("25P02", "current transaction is aborted");
    }
    const [pattern, command] = this.#commands.find(([pattern]) => pattern.test(text)) ?? [];
    if (pattern === undefined || command === undefined) {
      this.#onMisuse(`the model does not know the statement ${JSON.stringify(text)}`);
      return serverError("42601", "syntax error");
    }
    const outcome = command(part, pattern.exec(text)?.[1] ?? "");
    if (outcome instanceof ServerError || "waitsFor" in outcome) return outcome;
    const rows = outcome.rows ?? [];
    const result = { command: tagOf(text), rowCount: rows.length, ...outcome };
    return portal === undefined ? result : this.#portion(portal, rows, result);
  }

  /** Rolls back, as at the end of the connection. */
  abort(): void {
    if (this.transaction !== undefined) this.#server.rollBack(this.transaction);
    this.transaction = undefined;
    this.status = "I";
  }

  /** An error has answered a statement. */
  fail(): void {
    if (this.transaction !== undefined) this.status = "E";
  }

  #begin(): Outcome {
    // https://www.postgresql.org/docs/current/sql-begin.html: a warning, and the transaction goes on.
    if (this.transaction !== undefined) return { notice: { code: "25001" } };
    this.transaction = new ModelTransaction();
    this.status = "T";
    return {};
  }

  #commit(): Outcome {
    const { transaction } = this;
    if (transaction === undefined) return { notice: { code: "25P01" } };
    if (this.status === "E") return this.#rollBack();
    if (transaction.isInvalid) {
      this.abort();
      return serverError("23503", "violates foreign key constraint");
    }
    this.transaction = undefined;
    this.status = "I";
    this.#server.commit(transaction);
    return {};
  }

  #rollBack(): Outcome {
    const notice = this.transaction === undefined ? { notice: { code: "25P01" } } : {};
    this.abort();
    return { command: "ROLLBACK", ...notice };
  }

  #savepoint(name: string): Outcome {
    const { savepoints, rows } = this.#mustHaveTransaction("savepoint");
    savepoints.push({ name, rows: rows.length });
    return {};
  }

  #release(name: string): Outcome {
    const { savepoints } = this.#mustHaveTransaction("release savepoint");
    const index = savepoints.findLastIndex((each) => each.name === name);
    if (index === -1) return noSavepoint(name);
    savepoints.length = index;
    return {};
  }

  #undo(name: string): Outcome {
    const { savepoints, rows } = this.#mustHaveTransaction("rollback to savepoint");
    const index = savepoints.findLastIndex((each) => each.name === name);
    if (index === -1) return noSavepoint(name);
    savepoints.length = index + 1;
    rows.length = savepoints[index]!.rows;
    this.status = "T";
    return {};
  }

  #insert([unit, name, echo]: readonly unknown[]): Outcome {
    const transaction = this.#mustHaveTransaction("an insert");
    this.#server.assignXid(transaction);
    transaction.rows.push({ unit: String(unit), name: String(name) });
    return { rows: [{ echo }], rowCount: 1 };
  }

  #hidden(values: readonly unknown[]): Outcome {
    return { ...this.#insert(values), command: "SELECT" };
  }

  #insertUnreadable(values: readonly unknown[]): Outcome {
    const decodeError = new TypeError("Cannot read the column as its parser failed");
    return { ...this.#insert(values), rows: [{ unreadable: undefined }], decodeError };
  }

  #insertKey([key]: readonly unknown[]): Outcome {
    const held = this.#server.insertKey(this.#mustHaveTransaction("a key"), String(key));
    if (held instanceof ModelTransaction) return { waitsFor: held };
    return held ?? { rowCount: 1 };
  }

  #select([unit]: readonly unknown[]): Outcome {
    const own = this.#mustHaveTransaction("a select").rows;
    const rows = [...this.#server.rows, ...own].filter((row) => row.unit === unit);
    return { rows: rows.map(({ name }) => ({ name })) };
  }

  #series([echo, count]: readonly unknown[]): Outcome {
    this.#mustHaveTransaction("a select");
    return { rows: Array.from({ length: Number(count) }, () => ({ echo })) };
  }

  #invalidate(): Outcome {
    this.#mustHaveTransaction("a select").isInvalid = true;
    return {};
  }

  #ownXid(text: string): Outcome {
    const { xid } = this.#mustHaveTransaction("the xid query");
    const { incarnation, systemIdentifier } = this.#server;
    const row = { 0: xid === undefined ? null : String(xid), 1: incarnation };
    return { rows: [text.includes("pg_control_system") ? { ...row, 2: systemIdentifier } : row] };
  }

  #whoAnswers(): Outcome {
    const { incarnation, systemIdentifier } = this.#server;
    return { rows: [{ isRecovering: false, incarnation, systemIdentifier, isSubscriber: false }] };
  }

  #terminate([xid, incarnation]: readonly unknown[]): Outcome {
    const count = this.#server.terminate({ xid: Number(xid), incarnation: String(incarnation) });
    return { rows: Array.from({ length: count }, () => ({ pg_terminate_backend: true })) };
  }

  #xidStatus([xid]: readonly unknown[]): Outcome {
    const status = this.#server.statusOf(Number(xid));
    return status instanceof ServerError ? status : { rows: [{ status }] };
  }

  #portion(
    { name, maxRows }: Portal,
    rows: readonly Record<string, unknown>[],
    result: Partial<Result>,
  ): Outcome {
    this.#mustHaveTransaction("a portal").portals.set(name, rows.slice(maxRows));
    const portion = rows.slice(0, maxRows);
    if (portion.length < maxRows) return { ...result, rows: portion, rowCount: portion.length };
    return { rows: portion, rowCount: portion.length, command: "", isSuspended: true };
  }

  #fetch({ fetch: portal }: Fetch): Outcome {
    const rows = this.transaction?.portals.get(portal.name);
    if (rows === undefined) return serverError("34000", `portal "${portal.name}" does not exist`);
    if (this.status === "E") return serverError("25P02", "current transaction is aborted");
    return this.#portion(portal, rows, { command: "SELECT" });
  }

  #close({ name }: Portal): Outcome {
    this.transaction?.portals.delete(name);
    return { command: "" };
  }

  /** The layer sends such statements inside a transaction only. */
  #mustHaveTransaction(what: string): ModelTransaction {
    if (this.transaction !== undefined) return this.transaction;
    this.#onMisuse(`${what} was run outside a transaction`);
    return new ModelTransaction();
  }
}

function tagOf(text: string): string {
  return text.split(/[\s(]/)[0]!.toUpperCase();
}

function noSavepoint(name: string): ServerError {
  return serverError("3B001", `savepoint "${name}" does not exist`);
}
