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
