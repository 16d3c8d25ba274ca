/**
 * Checks OpenAPI documents and answers against them with npm's validators, for `openapi.ts`. Reads one job from its
 * input, and prints the list of violations as JSON.
 */
import type { AnswerJob, Job } from "./openapi.ts";

// Not in deno.json, nor in an import that Deno can see before it runs: `deno task dev` does not need them.
const AJV = "npm:ajv@8.20.0/dist/2020.js";
const FORMATS = "npm:ajv-formats@3.0.1";
const SWAGGER_PARSER = "npm:@apidevtools/swagger-parser@13.1.0";
const SCHEMA_VALIDATOR = "npm:@seriousme/openapi-schema-validator@2.11.0";

interface Validate {
  (value: unknown): boolean;
  readonly errors?: readonly { instancePath: string; message?: string; params: unknown }[] | null;
}

// deno-lint-ignore no-explicit-any -- the packages are not known to the type checker
type Package = any;

type JsonSchema = Readonly<Record<string, unknown>>;

async function validatorsOf(document: Package): Promise<string[]> {
  const { default: SwaggerParser }: Package = await import(SWAGGER_PARSER);
  const { Validator }: Package = await import(SCHEMA_VALIDATOR);
  const copy = () => structuredClone(document);
  const violations: string[] = [];
  await SwaggerParser.validate(copy()).catch((error: unknown) =>
    violations.push(`swagger-parser: ${error}`)
  );
  const { valid, errors } = await new Validator().validate(copy());
  if (!valid) violations.push(`openapi-schema-validator: ${JSON.stringify(errors)}`);
  return violations;
}

/** Allows no member that the document does not name: what the service sends must be documented. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, value]) =>
    key === "examples" ? [key, value] : [key, closed(value)]
  );
  const result = Object.fromEntries(entries);
  const isObject = result.type === "object" && result.properties !== undefined;
  return isObject ? { additionalProperties: false, ...result } : result;
}

async function compilerOf(document: Package): Promise<(schema: JsonSchema) => Validate> {
  const { Ajv2020 }: Package = await import(AJV);
  const { default: addFormats }: Package = await import(FORMATS);
  const ajv = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false });
  addFormats.default?.(ajv) ?? addFormats(ajv);
  ajv.addKeyword("components");
  const components = { schemas: closed(document.components.schemas) };
  const made = new Map<string, Validate>();
  return (schema) => {
    const key = JSON.stringify(schema);
    let validate = made.get(key);
    if (validate === undefined) {
      made.set(key, validate = ajv.compile({ components, ...closed(schema) as JsonSchema }));
    }
    return validate!;
  };
}

function errorsOf(validate: Validate, value: unknown): string[] {
  if (validate(value)) return [];
  return validate.errors!.map(({ instancePath, message, params }) =>
    `${instancePath || "the body"} ${message} ${JSON.stringify(params)}`
  );
}

async function examplesOf(document: Package): Promise<string[]> {
  const compile = await compilerOf(document);
  return Object.entries<Package>(document.components.schemas).flatMap(([name, schema]) =>
    (schema.examples ?? []).flatMap((example: unknown) =>
      errorsOf(compile({ $ref: `#/components/schemas/${name}` }), example)
        .map((error) => `example of ${name}: ${error}`)
    )
  );
}

async function answersOf(document: Package, { answers }: AnswerJob): Promise<string[]> {
  const compile = await compilerOf(document);
  const routes = Object.entries<Package>(document.paths).map(([path, operations]) => ({
    pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`),
    operations,
  }));
  const problem = { $ref: "#/components/schemas/Problem" };

  function responseOf({ method, path, status }: AnswerJob["answers"][number]): Package {
    const operations = routes.find(({ pattern }) => pattern.test(path))?.operations;
    const operation = operations?.[method === "HEAD" ? "get" : method.toLowerCase()];
    if (operation !== undefined) return operation.responses[status];
    if (method === "OPTIONS" && operations !== undefined && status === 204) {
      return { headers: { Allow: { required: true, schema: { type: "string" } } } };
    }
    // No route answers: the app does, with a problem document.
    return status < 400
      ? undefined
      : { content: { "application/problem+json": { schema: problem } } };
  }

  function violationsOf(answer: AnswerJob["answers"][number]): string[] {
    const response = responseOf(answer);
    if (response === undefined) return ["the document does not have this status"];
    const { headers, body, method } = answer;
    const violations = Object.entries<Package>(response.headers ?? {}).flatMap(
      ([name, { required, schema }]) => {
        const value = headers[name.toLowerCase()];
        if (value === undefined) return required ? [`the header ${name} is missing`] : [];
        const read = schema.type === "integer" ? Number(value) : value;
        return errorsOf(compile(schema), read).map((error) => `header ${name}: ${error}`);
      },
    );
    if (method === "HEAD") return violations;
    const type = headers["content-type"];
    if (response.content === undefined) {
      return body === "" ? violations : [...violations, `a body, and the document has none`];
    }
    const content = response.content[type ?? ""];
    if (content === undefined) {
      return [...violations, `Content-Type ${type} is not in the document`];
    }
    const isJson = /[/+]json$/.test(type!);
    return [...violations, ...errorsOf(compile(content.schema), isJson ? JSON.parse(body) : body)];
  }

  return answers.flatMap((answer) =>
    violationsOf(answer).map((violation) => {
      const { method, path, status, body } = answer;
      return `${method} ${path} ${status}: ${violation}; body ${body.slice(0, 300)}`;
    })
  );
}

const job: Job = JSON.parse(await new Response(Deno.stdin.readable).text());
const violations = "answers" in job
  ? await answersOf(job.document, job)
  : [...await validatorsOf(job.document), ...await examplesOf(job.document)];
console.log(JSON.stringify(violations));
