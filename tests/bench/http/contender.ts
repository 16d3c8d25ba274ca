/** Starts the contenders, each as a process of its own. */
import { join } from "node:path";
import { ACCESS } from "../../support/access.ts";
import { Child } from "./child.ts";
import type { NetworkAddresses } from "./network.ts";

export interface Contender {
  readonly name: string;
  readonly transport: "WebSocket" | "TCP";
  /** Whether it consumes the events of creates, which is all that it is measured at. */
  readonly consumes?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** A file in `contenders`. */
  readonly program: string;
  /** Ours only: the working directory, which is the root of the revision to run. */
  readonly root?: string;
}

export interface RunningContender extends AsyncDisposable {
  readonly contender: Contender;
  readonly pid: number;
  readonly port: number;
}

/** Connections of each contender's pool. The server allows 200. */
export const CONNECTIONS = 16;

export const HAND_WRITTEN = "Hono + Neon's Pool";
export const DRIZZLE = "Hono + Drizzle on Neon's Pool";
export const OURS = "user-service";
/** The library alone, with the routes of the others. */
export const LAYER = "Hono + this layer";
const ROOT = join(import.meta.dirname!, "..", "..", "..");

/** Ours, of the revision in a directory. `HTTP_SERVER=plain` is for a service behind a proxy. */
export function oursOf(name: string, root: string, env: Contender["env"] = {}): Contender {
  return { name, transport: "WebSocket", program: "ours.ts", root, env };
}

/** All that can run here. A contender that cannot is left out with a line. */
export async function contenders(): Promise<Contender[]> {
  const others = { transport: "WebSocket" } as const;
  const tcp = { transport: "TCP" } as const;
  return [
    { ...others, name: HAND_WRITTEN, program: "neon.ts" },
    oursOf(OURS, ROOT),
    oursOf(`${OURS}, HTTP_SERVER=plain`, ROOT, { HTTP_SERVER: "plain" }),
    {
      ...oursOf(`${OURS}, consumer on`, ROOT, { QUEUE_CONCURRENCY: "1" }),
      consumes: true,
    },
    {
      ...oursOf(`${OURS} over TCP`, ROOT, { DATABASE_TRANSPORT: "tcp" }),
      transport: "TCP",
    },
    {
      ...oursOf(`${OURS} over TCP, HTTP_SERVER=plain`, ROOT, {
        DATABASE_TRANSPORT: "tcp",
        HTTP_SERVER: "plain",
      }),
      transport: "TCP",
    },
    { ...others, name: LAYER, program: "library.ts" },
    { ...tcp, name: `${LAYER} over TCP`, program: "library.ts" },
    { ...others, name: DRIZZLE, program: "drizzle.ts" },
    { ...tcp, name: "Hono + postgres", program: "postgres.ts" },
    { ...tcp, name: "Hono + pg", program: "pg.ts" },
    ...await seedStack(),
  ];
}

/** Debian's Python, since it has these packages as Debian has them. */
const PYTHON = "/usr/bin/python3";

async function seedStack(): Promise<Contender[]> {
  const args = ["-c", "import fastapi, sqlalchemy, asyncpg, uvicorn"];
  const output = { stdout: "null", stderr: "null" } as const;
  const has = await new Deno.Command(PYTHON, { args, ...output }).output().catch(() => undefined);
  if (!has?.success) {
    console.error(
      "left out: FastAPI + SQLAlchemy + asyncpg; install python3-fastapi, python3-sqlalchemy, python3-asyncpg and python3-uvicorn",
    );
    return [];
  }
  return [{
    name: "FastAPI + SQLAlchemy + asyncpg",
    transport: "TCP",
    program: "seed.py",
  }];
}

/** `databaseUrl` is the server's own; its port becomes that of the way to it. */
export async function startContender(
  contender: Contender,
  { databaseUrl, tcpPort, relay }: { databaseUrl: string } & NetworkAddresses,
): Promise<RunningContender> {
  const url = new URL(databaseUrl);
  url.port = String(tcpPort);
  const child = Child.spawn({
    ...commandOf(contender),
    env: {
      DATABASE_URL: url.href,
      DATABASE_POOL_SIZE: String(CONNECTIONS),
      DATABASE_MAX_OVERFLOW: "0",
      QUEUE_CONCURRENCY: "0",
      ...ACCESS,
      ...(contender.transport === "WebSocket" && {
        DATABASE_WS_PROXY: relay,
        DATABASE_PIPELINE_CONNECT: "on",
      }),
      ...contender.env,
    },
  });
  try {
    const port = Number(await child.line());
    return { contender, pid: child.pid, port, [Symbol.asyncDispose]: () => stop(child) };
  } catch (cause) {
    throw new Error(`Cannot start ${contender.name}`, { cause });
  }
}

const stop = (child: Child) => child[Symbol.asyncDispose]();

function commandOf({ program, root }: Contender) {
  const path = join(import.meta.dirname!, "contenders", program);
  if (program.endsWith(".py")) return { command: PYTHON, args: [path] };
  // Ours with the lock that it is deployed with.
  const config = root !== undefined ? [`--config=${join(root, "deno.json")}`] : [
    "--no-config",
    `--import-map=${join(ROOT, "deno.json")}`,
    `--lock=${join(ROOT, "tests", "bench", "contenders.lock")}`,
  ];
  const args = ["run", "--allow-all", "--no-check", "--frozen", ...config, path];
  return { args, ...(root !== undefined && { cwd: root }) };
}
