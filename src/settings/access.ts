/** The types of the variables that say who may send requests. */

import * as v from "valibot";
import { SCOPES } from "../access/identity.ts";
import { isLoopbackHost } from "../library/loopback.ts";
import { rejection } from "../value_message.ts";
import { TENANT_NAME } from "../tenant.ts";
import { text } from "./variable.ts";

const FORM = 'write [{"name":"…","sha256":"…","scopes":["users:read"],"tenant":"default"}]';

/** Errors show no value: a token might stand where its hash belongs. */
const hidden = (reason: string, wayOut: string) =>
  `${reason}: current value is not shown; ${wayOut}`;

const fieldMessage = ({ expected, received }: { expected: string | null; received: string }) =>
  expected === "never"
    ? hidden("it is not a field of a token", "remove it")
    : hidden(received === "undefined" ? "it is required" : "it must be an object", FORM);

const clientFields = {
  name: v.pipe(
    v.string(hidden("it must be a string", "name the client that has the token")),
    v.regex(
      /^[\w.-]{1,64}$/,
      hidden("it must have 1 to 64 of A-Z a-z 0-9 _ . -", "name the client that has the token"),
    ),
  ),
  scopes: v.pipe(
    v.array(
      v.picklist(SCOPES, rejection("it is no scope", `choose from ${SCOPES.join(", ")}`)),
      hidden("it must be a list", `choose from ${SCOPES.join(", ")}`),
    ),
    v.nonEmpty(hidden("it allows nothing", `choose from ${SCOPES.join(", ")}`)),
  ),
  tenant: v.pipe(
    v.string(hidden("it must be a string", "name the tenant whose users the client sees")),
    v.regex(
      TENANT_NAME,
      rejection("it must have 1 to 63 of a-z 0-9 _ -, the first no _ or -", "write it so"),
    ),
  ),
};

const ApiToken = v.strictObject({
  ...clientFields,
  sha256: v.pipe(
    v.string(hidden("it must be a string", "`deno task token` makes one")),
    v.regex(
      /^[0-9a-f]{64}$/,
      hidden(
        "it must be the SHA-256 of the token, in 64 of 0-9 a-f",
        "`deno task token` makes a token and this",
      ),
    ),
  ),
}, fieldMessage);

/** The `props` of another Worker's binding to this one: what a token of `API_TOKENS` has, without a token. */
export const BindingProps = v.strictObject(clientFields);

/** The static tokens, as JSON. */
export function apiTokens() {
  return v.pipe(
    text(),
    v.parseJson(undefined, hidden("it must be JSON", FORM)),
    v.array(ApiToken, hidden("it must be a list", FORM)),
    v.nonEmpty(hidden("it has no token", FORM)),
    v.maxLength(1_000, hidden("it has more than 1000 tokens", "let clients get JWTs")),
    v.check(
      (tokens) => isUnique(tokens.map(({ name }) => name)),
      hidden("two tokens have one name", "name each client"),
    ),
    v.check(
      (tokens) => isUnique(tokens.map(({ sha256 }) => sha256)),
      hidden("two clients have one token", "make one for each"),
    ),
  );
}

function isUnique(values: readonly string[]): boolean {
  return new Set(values).size === values.length;
}

/** Where the issuer publishes its keys. */
export function jwksUrl() {
  return safeUrl("write the jwks_uri of the issuer");
}

/** The `iss` of its tokens: https://openid.net/specs/openid-connect-core-1_0.html#IDToken */
export function issuerUrl() {
  return safeUrl("write the issuer as its tokens do");
}

/** An address whose answers no third party can change: of this machine, or by HTTPS. */
function safeUrl(wayOut: string) {
  return v.pipe(
    text(),
    v.check(
      (value) => {
        const url = URL.parse(value);
        return url !== null && !/\s/.test(value) && url.username === "" && url.password === "" &&
          url.hash === "" &&
          (url.protocol === "https:" || url.protocol === "http:" && isLoopbackHost(url.hostname));
      },
      rejection("it must be an https:// URL without user and fragment", wayOut),
    ),
  );
}
