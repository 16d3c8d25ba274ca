/** What `UsersEntrypoint` offers to other Workers. Types only, for their `Env`. */

import type {
  ActivityPageDocument,
  BatchResultDocument,
  ProblemDocument,
  UserDocument,
  UserPageDocument,
} from "../http/documents.ts";
import type { ProblemKind } from "../http/problem.ts";

/** What became of a call: an error would lose its class on the way, and a caller could not tell what it must handle. */
export type Result<Value> =
  & (
    | { readonly ok: true; readonly value: Value }
    | { readonly ok: false; readonly problem: Refusal }
  )
  & {
    /** Whether it is the first result of the idempotency key again. */
    readonly isReplayed: boolean;
  };

/** The problem document that the HTTP API answers with. */
export interface Refusal extends ProblemDocument {
  /** The end of `type`. */
  readonly kind: ProblemKind;
  /** How long to stay away before the call is repeated. */
  readonly retryAfterMs?: number;
  /** With `version-mismatch`, the version that the user has. */
  readonly currentVersion?: number;
}

export interface CallOptions {
  /** After this time the call is stopped, with `deadline-exceeded`. 1 to 3,600,000. */
  readonly timeoutMs?: number;
}

export interface ConditionalOptions extends CallOptions {
  /** The version that the user must have: otherwise `version-mismatch`. */
  readonly expectedVersion?: number;
}

export interface KeyedOptions extends CallOptions {
  /** Calls with one key take effect once, and all get the first result. 1 to 255 printable ASCII characters. */
  readonly idempotencyKey?: string;
}

export interface NewUserInput {
  readonly email: string;
  readonly name: string;
}

export interface ListInput {
  /** 1 to 200; 50 by default. */
  readonly limit?: number;
  /** `next` of the page before. */
  readonly cursor?: string;
  readonly email?: string;
  readonly namePrefix?: string;
}

export interface ActivityInput {
  /** 1 to 200; 50 by default. */
  readonly limit?: number;
  /** `next` of the page before. */
  readonly after?: number;
}

/**
 * The users API by RPC. Each method has the rules of its route: validation, scopes, tenants, conditions and keys. A method
 * rejects only if the call itself fails, as when the Worker is replaced: then a change may have been made.
 */
export interface UsersApi {
  createUser(user: NewUserInput, options?: KeyedOptions): Promise<Result<UserDocument>>;
  /** Creates up to 1,000 users, each on its own account. */
  createUsers(
    users: readonly NewUserInput[],
    options?: KeyedOptions,
  ): Promise<Result<{ readonly results: readonly BatchResultDocument[] }>>;
  readUser(id: string, options?: ConditionalOptions): Promise<Result<UserDocument>>;
  updateUser(
    id: string,
    patch: Partial<NewUserInput>,
    options?: ConditionalOptions & KeyedOptions,
  ): Promise<Result<UserDocument>>;
  deleteUser(id: string, options?: ConditionalOptions): Promise<Result<null>>;
  listUsers(input?: ListInput, options?: CallOptions): Promise<Result<UserPageDocument>>;
  listActivity(
    id: string,
    input?: ActivityInput,
    options?: CallOptions,
  ): Promise<Result<ActivityPageDocument>>;
  /** The HTTP API itself. A token is neither needed nor looked at. */
  fetch(input: Request | URL | string, init?: RequestInit): Promise<Response>;
}
