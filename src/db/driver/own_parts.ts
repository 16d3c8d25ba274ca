import type { FlightPart } from "./driver.ts";

/** The parts of a flight that the connection layer did not add: the caller's own. */
export function ownParts(parts: readonly FlightPart[]): FlightPart[] {
  return parts.filter((part) => !isInternal(part));
}

/** Whether the connection layer added the part. */
export function isInternal(part: FlightPart): boolean {
  return "text" in part && part.isInternal === true;
}
