/** Who may use the relay, and for what: everything that is refused before an address is dialled. */
import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isLoopbackHeader } from "../../loopback.ts";

/** 128 bits, in hexadecimal. */
const SECRET_BYTES = 16;

/** A TCP address the relay may dial. */
export interface RelayTarget {
  readonly hostname: string;
  readonly port: number;
}

/** An HTTP error response, sent instead of an upgrade. The driver puts `text` into its own error. */
export class Refusal extends Error {
  constructor(readonly status: number, readonly text: string) {
    super(text);
  }
}

/** The path of one relay, with its secret. */
export function newPath(): string {
  const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return `/v1/${secret.toHex()}`;
}

/**
 * Why a request is refused whatever it asks for; undefined if it is not.
 *
 * - Browsers send `Origin` with every WebSocket (https://www.rfc-editor.org/rfc/rfc6455#section-10.2), and allow each
 *   page to open one to 127.0.0.1. Database drivers do not send it.
 * - A `Host` that is not loopback is a name that was made to resolve to this machine.
 * - The path is the secret of `DATABASE_WS_PROXY`. The texts never show it, nor what the client sent for it.
 */
export function refusalOf(
  { headers, url = "" }: IncomingMessage,
  { path }: { path: string },
): Refusal | undefined {
  if (headers.origin !== undefined) {
    return new Refusal(403, "the relay serves no web page: the request has an Origin header");
  }
  if (!isLoopbackHeader(headers.host)) {
    return new Refusal(
      403,
      `the relay serves only this machine, not the Host ${JSON.stringify(headers.host ?? "")}`,
    );
  }
  const [given = ""] = url.split("?", 1);
  if (isSame(given, path)) return undefined;
  return new Refusal(
    404,
    "the relay has another path, which changes with each start; " +
      "use the DATABASE_WS_PROXY that the running relay has printed",
  );
}

/** The target that a request asks for. Throws the `Refusal` of a request that may not have one. */
export function admit(
  request: IncomingMessage,
  { path, targets }: { path: string; targets: readonly RelayTarget[] },
): RelayTarget {
  const refusal = refusalOf(request, { path });
  if (refusal !== undefined) throw refusal;
  const query = new URLSearchParams(/\?(.*)$/s.exec(request.url ?? "")?.[1] ?? "");
  const address = query.get("address") ?? "";
  return targetAt(address, targets);
}

/** The target with this address. Throws a `Refusal` if the relay was not started for it. */
export function targetAt(address: string, targets: readonly RelayTarget[]): RelayTarget {
  const target = targets.find((each) => addressOf(each) === unbracketed(address));
  if (target !== undefined) return target;
  throw new Refusal(
    403,
    `the relay serves only ${targets.map(addressOf).join(", ")}, not ${JSON.stringify(address)}; ` +
      "start it with the host and port of DATABASE_URL",
  );
}

/** The target as an address, without the brackets of IPv6. */
export function addressOf({ hostname, port }: RelayTarget): string {
  return `${unbracketed(hostname)}:${port}`;
}

/** The driver and `URL` differ in whether they put an IPv6 address in brackets. */
export function unbracketed(host: string): string {
  return host.replace(/[[\]]/g, "");
}

/** In a time that does not depend on where they differ. */
function isSame(given: string, path: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(path)];
  return one.length === other.length && timingSafeEqual(one, other);
}
