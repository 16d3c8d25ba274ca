/** What node-postgres reads and quotes values by. The package has it from there, so that it is no dependency of its own. */
export { escapeIdentifier, escapeLiteral, types as pgTypes } from "@neondatabase/serverless";
