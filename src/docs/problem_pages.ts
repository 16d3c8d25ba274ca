/** `/problems` and the page of each kind of problem, as HTML and as JSON. */

import { html } from "hono/html";
import type { ProblemKindDocument } from "../http/documents.ts";
import { type ProblemKind, problemKinds } from "../http/problem.ts";
import { inline, pageOf, paragraphs } from "./page.ts";
import { problemTexts } from "./problem_texts.ts";

/** By the last part of its `type`. */
export const problemDocuments: Readonly<Record<string, ProblemKindDocument>> = Object.fromEntries(
  Object.entries(problemKinds).map(([kind, [status, title]]) => [kind, {
    type: `/problems/${kind}`,
    status,
    title,
    ...problemTexts[kind as ProblemKind],
  }]),
);

export function problemsPage(): string {
  return pageOf({
    title: "Problems",
    main: html`
      <h1>Problems</h1>
      <p>A refused or failed request is answered with a problem document. Its <code>type</code> is the address of one of
        these pages, and does not change: compare it to tell problems apart.</p>
      <ul class="kinds">${Object.values(problemDocuments).map((problem) =>
        html`
          <li class="card"><b class="status" data-problem="true">${problem.status}</b>
            <div><h2><a href="${problem.type}">${problem.title}</a></h2>
            <p>${inline(summaryOf(problem))}</p></div></li>
        `
      )}
      </ul>
    `,
  });
}

export function problemPage({ type, status, title, happened, toDo }: ProblemKindDocument): string {
  return pageOf({
    title,
    main: html`
      <p class="muted"><a href="/problems">All problems</a></p>
      <h1>${title}</h1>
      <p
        class="address"><b class="status" data-problem="true">${status}</b> <code>${type}</code></p>
      <section class="card">
        <h2>What happened</h2>
        ${paragraphs(happened)}
      </section>
      <section class="card">
        <h2>What to do</h2>
        ${paragraphs(toDo)}
      </section>
    `,
  });
}

/** The first sentence, unless the title says the same. */
function summaryOf({ title, happened }: ProblemKindDocument): string {
  const sentence = /^.*?[.](?= |$)/s.exec(happened)?.[0] ?? happened;
  return sentence === `${title}.` ? "" : sentence;
}
