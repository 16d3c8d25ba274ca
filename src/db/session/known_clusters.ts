/**
 * Which cluster each server belongs to. The transactions of one database share it, so that the system identifier is
 * read once for each life of a server and not in each transaction: PostgreSQL reads a file for it.
 */

/**
 * An SQL expression for the system identifier, which only the servers of one cluster have in common: a primary, its
 * standbys, and all their later lives. NULL if the role may not execute pg_control_system(), or there is no such
 * function.
 *
 * PostgreSQL checks the privilege before a statement begins, so that the statement would fail even if a CASE skipped
 * the call. Hence the call is in a text: ts_stat() runs it only if it is given it. `query_to_xml` would also do, but
 * needs a server that was built with libxml.
 * https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA
 */
export const SYSTEM_IDENTIFIER = `(select word from ts_stat(case when ` +
  `has_function_privilege(to_regprocedure('pg_catalog.pg_control_system()'), 'execute') then ` +
  `'select system_identifier::text::tsvector from pg_catalog.pg_control_system()' end))`;

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
