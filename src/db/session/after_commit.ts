type Hook = () => void | Promise<void>;

/** The functions that a session calls after its transaction is known to be committed. */
export class AfterCommitHooks {
  readonly #hooks: Hook[] = [];

  add(hook: Hook): void {
    this.#hooks.push(hook);
  }

  /** Takes over the hooks of a released savepoint. */
  addAll(other: AfterCommitHooks): void {
    this.#hooks.push(...other.#hooks);
  }

  /** Starts to call the hooks in the background, each once. */
  run({ waitUntil }: { waitUntil: (hooks: Promise<void>) => void }): void {
    if (this.#hooks.length > 0) waitUntil(runInOrder(this.#hooks.splice(0)));
  }
}

/** Calls every hook, also after one has failed. Throws the failure, or an `AggregateError` if there are several. */
async function runInOrder(hooks: readonly Hook[]): Promise<void> {
  const failures: unknown[] = [];
  for (const hook of hooks) {
    try {
      await hook();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) {
    throw new AggregateError(failures, `${failures.length} hooks failed after a commit`);
  }
}
