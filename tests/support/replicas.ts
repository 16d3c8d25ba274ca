/** PostgreSQL servers that replicate from one another. Each has a data directory of its own. */
import { join } from "node:path";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { serverAccount } from "../../src/library/testing/postgres/directory.ts";
import { type Postgres, startPostgres } from "../../src/dev/postgres.ts";
import type { PostgresRole } from "../../src/library/testing/postgres/passwords.ts";
import { type Relay, startRelay } from "../../src/library/testing/relay/relay.ts";
import { makeScratch, type Scratch } from "../dev/scratch.ts";
import { runAlone } from "./branch.ts";

type Row = Record<string, unknown>;

export class ReplicatingServer implements AsyncDisposable {
  readonly #scratch: Scratch;
  readonly #relay: Relay;
  #postgres: Postgres;

  private constructor(scratch: Scratch, { postgres, relay }: { postgres: Postgres; relay: Relay }) {
    this.#scratch = scratch;
    this.#postgres = postgres;
    this.#relay = relay;
  }

  /** Starts a server from which others may replicate, with an empty table `effects (name text)`. */
  static async start(): Promise<ReplicatingServer> {
    const server = await ReplicatingServer.#startIn(await makeScratch());
    await server.run("create table effects (name text)");
    await server.run("grant all on effects to user_service");
    await server.run("alter system set wal_level = 'logical'");
    await server.run("alter system set max_wal_senders = 10");
    await server.restart();
    return server;
  }

  static async #startIn(scratch: Scratch): Promise<ReplicatingServer> {
    const postgres = await startPostgres({ directory: scratch.path });
    const relay = await startRelay({
      targets: [{ hostname: "127.0.0.1", port: postgres.port }],
    });
    const server = new ReplicatingServer(scratch, { postgres, relay });
    await server.#allowReplication();
    return server;
  }

  get port(): number {
    return this.#postgres.port;
  }

  /** The address of the service's database, with its password. */
  url(role: PostgresRole = "user_service"): URL {
    return new URL(this.#postgres.url({ role }));
  }

  /** Runs one statement as the administrator, outside any transaction. */
  run(text: string): Promise<Row[]> {
    return runAlone({
      DATABASE_URL: this.url("postgres").href,
      DATABASE_WS_PROXY: this.#relay.url,
      DATABASE_PIPELINE_CONNECT: "on",
    }, text);
  }

  /** The only value of the statement's only row. */
  async value(text: string): Promise<unknown> {
    const [row] = await this.run(text);
    return Object.values(row ?? {})[0];
  }

  /** Resolves once the statement's only value is `true`. Throws after 30 s. */
  async waitFor(text: string): Promise<void> {
    const isTrue = async () => await this.value(text) === true;
    if (await pollUntil(isTrue, { deadlineMs: 30_000, intervalMs: 20 })) return;
    throw new Error(`not true within 30 s: ${text}`);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** `immediately`: as in a crash. */
  async stop({ immediately = false } = {}): Promise<void> {
    await this.#postgres.stop({ immediately });
  }

  /** After `stop`. The port stays the same. */
  async start(): Promise<void> {
    this.#postgres = await startPostgres({ directory: this.#scratch.path });
    await this.#allowReplication();
  }

  /** A second server on a copy of this one's data, with the same passwords. This one is restarted for it. */
  async copy({ asStandby = false } = {}): Promise<ReplicatingServer> {
    const scratch = await makeScratch();
    await this.#postgres.stop();
    await copyDirectory(this.#scratch.path, scratch.path);
    this.#postgres = await startPostgres({ directory: this.#scratch.path });
    await this.#allowReplication();
    if (asStandby) {
      const data = join(scratch.path, "development", "cluster", "data");
      // By default a standby waits for five seconds before it connects again to a primary that was restarted.
      const settings =
        `primary_conninfo = '${this.conninfo}'\nwal_retrieve_retry_interval = '100ms'\n`;
      await Deno.writeTextFile(join(data, "postgresql.auto.conf"), settings, { append: true });
      const signal = join(data, "standby.signal");
      await Deno.writeTextFile(signal, "");
      const account = serverAccount();
      if (account !== undefined) await Deno.chown(signal, account.uid, account.gid);
    }
    return await ReplicatingServer.#startIn(scratch);
  }

  /** How another server connects to this one. */
  get conninfo(): string {
    const { port, username, password, pathname } = this.url("postgres");
    return `host=127.0.0.1 port=${port} user=${username} password=${password} dbname=${
      pathname.slice(1)
    }`;
  }

  /** `startPostgres` rewrites pg_hba.conf, without a line for standbys. */
  async #allowReplication(): Promise<void> {
    const path = join(this.#postgres.directory, "data", "pg_hba.conf");
    const line = "host replication all 127.0.0.1/32 password\n";
    await Deno.writeTextFile(path, line, { append: true });
    await this.run("select pg_reload_conf()");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#relay.close();
    await this.#postgres.stop({ immediately: true });
    await this.#scratch[Symbol.asyncDispose]();
  }
}

/** Makes `subscriber` receive the table `effects` by logical replication. Resolves once it has all rows of now. */
export async function subscribe(
  subscriber: ReplicatingServer,
  publisher: ReplicatingServer,
): Promise<void> {
  await publisher.run("create publication effects for table effects");
  await subscriber.run(
    `create subscription effects connection '${publisher.conninfo}' publication effects`,
  );
  await subscriber.waitFor(
    "select count(*) > 0 and bool_and(srsubstate = 'r') from pg_subscription_rel",
  );
}

/** Resolves once the standby takes writes. */
export async function promote(standby: ReplicatingServer): Promise<void> {
  await standby.run("select pg_promote()");
  await standby.waitFor("select not pg_is_in_recovery()");
}

/** Keeps the files' owner: PostgreSQL refuses data that is not its own. */
async function copyDirectory(from: string, to: string): Promise<void> {
  const source = join(from, "development");
  const { success, stderr } = await new Deno.Command("cp", { args: ["-a", source, to] }).output();
  if (!success) throw new Error(`cannot copy ${source}: ${new TextDecoder().decode(stderr)}`);
}
