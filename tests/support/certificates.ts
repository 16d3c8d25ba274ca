/** Certificates for tests of TLS, made without a program such as openssl, which a machine may lack. */
import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

export interface Certificate {
  /** Its name as an issuer. */
  readonly name: string;
  readonly pem: string;
  readonly key: KeyObject;
  readonly keyPem: string;
}

export interface CertificateOptions {
  /** DNS names that it stands for; without any, it is an authority's. */
  readonly dnsNames?: readonly string[];
  /** IP addresses that it stands for besides, as their bytes. */
  readonly addresses?: readonly (readonly number[])[];
  /** When it ends, as `YYYYMMDDHHMMSSZ`; a long time from now by default. */
  readonly endsAt?: string;
  /** Itself by default. */
  readonly issuer?: Certificate;
}

/** An X.509 certificate for a new key: https://www.rfc-editor.org/rfc/rfc5280#section-4.1 */
export function makeCertificate(
  name: string,
  { dnsNames, addresses = [], endsAt = "21200101000000Z", issuer }: CertificateOptions = {},
): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const extensions = dnsNames === undefined
    // basicConstraints: CA
    ? extension([0x55, 0x1d, 0x13], sequence(der(0x01, [0xff])))
    // subjectAltName
    : extension(
      [0x55, 0x1d, 0x11],
      sequence(
        ...dnsNames.map((each) => der(0x82, each)),
        ...addresses.map((each) => der(0x87, each)),
      ),
    );
  const content = sequence(
    der(0xa0, der(0x02, [2])),
    der(0x02, [1, ...crypto.getRandomValues(new Uint8Array(8))]),
    ECDSA_WITH_SHA256,
    nameOf(issuer?.name ?? name),
    sequence(der(0x18, "20200101000000Z"), der(0x18, endsAt)),
    nameOf(name),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(extensions)),
  );
  const signature = sign("sha256", content, issuer?.key ?? privateKey);
  const certificate = sequence(content, ECDSA_WITH_SHA256, der(0x03, [0, ...signature]));
  const base64 = certificate.toString("base64").replace(/.{64}(?=.)/g, "$&\n");
  return {
    name,
    pem: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    key: privateKey,
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** https://www.rfc-editor.org/rfc/rfc5758#section-3.2 */
const ECDSA_WITH_SHA256 = sequence(
  der(0x06, [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]),
);

/** A common name alone. */
function nameOf(name: string): Buffer {
  const commonName = sequence(der(0x06, [0x55, 0x04, 0x03]), der(0x0c, name));
  return sequence(der(0x31, commonName));
}

function extension(oid: number[], value: Buffer): Buffer {
  return sequence(der(0x06, oid), der(0x04, value));
}

function sequence(...parts: Uint8Array[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

/** A value in the Distinguished Encoding Rules: its tag, its length and its content. */
function der(tag: number, content: string | Uint8Array | readonly number[]): Buffer {
  const bytes = typeof content === "string" ? Buffer.from(content) : Buffer.from(content);
  const { length } = bytes;
  const size = length < 128
    ? [length]
    : length < 256
    ? [0x81, length]
    : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), bytes]);
}
