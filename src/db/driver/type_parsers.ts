/** Reads one value's text, in PostgreSQL's text format. */
export type Parse = (text: string) => unknown;

/** Parsers by type id, as in `select 'numeric'::regtype::oid`. */
export type TypeParsers = Readonly<Record<number, Parse>>;
