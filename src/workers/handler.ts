/** Chooses by the settings how this isolate answers requests. */
import type { DurableObjectNamespace, ExecutionContext } from "cloudflare:workers";
import type { Identity } from "../access/identity.ts";
import { ProblemError } from "../http/problem.ts";
import type { Settings } from "../settings/settings.ts";
import { isOverloaded, Shards } from "../library/workers/mod.ts";
import type { DatabaseObjectStub } from "./database_object.ts";
import type { Instrument, Instrumentation } from "./instrumentation.ts";
import { datasetOf, respondWithFailure, serviceDatabases, WorkerService } from "./service.ts";
import { type Bindings, workerSettings } from "./settings.ts";

/** Answers one request. `caller` is who sends it, if that is known without a token. */
export type Handler = (
  request: Request,
  ctx: ExecutionContext,
  caller?: Identity,
) => Promise<Response>;

/** Rejects if the bindings are bad, or a secret among them cannot be read. */
export async function handlerOf(bindings: Bindings, instrument: Instrument): Promise<Handler> {
  const settings = await workerSettings(bindings);
  // Also where objects answer: an object that refuses its bindings would look like one that has failed.
  const seen = await instrument(bindings, settings);
  datasetOf(bindings);
  return settings.objects.shards > 0
    ? throughObjects(settings, bindings["DATABASE_OBJECT"])
    : byRequests(settings, { bindings, seen });
}

/** Answers with status 500. The log has the reason. */
export function failing(error: unknown): Handler {
  return (request) => respondWithFailure(request, { error });
}

/** Each request has sockets of its own. The pool's limit is shared by the whole isolate. */
function byRequests(
  settings: Settings,
  { bindings, seen }: { bindings: Bindings; seen: Instrumentation },
): Handler {
  const database = serviceDatabases(settings, seen);
  const service = new WorkerService(settings, { database, bindings, seen });
  return (request, ctx, caller) =>
    seen.run(ctx, () => service.fetch(request, database.forRequest(ctx, request), caller));
}

function throughObjects({ objects, logLevel, corsOrigins }: Settings, namespace: unknown): Handler {
  if (!isNamespace(namespace)) {
    throw new TypeError(
      `Cannot forward requests to Durable Objects as there is no binding DATABASE_OBJECT: current ` +
        `DATABASE_OBJECT_SHARDS is ${objects.shards}; bind the class DatabaseObject, see wrangler.toml, or set it to 0`,
    );
  }
  const shards = new Shards(namespace, objects);
  return async (request, _ctx, caller) => {
    const fail = (error: unknown) => respondWithFailure(request, { error, logLevel, corsOrigins });
    const object = askedObject(request.url);
    if (object !== undefined && !(object < objects.shards)) return await fail(noSuchObject());
    try {
      return await shards.fetch(request, {
        object,
        send: (stub) => wholeOf(caller ? stub.fetchAs(caller, request) : stub.fetch(request)),
      });
    } catch (cause) {
      return await fail(objectFailed(request, cause));
    }
  };
}

/** What each object answers of itself: operators choose one by `?object=`. */
const OF_ONE_OBJECT = /^[^?]*\/(?:metrics|ops\/pool)\?(?:.*&)?object=([^&]*)/;

/** The number of the object that the request asks for. `NaN` if it is none. */
function askedObject(url: string): number | undefined {
  const asked = OF_ONE_OBJECT.exec(url)?.[1];
  if (asked === undefined) return undefined;
  return /^\d+$/.test(asked) ? Number(asked) : NaN;
}

function noSuchObject(): ProblemError {
  const detail =
    "Cannot find this object as it is no number below DATABASE_OBJECT_SHARDS; correct it";
  return new ProblemError("malformed-request", { detail });
}

/** An object that is reset breaks off the bodies of its answers. With the whole body, a read can still be sent again. */
async function wholeOf(answering: Promise<Response>): Promise<Response> {
  const response = await answering;
  return new Response(response.body && await response.arrayBuffer(), response);
}

function isNamespace(binding: unknown): binding is DurableObjectNamespace<DatabaseObjectStub> {
  return typeof binding === "object" && binding !== null && "idFromName" in binding;
}

/** https://developers.cloudflare.com/durable-objects/best-practices/error-handling/ */
function objectFailed(request: Request, cause: unknown): ProblemError {
  if (isOverloaded(cause) || isRepeatable(request)) {
    const detail = "Cannot reach a database connection; try again after Retry-After";
    return new ProblemError("overloaded", { detail, headers: { "Retry-After": "1" } }, { cause });
  }
  return new ProblemError("outcome-unknown", {
    detail:
      "Cannot tell whether the change was made as the Durable Object failed while it ran the request; " +
      "read the resource before you repeat the request",
  }, { cause });
}

/** Whether the request may be sent again, also if the object has done what it asks for. */
function isRepeatable({ method, headers }: Request): boolean {
  if (method === "GET" || method === "HEAD") return true;
  return (method === "POST" || method === "PATCH") && headers.has("Idempotency-Key");
}
