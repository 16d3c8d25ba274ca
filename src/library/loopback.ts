/** Which hosts are this machine. */

/**
 * Whether a name or an address always means this machine: `localhost` and the names below it
 * (https://www.rfc-editor.org/rfc/rfc6761#section-6.3), 127.0.0.0/8 and ::1. Accepts IPv6 addresses in brackets, as in
 * URLs, and bare, as of peers.
 */
export function isLoopbackHost(host: string): boolean {
  return /^(?:[a-z0-9-]+\.)*localhost$/i.test(host) ||
    /^(?:\[?::1\]?|(?:::ffff:)?127(?:\.\d{1,3}){3})$/i.test(host);
}

/**
 * Whether a `Host` header names this machine. A page of another site whose name was made to resolve to 127.0.0.1 (DNS
 * rebinding) sends that site's name. https://www.rfc-editor.org/rfc/rfc9110#section-7.2
 */
export function isLoopbackHeader(header: string | undefined): boolean {
  const host = /^(\[[\d.:a-f]+\]|[^\s:[\]]+)(?::\d{0,5})?$/i.exec(header ?? "")?.[1];
  return host !== undefined && isLoopbackHost(host);
}
