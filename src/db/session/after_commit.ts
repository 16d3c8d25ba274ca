type Hook = () => void | Promise<void>;

/** What is to be done once a transaction is known to be committed. */
export class AfterCommit {
  readonly #hooks: Hook[] = [];

  add(hook: Hook): void {
    this.#hooks.push(hook);
  }

  /** Takes those of a savepoint whose work is kept. */
  addAll(other: AfterCommit): void {
    this.#hooks.push(...other.#hooks);
  }

  /** Begins to call them, each once. */
  run({ waitUntil }: { waitUntil: (rest: Promise<void>) => void }): void {
    if (this.#hooks.length > 0) waitUntil(callInOrder(this.#hooks.splice(0)));
  }
}

/** Calls all, also after one that fails; throws the first failure, or an `AggregateError` of several. */
async function callInOrder(hooks: readonly Hook[]): Promise<void> {
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
