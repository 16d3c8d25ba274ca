/** What counts as one client. Imports nothing. */

/**
 * What limits on one client count by: an IPv4 address, or the /64 of an IPv6 address. One customer of a provider has at
 * least a /64, and so any number of addresses: https://www.rfc-editor.org/rfc/rfc6177#section-2
 */
export function clientNetwork(address: string): string {
  if (!address.includes(":") || address.includes(".")) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const rest = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length;
  const all = [...groups, ...Array<string>(Math.max(0, zeros)).fill("0"), ...rest];
  return `${all.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(":")}::/64`;
}
