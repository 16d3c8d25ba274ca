/// <reference path="./cloudflare_workers.d.ts" />
/**
 * The users API for other Workers of the account, by RPC. A method makes the request of its route and has the service
 * answer it in this isolate, so that each rule is in one place.
 * https://developers.cloudflare.com/workers/runtime-apis/bindings/service-bindings/rpc/
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import type { Identity } from "../access/identity.ts";
import { REPLAYED } from "../http/idempotency.ts";
import { ProblemError } from "../http/problem.ts";
import { callerOf } from "./caller.ts";
import type { Handler } from "./handler.ts";
import { respondWithFailure } from "./service.ts";
import type { Bindings } from "./settings.ts";
import type {
  ActivityInput,
  CallOptions,
  ConditionalOptions,
  KeyedOptions,
  ListInput,
  NewUserInput,
  Result,
  UsersApi,
} from "./users_api.ts";

type Answer<Name extends Exclude<keyof UsersApi, "fetch">> = ReturnType<UsersApi[Name]>;

/** The class that an entry exports. `handlerFor` never rejects. */
export function usersEntrypoint(handlerFor: (bindings: Bindings) => Promise<Handler>) {
  return class UsersEntrypoint extends WorkerEntrypoint<Bindings> implements UsersApi {
    async fetch(request: Request): Promise<Response> {
      let caller: Identity;
      try {
        caller = callerOf(this.ctx.props);
      } catch (error) {
        return await respondWithFailure(request, { error });
      }
      return await (await handlerFor(this.env))(request, this.ctx, caller);
    }

    createUser(user: NewUserInput, options?: KeyedOptions): Answer<"createUser"> {
      return this.#call("POST", "/users", { body: user, options });
    }

    createUsers(users: readonly NewUserInput[], options?: KeyedOptions): Answer<"createUsers"> {
      return this.#call("POST", "/users:batch", { body: { users }, options });
    }

    readUser(id: string, options?: ConditionalOptions): Answer<"readUser"> {
      return this.#call("GET", "/users/:id", { id, options });
    }

    updateUser(
      id: string,
      patch: Partial<NewUserInput>,
      options?: ConditionalOptions & KeyedOptions,
    ): Answer<"updateUser"> {
      return this.#call("PATCH", "/users/:id", { id, body: patch, options });
    }

    deleteUser(id: string, options?: ConditionalOptions): Answer<"deleteUser"> {
      return this.#call("DELETE", "/users/:id", { id, options });
    }

    listUsers(query?: ListInput, options?: CallOptions): Answer<"listUsers"> {
      return this.#call("GET", "/users", { query, options });
    }

    listActivity(id: string, query?: ActivityInput, options?: CallOptions): Answer<"listActivity"> {
      return this.#call("GET", "/users/:id/activity", { id, query, options });
    }

    async #call<Value>(
      method: string,
      path: string,
      input: CallInput,
    ): Promise<Result<Value>> {
      let request: Request;
      try {
        request = requestOf(method, path, input);
      } catch (cause) {
        return await resultOf(
          await respondWithFailure(new Request(BASE), { error: unreadable(cause) }),
        );
      }
      return await resultOf(await this.fetch(request));
    }
  };
}

interface CallInput {
  readonly id?: string;
  readonly query?: ListInput | ActivityInput | undefined;
  readonly body?: unknown;
  readonly options?: (ConditionalOptions & KeyedOptions) | undefined;
}

/** The host does not matter. */
const BASE = "http://user-service";

/** Throws a `TypeError` or `RangeError` for arguments that no request can have. Others are for the route to validate. */
function requestOf(
  method: string,
  path: string,
  { id, query = {}, body, options = {} }: CallInput,
): Request {
  const url = new URL(path.replace(":id", () => segmentOf(id)), BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, textOf(name, value));
  }
  const headers = headersOf(options);
  if (method === "GET" || method === "DELETE") return new Request(url, { method, headers });
  headers.set("Content-Type", "application/json");
  // Of `undefined` it would make no body.
  return new Request(url, { method, headers, body: JSON.stringify(body) ?? "" });
}

function headersOf(
  { timeoutMs, expectedVersion, idempotencyKey, ...others }: ConditionalOptions & KeyedOptions,
): Headers {
  for (const name in others) throw new TypeError(`there is no option ${name}`);
  const headers = new Headers();
  if (timeoutMs !== undefined) headers.set("Request-Timeout", String(timeoutMs / 1_000));
  if (expectedVersion !== undefined) headers.set("If-Match", `"${expectedVersion}"`);
  // Of what has no such form, JSON makes a key that is refused.
  if (idempotencyKey !== undefined) {
    headers.set("Idempotency-Key", JSON.stringify(idempotencyKey));
  }
  return headers;
}

/** An address would lose an empty segment, and those of dots. */
function segmentOf(id: unknown): string {
  if (typeof id === "string" && !/^\.*$/.test(id)) return encodeURIComponent(id);
  throw new TypeError("the id is no such text");
}

function textOf(name: string, value: unknown): string {
  if (typeof value === "string" || typeof value === "number") return String(value);
  throw new TypeError(`${name} is no text`);
}

function unreadable(cause: unknown): ProblemError {
  const detail = `Cannot read the arguments as they fit into no request: ${
    (cause as Error).message
  }; correct them`;
  return new ProblemError("malformed-request", { detail }, { cause });
}

async function resultOf<Value>(response: Response): Promise<Result<Value>> {
  const { ok, headers } = response;
  const text = await response.text();
  const document = text === "" ? null : JSON.parse(text);
  const isReplayed = headers.has(REPLAYED);
  if (ok) return { ok: true, value: document, isReplayed };
  const kind = document.type.slice(document.type.lastIndexOf("/") + 1);
  const [seconds, tag] = [headers.get("Retry-After"), headers.get("ETag")];
  const problem = {
    ...document,
    kind,
    ...(seconds && { retryAfterMs: Number(seconds) * 1_000 }),
    ...(tag && { currentVersion: Number(tag.slice(1, -1)) }),
  };
  return { ok: false, problem, isReplayed };
}
