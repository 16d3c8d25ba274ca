import * as v from "valibot";
import { findUrlProblem } from "../library/database_url.ts";
import { text } from "./variable.ts";

/** Schema of a `postgresql://` URL with a host, a user and a database. Its errors never show the value. */
export function databaseUrl() {
  return v.pipe(
    text(),
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return;
      const problem = findUrlProblem(dataset.value);
      if (problem !== undefined) {
        addIssue({ message: `${problem.reason}: current value is hidden; ${problem.wayOut}` });
      }
    }),
  );
}
