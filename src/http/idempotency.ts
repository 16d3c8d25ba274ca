/**
 * Requests that a client may send again: the first answer to a key is the answer to each request with it.
 *
 * What is kept is not the answer but what it is made from: the rows of the statements. These statements keep them
 * themselves, so that a keyed change costs one round trip, as any other does. To repeat the answer, the handler's work runs
 * again on the kept rows, without a database.
 */

import type { Context, Input } from "hono";
import { CommitOutcomeUnknownError, CommitRowsLostError, type Session } from "../db/mod.ts";
import {
  insertRequest,
  type KeptAnswer,
  type KeyedRequest,
  selectAnswer,
} from "../idempotency_keys.ts";
import { withSession } from "../library/hono/mod.ts";
import type { ChangeSession } from "../users/change_session.ts";
import type { IdentityVariables } from "./identity.ts";
import { idempotencyKey, keyedRequest } from "./idempotency_key.ts";
import { KeyedUnit, KeyRefusedError, sessionOfKept, underWay } from "./keyed_unit.ts";
import { KeptRefusalError, type Problem, ProblemError } from "./problem.ts";
import { problemOf } from "./problem_of.ts";

interface IdentityEnv {
  Variables: IdentityVariables;
}

/** Header of a response that is the first answer again. The draft names none; this one is Stripe's. */
export const REPLAYED = "Idempotent-Replayed";

/**
 * As `withSession`, for a request that may have an `Idempotency-Key`. `work` must do the same whenever it gets the same
 * rows and the same `made`, which is what the handler makes up, such as an id: the answer to a later request with the key
 * is made from those of the first one. Each statement of `work` keeps its rows by `session.keep`.
 *
 * Refusals with a status below 500 are kept as well: a request that was refused stays refused, even if it was delayed on
 * its way and arrives once more. Of other failures nothing is kept, not even the key.
 *
 * Throws what `withSession` throws, except that no outcome stays unknown to a client with a key: it gets 503, and may send
 * the request again. Throws `ProblemError`: 400 for a malformed key, 422 for the key of another request, 409 while the
 * first request holds the key for longer than the lock timeout.
 */
export async function withIdempotency<
  E extends IdentityEnv,
  P extends string,
  I extends Input,
  Made,
  Answer,
>(
  c: Context<E, P, I>,
  made: Made,
  work: (session: ChangeSession, made: Made) => Promise<Answer>,
): Promise<Answer> {
  const key = idempotencyKey(c.req.header("Idempotency-Key"));
  if (key === undefined) return await withSession(c, (session) => work(session, made));
  const request = await keyedRequest(c as unknown as Context<IdentityEnv>, key);
  const outcome = await firstOrKept(c, request, { made, work: (session) => work(session, made) });
  if ("answer" in outcome) return outcome.answer;
  const { kept } = outcome;
  c.header(REPLAYED, "true");
  if (kept.refusal !== null) throw new KeptRefusalError(kept.refusal as Problem);
  return await work(sessionOfKept(kept), kept.made as Made);
}

type Outcome<Answer> = { readonly answer: Answer } | { readonly kept: KeptAnswer };

interface FirstRequest<Answer> {
  readonly made: unknown;
  readonly work: (session: ChangeSession) => Promise<Answer>;
}

/** Runs the work, unless the key has an answer already. */
async function firstOrKept<E extends IdentityEnv, P extends string, I extends Input, Answer>(
  c: Context<E, P, I>,
  request: KeyedRequest,
  { made, work }: FirstRequest<Answer>,
): Promise<Outcome<Answer>> {
  const unit = new KeyedUnit(request);
  try {
    return await withSession<E, P, I, Outcome<Answer>>(
      c,
      async (session) => ({ answer: await work(unit.enter(session)) }),
      {
        key: insertRequest(request, { made }),
        loadResult: async (session) => ({ kept: await loadAnswer(session, request) }),
      },
    );
  } catch (error) {
    // The refusal of a committed unit can be made from its rows.
    if (unit.isCommitted || error instanceof KeyRefusedError) throw error;
    return { kept: await keepRefusal(c, request, error) };
  }
}

/** Keeps the refusal and throws it, unless the key has got an answer meanwhile: then returns that. */
async function keepRefusal<E extends IdentityEnv, P extends string, I extends Input>(
  c: Context<E, P, I>,
  request: KeyedRequest,
  error: unknown,
): Promise<KeptAnswer> {
  const refusal = problemOf(error);
  if (refusal.status >= 500) throw withWayOut(error);
  let kept: KeptAnswer | undefined;
  try {
    kept = await withSession<E, P, I, KeptAnswer | undefined>(c, async (session) => {
      await session.commit();
      return undefined;
    }, {
      key: insertRequest(request, { refusal }),
      loadResult: (session) => loadAnswer(session, request),
    });
  } catch (failure) {
    throw withWayOut(failure);
  }
  if (kept === undefined) throw error;
  return kept;
}

async function loadAnswer(session: Session, request: KeyedRequest): Promise<KeptAnswer> {
  const [[answer]] = await session.commit([selectAnswer(request)]);
  // The key has expired in between.
  if (answer === undefined) throw underWay();
  if (answer.fingerprint === request.fingerprint) return answer;
  throw new KeyRefusedError("idempotency-key-reused", {
    detail:
      "Cannot use this Idempotency-Key as an earlier request with it asked for something else: " +
      "method, address, If-Match or body differ; send another key with another request",
  });
}

/** What a client without a key must find out by itself, one with a key learns by sending the request again. */
function withWayOut(error: unknown): unknown {
  if (!(error instanceof CommitOutcomeUnknownError || error instanceof CommitRowsLostError)) {
    return error;
  }
  return new ProblemError("database-unreachable", {
    detail: "Cannot tell yet whether the change was made as the database cannot be reached; " +
      "send the request again with its Idempotency-Key after Retry-After: it is made once at most",
    headers: { "Retry-After": "1" },
  }, { cause: error });
}
