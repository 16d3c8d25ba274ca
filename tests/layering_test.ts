/** Arrows between the rooms of `src` point down and never back, and entries stay free of what only developers need. */
import { assert, assertEquals } from "@std/assert";
import { glob } from "node:fs/promises";

/**
 * What each room may import besides itself: other rooms, and npm packages by name. A room is a folder or a file; a file
 * belongs to the longest room that it matches. `dev` may import anything. Every room names only rooms below it in this
 * list, so that no arrow can run back up.
 */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  "main.ts": ["deno", "ops", "settings"],
  "worker.ts": ["workers"],
  "worker_traced.ts": ["workers", "workers/tracing"],
  "examples": ["library/deno", "library/workers", "library/hono", "db/mod.ts", "hono"],
  "deno": [
    "client_network.ts",
    "service",
    "docs",
    "http",
    "ops",
    "queue",
    "settings",
    "access",
    "tenant.ts",
    "library/deno",
    "db/mod.ts",
    "db/time",
    "hono",
    "node:buffer",
    "node:http",
    "node:net",
    "node:process",
    "node:timers",
  ],
  "workers/tracing": [
    "workers",
    "ops",
    "settings",
    "value_message.ts",
    "library/workers",
    "valibot",
    "@opentelemetry/api",
    "@opentelemetry/core",
    "@opentelemetry/otlp-transformer",
    "@opentelemetry/resources",
    "@opentelemetry/sdk-trace-base",
    "node:async_hooks",
  ],
  "workers": [
    "service",
    "http",
    "ops",
    "queue",
    "settings",
    "access",
    "chain.ts",
    "request_figures.ts",
    "library/workers",
    "db/mod.ts",
    "hono",
    "valibot",
    "cloudflare:workers",
  ],
  "service": ["http", "ops", "queue", "users", "migrations", "settings", "tenant.ts", "db/mod.ts"],
  "docs": ["pages.css", "http", "users", "valibot", "@valibot/to-json-schema", "hono"],
  "http": [
    "bounded_map.ts",
    "chain.ts",
    "client_network.ts",
    "users",
    "idempotency_keys.ts",
    "migrations",
    "access",
    "tenant.ts",
    "session_options.ts",
    "request_figures.ts",
    "sha256.ts",
    "value_message.ts",
    "hono.ts",
    "library/hono",
    "db/mod.ts",
    "dataloader",
    "valibot",
    "hono",
  ],
  "queue": ["idempotency_keys.ts", "tenant.ts", "db/mod.ts"],
  "idempotency_keys.ts": ["db/mod.ts"],
  "ops": [
    "pages.css",
    "bounded_map.ts",
    "chain.ts",
    "session_options.ts",
    "request_figures.ts",
    "client_network.ts",
    "sha256.ts",
    "settings",
    "access",
    "hono.ts",
    "library",
    "db/mod.ts",
    "hono",
    "@opentelemetry/api",
    "uplot",
  ],
  "users": ["tenant.ts", "value_message.ts", "db/mod.ts", "valibot", "uuid"],
  "migrations": ["db/mod.ts"],
  "settings": ["access", "tenant.ts", "value_message.ts", "library", "db/mod.ts", "valibot"],
  "access": ["bounded_map.ts", "sha256.ts", "tenant.ts", "db/mod.ts", "jose"],
  "tenant.ts": ["bounded_map.ts", "session_options.ts", "db/mod.ts"],
  "session_options.ts": ["db/mod.ts"],
  "request_figures.ts": ["db/mod.ts"],
  "pages.css": [],
  "bounded_map.ts": [],
  "sha256.ts": [],
  "value_message.ts": [],
  "client_network.ts": [],
  "hono.ts": ["hono"],
  "chain.ts": ["hono"],
  "library/testing": [
    "library/deno",
    "library",
    "db/mod.ts",
    "db/time",
    "ws",
    "node:buffer",
    "node:crypto",
    "node:http",
    "node:module",
    "node:net",
    "node:os",
    "node:path",
    "node:process",
    "node:stream",
  ],
  "library/hono": ["db/mod.ts", "hono"],
  "library/drizzle": ["library", "db/mod.ts", "drizzle-orm"],
  "library/kysely": ["library", "db/mod.ts", "kysely"],
  "library/workers": ["library", "db/mod.ts", "cloudflare:sockets"],
  "library/deno": [
    "library",
    "db/mod.ts",
    "db/time",
    "ws",
    "node:buffer",
    "node:crypto",
    "node:events",
    "node:fs",
    "node:net",
    "node:tls",
  ],
  "library/pg": ["library", "db/mod.ts", "db/neon", "db/driver"],
  "library": ["db/mod.ts", "db/time"],
  "db/mod.ts": [
    "db/database",
    "db/session",
    "db/pool",
    "db/neon",
    "db/failures",
    "db/errors.ts",
    "db/driver",
    "db/time",
  ],
  "db/database": [
    "db/unit_of_work.ts",
    "db/session",
    "db/pool",
    "db/errors.ts",
    "db/driver",
    "db/time",
  ],
  "db/unit_of_work.ts": ["db/session", "db/failures", "db/errors.ts", "db/time"],
  "db/session": ["db/pool", "db/failures", "db/errors.ts", "db/driver", "db/time"],
  "db/pool": ["db/failures", "db/errors.ts", "db/driver", "db/time"],
  "db/neon": ["db/errors.ts", "db/driver", "db/time", "@neondatabase/serverless"],
  "db/failures": ["db/errors.ts"],
  "db/errors.ts": ["db/driver"],
  "db/driver": [],
  "db/time": [],
};

const LAYERS = Object.keys(ROOMS);

/** What a developer's machine needs, and a deployed service does not. */
const ENTRIES = ["main.ts", "worker.ts", "worker_traced.ts"];

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    readonly code?: { readonly specifier: string };
    readonly type?: { readonly specifier: string };
  }[];
}

const source = new URL("../src/", import.meta.url).href;

/** Every import within `src`, as it was resolved: a path in `src`, or a package's name. */
async function importsOf(entry: string): Promise<[from: string, to: string][]> {
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", `${source}${entry}`],
    cwd: new URL("..", import.meta.url),
    stderr: "inherit",
  }).output();
  assert(success);
  const { modules }: { modules: Module[] } = JSON.parse(new TextDecoder().decode(stdout));
  return modules
    .filter(({ specifier }) => specifier.startsWith(source))
    .flatMap(({ specifier, dependencies = [] }) =>
      dependencies.map(({ specifier: name, code, type }) => {
        const target = (code ?? type)?.specifier ?? name;
        const to = target.startsWith(source) ? target.slice(source.length) : packageOf(target);
        return [specifier.slice(source.length), to] as [string, string];
      })
    );
}

/** The packages that an entry reaches. */
async function packagesOf(entry: string): Promise<string[]> {
  const reached = (await importsOf(entry)).map(([, to]) => to).filter((to) => !to.endsWith(".ts"));
  return [...new Set(reached)].sort();
}

/** `npm:/hono@4.13.19/cors` is `hono`, and so is `hono/cors`, which `deno.json` does not map. */
function packageOf(specifier: string): string {
  return /^(?:npm:\/?)?((?:@[\w.-]+\/)?[\w.-]+)(?=[@/]|$)/.exec(specifier)?.[1] ?? specifier;
}

/** The longest room that holds the file; a package is its own. */
function roomOf(path: string): string {
  const rooms = LAYERS.filter((room) => path === room || path.startsWith(`${room}/`));
  return rooms.sort((a, b) => b.length - a.length)[0] ?? path;
}

/** The tools of a developer's machine may import any file. */
const files = await Array.fromAsync(glob("**/*.ts", { cwd: new URL(source), exclude: ["dev"] }));

Deno.test("rooms import only rooms below them", () => {
  for (const [index, room] of LAYERS.entries()) {
    const above = ROOMS[room]!.filter((to) => LAYERS.includes(to) && LAYERS.indexOf(to) <= index);
    assertEquals(above, [], `${room} names rooms above itself`);
  }
});

Deno.test("imports between rooms follow the arrows", async () => {
  assertEquals(files.filter((file) => !LAYERS.includes(roomOf(file))), [], "files without a room");
  const used = new Set(files.map(roomOf));
  const unused = LAYERS.filter((room) => !used.has(room) && !room.endsWith(".css"));
  assertEquals(unused, [], "rooms without a module");
  const imports = (await Promise.all(files.map(importsOf))).flat();
  const wrong = imports.filter(([from, to]) => {
    const [room, target] = [roomOf(from), roomOf(to)];
    return room in ROOMS && room !== target && !ROOMS[room]!.includes(target);
  });
  assertEquals([...new Set(wrong.map((arrow) => arrow.join(" -> ")))], []);
});

Deno.test("the top of the connection layer has at most 10 rooms", async () => {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(new URL("db/", source))) names.push(`db/${name}`);
  const rooms = LAYERS.filter((room) => room.startsWith("db/"));
  assertEquals(names.filter((name) => !name.endsWith(".md")).sort(), rooms.toSorted());
  assert(rooms.length <= 10, `${rooms.length} rooms`);
});

Deno.test("only these rooms import each of these packages", async () => {
  const imports = (await Promise.all(files.map(importsOf))).flat();
  const rooms = {
    "@neondatabase/serverless": ["db/neon"],
    // The relay is its server.
    "ws": ["library/deno", "library/testing"],
    "drizzle-orm": ["library/drizzle"],
    "kysely": ["library/kysely"],
  };
  for (const [name, wanted] of Object.entries(rooms)) {
    const importers = imports.filter(([, to]) => to === name).map(([from]) => roomOf(from));
    assertEquals([...new Set(importers)].sort(), wanted);
  }
});

Deno.test("a deployed entry reaches nothing of the development stack", async () => {
  for (const entry of ENTRIES) {
    const imports = await importsOf(entry);
    assert(imports.some(([, to]) => to === "db/mod.ts"), `${entry} was looked at`);
    const isDevelopment = /^(?:dev|library\/testing)\//;
    assertEquals(imports.filter(([, to]) => isDevelopment.test(to)), []);
  }
});

Deno.test("what runs on Workers reaches nothing that only Deno or Node has", async () => {
  assertEquals(
    (await importsOf("library/pg/mod.ts")).filter(([, to]) => to.includes(":")),
    [],
    "./pg is for Workers too",
  );
  const packages = [
    "@neondatabase/serverless",
    "cloudflare:sockets",
    "cloudflare:workers",
    "dataloader",
    "hono",
    "jose",
    "uuid",
    "valibot",
  ];
  const tracing = [
    "@opentelemetry/api",
    "@opentelemetry/core",
    "@opentelemetry/otlp-transformer",
    "@opentelemetry/resources",
    "@opentelemetry/sdk-trace-base",
    // The flag nodejs_compat of wrangler.toml gives a Worker this one.
    "node:async_hooks",
  ];
  assertEquals(await packagesOf("worker.ts"), packages);
  assertEquals(await packagesOf("worker_traced.ts"), [...packages, ...tracing].sort());
});
