/** Whether a pooler stands between the service and PostgreSQL, and when it gives the server's connection to others. */
import { ConnectionLostError } from "../../db/mod.ts";
import type { Settings } from "../../settings/settings.ts";
import { DoctorConnection } from "./connection.ts";

export interface Pooler {
  /**
   * `none`: the login named the backend's own process id. `session`: another program answered, but kept one backend.
   * `transaction`: it changed the backend between two transactions.
   */
  readonly mode: "none" | "session" | "transaction";
  /** Whether a statement of PREPARE was there in a later transaction. */
  readonly keepsPrepared: boolean;
}

const BACKEND = "select pg_backend_pid() as pid";

/** How long a backend may take to answer at once. */
const WAIT_MS = 2_000;

/** Rivals for the server's connection: one is enough for a pooler that gives out the most recent one. */
const RIVALS = 2;

/** Uses connections of its own: a pooler with a single server connection lets one of them wait until it is cut. */
export async function detectPooler(
  settings: Settings,
  connection: DoctorConnection,
): Promise<Pooler> {
  await using subject = await DoctorConnection.open(settings);
  const before = await backendOf(subject);
  const name = `doctor_${crypto.randomUUID().replaceAll("-", "")}`;
  await subject.ask(`prepare ${name} as select 1`);
  const isShared = await losesBackend(settings, { subject, before });
  const keepsPrepared = await subject.ask(`execute ${name}`).then(() => true, () => false);
  if (keepsPrepared) await subject.ask(`deallocate ${name}`).catch(() => {});
  if (isShared) return { mode: "transaction", keepsPrepared };
  const isDirect = connection.processId === await backendOf(connection);
  return { mode: isDirect ? "none" : "session", keepsPrepared };
}

/** Whether another client's transaction takes the backend that the subject had. */
async function losesBackend(
  settings: Settings,
  { subject, before }: { subject: DoctorConnection; before: unknown },
): Promise<boolean> {
  await using rivals = new AsyncDisposableStack();
  try {
    for (let index = 0; index < RIVALS; index++) {
      const rival = rivals.use(await DoctorConnection.open(settings));
      // Holds the backend until the rival is closed.
      await rival.ask("begin", { timeoutMs: WAIT_MS });
      if (await backendOf(rival) === before) return true;
    }
    return await backendOf(subject, { timeoutMs: WAIT_MS }) !== before;
  } catch (error) {
    // Only a pooler lets a client that is logged in wait for a backend.
    if (error instanceof ConnectionLostError) return true;
    throw error;
  }
}

async function backendOf(
  connection: DoctorConnection,
  options?: { timeoutMs: number },
): Promise<unknown> {
  return (await connection.ask(BACKEND, options))[0]?.["pid"];
}
