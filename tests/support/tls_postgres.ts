/** A PostgreSQL of its own that speaks TLS, with a certificate for localhost. */
import { join } from "node:path";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { serverAccount } from "../../src/library/testing/postgres/directory.ts";
import { startPostgres } from "../../src/dev/postgres.ts";
import { makeScratch } from "../dev/scratch.ts";
import { runAlone } from "./branch.ts";
import { makeCertificate } from "./certificates.ts";
import type { Role } from "./test_server.ts";

export interface TlsPostgres extends AsyncDisposable {
  readonly port: number;
  /** Files of the authority that has signed its certificate, and of another one. */
  readonly authority: string;
  readonly otherAuthority: string;
  /** A URL to it by a host, `localhost` by default, with these parameters. */
  url(query: string, options?: { role?: Role; host?: string }): string;
  /** Runs one statement as the administrator. */
  run(text: string): Promise<Record<string, unknown>[]>;
}

export async function startTlsPostgres(): Promise<TlsPostgres> {
  const stack = new AsyncDisposableStack();
  const scratch = stack.use(await makeScratch());
  const postgres = stack.use(await startPostgres({ ephemeral: true }));
  const authority = makeCertificate("Test authority");
  const own = makeCertificate("A server", { dnsNames: ["localhost"], issuer: authority });
  const file = async (name: string, text: string) => {
    const path = join(scratch.path, name);
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    const account = serverAccount();
    if (account !== undefined) await Deno.chown(path, account.uid, account.gid);
    return path;
  };
  const run = (text: string) =>
    runAlone<Record<string, unknown>>({
      DATABASE_URL: `${postgres.url({ role: "postgres" })}?sslmode=disable`,
    }, text);
  await run(`alter system set ssl_cert_file = '${await file("own.pem", own.pem)}'`);
  await run(`alter system set ssl_key_file = '${await file("own.key", own.keyPem)}'`);
  await run("alter system set ssl = on");
  await run("select pg_reload_conf()");
  const url: TlsPostgres["url"] = (query, { role = "user_service", host = "localhost" } = {}) => {
    const given = new URL(postgres.url({ role }));
    given.hostname = host;
    return `${given.href}?${query}`;
  };
  const speaksTls = () =>
    runAlone({ DATABASE_URL: url("sslmode=require") }, "select 1").then(() => true, () => false);
  if (!await pollUntil(speaksTls, { deadlineMs: 10_000, intervalMs: 10 })) {
    throw new Error("Cannot test TLS as the server has not switched it on within 10 s");
  }
  return {
    port: postgres.port,
    authority: await file("authority.pem", authority.pem),
    otherAuthority: await file("other.pem", makeCertificate("Another authority").pem),
    url,
    run,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
