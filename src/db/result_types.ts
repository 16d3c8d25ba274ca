/** From PostgreSQL's text format to JavaScript values. */

/** Reads one column's text. */
export type Parse = (text: string) => unknown;

/**
 * Where the driver package's parsers would lose something: int8 does not fit a number, and a date or a timestamp
 * without time zone is no instant. Type ids: https://www.postgresql.org/docs/current/catalog-pg-type.html
 */
const EXACT: ReadonlyMap<number, Parse> = new Map<number, Parse>([
  [20, BigInt],
  [1082, String],
  [1114, String],
]);

/** Gives the parser of a type id: ours where exactness needs it, else the package's. */
export function createTypeParsers(packageParser: (oid: number) => Parse): (oid: number) => Parse {
  const known = new Map<number, Parse>(EXACT);
  return (oid) => {
    let parse = known.get(oid);
    if (parse === undefined) known.set(oid, parse = packageParser(oid));
    return parse;
  };
}
