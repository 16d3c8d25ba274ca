import { basename } from "node:path";

/** A pause this long ends a change: an editor or a checkout writes several files one after the other. */
const quietMs = 100;

/** Watches a directory for changed source files. Files that change together are one change. */
export class SourceWatcher implements Disposable {
  #watcher: Deno.FsWatcher;
  #changed = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(directory: string) {
    this.#watcher = Deno.watchFs(directory);
    this.#listen();
  }

  /**
   * Resolves after the next change, or at once if a change came after the previous call. Never resolves after disposal.
   */
  async next(): Promise<void> {
    await this.#changed.promise;
    this.#changed = Promise.withResolvers();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#watcher.close();
  }

  async #listen(): Promise<void> {
    for await (const { kind, paths } of this.#watcher) {
      if (kind === "access" || !paths.some(isSource)) continue;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#changed.resolve(), quietMs);
    }
  }
}

/** False for the temporary files that editors keep beside an open file. */
function isSource(path: string): boolean {
  const name = basename(path);
  return name.includes(".") && !name.startsWith(".") && !/~$|\.sw[a-z]$|\.tmp$/.test(name);
}
