/** Code points of RFC 3454, appendix B.1: they become nothing. */
const TO_NOTHING = /[\u00ad\u034f\u1806\u180b-\u180d\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]/g;

/** Appendix C.1.2: they become a space. */
const TO_SPACE = /[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g;

/**
 * Appendices A.1 and C: characters with which a password is taken as it is. Unicode has assigned most of the others of
 * A.1 since, above all emoji.
 */
const PROHIBITED = /[\p{C}\u2028\u2029\u2ff0-\u2ffb\ufffc\ufffd\u{1f000}-\u{1faff}]/u;

/**
 * The form in which a password goes into SCRAM, by SASLprep (https://www.rfc-editor.org/rfc/rfc4013). Where it forbids a
 * password, PostgreSQL takes the password as it is: https://www.postgresql.org/docs/current/sasl-authentication.html
 */
export function saslPrep(password: string): string {
  // deno-lint-ignore no-control-regex -- ASCII begins with them
  if (/^[\x00-\x7f]*$/.test(password)) return password;
  const mapped = password.replace(TO_SPACE, " ").replace(TO_NOTHING, "").normalize("NFKC");
  return mapped === "" || PROHIBITED.test(mapped) ? password : mapped;
}
