/**
 * A branch of a Neon project as a database for tests, with a compute of its own. The test deletes it; if the test's
 * process dies before that, the branch expires.
 * https://neon.com/docs/reference/api/branches/create-project-branch.md
 */

export interface NeonBranchOptions {
  readonly projectId: string;
  readonly apiKey: string;
  /** Default `test-` and a random id. */
  readonly name?: string;
  /** Default: the project's default branch. */
  readonly parentId?: string;
  /** Age at which Neon itself deletes the branch: default an hour, at most 30 days. */
  readonly expiresInMs?: number;
  /** Longest wait for the branch to be ready, and for its deletion to be accepted. */
  readonly timeoutMs?: number;
  readonly baseUrl?: string;
  /** Replaces the clock in tests. */
  readonly clock?: NeonClock;
}

export interface NeonClock {
  now(): number;
  sleep(timeMs: number): Promise<void>;
}

export interface NeonBranch extends AsyncDisposable {
  readonly id: string;
  readonly name: string;
  /** Goes to the compute, not to the pooler. Contains the password. */
  readonly connectionUri: string;
  /** Safe to call twice. */
  delete(): Promise<void>;
}

/** An error answer of Neon's API, or an operation that did not finish. */
export class NeonApiError extends Error {
  override readonly name = "NeonApiError";

  constructor(message: string, readonly status: number, readonly code: string) {
    super(message);
  }
}

const BACKOFF_MIN_MS = 200;
const BACKOFF_MAX_MS = 5_000;
const REQUEST_TIMEOUT_MS = 20_000;

const systemClock: NeonClock = {
  now: () => performance.now(),
  sleep: (timeMs) => new Promise((resolve) => setTimeout(resolve, timeMs)),
};

/**
 * Creates a branch and waits until it accepts connections. Deletes the branch again if that fails.
 *
 * @throws {NeonApiError} if Neon refuses, or one of its operations fails.
 */
export async function createNeonBranch(options: NeonBranchOptions): Promise<NeonBranch> {
  const { projectId, name = `test-${crypto.randomUUID()}`, parentId } = options;
  const { expiresInMs = 3_600_000, timeoutMs = 120_000, clock = systemClock } = options;
  const api = new NeonApi(options, clock);
  const branches = `/projects/${encodeURIComponent(projectId)}/branches`;
  const deadlineMs = clock.now() + timeoutMs;

  const created = await api.send("POST", branches, deadlineMs, {
    branch: {
      name,
      ...(parentId === undefined ? {} : { parent_id: parentId }),
      expires_at: new Date(Date.now() + expiresInMs).toISOString(),
    },
    endpoints: [{ type: "read_write" }],
  }) as Created;

  const { id } = created.branch;
  let deleted: Promise<void> | undefined;
  const remove = () =>
    deleted ??= api.remove(`${branches}/${encodeURIComponent(id)}`, clock.now() + timeoutMs);
  try {
    for (const operation of created.operations) {
      await api.finished(projectId, operation, deadlineMs);
    }
    return {
      id,
      name: created.branch.name,
      connectionUri: directUri(created),
      delete: remove,
      // A failed deletion must not hide the test's own error, and the branch expires anyway.
      [Symbol.asyncDispose]: () => remove().catch(() => {}),
    };
  } catch (error) {
    // The first error explains more than a failed deletion would.
    await remove().catch(() => {});
    throw error;
  }
}

interface Operation {
  readonly id: string;
  readonly action: string;
  readonly status: string;
  readonly error?: string;
}

interface Created {
  readonly branch: { readonly id: string; readonly name: string };
  readonly operations: readonly Operation[];
  /** Absent if the parent has several roles or databases. */
  readonly connection_uris?: readonly { readonly connection_uri: string }[];
}

function directUri({ branch, connection_uris: uris = [] }: Created): string {
  const [only] = uris;
  if (only === undefined) {
    throw new NeonApiError(
      `Cannot connect to branch ${branch.id} as Neon gave no connection URI for it; ` +
        "give the parent branch one role and one database",
      201,
      "",
    );
  }
  const uri = new URL(only.connection_uri);
  // The suffix of the host's first label is all that differs between the pooler and the compute.
  uri.hostname = uri.hostname.replace(/^([^.]+)-pooler\./, "$1.");
  return uri.href;
}

/** Sends requests, and repeats them while Neon cannot take them. */
class NeonApi {
  readonly #baseUrl: string;
  readonly #apiKey: string;
  readonly #clock: NeonClock;

  constructor(options: NeonBranchOptions, clock: NeonClock) {
    this.#baseUrl = options.baseUrl ?? "https://console.neon.tech/api/v2";
    this.#apiKey = options.apiKey;
    this.#clock = clock;
  }

  /** Sends one request. Repeats it while another operation locks the project, or the key's rate limit is reached. */
  async send(method: string, path: string, deadlineMs: number, body?: unknown): Promise<unknown> {
    for (let attempt = 0;; attempt++) {
      const response = await this.#fetch(method, path, body);
      if (response.ok) return await response.json().catch(() => undefined);
      const error = await this.#failure(method, path, response);
      if (!isRepeatable(method, response.status)) throw error;
      await this.#pause(attempt, deadlineMs, error, response.headers.get("retry-after"));
    }
  }

  /** Resolves when Neon has finished the operation. Goes on waiting after a failure, since Neon may try again. */
  async finished(projectId: string, operation: Operation, deadlineMs: number): Promise<void> {
    const path = `/projects/${encodeURIComponent(projectId)}/operations/` +
      encodeURIComponent(operation.id);
    let newest = operation;
    for (let attempt = 0; newest.status !== "finished" && newest.status !== "skipped"; attempt++) {
      const error = new NeonApiError(
        `Cannot use the branch as operation ${newest.action} (${newest.id}) is not finished: ` +
          `current status ${newest.status}${newest.error ? `, ${newest.error}` : ""}`,
        200,
        newest.status,
      );
      if (["cancelled", "error"].includes(newest.status)) throw error;
      await this.#pause(attempt, deadlineMs, error);
      const answer = await this.send("GET", path, deadlineMs) as { operation: Operation };
      newest = answer.operation;
    }
  }

  /** Deletes a branch; does nothing if it is gone already. */
  async remove(path: string, deadlineMs: number): Promise<void> {
    try {
      await this.send("DELETE", path, deadlineMs);
    } catch (error) {
      if (!(error instanceof NeonApiError) || error.status !== 404) throw error;
    }
  }

  async #fetch(method: string, path: string, body: unknown): Promise<Response> {
    return await fetch(`${this.#baseUrl}${path}`, {
      method,
      headers: {
        accept: "application/json",
        authorization: `Bearer ${this.#apiKey}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
  }

  async #failure(method: string, path: string, response: Response): Promise<NeonApiError> {
    const text = (await response.text()).replaceAll(this.#apiKey, "[key]");
    const said = documentOf(text);
    return new NeonApiError(
      `Cannot ${method} ${path} as Neon answered ${response.status} ${said.code ?? ""}: ` +
        `${said.message ?? text.slice(0, 200)} (request ${said.request_id ?? "unknown"})`,
      response.status,
      said.code ?? "",
    );
  }

  /** Waits longer for each attempt. Throws `error` if the wait would pass the deadline. */
  async #pause(
    attempt: number,
    deadlineMs: number,
    error: NeonApiError,
    retryAfter: string | null = null,
  ): Promise<void> {
    const backoffMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** attempt);
    const pauseMs = Math.max(backoffMs, Number(retryAfter ?? 0) * 1_000 || 0);
    if (this.#clock.now() + pauseMs > deadlineMs) throw error;
    await this.#clock.sleep(pauseMs);
  }
}

/** Whether to send the request again. After a 5xx a POST is not repeated: it might create a second branch. */
function isRepeatable(method: string, status: number): boolean {
  return status === 423 || status === 429 || (status >= 500 && method !== "POST");
}

/** Empty if the text is no JSON: gateways in front of the API answer with HTML pages. */
function documentOf(text: string): { code?: string; message?: string; request_id?: string } {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
