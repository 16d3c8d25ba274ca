/** Changes of a module's text by its syntax tree. */

/** The parts of a tree that are read here. https://github.com/estree/estree */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

export interface Identifier extends SyntaxNode {
  readonly type: "Identifier";
  readonly name: string;
}

export interface Call extends SyntaxNode {
  readonly type: "CallExpression";
  readonly callee: SyntaxNode;
  readonly arguments: readonly SyntaxNode[];
}

export function isIdentifier(node: SyntaxNode | undefined, name?: string): node is Identifier {
  return node?.type === "Identifier" &&
    (name === undefined || (node as Identifier).name === name);
}

export interface Place {
  readonly parent: SyntaxNode | undefined;
  /** The parent's property that has the node. */
  readonly key: string;
}

/** Calls `each` for the node and all nodes in it. */
export function visit(
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

/** Puts `text` in the place of what is between `start` and `end`. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** An edit within another one is dropped. Every line stays a line, so that a source map stays true. */
export function applyEdits(code: string, edits: readonly Edit[]): string {
  let result = "";
  let at = 0;
  for (const { start, end, text } of edits.toSorted((one, other) => one.start - other.start)) {
    if (start < at) continue;
    result += code.slice(at, start) + text + code.slice(start, end).replace(/[^\n]+/g, "");
    at = end;
  }
  return result + code.slice(at);
}
