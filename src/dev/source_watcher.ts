import { basename } from "node:path";

/** Long enough for an editor or a checkout to write all of its files. */
const quietMs = 100;

/** Tells when source files have changed; several at once are one change. */
export class SourceWatcher implements Disposable {
  #watcher: Deno.FsWatcher;
  #changed = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(directory: string) {
    this.#watcher = Deno.watchFs(directory);
    this.#listen();
  }

  /** Resolves after the next change, or one since the last call; never after disposal. */
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

/** Not what editors keep beside a file while it is open. */
function isSource(path: string): boolean {
  const name = basename(path);
  return name.includes(".") && !name.startsWith(".") && !/~$|\.sw[a-z]$|\.tmp$/.test(name);
}
