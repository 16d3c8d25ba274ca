/** The token that the services under test take, with every scope, in the tenant `default`. Imports nothing. */
export const TOKEN = "default-token-of-the-tests";

/** The headers of a request with it. */
export const BEARER = { Authorization: `Bearer ${TOKEN}` };

/** The same header, in a request that is written byte by byte. */
export const TOKEN_LINE = `Authorization: Bearer ${TOKEN}\r\n`;
