/** Which databases the primary and its replicas are. */
import { databaseAddress } from "./database_address.ts";

/** Why a replica, counted from 1, cannot be used. */
export interface ReplicaProblem {
  readonly replica: number;
  readonly reason: string;
  readonly wayOut: string;
}

/** The first one. A primary answers no read as a replica, so that each would go there twice. */
export function replicaProblem(
  primary: string,
  replicas: readonly string[],
): ReplicaProblem | undefined {
  const places = [primary, ...replicas].map(placeOf);
  for (const [index, place] of places.entries()) {
    const first = places.indexOf(place);
    if (first === index) continue;
    return {
      replica: index,
      reason: `it is ${first === 0 ? "the primary" : `replica ${first}`}`,
      wayOut: "name a standby of its own, or leave it out",
    };
  }
  return undefined;
}

/** The database that a URL leads to, whoever logs in. Of one pooler, each database may be on another server. */
function placeOf(url: string): string {
  const { host, port, socketPath } = databaseAddress(url);
  return JSON.stringify([socketPath ?? host.toLowerCase(), port, new URL(url).pathname]);
}
