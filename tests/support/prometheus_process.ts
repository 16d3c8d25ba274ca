/** The process of `prometheus.ts`: parses Prometheus' text from its input with an npm package, and prints it as JSON. */
// Not in deno.json, nor in an import that Deno can see before it runs: only tests use it.
const PARSER = "npm:parse-prometheus-text-format@1.1.1";

const { default: parse }: { default: (text: string) => unknown } = await import(PARSER);
console.log(JSON.stringify(parse(await new Response(Deno.stdin.readable).text())));
