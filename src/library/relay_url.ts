/**
 * Whether it is a `ws://` or `wss://` URL without user, query and fragment: the driver appends the target as a query. The URL
 * may be a secret, as its path is one in the relay of `./testing`.
 */
export function isRelayUrl(value: string): boolean {
  if (!/^wss?:\/\/[^\s?#@]+$/.test(value)) return false;
  const url = URL.parse(value);
  return url !== null && url.port !== "0";
}

export const RELAY_RULE = "it must be a ws:// or wss:// URL without user, query and fragment";
