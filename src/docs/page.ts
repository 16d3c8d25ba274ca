/** The frame of the pages, and how their texts become HTML. Pages are static: no script, and one style sheet. */

import { html } from "hono/html";

/** A piece of HTML, whose inserted values were escaped. */
export type Html = ReturnType<typeof html>;

export interface Page {
  readonly title: string;
  /** Under the head of the page. */
  readonly main: Html;
  /** Beside `main` on a wide screen, above it on a phone. */
  readonly aside?: Html;
}

export function pageOf({ title, main, aside }: Page): string {
  const page = html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>${title} · user-service</title>
        <link rel="icon" href="data:,">
        <link rel="stylesheet" href="/docs/docs.css">
      </head>
      <body>
        <a class="skip" href="#main">Skip to the content</a>
        <header>
          <a class="name" href="/docs">user-service</a>
          <nav aria-label="Documentation">
            <a href="/docs">Reference</a>
            <a href="/problems">Problems</a>
            <a href="/openapi.json">OpenAPI</a>
          </nav>
        </header>
        <div class="${aside === undefined ? "one" : "two"} columns">
          ${aside ?? ""}
          <main id="main" tabindex="-1">${main}</main>
        </div>
      </body>
    </html>
  `;
  return String(page).trim();
}

/** A text of the document with `code` and [links](/of/this/service), as its paragraphs. */
export function paragraphs(text: string): Html[] {
  return text.split(/\n{2,}/).map((paragraph) => html`<p>${inline(paragraph)}</p>`);
}

/** The same within one paragraph. */
export function inline(text: string): Html[] {
  const parts = text.split(/(`[^`]*`|\[[^\]]*\]\([^)\s]*\))/);
  return parts.map((part) => {
    if (part.startsWith("`")) return html`<code>${part.slice(1, -1)}</code>`;
    const [, name, address] = /^\[([^\]]*)\]\(([^)]*)\)$/.exec(part) ?? [];
    return name === undefined ? html`${part}` : html`<a href="${address}">${name}</a>`;
  });
}

/** A value as indented JSON. */
export function json(value: unknown): Html {
  return html`<pre>${JSON.stringify(value, undefined, 2)}</pre>`;
}
