/** What a server's certificate gives for SCRAM's channel binding: https://www.rfc-editor.org/rfc/rfc5929#section-4.1 */
import { createHash } from "node:crypto";

/**
 * The hash by the algorithm of the certificate's signature, in hexadecimal. SHA-256 stands for MD5 and SHA-1.
 * https://www.rfc-editor.org/rfc/rfc8017#appendix-A.2.4, https://www.rfc-editor.org/rfc/rfc5758#section-3.2
 */
const HASHES: Readonly<Record<string, string>> = {
  "2a864886f70d010104": "sha256",
  "2a864886f70d010105": "sha256",
  "2a864886f70d01010b": "sha256",
  "2a864886f70d01010c": "sha384",
  "2a864886f70d01010d": "sha512",
  "2a864886f70d01010e": "sha224",
  "2a8648ce3d0401": "sha256",
  "2a8648ce3d040301": "sha224",
  "2a8648ce3d040302": "sha256",
  "2a8648ce3d040303": "sha384",
  "2a8648ce3d040304": "sha512",
};

/**
 * The hash of a certificate in DER, made with the hash of its own signature. `undefined` where the signature's algorithm does
 * not name one, as for Ed25519 and RSASSA-PSS.
 */
export function certificateHash(certificate: Uint8Array): Uint8Array | undefined {
  const hash = HASHES[signatureAlgorithm(certificate)];
  return hash === undefined
    ? undefined
    : new Uint8Array(createHash(hash).update(certificate).digest());
}

/** The object identifier: Certificate is a sequence of content, algorithm and signature, and algorithm begins with it. */
function signatureAlgorithm(certificate: Uint8Array): string {
  const content = valueAt(certificate, valueAt(certificate, 0).start);
  const { start, end } = valueAt(certificate, valueAt(certificate, content.end).start);
  return certificate.subarray(start, end).toHex();
}

/** Where the value at `at` has its content, in the Distinguished Encoding Rules. */
function valueAt(bytes: Uint8Array, at: number): { readonly start: number; readonly end: number } {
  const short = bytes[at + 1]!;
  let start = at + 2;
  let length = short;
  if (short > 127) {
    length = 0;
    for (let left = short - 128; left > 0; left--) length = length * 256 + bytes[start++]!;
  }
  return { start, end: start + length };
}
