import { basename } from "node:path";

/** A pause this long ends a change: an editor or a checkout writes several files one after the other. */
const quietMs = 100;

export interface WatchOptions {
  /** Whether to watch the folders below too. Default true. */
  readonly recursive?: boolean;
  /** Whether a file counts. By default all but the temporary files that editors keep beside an open file. */
  readonly isWatched?: (name: string) => boolean;
}

/** Watches a directory for changed files. Files that change together are one change. */
export class SourceWatcher implements Disposable {
  #watcher: Deno.FsWatcher;
  #changed = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(directory: string, { recursive = true, isWatched = isSource }: WatchOptions = {}) {
    this.#watcher = Deno.watchFs(directory, { recursive });
    this.#listen(isWatched);
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

  async #listen(isWatched: (name: string) => boolean): Promise<void> {
    for await (const { kind, paths } of this.#watcher) {
      if (kind === "access" || !paths.some((path) => isWatched(basename(path)))) continue;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#changed.resolve(), quietMs);
    }
  }
}

function isSource(name: string): boolean {
  return name.includes(".") && !name.startsWith(".") && !/~$|\.sw[a-z]$|\.tmp$/.test(name);
}
