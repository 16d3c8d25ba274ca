/**
 * Removes the names that esbuild's `keepNames` has put into a package. The driver's package calls a helper for each of its
 * functions, so that `Function.name` survives its own minifier: 2.7 kB of a gzipped Worker, which nothing reads.
 */
import { type Call, type Edit, isIdentifier, type SyntaxNode, visit } from "./syntax.ts";

const HELPER =
  /\bvar (\w+) = \((\w+), (\w+)\) => \w+\(\2, "name", \{\s*value: \3,\s*configurable: true\s*\}\);/;

/** None if the module has no such helper, or needs it for something else. */
export function dropNames(code: string, tree: SyntaxNode): Edit[] {
  const definition = HELPER.exec(code);
  if (definition === null) return [];
  const [text, helper] = definition as unknown as [string, string];
  const calls: Call[] = [];
  let others = 0;
  visit(tree, (node, { parent, key }) => {
    if (isNaming(node, helper)) calls.push(node);
    else if (isIdentifier(node, helper)) {
      const isProperty = (key === "property" || key === "key") &&
        (parent as { computed?: boolean }).computed === false;
      const isCalled = key === "callee" && isNaming(parent!, helper);
      if (!isProperty && !isCalled) others++;
    }
  });
  // The definition.
  if (others !== 1) return [];
  const { index } = definition;
  return [
    { start: index, end: index + text.length, text: "" },
    ...calls.flatMap(({ callee, arguments: [named, name] }) => [
      { start: callee.start, end: callee.end, text: "" },
      { start: named!.end, end: name!.end, text: "" },
    ]),
  ];
}

/** `helper(any, "text")`. */
function isNaming(node: SyntaxNode, helper: string): node is Call {
  if (node.type !== "CallExpression") return false;
  const { callee, arguments: [, name, ...rest] } = node as Call;
  return isIdentifier(callee, helper) && name?.type === "Literal" && rest.length === 0;
}
