import type {
  KeyedTransactionOptions,
  Observer,
  Session,
  SessionOptions,
  TransactionOptions,
  TransactionRunner,
} from "./db/mod.ts";

type MapOptions = <Options extends SessionOptions>(options: Options) => Options;

/** The same database, whose units of work get the options that `map` makes of their own. */
export function mapSessionOptions(db: TransactionRunner, map: MapOptions): TransactionRunner {
  return new MappedDatabase(db, map);
}

/** Each request makes two of them: with methods of a class, and not three functions each. */
class MappedDatabase implements TransactionRunner {
  readonly #db: TransactionRunner;
  readonly #map: MapOptions;

  constructor(db: TransactionRunner, map: MapOptions) {
    this.#db = db;
    this.#map = map;
  }

  session(options: SessionOptions = {}): Session {
    return this.#db.session(this.#map(options));
  }

  transaction<T>(
    work: (session: Session) => Promise<T>,
    options: TransactionOptions | KeyedTransactionOptions<T> = {},
  ): Promise<T> {
    return this.#db.transaction(work, this.#map(options));
  }

  forRequest(observer?: Observer): TransactionRunner {
    return new MappedDatabase(this.#db.forRequest(observer), this.#map);
  }
}
