/**
 * The request for TLS, with which a connection over TCP begins.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
 */

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST */
export const TLS_REQUEST = Uint8Array.of(0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f);

/** Whether the handshake follows; if not, the startup message does, unencrypted. Throws if the connection must not go on. */
export function acceptsTls(answer: Uint8Array, { mayBePlain }: { mayBePlain: boolean }): boolean {
  const said = String.fromCharCode(answer[0] ?? 0);
  // Bytes behind the answer were sent before the handshake, by an attacker on the way:
  // https://www.postgresql.org/support/security/CVE-2021-23222/
  if (answer.length > 1 && (said === "S" || said === "N")) {
    throw new Error("the answer to the request for TLS was followed by unencrypted data");
  }
  if (said === "S") return true;
  if (said === "N" && mayBePlain) return false;
  // A text of the server is not shown: without TLS it may come from an attacker on the way.
  // https://www.postgresql.org/support/security/CVE-2024-10977/
  throw new Error(
    said === "N"
      ? "the server does not support TLS, which sslmode or sslrootcert asks for; switch TLS on in the server, or set " +
        "sslmode=disable if the network is trusted"
      : "the server did not answer the request for TLS as PostgreSQL does; check host and port",
  );
}
