/** How a TCP connection is encrypted, by the URL's parameters, with libpq's meanings. */
import { readFileSync } from "node:fs";

/** https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS */
export interface TlsSettings {
  /** `prefer` takes TLS if the server has it. */
  readonly mode: "disable" | "prefer" | "require" | "verify-ca" | "verify-full";
  /** Whether the server's certificate must be signed by a known authority. */
  readonly verifies: boolean;
  /** Whether the certificate must name the host. */
  readonly checksHost: boolean;
  /** Certificates of the authorities, as PEM; the runtime's own ones by default. */
  readonly ca?: string;
}

/**
 * Reads `sslmode` (`prefer` by default, as in libpq) and `sslrootcert` of a URL. `allow` is taken as `prefer`: both accept a
 * connection without TLS. A root certificate is always checked against, as in libpq where the file exists; `system` stands
 * for the runtime's own, and for `verify-full`. Throws `TypeError` for a certificate that cannot be read.
 */
export function tlsSettings(url: URL): TlsSettings {
  const path = url.searchParams.get("sslrootcert");
  const given = url.searchParams.get("sslmode") ?? (path === "system" ? "verify-full" : "prefer");
  const mode = (given === "allow" ? "prefer" : given) as TlsSettings["mode"];
  const verifies = mode !== "disable" && (mode.startsWith("verify-") || path !== null);
  const ca = !verifies || path === null || path === "system" ? undefined : readCertificates(path);
  return {
    mode,
    verifies,
    checksHost: mode === "verify-full",
    ...(ca === undefined ? {} : { ca }),
  };
}

function readCertificates(path: string): string {
  const refuse = (reason: string, cause?: unknown) =>
    new TypeError(
      `Cannot verify the server as sslrootcert in the database's URL ${reason}: ` +
        `current value is ${JSON.stringify(path)}; name a readable PEM file, or system`,
      { cause },
    );
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw refuse("cannot be read", cause);
  }
  // Without any, TLS would trust the runtime's authorities instead.
  if (!text.includes("-----BEGIN CERTIFICATE-----")) throw refuse("holds no certificate");
  return text;
}
