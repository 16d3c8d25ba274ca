/** The request header `Idempotency-Key`: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07 */

import type { Context } from "hono";
import type { KeyedRequest } from "../idempotency_keys.ts";
import { sha256 } from "../sha256.ts";
import type { IdentityVariables } from "./identity.ts";
import { preview } from "../value_message.ts";
import { ProblemError } from "./problem.ts";

const MAX_LENGTH = 255;

/** A string of https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3, without parameters behind it. */
const STRING = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/;

/**
 * The key, or `undefined` without the header. Throws `ProblemError` (400) if it is malformed. Several headers arrive as
 * one, joined by commas, and are malformed.
 */
export function idempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const key = STRING.exec(header)?.[1]?.replaceAll(/\\(.)/g, "$1");
  if (key === undefined) {
    throw malformed(
      `it is not one string of printable ASCII characters in double quotes: current value is ${
        preview(header)
      }`,
    );
  }
  if (key.length >= 1 && key.length <= MAX_LENGTH) return key;
  throw malformed(`it must have 1 to ${MAX_LENGTH} characters: current length is ${key.length}`);
}

function malformed(reason: string): ProblemError {
  const detail = `${reason}; send one, such as "8e03978e-40d5-43dd-bc93-6894a57f9324"`;
  return new ProblemError("malformed-request", {
    detail: `Cannot read Idempotency-Key as ${detail}`,
    errors: [{ header: "Idempotency-Key", detail }],
  });
}

/**
 * What the request is known by. A key belongs to its client, within its tenant. Two requests are the same if they ask for
 * the same: white space and the order of members in their bodies may differ.
 */
export async function keyedRequest(
  c: Context<{ Variables: IdentityVariables }>,
  key: string,
): Promise<KeyedRequest> {
  const { client } = c.get("identity");
  const { method, path } = c.req;
  const asked = [method, path, c.req.header("If-Match") ?? null, c.req.valid("json" as never)];
  return {
    key: await sha256(JSON.stringify([client, key])),
    fingerprint: await sha256(JSON.stringify(asked)),
  };
}
