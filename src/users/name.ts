/** The names that users may have. */

import * as v from "valibot";
import { rejection } from "../value_message.ts";

/** In code points. */
const MAX_LENGTH = 200;

/**
 * Characters without a look of their own, with which two names could look the same: control characters, halves of
 * surrogate pairs, private and non-characters, formats (all that change the direction of text are among them), the
 * characters that Unicode wants ignored when they cannot be shown, separators, and the blank of Braille. Also every space
 * but U+0020, as in https://www.rfc-editor.org/rfc/rfc8266#section-2.1, which would replace the others by that one. RFC 8264
 * (sections 9.2 to 9.13) and UTS #39 (section 3.1) disallow the same sets, and unassigned characters too: those depend on
 * the runtime's version of Unicode, so they are not refused here.
 */
const INVISIBLE =
  /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/u;

/**
 * Where such characters are needed. Joiners shape words of Persian, Hindi, Sinhala and other languages: allowed are the
 * places of https://www.rfc-editor.org/rfc/rfc5892#appendix-A.1 where they change what is seen, which are after a virama, and
 * for U+200C after a letter of Arabic script that would join the next one. And in the emoji sequences that Unicode
 * recommends, so that a tag or a variation selector anywhere else is refused.
 */
const NEEDED =
  /(?<=[\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D4D\u0DCA\u1039\u17D2])[\u200C\u200D](?=\p{L})|(?<=[[\p{Script=Arabic}&&\p{L}]--[\u0621-\u0625\u0627\u0629\u062F-\u0632\u0648\u0671-\u0677\u0688-\u0699\u06C0\u06C3-\u06CB\u06CD\u06CF\u06D2\u06D3\u06D5\u06EE\u06EF]]\p{M}*)\u200C(?=[\p{Script=Arabic}&&\p{L}])|\p{RGI_Emoji}/gv;

/** The first character of the name that may not be in it, such as `U+202E`. */
function refusedCharacter(name: string): string | undefined {
  // Most names end here: the second expression costs more.
  if (!INVISIBLE.test(name)) return undefined;
  const [character] = INVISIBLE.exec(name.replace(NEEDED, "")) ?? [];
  if (character === undefined) return undefined;
  return `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;
}

function isShort(name: string): boolean {
  // A code point has at most two units.
  return name.length <= MAX_LENGTH ||
    (name.length <= 2 * MAX_LENGTH && [...name].length <= MAX_LENGTH);
}

const NameText = v.pipe(
  v.string(rejection("it must be a string", "write a name")),
  v.nonEmpty(rejection("it is empty", `write 1 to ${MAX_LENGTH} characters`)),
  v.check(isShort, rejection("it is too long", `write at most ${MAX_LENGTH} characters`)),
  v.check(
    (name) => refusedCharacter(name) === undefined,
    (issue) =>
      rejection(
        `it contains ${refusedCharacter(issue.input)}, which has no look of its own`,
        "remove it; the only space is U+0020",
      )(issue),
  ),
  // A value is never changed, and the two forms of é look the same: https://www.unicode.org/reports/tr15/
  v.check(
    (name) => name.normalize("NFC") === name,
    rejection("it is not in Unicode's normalization form C", "normalize it"),
  ),
);

export const Name = v.pipe(
  NameText,
  v.check((name) => name.trim() === name, rejection("it has white space at an end", "remove it")),
);

/** The beginning of a name: may end at a space. */
export const NamePrefix = NameText;
