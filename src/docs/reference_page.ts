/** `/docs`: the OpenAPI document as a page. */

import { html } from "hono/html";
import { type Html, inline, json, pageOf, paragraphs } from "./page.ts";
import type {
  Content,
  JsonSchema,
  OpenApiDocument,
  OperationObject,
  ResponseObject,
} from "./openapi_types.ts";
import { exampleOf, fieldsOf, rulesOf, typeOf } from "./schema_view.ts";

interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: OperationObject;
}

export function referencePage(document: OpenApiDocument): string {
  const routes = routesOf(document);
  return pageOf({
    title: "API reference",
    aside: contents(document, routes),
    main: html`
      <h1>API reference</h1>
      ${paragraphs(document.info.description)}
      <p class="muted">Version ${document.info.version} · <a href="/openapi.json">OpenAPI ${document
        .openapi}</a></p>
      ${document.tags.map(({ name, description }) =>
        html`
          <section class="tag" aria-labelledby="${idOf(name)}">
            <h2 id="${idOf(name)}">${name}</h2>
            ${paragraphs(description)}
            ${routes.filter(({ operation }) => operation.tags.includes(name))
              .map((route) => operationSection(document, route))}
          </section>
        `
      )}
      <section class="tag" aria-labelledby="schemas">
        <h2 id="schemas">Schemas</h2>
        ${Object.entries(document.components.schemas).map(([name, schema]) =>
          schemaSection(document, name, schema)
        )}
      </section>
    `,
  });
}

function routesOf({ paths }: OpenApiDocument): Route[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation }))
  );
}

function idOf(name: string): string {
  return name.toLowerCase();
}

/** Beside the text on a wide screen; on a phone above it, folded. The style shows one of the two. */
function contents(document: OpenApiDocument, routes: readonly Route[]): Html {
  const nav = contentsNav(document, routes);
  return html`
    <div class="contents wide">${nav}</div>
    <details class="contents narrow"><summary>Contents</summary>${nav}</details>
  `;
}

function contentsNav({ tags, components }: OpenApiDocument, routes: readonly Route[]): Html {
  return html`
    <nav aria-label="Contents">
      ${tags.map(({ name }) =>
        html`
          <a class="group" href="#${idOf(name)}">${name}</a>
          <ul>${routes.filter(({ operation }) => operation.tags.includes(name)).map((route) =>
            html`
              <li><a href="#${route.operation.operationId}">${route.operation.summary}
                ${methodMark(route)}</a></li>
            `
          )}
          </ul>
        `
      )}
      <a class="group" href="#schemas">Schemas</a>
      <ul>${Object.keys(components.schemas).map((name) =>
        html`<li><a href="#schema-${name}">${name}</a></li>`
      )}</ul>
    </nav>
  `;
}

function methodMark({ method }: Pick<Route, "method">): Html {
  return html`<span class="method" data-method="${method}">${method.toUpperCase()}</span>`;
}

function operationSection(document: OpenApiDocument, route: Route): Html {
  const { path, operation } = route;
  const { operationId, summary, description, parameters = [], requestBody, responses } = operation;
  const [scope] = operation.security?.[0]?.["bearer"] ?? [];
  return html`
    <article class="card" aria-labelledby="${operationId}">
      <h3 id="${operationId}">${summary}</h3>
      <p class="address">${methodMark(route)} <code>${path}</code>
        <span class="muted">${scope === undefined
          ? "without a token"
          : html`with a token for <code>${scope}</code>`}</span></p>
      ${description === undefined ? "" : paragraphs(description)}
      ${parameters.length === 0 ? "" : html`
        <h4>Parameters</h4>
        <dl class="fields">${parameters.map(({ name, in: place, required, description, schema }) =>
          html`
            <dt><code>${name}</code> <span class="muted">${typeOf(schema)}${rulesOf(
              schema,
            )} · ${place}${required ? " · required" : ""}</span></dt>
            <dd>${inline(description)}</dd>
          `
        )}
        </dl>
      `}
      ${requestBody === undefined ? "" : html`
        <h4>Body</h4>
        ${contentView(document, requestBody.content)}
      `}
      <h4>Example</h4>
      <pre>${curlOf(document, route)}</pre>
      <h4>Answers</h4>
      <ul class="answers">${Object.entries(responses).map(([status, response]) =>
        answerView(document, status, response)
      )}</ul>
    </article>
  `;
}

function contentView(document: OpenApiDocument, content: Content): Html {
  const [[, { schema }] = ["", { schema: {} }]] = Object.entries(content);
  return html`
    <p>${typeOf(schema)} <span class="muted">as ${Object.keys(content).join(" or ")}</span></p>
    ${fieldsView(document, schema)}
  `;
}

function fieldsView(document: OpenApiDocument, schema: JsonSchema): Html {
  const fields = fieldsOf(document, schema);
  if (fields.length === 0) return html``;
  return html`<dl class="fields">${
    fields.map(({ name, type, isRequired, rules, description }) =>
      html`
        <dt><code>${name}</code> <span class="muted">${type}${isRequired
          ? ""
          : " · optional"}${rules}</span></dt>
        <dd>${description === undefined ? "" : inline(description)}</dd>
      `
    )
  }
  </dl>`;
}

function answerView(document: OpenApiDocument, status: string, response: ResponseObject): Html {
  const isProblem = Number(status) >= 400;
  const { description, headers = {}, content } = response;
  const names = Object.keys(headers).filter((name) => name !== "X-Request-Id");
  return html`
    <li><b class="status" data-problem="${String(isProblem)}">${status}</b>
      <div><p>${inline(description)}${names.length === 0 ? "" : html`
        <span class="muted">With ${names.join(" and ")}.</span>
      `}</p>
        ${isProblem || content === undefined ? "" : bodyView(document, content)}
      </div></li>
  `;
}

function bodyView(document: OpenApiDocument, content: Content): Html {
  return html`${
    Object.entries(content).map(([type, { schema }]) => {
      const example = exampleOf(document, schema);
      return html`<p>${
        schema.$ref === undefined ? "" : typeOf(schema)
      } <span class="muted">${type}</span></p>
      ${example === undefined ? "" : json(example)}`;
    })
  }`;
}

function schemaSection(document: OpenApiDocument, name: string, schema: JsonSchema): Html {
  return html`
    <article class="card" aria-labelledby="schema-${name}">
      <h3 id="schema-${name}">${name}</h3>
      ${schema.description === undefined ? "" : paragraphs(schema.description)}
      ${fieldsView(document, schema)}
    </article>
  `;
}

/** A command that works when it is pasted, but for the address and the token. */
function curlOf(document: OpenApiDocument, { method, path, operation }: Route): string {
  const { parameters = [], requestBody, security } = operation;
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name) => {
    const schema = parameters.find((parameter) => parameter.name === name)?.schema ?? {};
    return String(exampleOf(document, schema) ?? `{${name}}`);
  });
  const [type] = Object.keys(requestBody?.content ?? {});
  const body = type && exampleOf(document, requestBody!.content[type]!.schema);
  return [
    `curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}"$SERVICE${filled}"`,
    ...(security?.length === 0 ? [] : ['-H "Authorization: Bearer $TOKEN"']),
    ...(type ? [`-H "Content-Type: ${type}"`, `-d '${JSON.stringify(body)}'`] : []),
  ].join(" \\\n  ");
}
