/** Reads PostgreSQL's own view of the connections, over a connection outside every pool. */
import { type Connection, NeonDriver } from "../../db/mod.ts";
import { parseSettings } from "../../settings/settings.ts";
import { pollUntil } from "../../library/testing/postgres/poll.ts";

/** How many of the service's connections are in each state of `pg_stat_activity`. */
export type Activity = Readonly<Record<string, number>>;

const TIMEOUT_MS = 10_000;

/** How long a backend may take to end after its socket was closed. */
const GONE = { deadlineMs: 2_000, intervalMs: 10 };

export class ServerView implements AsyncDisposable {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Connects as the role in `env`, which must be allowed to see the activity of all roles. */
  static async open(env: Readonly<Record<string, string | undefined>>): Promise<ServerView> {
    const driver = new NeonDriver({ ...parseSettings(env).database, applicationName: "demo" });
    return new ServerView(await driver.connect({ timeoutMs: TIMEOUT_MS }));
  }

  async query<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const { results, error } = await this.#connection.flight([{ text, values }]);
    if (error !== undefined) throw error;
    return (results[0]?.rows ?? []) as Row[];
  }

  /** The first column of the first row. */
  async value(text: string, values: readonly unknown[] = []): Promise<unknown> {
    const [row] = await this.query<Record<string, unknown>>(text, values);
    return row && Object.values(row)[0];
  }

  async activity(): Promise<Activity> {
    const rows = await this.query<{ state: string; count: number }>(`
      select coalesce(state, 'starting') as state, count(*)::int as count
      from pg_stat_activity where application_name = 'user-service' group by 1 order by 1`);
    return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
  }

  /** The service's connections in any state. */
  async connections(): Promise<number> {
    return Object.values(await this.activity()).reduce((sum, count) => sum + count, 0);
  }

  /** The service's connections that remain once closed ones had time to end. */
  async connectionsLeft(): Promise<number> {
    await pollUntil(async () => await this.connections() === 0, GONE);
    return await this.connections();
  }

  /** Terminates a backend and waits until it has ended. Throws an `Error` if it has not after 10 s. */
  async terminate(processId: number): Promise<void> {
    const isGone = await this.value("select pg_terminate_backend($1, $2)", [processId, TIMEOUT_MS]);
    if (isGone !== true) {
      throw new Error(
        `Cannot terminate backend ${processId} as it is still alive after ${TIMEOUT_MS} ms`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close({ timeoutMs: TIMEOUT_MS });
  }
}
