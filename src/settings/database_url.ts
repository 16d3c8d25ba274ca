import * as v from "valibot";
import { findUrlProblem } from "../library/database_url.ts";
import { text } from "./variable.ts";

/** Schema of a `postgresql://` URL with a host, a user and a database. Its errors never show the value. */
export function databaseUrl() {
  return v.pipe(text(), v.rawCheck(checkUrls((value) => [value])));
}

/** Schema of such URLs with commas between them. The output is a list. */
export function databaseUrls() {
  return v.pipe(text(), v.rawCheck(checkUrls(listOf)), v.transform(listOf));
}

function listOf(value: string): string[] {
  return value.split(",").map((part) => part.trim());
}

function checkUrls(urlsOf: (value: string) => readonly string[]) {
  return ({ dataset, addIssue }: v.RawCheckContext<string>) => {
    if (!dataset.typed) return;
    const urls = urlsOf(dataset.value);
    urls.some((url, place) => {
      const problem = findUrlProblem(url);
      if (problem === undefined) return false;
      const which = urls.length > 1 ? `of URL ${place + 1} ` : "";
      addIssue({
        message: `${which}${problem.reason}: current value is hidden; ${problem.wayOut}`,
      });
      return true;
    });
  };
}
