/** A PostgreSQL of its own that speaks TLS, with a certificate for localhost. */
import { join } from "node:path";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { serverAccount } from "../../src/library/testing/postgres/directory.ts";
import { startPostgres } from "../../src/dev/postgres.ts";
import { makeScratch } from "../dev/scratch.ts";
import { runAlone } from "./branch.ts";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { type CertificateOptions, makeCertificate } from "./certificates.ts";
import { TLS_REQUEST } from "../../src/library/tls_request.ts";
import type { Role } from "./test_server.ts";

export interface TlsPostgres extends AsyncDisposable {
  readonly port: number;
  /** Files of the authority that has signed its certificate, and of another one. */
  readonly authority: string;
  readonly otherAuthority: string;
  /** A URL to it by a host, `localhost` by default, with these parameters. */
  url(query: string, options?: { role?: Role; host?: string }): string;
  /** Lets the server show another certificate of the authority; resolves when it does. */
  certify(options: Pick<CertificateOptions, "dnsNames" | "addresses" | "endsAt">): Promise<void>;
  /** Runs one statement as the administrator. */
  run(text: string): Promise<Record<string, unknown>[]>;
}

export async function startTlsPostgres(): Promise<TlsPostgres> {
  const stack = new AsyncDisposableStack();
  const scratch = stack.use(await makeScratch());
  const postgres = stack.use(await startPostgres({ ephemeral: true }));
  const authority = makeCertificate("Test authority");
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
  let certificates = 0;
  const certify: TlsPostgres["certify"] = async (options) => {
    const name = `own-${++certificates}`;
    const own = makeCertificate(name, { ...options, issuer: authority });
    await run(`alter system set ssl_cert_file = '${await file(`${name}.pem`, own.pem)}'`);
    await run(`alter system set ssl_key_file = '${await file(`${name}.key`, own.keyPem)}'`);
    await run("alter system set ssl = on");
    await run("select pg_reload_conf()");
    const isShown = async () => await shownName(postgres.port) === name;
    if (!await pollUntil(isShown, { deadlineMs: 10_000, intervalMs: 10 })) {
      throw new Error(`Cannot test TLS as the server has not shown its certificate within 10 s`);
    }
  };
  await certify({ dnsNames: ["localhost"] });
  const url: TlsPostgres["url"] = (query, { role = "user_service", host = "localhost" } = {}) => {
    const given = new URL(postgres.url({ role }));
    given.hostname = host;
    return `${given.href}?${query}`;
  };
  return {
    port: postgres.port,
    authority: await file("authority.pem", authority.pem),
    otherAuthority: await file("other.pem", makeCertificate("Another authority").pem),
    url,
    certify,
    run,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** The common name of the certificate that the server shows; `undefined` without TLS. */
function shownName(port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => resolve(undefined));
  socket.on("close", () => resolve(undefined));
  socket.once("data", (answer: Uint8Array) => {
    if (answer[0] !== 0x53) return resolve(undefined);
    const secured = connectTls({ socket, rejectUnauthorized: false });
    secured.on("error", () => resolve(undefined));
    secured.on("close", () => resolve(undefined));
    secured.once("secureConnect", () => resolve(secured.getPeerCertificate().subject.CN as string));
  });
  socket.write(TLS_REQUEST);
  return promise.finally(() => socket.destroy());
}
