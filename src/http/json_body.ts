/** Reads a body as JSON. Strict: refuses JSON that two parsers may read differently. */

import type { Context } from "hono";
import type { GenericSchema, InferOutput } from "valibot";
import { preview } from "../value_message.ts";
import {
  type BodyBounds,
  type BodyLimit,
  malformedBody,
  readBody,
  type ReadOptions,
} from "./body.ts";
import { duplicateKey } from "./duplicate_key.ts";
import { ProblemError } from "./problem.ts";
import { timeLeftMs } from "./request_timeout.ts";
import { validBody } from "./validation.ts";

const JSON_TYPE = "application/json";

/**
 * More than a valid body can have, in its names and addresses too. Each empty array takes some 60 bytes of memory, and two
 * of the text.
 */
const MAX_BRACKETS = 300_000;

export interface JsonBodyOptions {
  readonly mediaTypes?: readonly string[];
  /** Without it, any number of bodies is waited for at once. */
  readonly limit?: BodyLimit | undefined;
  readonly bounds?: BodyBounds | undefined;
}

/** The body as `schema` types it. Throws `ProblemError`: 415, 400, 408, 413, 422 or 503. */
export async function readJsonBody<Schema extends GenericSchema>(
  c: Context,
  schema: Schema,
  { mediaTypes = [JSON_TYPE], limit, bounds }: JsonBodyOptions = {},
): Promise<InferOutput<Schema>> {
  assertMediaType(c, mediaTypes);
  const waitIn: ReadOptions["waitIn"] = limit && ((wait) => limit.run(c, wait));
  const bytes = await readBody(c.req.raw, { ...bounds, waitIn, timeoutMs: timeLeftMs(c) });
  return validBody(schema, parseJson(decodeUtf8(bytes)));
}

function assertMediaType(c: Context, accepted: readonly string[]): void {
  const encoding = c.req.header("Content-Encoding");
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new ProblemError("unsupported-media-type", {
      detail:
        `Cannot read the body as it is compressed: current Content-Encoding ${
          preview(encoding)
        }; ` +
        "send it uncompressed",
      headers: { "Accept-Encoding": "identity" },
    });
  }
  const declared = c.req.header("Content-Type");
  const [essence = "", ...parameters] = (declared ?? "").split(";").map((part) =>
    part.trim().toLowerCase()
  );
  const isUtf8 = parameters.every((part) =>
    !part.startsWith("charset=") || /^charset="?utf-8"?$/.test(part)
  );
  if (accepted.includes(essence) && isUtf8) return;
  throw new ProblemError("unsupported-media-type", {
    detail: `Cannot read the body as its media type is not JSON in UTF-8: current Content-Type ` +
      `${preview(declared)}; send ${accepted.join(" or ")}`,
    headers: { Accept: accepted.join(", ") },
  });
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array): string {
  if (bytes.byteLength === 0) throw malformedBody("it is empty", "send a JSON object");
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (cause) {
    throw malformedBody("its bytes are not UTF-8", "encode it as UTF-8", { cause });
  }
  // https://www.rfc-editor.org/rfc/rfc8259#section-8.1: a sender must not add a byte order mark.
  if (text.startsWith("\uFEFF")) {
    throw malformedBody("it begins with a byte order mark", "remove the first three bytes");
  }
  return text;
}

function parseJson(text: string): unknown {
  if (text.length > MAX_BRACKETS && bracketsOf(text) > MAX_BRACKETS) {
    throw malformedBody("it has too many brackets", "send what the address asks for");
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw malformedBody("it is not JSON", `correct it; it begins with ${preview(text)}`, { cause });
  }
  const key = duplicateKey(text, value);
  if (key !== undefined) {
    throw malformedBody(`an object in it has the key ${preview(key)} twice`, "keep one of them");
  }
  return value;
}

function bracketsOf(text: string): number {
  let count = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x5b || code === 0x7b) count++;
  }
  return count;
}
