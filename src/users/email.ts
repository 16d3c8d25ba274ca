/** The e-mail addresses that users may have. */

import * as v from "valibot";
import { rejection } from "../value_message.ts";

/** https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.3: a path has at most 256 octets, two of them brackets. */
const MAX_LENGTH = 254;
/** https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.1 */
const MAX_LOCAL_PART_LENGTH = 64;

/**
 * An address in ASCII, as `Local-part "@" Domain` of https://www.rfc-editor.org/rfc/rfc5321#section-4.1.2 has it.
 * `rfcEmail` bounds the labels of the domain to 63 octets. Not accepted: quoted local parts and address literals, which
 * no provider gives to a person, and which other programs would read differently; and characters beyond ASCII (RFC 6531).
 * A domain beyond ASCII has a form in ASCII, `xn--…`.
 *
 * Addresses that differ only in the case of ASCII letters are the same: `0009_user_search.ts` has that form of them.
 */
export const Email = v.pipe(
  v.string(rejection("it must be a string", "write it as name@host")),
  v.maxLength(MAX_LENGTH, rejection("it is too long", `write at most ${MAX_LENGTH} characters`)),
  v.rfcEmail(rejection("it is not an e-mail address", "write it as name@host, without spaces")),
  v.check(
    (email) => email.indexOf("@") <= MAX_LOCAL_PART_LENGTH,
    rejection("its part before the @ is too long", `write at most ${MAX_LOCAL_PART_LENGTH} there`),
  ),
  v.check(
    (email) => !/^\.|\.[.@]/.test(email),
    rejection("its part before the @ has a dot at an end, or two in a row", "write single dots"),
  ),
);
