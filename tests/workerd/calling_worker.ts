/**
 * Another Worker of the account, with bindings to the service. It has the service answer requests by its `fetch`, or by
 * the RPC method of the route, and writes what became of the call as the HTTP API does.
 */
import { serviceClient } from "../../src/http/client.ts";
import type {
  ConditionalOptions,
  KeyedOptions,
  Result,
  UsersApi,
} from "../../src/workers/users_api.ts";

type Bindings = Readonly<Record<string, UsersApi>>;

export default {
  async fetch(request: Request, bindings: Bindings): Promise<Response> {
    const users = bindings[request.headers.get("x-binding") ?? "TESTS"]!;
    switch (request.headers.get("x-by")) {
      case "public":
        return await bindings["SERVICE"]!.fetch(request);
      case "fetch":
        return await users.fetch(request);
      case "call":
        return await called(users, await request.json());
      case "false-length":
        return await users.fetch(withLengthOf5(request));
      case "client":
        return await byClient(users);
      case "values":
        return await strangeValues(users);
      default:
        return await answered(users, request);
    }
  },
};

/** The same request, whose length is not that of its body. */
function withLengthOf5(request: Request): Request {
  const headers = new Headers(request.headers);
  headers.set("Content-Length", "5");
  const body = request.body?.pipeThrough(new TransformStream()) ?? null;
  return new Request(request, { headers, body });
}

/** With the typed client of the HTTP API. */
async function byClient(users: UsersApi): Promise<Response> {
  const client = serviceClient("http://users", { fetch: users.fetch.bind(users) });
  const json = { email: `${crypto.randomUUID()}@example.com`, name: "Ada" };
  const created = await client.users.$post({ json });
  if (created.status !== 201) throw new Error((await created.json()).detail);
  const { id } = await created.json();
  const read = await client.users[":id"].$get({ param: { id } });
  return Response.json(await read.json(), { status: read.status });
}

/** Calls with values that a caller's code may have, and JSON does not. */
async function strangeValues(users: UsersApi): Promise<Response> {
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  const values = {
    bigint: 1n,
    circular,
    function: () => "x",
    nan: NaN,
    map: new Map([["a", "b"]]),
  };
  const kinds: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    const result = await users.createUser({
      email: "a@example.com",
      name: value as unknown as string,
    });
    kinds[name] = result.ok ? "ok" : result.problem.kind;
  }
  return Response.json(kinds);
}

/** Calls any method with any arguments. */
async function called(
  users: UsersApi,
  { method, args }: { method: keyof UsersApi; args: never[] },
): Promise<Response> {
  return Response.json(await (users[method] as (...args: never[]) => unknown)(...args));
}

async function answered(users: UsersApi, request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const query = Object.fromEntries(searchParams);
  const [, collection, id = "", part] = pathname.split("/");
  const body = request.method === "POST" || request.method === "PATCH" ? await request.json() : {};
  const options = optionsOf(request.headers);
  switch (`${request.method} ${collection}${id && "/:id"}${part ? `/${part}` : ""}`) {
    case "POST users": {
      const result = await users.createUser(body, options);
      const Location = result.ok ? `/users/${result.value.id}` : "";
      return responseTo(result, { status: 201, headers: { Location } });
    }
    case "POST users:batch":
      return responseTo(await users.createUsers(body.users, options));
    case "GET users":
      return responseTo(await users.listUsers(query));
    case "GET users/:id":
      return responseTo(await users.readUser(decodeURIComponent(id), options));
    case "PATCH users/:id":
      return responseTo(await users.updateUser(decodeURIComponent(id), body, options));
    case "DELETE users/:id":
      return responseTo(await users.deleteUser(id, options), { status: 204 });
    case "GET users/:id/activity":
      return responseTo(await users.listActivity(id, query));
  }
  throw new Error(`There is no method for ${request.method} ${pathname}`);
}

function optionsOf(headers: Headers): ConditionalOptions & KeyedOptions {
  const [match, key] = [headers.get("If-Match"), headers.get("Idempotency-Key")];
  const seconds = headers.get("Request-Timeout");
  return {
    ...(seconds === null ? {} : { timeoutMs: Number(seconds) * 1_000 }),
    ...(match === null ? {} : { expectedVersion: Number(match.slice(1, -1)) }),
    ...(key === null ? {} : { idempotencyKey: key.slice(1, -1).replaceAll(/\\(.)/g, "$1") }),
  };
}

function responseTo(result: Result<object | null>, init: ResponseInit = {}): Response {
  const headers = new Headers(init.headers);
  if (result.isReplayed) headers.set("Idempotent-Replayed", "true");
  if (result.ok) {
    const { value } = result;
    if (value === null) return new Response(null, init);
    if ("version" in value) headers.set("ETag", `"${value.version}"`);
    return Response.json(value, { ...init, headers });
  }
  const { kind, retryAfterMs, currentVersion, ...document } = result.problem;
  if (document.type !== `/problems/${kind}`) throw new Error(`${document.type} is not of ${kind}`);
  headers.set("Content-Type", "application/problem+json");
  headers.set("X-Request-Id", document.requestId!);
  if (retryAfterMs !== undefined) headers.set("Retry-After", String(retryAfterMs / 1_000));
  if (currentVersion !== undefined) headers.set("ETag", `"${currentVersion}"`);
  return new Response(JSON.stringify(document), { status: document.status, headers });
}
