/** Describes each problem type at the address that is its `type`. */

import { Hono } from "hono";
import { onlyMethods } from "./only_methods.ts";
import { ProblemError, problemKinds } from "./problem.ts";

const kinds = Object.entries(problemKinds)
  .map(([name, [status, title]]) => ({ type: `/problems/${name}`, status, title }));

/** `/problems` and `/problems/:kind`. */
export const problemRoutes = new Hono()
  .get("/problems", (c) => c.json({ problems: kinds }))
  .all("/problems", onlyMethods("GET", "HEAD"))
  .get("/problems/:kind", (c) => {
    const kind = kinds.find(({ type }) => type === `/problems/${c.req.param("kind")}`);
    if (kind === undefined) {
      throw new ProblemError("not-found", {
        detail: "Cannot find this kind of problem; see the list at /problems",
      });
    }
    return c.json(kind);
  })
  .all("/problems/:kind", onlyMethods("GET", "HEAD"));
