/**
 * Removes the names that esbuild's `keepNames` has put into a package. The driver's package calls a helper for each of its
 * functions, so that `Function.name` survives its own minifier: 2.7 kB of a gzipped Worker, which nothing reads.
 */

/** The parts of a syntax tree that are read here. https://github.com/estree/estree */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

interface Call extends SyntaxNode {
  readonly callee: SyntaxNode & { readonly name?: string };
  readonly arguments: readonly SyntaxNode[];
}

const HELPER =
  /\bvar (\w+) = \((\w+), (\w+)\) => \w+\(\2, "name", \{\s*value: \3,\s*configurable: true\s*\}\);/;

/**
 * Returns a bundle that is not minified yet without the calls of the helper, line by line, so that its source map stays
 * true. Returns it as it is if it has no such helper, or another variable of that name.
 */
export function dropNames(code: string, parse: (code: string) => SyntaxNode): string {
  const [definition = "", helper] = HELPER.exec(code) ?? [];
  if (helper === undefined) return code;
  const calls: Call[] = [];
  let others = 0;
  visit(parse(code), (node, { parent, key }) => {
    if (node.type === "CallExpression" && isNaming(node as Call, helper)) calls.push(node as Call);
    else if (node.type === "Identifier" && (node as Call["callee"]).name === helper) {
      const isProperty = (key === "property" || key === "key") &&
        (parent as { computed?: boolean }).computed === false;
      if (!isProperty && !(key === "callee" && isNaming(parent as Call, helper))) others++;
    }
  });
  // The definition.
  if (others !== 1) return code;
  const cuts = calls.flatMap(({ callee, arguments: [named, name] }) => [
    [callee.start, callee.end] as const,
    [named!.end, name!.end] as const,
  ]);
  cuts.push([code.indexOf(definition), code.indexOf(definition) + definition.length]);
  cuts.sort(([one], [other]) => one - other);
  let kept = "";
  let at = 0;
  for (const [start, end] of cuts) {
    kept += code.slice(at, start) + code.slice(start, end).replace(/[^\n]+/g, "");
    at = end;
  }
  return kept + code.slice(at);
}

/** `helper(any, "text")`. */
function isNaming({ callee, arguments: [, name, ...rest] }: Call, helper: string): boolean {
  return callee.name === helper && name?.type === "Literal" && rest.length === 0;
}

interface Place {
  readonly parent: SyntaxNode | undefined;
  /** The parent's property that has the node. */
  readonly key: string;
}

function visit(
  node: SyntaxNode,
  each: (node: SyntaxNode, place: Place) => void,
  place: Place = { parent: undefined, key: "" },
): void {
  each(node, place);
  for (const [key, value] of Object.entries(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child?.type === "string") visit(child, each, { parent: node, key });
    }
  }
}
