/**
 * Which cluster each server belongs to. The transactions of one database share it, so that the system identifier is
 * read once for each life of a server and not in each transaction: PostgreSQL reads a file for it.
 */

/** Enough for all servers behind one address, each with a few restarts. The oldest is forgotten, and asked again. */
const CLUSTERS_MAX = 16;

/** The system identifier of each incarnation that was asked for it, and when to ask. */
export class KnownClusters {
  /** `undefined` for a server that does not tell its identifier. */
  readonly #identifiers = new Map<string, string | undefined>();
  #mustAsk = true;

  /**
   * Whether transactions ask for the identifier: until the first answer, and after the answer of a server that was not
   * asked.
   */
  get mustAsk(): boolean {
    return this.#mustAsk;
  }

  /** Whether the server was asked, so that to ask again would bring nothing new. */
  has(incarnation: string): boolean {
    return this.#identifiers.has(incarnation);
  }

  /** The system identifier, if the server has told it. */
  systemIdentifier(incarnation: string): string | undefined {
    return this.#identifiers.get(incarnation);
  }

  /** A server has answered. `systemIdentifier` is `null` if it does not tell, and `undefined` if it was not asked. */
  hear(incarnation: string, systemIdentifier: string | null | undefined): void {
    if (systemIdentifier !== undefined) {
      this.#identifiers.set(incarnation, systemIdentifier ?? undefined);
      if (this.#identifiers.size > CLUSTERS_MAX) {
        this.#identifiers.delete(this.#identifiers.keys().next().value!);
      }
    }
    this.#mustAsk = !this.has(incarnation);
  }
}
